//! The addresses that this box gives out: a careful part of what RFC 5321
//! section 4.1.2 allows, so that an address can be a login name, a line in a
//! file and a word in a protocol without quoting.

use std::fmt;

/// `local@domain`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

/// Why a text is not an address that this box gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not one `@`.
    #[error("A mail address has a name, one @ and a domain, like anna@example.org.")]
    Shape,
    /// The part before the `@`.
    #[error(
        "The name before the @ may have 1 to 64 letters a to z, digits, and . - _ between them."
    )]
    Name,
    /// The part behind it.
    #[error("The part behind the @ must be a whole domain, like example.org.")]
    Domain,
}

impl Address {
    /// Reads an address as a person types it; capitals become small letters.
    ///
    /// # Errors
    /// The words say what may be there instead.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim().to_ascii_lowercase();
        let (name, domain) = text.split_once('@').ok_or(AddressError::Shape)?;
        if domain.contains('@') {
            return Err(AddressError::Shape);
        }
        let is_name = (1..=64).contains(&name.len())
            && name.split(['.', '-', '_']).all(is_letters_and_digits);
        if !is_name {
            return Err(AddressError::Name);
        }
        if !is_domain(domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self(text))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two labels at least, and the last is no number, or it would be an IPv4 address
/// (RFC 1123 section 2.1). In lower case.
pub(crate) fn is_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    labels.len() >= 2
        && domain.len() <= 253 - 64
        && labels.iter().all(|label| is_label(label))
        && labels
            .last()
            .is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_letters_and_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// RFC 1123 section 2.1: letters, digits and hyphens, none at an end.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_type_it() {
        for (typed, meant) in [
            ("anna@example.org", "anna@example.org"),
            (" Anna.Lena@Example.ORG ", "anna.lena@example.org"),
            (
                "a-b_c.1@xn--bcher-kva.example",
                "a-b_c.1@xn--bcher-kva.example",
            ),
        ] {
            assert_eq!(Address::parse(typed).unwrap().as_str(), meant);
        }
        let domain = Address::parse("anna@mail.example.org").unwrap();
        assert_eq!(domain.domain(), "mail.example.org");
    }

    #[test]
    fn what_would_need_quoting_somewhere_is_refused_with_words() {
        use AddressError::{Domain, Name, Shape};
        let long = format!("{}@example.org", "x".repeat(65));
        for (typed, error) in [
            ("", Shape),
            ("anna", Shape),
            ("anna@b@example.org", Shape),
            ("@example.org", Name),
            (".anna@example.org", Name),
            ("an..na@example.org", Name),
            ("anna-@example.org", Name),
            ("an na@example.org", Name),
            ("an:na@example.org", Name),
            ("anna\n@example.org", Name),
            ("\u{e4}nna@example.org", Name),
            ("anna+tag@example.org", Name),
            (&long, Name),
            ("anna@", Domain),
            ("anna@localhost", Domain),
            ("anna@example..org", Domain),
            ("anna@-a.example", Domain),
            ("anna@192.0.2.1", Domain),
            ("anna@[192.0.2.1]", Domain),
            ("anna@example.org:x", Domain),
        ] {
            assert_eq!(Address::parse(typed), Err(error), "{typed:?}");
        }
    }
}

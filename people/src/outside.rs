//! Addresses of others, which mail is passed on to: a careful part of what RFC 5321
//! section 4.1.2 allows, so that one can be a word in a file of Dovecot's and in a Sieve
//! script without quoting.

use crate::address::is_domain;
use std::fmt;

/// The most of them that one alias leads to: Dovecot passes a message on four times at
/// the most (`sieve_max_redirects`).
pub const MOST_OUTSIDE: usize = 4;

/// `local@domain`, the domain in lower case, the local part as it was typed: what it
/// means is known only there (RFC 5321 section 2.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutsideAddress(String);

/// Why a text is not an address that mail is passed on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// Not a name, an `@` and a domain.
    #[error("Write a whole mail address, like anna@example.org.")]
    Shape,
    /// The part before the `@`.
    #[error(
        "The name before the @ may have letters a to z, digits and . _ + - = ' only, 64 at most."
    )]
    Name,
    /// None, or more than there may be.
    #[error("Write one to {MOST_OUTSIDE} addresses, with a comma or a space between them.")]
    Number,
}

impl OutsideAddress {
    /// Reads one as a person types it.
    ///
    /// # Errors
    /// The words say what to type instead.
    pub fn parse(text: &str) -> Result<Self, OutsideError> {
        let text = text.trim();
        let (name, domain) = text.rsplit_once('@').ok_or(OutsideError::Shape)?;
        let domain = domain.to_ascii_lowercase();
        if name.is_empty() || !is_domain(&domain) {
            return Err(OutsideError::Shape);
        }
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-='".contains(&byte);
        // No dot at an end or beside another (RFC 5321 section 4.1.2, Dot-string).
        let is_name = name.len() <= 64 && name.bytes().all(good);
        if !is_name || name.split('.').any(str::is_empty) {
            return Err(OutsideError::Name);
        }
        Ok(Self(format!("{name}@{domain}")))
    }

    /// Reads one to [`MOST_OUTSIDE`] of them, separated by commas and blanks; one that
    /// stands twice counts once.
    ///
    /// # Errors
    /// The words say what to type instead.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, OutsideError> {
        let mut found: Vec<Self> = Vec::new();
        let words = text.split(|letter: char| letter == ',' || letter.is_whitespace());
        for word in words.filter(|word| !word.is_empty()) {
            let address = Self::parse(word)?;
            if !found.contains(&address) {
                found.push(address);
            }
        }
        match (1..=MOST_OUTSIDE).contains(&found.len()) {
            true => Ok(found),
            false => Err(OutsideError::Number),
        }
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for OutsideAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_others_are_taken_as_they_are_typed() {
        let typed =
            " Bob.O'Neil+x=y@Far.Example,c_d@b-c.example\n\tC_d@b-c.example c_d@b-c.example ";
        let read = OutsideAddress::parse_list(typed).unwrap();
        let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "Bob.O'Neil+x=y@far.example",
                "c_d@b-c.example",
                "C_d@b-c.example"
            ]
        );
        assert_eq!(read[0].domain(), "far.example");
    }

    #[test]
    fn what_would_mean_something_else_somewhere_is_refused_with_words() {
        use OutsideError::{Name, Number, Shape};
        let long = format!("{}@far.example", "x".repeat(65));
        for (typed, error) in [
            ("", Number),
            (" , ", Number),
            ("a@b.c,b@b.c,c@b.c,d@b.c,e@b.c", Number),
            ("bob", Shape),
            ("@far.example", Shape),
            ("bob@", Shape),
            ("bob@localhost", Shape),
            ("bob@192.0.2.1", Shape),
            ("bob@far.example:x", Shape),
            ("bob@x@far.example", Name),
            ("bo:b@far.example", Name),
            ("%{user}@far.example", Name),
            ("\"bob\"@far.example", Name),
            (".bob@far.example", Name),
            ("bo..b@far.example", Name),
            ("b\u{f6}b@far.example", Name),
            (&long, Name),
        ] {
            assert_eq!(OutsideAddress::parse_list(typed), Err(error), "{typed:?}");
        }
    }
}

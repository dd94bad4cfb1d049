//! Paths as this server takes them: the careful part of RFC 5321 section 4.1.2
//! that goes into another program's command without any quoting.

use channels::recipient_check::is_path;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 section 4.5.1: every server takes mail for it, without a domain.
pub const POSTMASTER: &str = "postmaster";

/// Whether an address is the postmaster's, here or of any domain.
pub fn is_postmaster(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    local.eq_ignore_ascii_case(POSTMASTER)
}

/// Whether `text` is a mailbox: a dot-string, an `@`, and a domain or an
/// address literal. A local part that needs quotes is none here.
pub fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    is_path(text) && is_dot_string(local) && (is_domain(domain) || is_literal(domain))
}

/// RFC 5321 section 4.1.2 (Dot-string) and 4.5.3.1.1.
fn is_dot_string(local: &str) -> bool {
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.len() <= 64
        && local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// RFC 5321 section 4.1.2 (Domain) and 4.5.3.1.2. An underscore is taken: there
/// are senders whose hosts are called so.
fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 255 && domain.split('.').all(label)
}

/// RFC 5321 section 4.1.3.
fn is_literal(domain: &str) -> bool {
    let inside = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let Some(inside) = inside else {
        return false;
    };
    match inside.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            address.parse::<Ipv6Addr>().is_ok()
        }
        _ => inside.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_told_from_what_only_looks_like_one() {
        for good in [
            "a@b",
            "a.b+c@d-e.example",
            "o'neil=x@bounces_1.example",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
        ] {
            assert!(is_mailbox(good), "{good}");
        }
        let long = format!("{}@b.example", "x".repeat(65));
        let label = format!("a@{}.example", "x".repeat(64));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@b.",
            "a@.b",
            "a@b..c",
            "a@-b",
            "a@b-",
            "a@@b",
            "a@b@c",
            "a\"@b",
            "a b@c",
            "a@[b]",
            "a@[192.0.2.1",
            "a@[IPv6:x]",
            "a(b)@c",
            "a@b,c",
            "a\u{e4}@b",
            &long,
            &label,
        ] {
            assert!(!is_mailbox(bad), "{bad}");
        }
    }
}

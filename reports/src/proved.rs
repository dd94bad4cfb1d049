//! Who sent a message, as far as the box has checked it: the field that smtp-in puts on
//! top (RFC 8601), and from which it takes every other of the box's name.

use mail_parser::{HeaderName, MessageParser};

/// The domain in From, if DMARC held for it.
pub(crate) fn domain(message: &[u8], hostname: &str) -> Option<String> {
    let parsed = MessageParser::new().parse_headers(message)?;
    let is_it =
        |name: &HeaderName<'_>| name.as_str().eq_ignore_ascii_case("authentication-results");
    let field = parsed.headers().iter().find(|header| is_it(&header.name))?;
    let from = usize::try_from(field.offset_start).ok()?;
    let end = usize::try_from(field.offset_end).ok()?;
    judged(std::str::from_utf8(message.get(from..end)?).ok()?, hostname)
}

/// The domain that the field's text names beside `dmarc=pass`.
fn judged(field: &str, hostname: &str) -> Option<String> {
    let mut parts = field.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(hostname) {
        return None;
    }
    let passed = parts.find(|part| part.split_whitespace().next() == Some("dmarc=pass"))?;
    let domain = passed
        .split_whitespace()
        .find_map(|word| word.strip_prefix("header.from="))?;
    Some(domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_box_has_checked_counts() {
        let top = "Authentication-Results: box.example.org;\r\n\
                   \tspf=pass smtp.mailfrom=x@far.example;\r\n\
                   \tdmarc=pass header.from=far.example policy.dmarc=reject\r\n\
                   From: a@far.example\r\n\r\nx";
        let found = |message: &str| domain(message.as_bytes(), "box.example.org");
        assert_eq!(found(top).as_deref(), Some("far.example"));
        for other in [
            top.replace("dmarc=pass", "dmarc=fail"),
            top.replace("dmarc=pass", "x=y dmarc=pass"),
            top.replace("box.example.org", "other.example"),
            format!("Authentication-Results: box.example.org; dmarc=none\r\n{top}"),
            "From: a@far.example\r\n\r\nx".to_owned(),
            String::new(),
        ] {
            assert_eq!(found(&other), None, "{other}");
        }
    }
}

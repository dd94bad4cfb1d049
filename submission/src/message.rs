//! A message of a person's: whether it may go under that person's name, and what
//! is added to it and taken out before it is signed (RFC 6409 sections 6 and 8).

use crate::body;
use crate::sasl::Login;
use channels::dkim_sign::Request;
use channels::tls_sign::to_hex;
use mail_parser::MessageParser;

/// The longest line, without its CR LF (RFC 5322 section 2.1.1): a longer one is
/// broken on the way, and the signature with it.
const MAX_LINE: usize = 998;
/// The most bytes of a header.
const MAX_HEADER: usize = 256 << 10;
/// Fields that go no further: who else gets it (RFC 5322 section 3.6.3), and what
/// only this box may say of its own messages.
const REMOVED: [&str; 3] = ["Bcc", "Return-Path", "Resent-Bcc"];
/// What the names of our own fields begin with.
const OURS: &str = "x-projectx-";

/// What stands on top of a message, or is added where it is missing.
#[derive(Debug, Clone)]
pub struct Stamp<'a> {
    /// The box.
    pub hostname: &'a str,
    /// Version and cipher of the connection of a person who has logged in; empty for
    /// what Dovecot sends by itself.
    pub tls: &'a str,
    /// Unlike any other.
    pub id: &'a str,
    /// Now: RFC 5322 section 3.3.
    pub date: &'a str,
}

/// A message that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What the signer is asked.
    pub request: Request,
    /// The message, to be put below the signatures.
    pub message: Vec<u8>,
}

/// Why it may not: a whole reply of SMTP.
pub type Refusal = &'static str;

const NO_HEADER: Refusal = "550 5.6.0 The header is not one of RFC 5322";
const NOT_YOURS: Refusal = "550 5.7.1 The field From must have your own address and no other";

/// Makes `message`, which `login` has sent, ready to be signed.
///
/// # Errors
/// The reply that says why it may not go.
pub fn prepare(message: &[u8], login: &Login, stamp: &Stamp) -> Result<Ready, Refusal> {
    let too_long = |line: &[u8]| line.len() > MAX_LINE + 2;
    if message.split_inclusive(|byte| *byte == b'\n').any(too_long) {
        return Err("550 5.6.0 A line is longer than 998 octets");
    }
    let (header, body) = split(message);
    if header.len() > MAX_HEADER {
        return Err("552 5.3.4 Header too big");
    }
    let header = std::str::from_utf8(header)
        .ok()
        .filter(|text| text.is_ascii());
    let header = header.ok_or("550 5.6.7 A header has only ASCII here; SMTPUTF8 is not offered")?;
    let mut fields = fields(header)?;
    let domain = author(&fields, login)?;
    fields.retain(|(name, _)| {
        let ours = name.to_ascii_lowercase().starts_with(OURS);
        !ours
            && !REMOVED
                .iter()
                .any(|removed| name.eq_ignore_ascii_case(removed))
    });
    let Stamp {
        hostname,
        tls,
        id,
        date,
    } = stamp;
    let has = |name: &str| fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut missing = Vec::new();
    if !has("Date") {
        missing.push(("Date".to_owned(), format!(" {date}")));
    }
    if !has("Message-ID") {
        missing.push(("Message-ID".to_owned(), format!(" <{id}@{domain}>")));
    }
    fields.extend(missing);
    // Where the person is, is nobody's business.
    let with = match *tls {
        "" => "ESMTP".to_owned(),
        tls => format!("ESMTPSA ({tls})"),
    };
    let mut whole = format!("Received: by {hostname} with {with}\r\n\tid {id}; {date}\r\n");
    for (name, value) in &fields {
        whole += &format!("{name}:{value}\r\n");
    }
    whole += "\r\n";
    let mut message = whole.into_bytes();
    message.extend_from_slice(body);
    Ok(Ready {
        request: Request {
            domain,
            fields,
            body_hash: to_hex(&body::hash(body)),
        },
        message,
    })
}

/// Header and body; the empty line between them belongs to neither.
pub(crate) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = message.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    match end {
        Some(end) => (&message[..end + 2], &message[end + 4..]),
        None => (message, &[]),
    }
}

/// Name and value of each field, the value with its folds and without the last
/// line end (RFC 5322 section 2.2).
fn fields(header: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split_inclusive("\r\n") {
        let line = line.strip_suffix("\r\n").ok_or(NO_HEADER)?;
        if line.contains('\0') {
            return Err(NO_HEADER);
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut().ok_or(NO_HEADER)?;
            *value += "\r\n";
            *value += line;
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(NO_HEADER)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(NO_HEADER);
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    Ok(fields)
}

/// The domain of the author, who must be the one who has logged in. So must the
/// Sender, if one is named.
fn author(fields: &[(String, String)], login: &Login) -> Result<String, Refusal> {
    let of = |wanted: &str| -> Vec<&str> {
        let own = fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        own.map(|(_, value)| value.as_str()).collect()
    };
    let [from] = of("From")[..] else {
        return Err("550 5.6.0 A message has exactly one field From");
    };
    let authors = addresses(from);
    if authors.is_empty() || !authors.iter().all(|address| login.owns(address)) {
        return Err(NOT_YOURS);
    }
    match of("Sender")[..] {
        [] => {}
        [sender] => {
            let senders = addresses(sender);
            if senders.len() != 1 || !login.owns(&senders[0]) {
                return Err("550 5.7.1 The field Sender must have your own address");
            }
        }
        _ => return Err(NO_HEADER),
    }
    let domain = authors[0].rsplit('@').next().unwrap_or_default();
    Ok(domain.to_ascii_lowercase())
}

/// Every address in a field; what is none is the empty one, which is nobody's.
fn addresses(value: &str) -> Vec<String> {
    let text = format!("From:{value}\r\n\r\n");
    let parsed = MessageParser::new().parse_headers(text.as_bytes());
    let Some(list) = parsed.as_ref().and_then(|message| message.from()) else {
        return Vec::new();
    };
    let address = |address: &mail_parser::Addr| {
        let text = address.address.as_deref().unwrap_or_default();
        text.to_owned()
    };
    list.iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        hostname: "mail.home.example",
        tls: "TLSv1.3 with cipher X",
        id: "1A",
        date: "Sun, 29 Nov 2026 16:42:43 +0000",
    };

    fn anna() -> Login {
        Login {
            user: "anna@home.example".into(),
            addresses: vec!["anna@home.example".into(), "info@home.example".into()],
        }
    }

    fn ready(text: &str) -> Result<String, Refusal> {
        let ready = prepare(text.as_bytes(), &anna(), &STAMP)?;
        Ok(String::from_utf8(ready.message).unwrap())
    }

    #[test]
    fn what_is_missing_is_added_and_who_else_gets_it_is_taken_out() {
        let text = "From: Anna <Anna@home.example>\r\nBcc: ben@home.example,\r\n cleo@home.example\r\nSubject: a\r\n b\r\nX-ProjectX-Receipt: forged\r\n\r\nbody\r\n";
        assert_eq!(
            ready(text).unwrap(),
            "Received: by mail.home.example with ESMTPSA (TLSv1.3 with cipher X)\r\n\tid 1A; Sun, 29 Nov 2026 16:42:43 +0000\r\n\
             From: Anna <Anna@home.example>\r\nSubject: a\r\n b\r\n\
             Date: Sun, 29 Nov 2026 16:42:43 +0000\r\nMessage-ID: <1A@home.example>\r\n\r\nbody\r\n"
        );
        let text = "Date: x\r\nFrom: info@home.example\r\nMessage-ID: <1@a>\r\n\r\n";
        let whole = ready(text).unwrap();
        assert!(whole.ends_with(text), "{whole}");
    }

    #[test]
    fn nobody_writes_under_another_s_name() {
        for header in [
            "From: ben@home.example",
            "From: anna@home.example, ben@home.example",
            "From: anna@home.example <ben@home.example>",
            "From: \"anna@home.example\" <ben@home.example>",
            "From: friends: anna@home.example, ben@home.example;",
            "From: ben@home.example (anna@home.example)",
            "From: anna@home.example.evil.example",
            "From: anna",
            "From:",
            "From: <>",
        ] {
            assert_eq!(
                ready(&format!("{header}\r\n\r\n")),
                Err(NOT_YOURS),
                "{header}"
            );
        }
        for (header, refusal) in [
            (
                "Subject: x",
                "550 5.6.0 A message has exactly one field From",
            ),
            (
                "From: anna@home.example\r\nfrom: ben@home.example",
                "550 5.6.0 A message has exactly one field From",
            ),
            (
                "From: anna@home.example\r\nSender: ben@home.example",
                "550 5.7.1 The field Sender must have your own address",
            ),
        ] {
            assert_eq!(
                ready(&format!("{header}\r\n\r\n")),
                Err(refusal),
                "{header}"
            );
        }
        for text in ["", "\r\nFrom: anna@home.example\r\n"] {
            let refusal = "550 5.6.0 A message has exactly one field From";
            assert_eq!(ready(text), Err(refusal));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            " folded\r\nFrom: anna@home.example\r\n\r\n",
            "From: anna@home.example\r\nno colon\r\n\r\n",
            "From : anna@home.example\r\n\r\n",
            ": x\r\n\r\n",
            "From: anna@home.example\r\nSubject: a\0b\r\n\r\n",
        ] {
            assert_eq!(ready(text), Err(NO_HEADER), "{text:?}");
        }
        let eight = "From: anna@home.example\r\nSubject: \u{fc}\r\n\r\n";
        assert!(ready(eight).unwrap_err().starts_with("550 5.6.7 "));
        let long = format!("From: anna@home.example\r\n\r\n{}\r\n", "x".repeat(999));
        assert!(ready(&long).unwrap_err().starts_with("550 5.6.0 A line"));
        ready(&long.replace("xx\r", "x\r")).unwrap();
    }
}

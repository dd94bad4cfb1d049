//! The header fields that this box adds, and those of its own that a stranger sent.

use crate::content::{self, Fields};
use channels::spam_check::Verdict;
use std::net::IpAddr;

/// For whoever sends the message on one day: only over TLS that is verified
/// (RFC 8689 section 4.2).
pub const REQUIRE_TLS: &str = "X-ProjectX-Require-TLS: yes\r\n";

/// Parts of the `Received` field (RFC 5321 section 4.4).
pub struct Received<'a> {
    /// The client's name in EHLO.
    pub helo: &'a str,
    /// Its verified name.
    pub reverse_name: Option<&'a str>,
    /// Its address.
    pub peer: IpAddr,
    /// This host.
    pub hostname: &'a str,
    /// TLS version and cipher suite.
    pub tls: &'a str,
    /// The message's number in our log.
    pub id: &'a str,
    /// The recipient, if it is the only one.
    pub recipient: Option<&'a str>,
    /// RFC 5322 section 3.3.
    pub date: &'a str,
}

impl Received<'_> {
    /// The field in Postfix's form, which SpamAssassin takes the peer from.
    pub fn field(&self) -> String {
        let reverse_name = self.reverse_name.unwrap_or("unknown");
        let address = match self.peer {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("IPv6:{address}"),
        };
        let recipient = match self.recipient {
            Some(recipient) => format!("\r\n\tfor <{recipient}>"),
            None => String::new(),
        };
        format!(
            "Received: from {} ({reverse_name} [{address}])\r\n\t(using {})\r\n\tby {} (projectx) with ESMTPS id {}{recipient};\r\n\t{}\r\n",
            self.helo, self.tls, self.hostname, self.id, self.date
        )
    }
}

/// The `X-Spam-*` fields; without a verdict what the message is, is not known.
pub fn spam(verdict: Option<&Verdict>) -> String {
    let Some(verdict) = verdict else {
        return "X-Spam-Status: unknown\r\n".to_owned();
    };
    let tests = match verdict.tests.as_slice() {
        [] => "none".to_owned(),
        tests => tests.join(",\r\n\t"),
    };
    let Verdict {
        score, required, ..
    } = verdict;
    if verdict.is_spam() {
        format!(
            "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score={score:.1} required={required:.1}\r\n\ttests={tests}\r\nX-Spam-Report: score {score:.1} of {required:.1} by\r\n\t{tests}\r\n"
        )
    } else {
        format!(
            "X-Spam-Flag: NO\r\nX-Spam-Status: No, score={score:.1} required={required:.1}\r\n\ttests={tests}\r\n"
        )
    }
}

/// The receipt that the owner reads on top of the message: which sandbox read
/// it, made and used when (RFC 3339), and what it was held for.
pub struct Receipt<'a> {
    /// The sandbox's own id; the others of this connection have its number.
    pub sandbox: &'a str,
    /// When it was made.
    pub made: &'a str,
    /// When it was given the connection.
    pub used: &'a str,
}

impl Receipt<'_> {
    /// The field; without a verdict what the message is, is not known.
    pub fn field(&self, verdict: Option<&Verdict>) -> String {
        let verdict = match verdict {
            None => "unknown",
            Some(verdict) if verdict.is_spam() => "junk",
            Some(_) => "no junk",
        };
        format!(
            "X-ProjectX-Receipt: sandbox={};\r\n\tmade={}; used={};\r\n\tverdict={verdict}\r\n",
            self.sandbox, self.made, self.used
        )
    }
}

/// `message` without `X-Spam-*` and `X-ProjectX-*` (the gate puts a message's
/// tokens into one of those) and without `Authentication-Results` of
/// `hostname` (RFC 8601 section 5): only this box says those.
pub fn strip(message: &[u8], hostname: &str) -> Vec<u8> {
    let header = content::header(message);
    let mut kept = Vec::with_capacity(message.len());
    for field in Fields(header) {
        if !is_ours(field, hostname) {
            kept.extend_from_slice(field);
        }
    }
    kept.extend_from_slice(&message[header.len()..]);
    kept
}

fn is_ours(field: &[u8], hostname: &str) -> bool {
    let name = content::name(field).to_ascii_lowercase();
    let value = field.splitn(2, |byte| *byte == b':').nth(1);
    // With or without a colon: a reader may take a line that has none for a field.
    let begins = |with: &[u8]| {
        let head = field.trim_ascii_start().get(..with.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    begins(b"x-spam-")
        || begins(b"x-projectx-")
        || name == b"authentication-results"
            && value.is_some_and(|value| service(value).eq_ignore_ascii_case(hostname))
}

/// The authserv-id (RFC 8601 section 2.2): the first word that is no comment.
fn service(value: &[u8]) -> String {
    let (mut depth, mut escaped, mut word) = (0_usize, false, String::new());
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b'"' => {}
            b' ' | b'\t' | b'\r' | b'\n' if word.is_empty() => {}
            b' ' | b'\t' | b'\r' | b'\n' | b';' | b'/' => break,
            byte => word.push(char::from(*byte)),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_this_box_says_are_stripped() {
        let foreign = "Authentication-Results: other.example; spf=pass\r\nX-Spa: 1\r\n";
        let body = "\r\nX-Spam-Flag: body\r\n";
        for ours in [
            "X-Spam-Flag: NO\r\n",
            "X-ProjectX-Receipt: sandbox=smtp-in-1;\r\n\tverdict=no junk\r\n",
            "x-PROJECTX-receipt : x\r\n",
            "x-spam-STATUS : No,\r\n\tscore=-5\r\n",
            "X-ProjectX-Tokens: AAAAAAE=\r\n",
            "X-ProjectX-Receipt x\r\n",
            "x-projectx-tokens :\r\n AAAA\r\n\tAAE=\r\n",
            "Authentication-Results: mx.example; dmarc=pass\r\n",
            "authentication-results:\r\n (a;b \\) c) MX.Example 1; spf=pass\r\n",
            "Authentication-Results: \"mx.example\"; spf=pass\r\n",
        ] {
            let message = format!("{foreign}{ours}Subject: x\r\n{ours}{body}");
            let expected = format!("{foreign}Subject: x\r\n{body}");
            assert_eq!(strip(message.as_bytes(), "mx.example"), expected.as_bytes());
        }
    }

    #[test]
    fn the_receipt_names_the_sandbox_its_times_and_the_verdict() {
        let receipt = Receipt {
            sandbox: "smtp-in-17",
            made: "2026-11-24T17:00:25.007Z",
            used: "2026-11-24T17:01:25.007Z",
        };
        let field = |end: &str| {
            format!(
                "X-ProjectX-Receipt: sandbox=smtp-in-17;\r\n\tmade=2026-11-24T17:00:25.007Z; used=2026-11-24T17:01:25.007Z;\r\n\tverdict={end}\r\n"
            )
        };
        let verdict = |score| Verdict {
            score,
            required: 5.0,
            tests: vec![],
        };
        assert_eq!(receipt.field(Some(&verdict(5.0))), field("junk"));
        assert_eq!(receipt.field(Some(&verdict(4.9))), field("no junk"));
        assert_eq!(receipt.field(None), field("unknown"));
    }

    #[test]
    fn a_verdict_becomes_fields() {
        let verdict = |score| Verdict {
            score,
            required: 5.0,
            tests: vec!["A".into(), "B_2".into()],
        };
        assert_eq!(
            spam(Some(&verdict(5.0))),
            "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=5.0 required=5.0\r\n\ttests=A,\r\n\tB_2\r\nX-Spam-Report: score 5.0 of 5.0 by\r\n\tA,\r\n\tB_2\r\n"
        );
        assert!(spam(Some(&verdict(4.9))).starts_with("X-Spam-Flag: NO\r\n"));
        assert_eq!(spam(None), "X-Spam-Status: unknown\r\n");
    }
}

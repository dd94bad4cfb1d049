//! ARC (RFC 8617): what a forwarder that the owner trusts says of how a message
//! reached it. Nobody else's word is worth anything (section 7.2).

use super::over;
use crate::dns::Dns;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimResult, MessageAuthenticator};

/// A chain of seals, and the word of the last sealer if it counts.
pub(super) struct Sealed<'x> {
    pub(super) output: ArcOutput<'x>,
    trusted: Option<(String, String)>,
}

/// Looks at the message's chain; `None` when it has none.
pub(super) async fn judge<'x>(
    authenticator: &MessageAuthenticator,
    dns: &'x Dns,
    parsed: &'x AuthenticatedMessage<'x>,
    sealers: &[String],
) -> Option<Sealed<'x>> {
    if parsed.as_headers.is_empty() && !parsed.has_arc_errors {
        return None;
    }
    let output = authenticator.verify_arc(over(dns, parsed)).await;
    let passes = *output.result() == DkimResult::Pass;
    let trusted = output.sets().last().filter(|_| passes).and_then(|last| {
        let sealer = last.seal.header.d.to_ascii_lowercase();
        let said = String::from_utf8_lossy(last.results.value).into_owned();
        sealers.contains(&sealer).then_some((sealer, said))
    });
    Some(Sealed { output, trusted })
}

impl Sealed<'_> {
    /// The trusted sealer, if it says that DMARC passed for `author` (RFC 8617
    /// section 7.2.1).
    pub(super) fn vouches(&self, author: &str) -> Option<&str> {
        let (sealer, said) = self.trusted.as_ref()?;
        says_pass(said, author).then_some(sealer)
    }
}

/// Whether the value of an ARC-Authentication-Results field has `dmarc=pass` for
/// `author` (RFC 8601 section 2.2). What is in comments or quotes says nothing.
pub fn says_pass(value: &str, author: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut bare = String::with_capacity(value.len());
    for letter in value.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match letter {
            '\\' if quoted || depth > 0 => escaped = true,
            // Where either was stays seen: no word goes on behind it.
            '"' if depth == 0 => {
                quoted = !quoted;
                bare.push('"');
            }
            '(' if !quoted => {
                depth += 1;
                bare.push(' ');
            }
            ')' if !quoted && depth > 0 => depth -= 1,
            _ if !quoted && depth == 0 => bare.push(letter),
            _ => {}
        }
    }
    bare.split(';').any(|result| {
        let mut words = result.split_ascii_whitespace();
        let passes = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("dmarc=pass"));
        let mut domains = words.filter_map(|word| {
            let (key, domain) = word.split_once('=')?;
            key.eq_ignore_ascii_case("header.from").then_some(domain)
        });
        passes
            && domains
                .next()
                .is_some_and(|domain| domain.eq_ignore_ascii_case(author))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_pass_for_the_author_counts() {
        for said in [
            "i=1; lists.example; spf=fail; dmarc=pass header.from=A.example policy.dmarc=reject",
            " i=1; lists.example;\r\n\tDMARC=PASS (p=reject; x) header.from=a.example",
        ] {
            assert!(says_pass(said, "a.example"), "{said}");
        }
        for said in [
            "",
            "i=1; lists.example; dmarc=fail header.from=a.example",
            "i=1; lists.example; dmarc=pass header.from=b.example",
            "i=1; lists.example; dmarc=pass header.from=b.example header.from=a.example",
            "i=1; lists.example; dmarc=pass",
            "i=1; lists.example; dmarc=passed header.from=a.example",
            "i=1; lists.example; x=(; dmarc=pass header.from=a.example",
            "i=1; lists.example; x=\"; dmarc=pass header.from=a.example;\"",
            "i=1; lists.example (\\); dmarc=pass header.from=a.example",
            "i=1; lists.example; header.from=a.example dmarc=pass",
            "i=1; lists.example; dmarc=pass header.from=a.exam\"\"ple",
            "i=1; lists.example; dmarc=pass header.from=\"b.\"a.example",
            "i=1; lists.example; dmarc=pass header.from=a.exam(x)ple",
            "i=1; lists.example; dm()arc=pass header.from=a.example",
        ] {
            assert!(!says_pass(said, "a.example"), "{said}");
        }
    }
}

//! What Dovecot sends by itself, of a message that a stranger wrote (RFC 5228, RFC 5230).

use submission::forwarded::{Going, MAX_REPLY, MOST_HOPS, judge};
use submission::message::Stamp;

const STAMP: Stamp<'_> = Stamp {
    hostname: "box.example",
    tls: "",
    id: "1A",
    date: "Sun, 29 Nov 2026 16:42:43 +0000",
};

/// What is passed on lacks the box's own fields and nothing else, and has no loop behind
/// it; a reply is one of the sender's own. The first two lines of the input are the
/// envelope, the rest the message.
///
/// # Panics
/// When that does not hold.
pub fn forwarded(input: &[u8]) {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (sender, recipient) = (next(), next());
    let message = next();
    let sender = String::from_utf8_lossy(sender);
    let recipient = String::from_utf8_lossy(recipient);
    let is_own = |domain: &str| domain.eq_ignore_ascii_case("home.example");
    match judge(message, &sender, &recipient, is_own, &STAMP) {
        Err(reply) => assert!(reply.starts_with("55") && reply.len() < 200, "{reply}"),
        Ok(Going::PassedOn {
            sender: from,
            message: sent,
        }) => {
            assert_eq!(from, sender);
            assert!(from.is_empty() || from.to_ascii_lowercase().ends_with("@home.example"));
            assert!(sent.len() <= message.len() + 2);
            assert!(is_subsequence(&sent, message) || !message.ends_with(b"\n"));
            let header = header(&sent);
            let begins = |line: &str, name: &str| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            assert!(!header.lines().any(|line| begins(line, "x-projectx-")));
            let hops = header.lines().filter(|line| begins(line, "received:"));
            assert!(hops.count() <= MOST_HOPS);
        }
        Ok(Going::Reply(ready)) => {
            assert!(message.len() <= MAX_REPLY && !sender.is_empty());
            assert!(!recipient.eq_ignore_ascii_case(&sender));
            assert_eq!(ready.request.domain, "home.example");
        }
    }
}

fn header(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message).into_owned();
    let end = text.find("\r\n\r\n").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Whether `part` is `whole` with some bytes left out.
fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}

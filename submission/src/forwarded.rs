//! What Dovecot sends by itself: a message that a person's Sieve script, or an alias to
//! outside, passes on (`redirect`, RFC 5228 section 4.2), or a reply of a person who is
//! away (`vacation`, RFC 5230). Nothing else goes by this way.
//!
//! A message that is passed on stays as it is, signatures and all, and is not signed:
//! it is not ours. A reply is the person's own and gets the box's signatures. Its
//! envelope sender from Dovecot says whose it is, and the world sees the empty one, to
//! which nothing is ever answered (RFC 3834 section 3.3, RFC 5230 section 5.1).

use crate::message::{self, Stamp};
use crate::sasl::Login;

/// The most fields `Received` of a message that is passed on. Postfix gives up at 50;
/// a loop through another server is noticed here, and the message stays in its mailbox
/// (RFC 5321 section 6.3).
pub const MOST_HOPS: usize = 25;
/// The largest reply, in bytes: a script, and so its words, may have 64 KiB.
pub const MAX_REPLY: usize = 128 << 10;

/// What Dovecot puts on top of what it passes on.
const PASSED_ON: &str = "X-Sieve-Redirected-From";
/// What the names of the box's own fields begin with; they are nobody else's business.
const OURS: &[u8] = b"x-projectx-";

/// A message on its way to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Going {
    /// As it came, from this envelope sender.
    PassedOn {
        /// Of the box's own domains, or empty.
        sender: String,
        /// The message.
        message: Vec<u8>,
    },
    /// Of a person of the box's, to be signed, from the empty sender.
    Reply(message::Ready),
}

/// Why it may not go: a whole reply of SMTP. Dovecot keeps what it can't pass on.
pub type Refusal = &'static str;

/// Looks what `message` is that Dovecot sends from `sender` to `recipient`. Whether a
/// domain is the box's own says `is_own`.
///
/// # Errors
/// The reply that says why it may not go.
pub fn judge(
    message: &[u8],
    sender: &str,
    recipient: &str,
    is_own: impl Fn(&str) -> bool,
    stamp: &Stamp,
) -> Result<Going, Refusal> {
    let (header, _) = message::split(message);
    let fields: Vec<&[u8]> = fields(header).collect();
    let own = |address: &str| {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(&is_own)
    };
    if !sender.is_empty() && !own(sender) {
        return Err("550 5.7.1 The envelope sender is not of this box");
    }
    if fields.iter().any(|field| is(field, PASSED_ON)) {
        return passed_on(message, &fields, sender);
    }
    reply(message, sender, recipient, stamp)
}

fn passed_on(message: &[u8], fields: &[&[u8]], sender: &str) -> Result<Going, Refusal> {
    let hops = fields.iter().filter(|field| is(field, "Received")).count();
    if hops > MOST_HOPS {
        return Err("554 5.4.6 Passed on too often; is it a loop?");
    }
    // RFC 8689 section 4.2.1: it may not go to a server that does not offer the same,
    // and which one that will be is not known yet.
    if fields
        .iter()
        .any(|field| is(field, "X-ProjectX-Require-TLS"))
    {
        return Err("550 5.7.30 Its sender demands REQUIRETLS; it is not passed on");
    }
    let (header, body) = message::split(message);
    let mut whole = Vec::with_capacity(message.len());
    for field in fields {
        let ours = field
            .get(..OURS.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        if !ours {
            whole.extend_from_slice(field);
        }
    }
    // A message without an empty line has a header and no body.
    if header.len() < message.len() {
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(body);
    Ok(Going::PassedOn {
        sender: sender.to_owned(),
        message: whole,
    })
}

fn reply(message: &[u8], sender: &str, recipient: &str, stamp: &Stamp) -> Result<Going, Refusal> {
    if sender.is_empty() {
        return Err("550 5.7.1 A reply says whose it is, in the envelope");
    }
    if message.len() > MAX_REPLY {
        return Err("552 5.3.4 Reply too big");
    }
    if recipient.eq_ignore_ascii_case(sender) {
        return Err("550 5.7.1 A reply goes to somebody else");
    }
    let (header, body) = message::split(message);
    let automatic = |field: &[u8]| {
        let value = value(field).trim_ascii_start();
        let kind = b"auto-replied";
        value
            .get(..kind.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(kind))
    };
    let mut said = fields(header).filter(|field| is(field, "Auto-Submitted"));
    if !said.next().is_some_and(automatic) || said.next().is_some() {
        return Err("550 5.7.1 It is neither passed on nor an automatic reply");
    }
    let own = Login {
        user: sender.to_ascii_lowercase(),
        addresses: vec![sender.to_ascii_lowercase()],
    };
    // Dovecot's name for it has the name of the machine; which program it was, is
    // nobody's business either.
    let mut message = Vec::with_capacity(message.len());
    for field in fields(header) {
        if !is(field, "Message-ID") && !is(field, "X-Sieve") {
            message.extend_from_slice(field);
        }
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    message::prepare(&message, &own, stamp).map(Going::Reply)
}

/// Each field with its folds and line ends (RFC 5322 section 2.2.3).
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            if end > 0 && !folded {
                break;
            }
            end += line.len();
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        (end > 0).then_some(field)
    })
}

/// Whether it is the field `name`; blanks before the colon are of the old syntax
/// (RFC 5322 section 4.5).
fn is(field: &[u8], name: &str) -> bool {
    let own = field.split(|byte| *byte == b':').next().unwrap_or_default();
    own.len() < field.len() && own.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
}

/// What follows the colon.
fn value(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|byte| *byte == b':');
    colon.map_or(&[], |colon| &field[colon + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        hostname: "mail.home.example",
        tls: "",
        id: "1A",
        date: "Sun, 29 Nov 2026 16:42:43 +0000",
    };
    const AWAY: &str = "X-Sieve: Pigeonhole Sieve\r\nMessage-ID: <1@machine>\r\nFrom: <anna@home.example>\r\nTo: <ada@far.example>\r\nSubject: Auto: hello\r\nAuto-Submitted: auto-replied (vacation)\r\n\r\nI am away.\r\n";
    const PASSED: &str = "X-Sieve: Pigeonhole Sieve\r\nX-Sieve-Redirected-From: anna@home.example\r\nX-ProjectX-Receipt: sandbox=smtp-in-1;\r\n\tmade=now\r\nDKIM-Signature: v=1;\r\n d=far.example\r\nFrom: ada@far.example\r\nSubject: \u{fc}\r\n\r\n.a dot\r\n\r\n";

    fn of(message: &str, sender: &str, recipient: &str) -> Result<Going, Refusal> {
        let own = |domain: &str| domain.eq_ignore_ascii_case("home.example");
        judge(message.as_bytes(), sender, recipient, own, &STAMP)
    }

    #[test]
    fn what_is_passed_on_stays_as_it_is_and_loses_what_the_box_wrote_for_itself() {
        for sender in ["anna@home.example", ""] {
            let going = of(PASSED, sender, "bob@other.example").unwrap();
            let expected = PASSED.replace(
                "X-ProjectX-Receipt: sandbox=smtp-in-1;\r\n\tmade=now\r\n",
                "",
            );
            let expected = Going::PassedOn {
                sender: sender.into(),
                message: expected.into_bytes(),
            };
            assert_eq!(going, expected);
        }
        // Without a body it stays without one.
        let bare = "X-Sieve-Redirected-From: a@home.example\r\nFrom: a@b.example\r\n";
        let Going::PassedOn { message, .. } = of(bare, "", "x@y.example").unwrap() else {
            panic!("not passed on");
        };
        assert_eq!(message, bare.as_bytes());
    }

    #[test]
    fn a_stranger_s_envelope_sender_never_leaves() {
        for sender in [
            "ada@far.example",
            "anna@home.example.far.example",
            "anna@xhome.example",
            "home.example",
        ] {
            for message in [PASSED, AWAY] {
                assert_eq!(
                    of(message, sender, "bob@other.example"),
                    Err("550 5.7.1 The envelope sender is not of this box"),
                    "{sender}"
                );
            }
        }
    }

    #[test]
    fn a_loop_ends_and_what_demands_requiretls_stays() {
        let hops = |count| "Received: by x\r\n".repeat(count) + PASSED;
        of(&hops(MOST_HOPS), "", "bob@other.example").unwrap();
        let refused = of(&hops(MOST_HOPS + 1), "", "bob@other.example");
        assert_eq!(refused, Err("554 5.4.6 Passed on too often; is it a loop?"));
        let sealed = format!("X-ProjectX-Require-TLS: yes\r\n{PASSED}");
        let refused = of(&sealed, "", "bob@other.example").unwrap_err();
        assert!(refused.starts_with("550 5.7.30 "), "{refused}");
    }

    #[test]
    fn a_reply_is_the_person_s_own_and_is_signed() {
        let going = of(AWAY, "Anna@home.example", "ada@far.example").unwrap();
        let Going::Reply(ready) = going else {
            panic!("{going:?}");
        };
        assert_eq!(ready.request.domain, "home.example");
        let text = String::from_utf8(ready.message).unwrap();
        let received = "Received: by mail.home.example with ESMTP\r\n\tid 1A; ";
        assert!(text.starts_with(received), "{text}");
        assert!(
            text.contains("\r\nMessage-ID: <1A@home.example>\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\nI am away.\r\n"), "{text}");
        assert!(
            !text.contains("machine") && !text.contains("X-Sieve"),
            "{text}"
        );
    }

    #[test]
    fn nothing_else_goes_by_this_way() {
        let anna = "anna@home.example";
        let ada = "ada@far.example";
        let long = AWAY.replace("I am away.", &"I am away.\r\n".repeat(20_000));
        for (message, sender, recipient, words) in [
            (AWAY, "", ada, "whose it is"),
            (AWAY, anna, "ANNA@home.example", "somebody else"),
            // As Ben, by a script's ":from".
            (AWAY, "ben@home.example", ada, "field From"),
            (
                &AWAY.replace("Auto-Submitted: auto-replied (vacation)\r\n", ""),
                anna,
                ada,
                "neither",
            ),
            (&AWAY.replace("auto-replied", "no"), anna, ada, "neither"),
            (
                &AWAY.replace("Auto-Sub", "Auto-Submitted: auto-replied\r\nAuto-Sub"),
                anna,
                ada,
                "neither",
            ),
            (&long, anna, ada, "too big"),
            ("", anna, ada, "neither"),
        ] {
            let refused = of(message, sender, recipient).unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}

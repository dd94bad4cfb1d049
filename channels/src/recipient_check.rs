//! `recipient-check`: whether this box takes mail for an address.
//!
//! smtp-in asks `SENDER TAB RECIPIENT LF`, where an empty sender is the null
//! reverse-path (RFC 5321 section 4.5.5); the gate answers `yes LF` or `no LF`.
//! What it said yes to may be delivered to on this connection, nothing else.
//! Before the first question the gate says its [`rules`](crate::rules).

use crate::line::{ChannelError, read_line, write_all};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "recipient-check";

/// The longest path, in octets, without its angle brackets (RFC 5321 section 4.5.3.1.3).
pub const MAX_PATH: usize = 254;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The reverse-path; empty for the null one.
    pub sender: String,
    /// The forward-path.
    pub recipient: String,
}

/// smtp-in: asks and waits for the answer.
///
/// # Errors
/// When there is no answer. It is neither yes nor no then: a `451`.
pub fn ask(stream: &mut (impl Read + Write), question: &Question) -> Result<bool, ChannelError> {
    let Question { sender, recipient } = question;
    if ![sender, recipient].into_iter().all(|path| is_path(path)) || recipient.is_empty() {
        return Err(protocol("two paths of printable ASCII, 254 octets each"));
    }
    write_all(NAME, stream, format!("{sender}\t{recipient}\n").as_bytes())?;
    match read_line(NAME, stream, 8)?.as_deref() {
        Some(b"yes") => Ok(true),
        Some(b"no") => Ok(false),
        Some(_) => Err(protocol("yes or no")),
        None => Err(ChannelError::Closed { channel: NAME }),
    }
}

/// The gate: the next question; `None` when smtp-in has ended.
///
/// # Errors
/// When it is not a question of this protocol.
pub fn read(stream: &mut impl Read) -> Result<Option<Question>, ChannelError> {
    let Some(line) = read_line(NAME, stream, 2 * MAX_PATH + 1)? else {
        return Ok(None);
    };
    let what = "two paths of printable ASCII, separated by a tab";
    let text = String::from_utf8(line).map_err(|_| protocol(what))?;
    let (sender, recipient) = text.split_once('\t').ok_or(protocol(what))?;
    if !is_path(sender) || !is_path(recipient) || recipient.is_empty() {
        return Err(protocol(what));
    }
    Ok(Some(Question {
        sender: sender.to_owned(),
        recipient: recipient.to_owned(),
    }))
}

/// The gate: answers.
///
/// # Errors
/// When the stream broke.
pub fn answer(stream: &mut impl Write, yes: bool) -> Result<(), ChannelError> {
    write_all(NAME, stream, if yes { b"yes\n" } else { b"no\n" })
}

/// Printable ASCII without `<`, `>` and the space, which no path of ours needs:
/// a path goes into an LMTP command as it is.
pub fn is_path(text: &str) -> bool {
    text.len() <= MAX_PATH
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}

fn protocol(what: &'static str) -> ChannelError {
    ChannelError::Protocol {
        channel: NAME,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn question(sender: &str, recipient: &str) -> Question {
        Question {
            sender: sender.into(),
            recipient: recipient.into(),
        }
    }

    #[test]
    fn a_question_arrives_as_it_was_asked_and_gets_its_answer() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        for (asked, yes) in [
            (question("a@b.example", "c@d.example"), true),
            (question("", "e@f.example"), false),
        ] {
            answer(&mut theirs, yes).unwrap();
            assert_eq!(ask(&mut ours, &asked).unwrap(), yes);
            assert_eq!(read(&mut theirs).unwrap(), Some(asked));
        }
        drop(ours);
        assert_eq!(read(&mut theirs).unwrap(), None);
    }

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_is_trouble() {
        for said in [&b"maybe\n"[..], b"yes", b"", b"yesyesyesyes\n", b"YES\n"] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            ask(&mut ours, &question("", "c@d.example")).unwrap_err();
        }
    }

    #[test]
    fn a_path_that_would_be_a_second_command_is_refused_at_both_ends() {
        let long = "x".repeat(MAX_PATH + 1);
        for bad in [
            "a@b\r\nRCPT TO:<c@d>",
            "a b@c",
            "a>@b",
            "\u{e4}@b",
            "",
            &long,
        ] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            ask(&mut ours, &question("", bad)).unwrap_err();
            ours.write_all(format!("\t{bad}\n").as_bytes()).unwrap();
            drop(ours);
            read(&mut theirs).unwrap_err();
        }
    }
}

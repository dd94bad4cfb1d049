//! `spam-check`: one message, one verdict.
//!
//! smtp-in sends the length (32 bits, big-endian) and at most [`MAX_MESSAGE`]
//! bytes; the child of SpamAssassin answers with one line,
//! `score=5.3 required=5.0 tests=A,B,C LF`, and ends. The child has parsed a
//! stranger's message, so its line is read as hostile.

use crate::line::{ChannelError, read_line, write_all};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "spam-check";
/// How much of a message is scanned, in bytes: longer ones are cut, since a
/// scan's time and memory grow with it.
pub const MAX_MESSAGE: usize = 512 << 10;

const MAX_LINE: usize = 4096;

/// What SpamAssassin found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The sum of the rules' scores.
    pub score: f32,
    /// From which score on a message is spam.
    pub required: f32,
    /// The rules that matched: `A-Z0-9_` each.
    pub tests: Vec<String>,
}

impl Verdict {
    /// Whether the message is spam.
    pub fn is_spam(&self) -> bool {
        self.score >= self.required
    }
}

/// smtp-in: sends the first [`MAX_MESSAGE`] bytes and waits for the verdict.
///
/// # Errors
/// When there is none; what the message is, is then not known.
pub fn ask(stream: &mut (impl Read + Write), message: &[u8]) -> Result<Verdict, ChannelError> {
    let message = &message[..message.len().min(MAX_MESSAGE)];
    let length = message.len() as u32;
    write_all(NAME, stream, &length.to_be_bytes())?;
    write_all(NAME, stream, message)?;
    let closed = ChannelError::Closed { channel: NAME };
    let line = read_line(NAME, stream, MAX_LINE)?.ok_or(closed)?;
    let what = "score=N required=N tests=A,B";
    parse(&line).ok_or(ChannelError::Protocol {
        channel: NAME,
        what,
    })
}

fn parse(line: &[u8]) -> Option<Verdict> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
    let score = number(value("score")?)?;
    let required = number(value("required")?)?;
    let tests = value("tests")?;
    if words.next().is_some() {
        return None;
    }
    let tests: Vec<String> = match tests {
        "" | "none" => Vec::new(),
        tests => tests.split(',').map(str::to_owned).collect(),
    };
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_rule = |test: &String| (1..=64).contains(&test.len()) && test.bytes().all(letter);
    tests.iter().all(is_rule).then_some(Verdict {
        score,
        required,
        tests,
    })
}

/// A plain decimal number of a sensible size; not `inf`, `NaN` or `1e9`.
fn number(text: &str) -> Option<f32> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let number: f32 = text.parse().ok()?;
    (text.bytes().all(plain) && number.abs() < 100_000.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_in_full() {
        let verdict = parse(b"score=1000.1 required=5.0 tests=GTUBE,NO_RELAYS").unwrap();
        assert!(verdict.is_spam());
        assert_eq!(verdict.tests, ["GTUBE", "NO_RELAYS"]);
        let clean = parse(b"score=-0.1 required=5.0 tests=none").unwrap();
        assert!(!clean.is_spam() && clean.tests.is_empty());
    }

    #[test]
    fn what_a_taken_over_child_might_say_is_no_verdict() {
        for bad in [
            &b"score=NaN required=5.0 tests=A"[..],
            b"score=inf required=5.0 tests=A",
            b"score=1e30 required=5.0 tests=A",
            b"score=1 required=5.0 tests=A\r\nX-Injected: yes",
            b"score=1 required=5.0 tests=a",
            b"score=1 required=5.0 tests=A,,B",
            b"score=1 required=5.0 tests=A more",
            b"score=1 required=5.0",
            b"required=5.0 score=1 tests=A",
            b"",
            b"\xff",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}

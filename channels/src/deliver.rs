//! `deliver`: one message for recipients that were approved.
//!
//! smtp-in sends [`Envelope`] as one line of JSON, then exactly `size` bytes;
//! the gate answers with one [`Outcome`] as a line of JSON. `Delivered` means
//! that Dovecot has it on the disk, for every recipient.

use crate::line::{ChannelError, read_json, write_all, write_json};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "deliver";
/// The most recipients of one message (RFC 5321 section 4.5.3.1.8 wants 100).
pub const MAX_RECIPIENTS: usize = 100;
/// The largest message, in bytes, with the headers that smtp-in adds.
pub const MAX_SIZE: u64 = 36 << 20;

const MAX_ENVELOPE: usize = 64 << 10;
const MAX_OUTCOME: usize = 1024;

/// What comes before the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The reverse-path; empty for the null one.
    pub sender: String,
    /// 1 to [`MAX_RECIPIENTS`] forward-paths, each approved before.
    pub recipients: Vec<String>,
    /// Bytes of the message, at most [`MAX_SIZE`].
    pub size: u64,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "words", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is on the disk.
    Delivered,
    /// Not now; the sender keeps it. The words are for our log.
    Later(String),
    /// Never; the words are for the sender.
    Refused(String),
}

/// smtp-in: sends the message and waits for what became of it.
///
/// # Errors
/// When there is no answer: the message may be on the disk or not, and the
/// sender must keep it.
pub fn send(
    stream: &mut (impl Read + Write),
    sender: &str,
    recipients: &[String],
    message: &[u8],
) -> Result<Outcome, ChannelError> {
    let envelope = Envelope {
        sender: sender.to_owned(),
        recipients: recipients.to_vec(),
        size: message.len() as u64,
    };
    write_json(NAME, stream, &envelope)?;
    write_all(NAME, stream, message)?;
    read_json(NAME, stream, MAX_OUTCOME)?.ok_or(ChannelError::Closed { channel: NAME })
}

/// The gate: the envelope; `None` when smtp-in ended without a message. The
/// message itself is then read from `stream`, exactly `size` bytes.
///
/// # Errors
/// When it is not in the protocol or above a limit.
pub fn read_envelope(stream: &mut impl Read) -> Result<Option<Envelope>, ChannelError> {
    let Some(envelope) = read_json::<Envelope>(NAME, stream, MAX_ENVELOPE)? else {
        return Ok(None);
    };
    let count = envelope.recipients.len();
    if count == 0 || count > MAX_RECIPIENTS || envelope.size > MAX_SIZE {
        let what = "1 to 100 recipients and at most 36 MiB";
        return Err(ChannelError::Protocol {
            channel: NAME,
            what,
        });
    }
    Ok(Some(envelope))
}

/// The gate: says what became of it.
///
/// # Errors
/// When the stream broke.
pub fn answer(stream: &mut impl Write, outcome: &Outcome) -> Result<(), ChannelError> {
    write_json(NAME, stream, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_arrives_whole_and_its_outcome_comes_back() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let gate = std::thread::spawn(move || {
            let envelope = read_envelope(&mut theirs).unwrap().unwrap();
            let mut message = vec![0; envelope.size as usize];
            theirs.read_exact(&mut message).unwrap();
            answer(&mut theirs, &Outcome::Later("full".into())).unwrap();
            (envelope, message)
        });
        let to = ["c@d.example".to_owned()];
        let outcome = send(&mut ours, "a@b.example", &to, b"line\n\0\xff").unwrap();
        assert_eq!(outcome, Outcome::Later("full".into()));
        let (envelope, message) = gate.join().unwrap();
        assert_eq!(envelope.recipients, to);
        assert_eq!(message, b"line\n\0\xff");
    }

    #[test]
    fn an_envelope_above_a_limit_is_refused() {
        for bad in [
            r#"{"sender":"","recipients":[],"size":1}"#.to_owned(),
            format!(
                r#"{{"sender":"","recipients":["a@b"],"size":{}}}"#,
                MAX_SIZE + 1
            ),
            r#"{"sender":"","recipients":["a@b"],"size":1,"junk":true}"#.to_owned(),
            "x".repeat(MAX_ENVELOPE + 2),
        ] {
            read_envelope(&mut format!("{bad}\n").as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_gate_that_ends_without_an_answer_has_delivered_nothing_for_sure() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let gate = std::thread::spawn(move || {
            let mut theirs = theirs;
            read_envelope(&mut theirs).unwrap();
        });
        send(&mut ours, "", &["a@b".to_owned()], b"").unwrap_err();
        gate.join().unwrap();
    }
}

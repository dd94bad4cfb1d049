//! `dkim-sign`: DKIM signatures for one message.
//!
//! submission asks in a line of JSON, with the fields of the header and the hash of
//! the body; the signer answers with whole fields to put on top. It builds itself
//! what it signs, so nothing else than a header of mail can ever be signed with
//! these keys, and for none but the box's own domains.

use crate::line::{ChannelError, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "dkim-sign";
/// The longest question: the fields of one header, in JSON.
const MAX_LINE: usize = 512 << 10;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The domain of the author (RFC 6376 section 3.5, `d=`).
    pub domain: String,
    /// The fields as they stand, from the first line to the last: name, and what
    /// follows the colon without its last line end.
    pub fields: Vec<(String, String)>,
    /// SHA-256 of the body in its relaxed form (section 3.4.4), in hexadecimal.
    pub body_hash: String,
}

/// What the signer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// Fields `DKIM-Signature`, each with its last line end.
    Signed {
        /// One for each key.
        fields: Vec<String>,
    },
    /// It has no key for the domain, or the parts are none of a message.
    Refused,
}

/// submission: asks and waits for the answer.
///
/// # Errors
/// When there is none.
pub fn ask(stream: &mut (impl Read + Write), request: &Request) -> Result<Reply, ChannelError> {
    write_json(NAME, stream, request)?;
    read_json(NAME, stream, 64 << 10)?.ok_or(ChannelError::Closed { channel: NAME })
}

/// The signer: the next request; `None` when submission has ended.
///
/// # Errors
/// When it is not in the protocol.
pub fn read(stream: &mut impl Read) -> Result<Option<Request>, ChannelError> {
    read_json(NAME, stream, MAX_LINE)
}

/// The signer: answers.
///
/// # Errors
/// When the stream broke.
pub fn answer(stream: &mut impl Write, reply: &Reply) -> Result<(), ChannelError> {
    write_json(NAME, stream, reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_question_arrives_as_it_was_asked_and_gets_its_answer() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let request = Request {
            domain: "home.example".into(),
            fields: vec![("From".into(), " a@home.example,\r\n b".into())],
            body_hash: "00ff".into(),
        };
        let fields = vec!["DKIM-Signature: v=1\r\n".to_owned()];
        for reply in [Reply::Signed { fields }, Reply::Refused] {
            answer(&mut theirs, &reply).unwrap();
            assert_eq!(ask(&mut ours, &request).unwrap(), reply);
            assert_eq!(read(&mut theirs).unwrap(), Some(request.clone()));
        }
        drop(ours);
        assert_eq!(read(&mut theirs).unwrap(), None);
    }

    #[test]
    fn a_header_that_is_too_long_is_refused_before_it_is_all_read() {
        let long = format!("{{\"domain\":\"{}", "x".repeat(MAX_LINE));
        assert!(read(&mut long.as_bytes()).is_err());
    }
}

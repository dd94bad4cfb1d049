//! JSON lines over a stream: one object, one `\n`, at most [`MAX_LINE`] bytes.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, BufRead, Read, Write};
use zeroize::Zeroize;

/// The longest line either end accepts, in bytes.
pub const MAX_LINE: u64 = 8 * 1024;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream broke.
    #[error("control stream: {0}")]
    Io(#[from] io::Error),
    /// The other end sent something that is not in the protocol.
    #[error("control stream: not a message of this protocol ({0})")]
    Malformed(String),
    /// The other end closed the stream between two messages.
    #[error("control stream: closed by the other end")]
    Closed,
}

/// Writes one message and its line end. The buffer is wiped afterwards, since
/// a message may carry a passphrase.
pub fn write<T: Serialize>(stream: &mut impl Write, message: &T) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message).map_err(|e| WireError::Malformed(e.to_string()))?;
    line.push(b'\n');
    let sent = stream.write_all(&line).and_then(|()| stream.flush());
    line.zeroize();
    Ok(sent?)
}

/// Reads one message. Text that does not parse is reported by position only,
/// never quoted: it may hold a passphrase.
pub fn read<T: DeserializeOwned>(stream: &mut impl BufRead) -> Result<T, WireError> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(WireError::Closed);
    }
    let parsed = serde_json::from_slice(&line)
        .map_err(|e| WireError::Malformed(format!("line {} column {}", e.line(), e.column())));
    line.zeroize();
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Secret};

    #[test]
    fn a_message_survives_the_wire() {
        let mut bytes = Vec::new();
        let sent = Request::Unlock {
            passphrase: Secret::new("Zwölf Boxkämpfer\n".into()),
        };
        write(&mut bytes, &sent).unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
        match read::<Request>(&mut bytes.as_slice()).unwrap() {
            Request::Unlock { passphrase } => {
                assert_eq!(passphrase.expose(), "Zwölf Boxkämpfer\n");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unknown_request_is_refused_without_quoting_it() {
        let text = b"{\"request\":\"shell\",\"command\":\"hunter2\"}\n";
        let error = read::<Request>(&mut text.as_slice())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a message"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_line_over_the_limit_is_not_read_whole() {
        let long = vec![b' '; MAX_LINE as usize + 10];
        assert!(read::<Request>(&mut long.as_slice()).is_err());
    }
}

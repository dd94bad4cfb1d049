//! JSON lines over a stream: one object, one `\n`, at most [`MAX_LINE`] bytes.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// The longest line either end accepts, in bytes: room for a household's
/// addresses ([`crate::Reply::People`]).
pub const MAX_LINE: usize = 32 * 1024;

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

/// Writes one message and its line end. The buffer never grows, so that no
/// copy of a passphrase is left behind, and is wiped afterwards.
pub fn write<T: Serialize>(stream: &mut impl Write, message: &T) -> Result<(), WireError> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    serde_json::to_writer(&mut *line, message)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(WireError::Malformed("longer than a line may be".into()));
    }
    stream.write_all(&line)?;
    Ok(stream.flush()?)
}

/// Reads one message, byte by byte: a buffer that reads ahead would keep a
/// passphrase until something overwrites it. Text that does not parse is
/// reported by position only, never quoted.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, WireError> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) if line.is_empty() => return Err(WireError::Closed),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() + 1 == MAX_LINE => {
                return Err(WireError::Malformed("longer than a line may be".into()));
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    serde_json::from_slice(&line)
        .map_err(|e| WireError::Malformed(format!("line {} column {}", e.line(), e.column())))
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
        let long = vec![b' '; MAX_LINE + 10];
        assert!(read::<Request>(&mut long.as_slice()).is_err());
    }
}

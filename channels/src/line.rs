//! Lines over a stream, read byte by byte so that nothing after a line is taken.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Why a channel could not be used. The message never quotes what came over it.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The stream broke.
    #[error("channel {channel}: {source}")]
    Io {
        /// The channel's name.
        channel: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The other end closed it where something was due.
    #[error("channel {channel}: closed by the other end")]
    Closed {
        /// The channel's name.
        channel: &'static str,
    },
    /// The other end sent something that is not in the protocol.
    #[error("channel {channel}: not in the protocol: {what}")]
    Protocol {
        /// The channel's name.
        channel: &'static str,
        /// What was expected.
        what: &'static str,
    },
}

/// Reads one line of at most `most` bytes, without its line feed. `None` when
/// the stream ends before its first byte.
pub(crate) fn read_line(
    channel: &'static str,
    stream: &mut impl Read,
    most: usize,
) -> Result<Option<Vec<u8>>, ChannelError> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => return Err(ChannelError::Closed { channel }),
            Ok(_) if byte[0] == b'\n' => return Ok(Some(line)),
            Ok(_) if line.len() == most => {
                let what = "a shorter line";
                return Err(ChannelError::Protocol { channel, what });
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ChannelError::Io { channel, source }),
        }
    }
}

/// Writes all of `bytes` and flushes.
pub(crate) fn write_all(
    channel: &'static str,
    stream: &mut impl Write,
    bytes: &[u8],
) -> Result<(), ChannelError> {
    stream
        .write_all(bytes)
        .and_then(|()| stream.flush())
        .map_err(|source| ChannelError::Io { channel, source })
}

/// Writes `message` as one line of JSON.
pub(crate) fn write_json(
    channel: &'static str,
    stream: &mut impl Write,
    message: &impl Serialize,
) -> Result<(), ChannelError> {
    let mut line = serde_json::to_vec(message).map_err(|_| ChannelError::Protocol {
        channel,
        what: "a message that JSON can hold",
    })?;
    line.push(b'\n');
    write_all(channel, stream, &line)
}

/// Reads one line of JSON of at most `most` bytes; `None` at the stream's end.
pub(crate) fn read_json<T: DeserializeOwned>(
    channel: &'static str,
    stream: &mut impl Read,
    most: usize,
) -> Result<Option<T>, ChannelError> {
    let Some(line) = read_line(channel, stream, most)? else {
        return Ok(None);
    };
    let what = "one JSON object of this channel";
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|_| ChannelError::Protocol { channel, what })
}

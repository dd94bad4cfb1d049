//! The connection: bytes with time limits, command lines and message data.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest command line, with its CR LF: a password in AUTH may be long
/// (RFC 4954 section 4.3).
const MAX_LINE: usize = 12_288;

/// A socket that gives up after `idle` of silence, and at `deadline` in any case.
pub(crate) struct Timed {
    pub(crate) socket: TcpStream,
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
}

impl Timed {
    fn limit(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left.min(self.idle))
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.limit()?))?;
        self.socket.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.limit()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A stream with what was read from it but not used.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
    used: usize,
}

/// A command line, or why there is none.
pub(crate) enum Line {
    /// It ends with CR LF.
    Whole(Vec<u8>),
    /// It was longer than [`MAX_LINE`] and has been skipped.
    TooLong,
    /// A line feed came without its carriage return.
    Bare,
}

/// A message as it came, without dot-stuffing.
pub(crate) enum Data {
    /// All of it.
    Whole(Vec<u8>),
    /// It had a bare CR or LF (SMTP smuggling).
    Bare,
    /// It was larger than the limit.
    TooBig,
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            used: 0,
        }
    }

    /// Whether the client sent more than was read.
    pub(crate) fn has_more(&self) -> bool {
        self.used < self.buffer.len()
    }

    fn byte(&mut self) -> io::Result<u8> {
        while self.used == self.buffer.len() {
            self.used = 0;
            self.buffer.resize(16 << 10, 0);
            let read = self.stream.read(&mut self.buffer);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        self.used += 1;
        Ok(self.buffer[self.used - 1])
    }

    pub(crate) fn line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let byte = self.byte()?;
            if line.len() == MAX_LINE {
                too_long = true;
                line.clear();
            }
            line.push(byte);
            if byte == b'\n' {
                return Ok(match line {
                    _ if too_long => Line::TooLong,
                    line if line.ends_with(b"\r\n") => Line::Whole(line),
                    _ => Line::Bare,
                });
            }
        }
    }

    /// Reads up to CR LF `.` CR LF and nothing else that looks like it.
    pub(crate) fn data(&mut self, most: usize) -> io::Result<Data> {
        let (mut message, mut line_start, mut line_length) = (Vec::new(), 0, 0_usize);
        let (mut bare, mut too_big, mut previous) = (false, false, 0);
        loop {
            let byte = self.byte()?;
            let ends = previous == b'\r' && byte == b'\n';
            bare |= !ends && (previous == b'\r' || byte == b'\n');
            previous = byte;
            line_length += 1;
            // Past the limit only the start of a line is kept, to find the end.
            if !too_big || line_length <= 3 {
                message.push(byte);
            }
            if ends {
                let line = &message[line_start..];
                if line_length == 3 && line == b".\r\n" {
                    message.truncate(line_start);
                    return Ok(match message {
                        _ if too_big => Data::TooBig,
                        _ if bare => Data::Bare,
                        message => Data::Whole(message),
                    });
                }
                if line.first() == Some(&b'.') {
                    message.remove(line_start);
                }
                line_start = message.len();
                line_length = 0;
            }
            if too_big || message.len() > most + 3 {
                too_big = true;
                if line_length == 0 {
                    message.clear();
                    line_start = 0;
                } else if line_length == message.len() - line_start && line_start > 0 {
                    message.drain(..line_start);
                    line_start = 0;
                }
            } else if line_length == 0 && message.len() > most {
                too_big = true;
                message.clear();
                line_start = 0;
            }
        }
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes())?;
        self.stream.flush()
    }
}

//! A connection of SMTP as its server reads it: command lines (RFC 5321 section 2.3.8),
//! message data (section 4.1.1.4) and chunks (RFC 3030). A line ends with CR LF and
//! nothing else; what else looks like an end is handed on as what it is.

use std::io::{self, ErrorKind, Read, Write};

/// The longest command line, with its CR LF, where nothing else is said; RFC 5321
/// section 4.5.3.1.4 wants 512.
pub const MAX_LINE: usize = 1000;

/// A stream with what was read from it but not used.
pub struct Wire<S> {
    /// Where it comes from, and replies go to.
    pub stream: S,
    longest: usize,
    buffer: Vec<u8>,
    /// What was read and not used is from `used` to `end`.
    used: usize,
    end: usize,
}

/// A command line, or why there is none.
pub enum Line {
    /// It ends with CR LF.
    Whole(Vec<u8>),
    /// It was longer than it may be; here are the first octets, half as many.
    TooLong(Vec<u8>),
    /// A line feed came without its carriage return.
    Bare(Vec<u8>),
}

/// A message as it came, without dot-stuffing.
#[derive(Debug)]
pub enum Data {
    /// All of it.
    Whole(Vec<u8>),
    /// It was larger than the limit.
    TooBig,
}

impl<S: Read + Write> Wire<S> {
    /// Nothing was read yet. A command line may have [`MAX_LINE`] octets.
    pub fn new(stream: S) -> Self {
        Self::with_lines(stream, MAX_LINE)
    }

    /// The same for command lines of at most `longest` octets with their CR LF.
    pub fn with_lines(stream: S, longest: usize) -> Self {
        Self {
            stream,
            longest,
            buffer: vec![0; 16 << 10],
            used: 0,
            end: 0,
        }
    }

    /// Whether the client sent more than was read.
    pub fn has_more(&self) -> bool {
        self.used < self.end
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.fill()?;
        self.used += 1;
        Ok(self.buffer[self.used - 1])
    }

    /// Waits until there is something that was not used yet.
    fn fill(&mut self) -> io::Result<()> {
        while self.used == self.end {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => (self.used, self.end) = (0, read),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads exactly `size` octets of a chunk (RFC 3030 section 2) and gives them
    /// to `part`, whatever they are.
    ///
    /// # Errors
    /// As for a line.
    pub fn chunk(&mut self, size: u64, mut part: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            self.fill()?;
            let unused = &self.buffer[self.used..self.end];
            let count = unused
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            part(&unused[..count]);
            self.used += count;
            left -= count as u64;
        }
        Ok(())
    }

    /// The next command line.
    ///
    /// # Errors
    /// When the stream ends or breaks, or nothing comes in time.
    pub fn line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let byte = self.byte()?;
            if line.len() == self.longest {
                too_long = true;
                line.truncate(self.longest / 2);
            }
            line.push(byte);
            if byte == b'\n' {
                return Ok(match line {
                    line if too_long => Line::TooLong(line),
                    line if line.ends_with(b"\r\n") => Line::Whole(line),
                    line => Line::Bare(line),
                });
            }
        }
    }

    /// Reads up to CR LF `.` CR LF (RFC 5321 section 4.1.1.4) and nothing else
    /// that looks like it; takes the first dot of a line away (section 4.5.2).
    ///
    /// # Errors
    /// As for a line.
    pub fn data(&mut self, most: usize) -> io::Result<Data> {
        let (mut message, mut line_start, mut line_length) = (Vec::new(), 0, 0_usize);
        let (mut too_big, mut previous) = (false, 0);
        loop {
            let byte = self.byte()?;
            let ends = previous == b'\r' && byte == b'\n';
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

    /// Sends a reply, to which the last CR LF is added.
    ///
    /// # Errors
    /// When the stream breaks, or the client does not take it in time.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes())?;
        self.stream.flush()
    }
}

/// Whether a CR or LF in `message` stands without the other (RFC 5321 section 2.3.8),
/// which some servers would take for the end of a line (SMTP smuggling).
pub fn has_bare(message: &[u8]) -> bool {
    let mut previous = 0;
    for byte in message {
        if (previous == b'\r') != (*byte == b'\n') {
            return true;
        }
        previous = *byte;
    }
    previous == b'\r'
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_line_may_be_as_long_as_it_was_said() {
        let said = || Cursor::new(b"123456\r\nabc\r\n".to_vec());
        for (longest, whole) in [(7, false), (8, true)] {
            let mut wire = Wire::with_lines(said(), longest);
            match wire.line().unwrap() {
                Line::Whole(line) => assert!(whole && line == b"123456\r\n"),
                Line::TooLong(line) => assert!(!whole && line.starts_with(b"123")),
                Line::Bare(line) => panic!("{line:?}"),
            }
            assert!(matches!(wire.line().unwrap(), Line::Whole(line) if line == b"abc\r\n"));
        }
    }

    #[test]
    fn a_cr_or_lf_without_the_other_is_found_wherever_it_stands() {
        for bare in ["\n", "a\nb\r\n", "a\rb\r\n", "a\r\r\n", "a\r\n\n", "a\r"] {
            assert!(has_bare(bare.as_bytes()), "{bare:?}");
        }
        for good in ["", "a", "\r\n", "a\r\n\r\nb\r\n"] {
            assert!(!has_bare(good.as_bytes()), "{good:?}");
        }
    }
}

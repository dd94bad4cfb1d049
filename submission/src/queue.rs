//! Hands messages to Postfix over its own SMTP (RFC 5321): one connection, which
//! the supervisor has dialled, any number of messages.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// The longest reply line, and the most lines of one reply.
const MAX_LINE: usize = 2000;
const MOST_LINES: usize = 50;

/// A reply of Postfix's, for the mail program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// 2xx
    Yes,
    /// 4xx
    Later,
    /// 5xx, and its words.
    No(String),
}

/// The conversation.
#[derive(Debug)]
pub struct Queue {
    stream: TcpStream,
    hostname: String,
    greeted: bool,
}

impl Queue {
    /// Over a stream that is connected to Postfix's smtpd.
    pub fn new(stream: TcpStream, hostname: &str) -> Self {
        Self {
            stream,
            hostname: hostname.to_owned(),
            greeted: false,
        }
    }

    /// Begins a message from `sender`.
    ///
    /// # Errors
    /// When Postfix does not answer, or not in SMTP.
    pub fn mail(&mut self, sender: &str) -> io::Result<Said> {
        if !self.greeted {
            self.expect_yes(None)?;
            let hello = format!("EHLO {}", self.hostname);
            self.expect_yes(Some(&hello))?;
            self.greeted = true;
        }
        self.say(&format!("MAIL FROM:<{sender}> BODY=8BITMIME"))
    }

    /// Names a recipient.
    ///
    /// # Errors
    /// When Postfix does not answer.
    pub fn recipient(&mut self, recipient: &str) -> io::Result<Said> {
        self.say(&format!("RCPT TO:<{recipient}>"))
    }

    /// Forgets the message that was begun.
    ///
    /// # Errors
    /// When Postfix does not answer.
    pub fn reset(&mut self) -> io::Result<Said> {
        match self.greeted {
            true => self.say("RSET"),
            false => Ok(Said::Yes),
        }
    }

    /// Sends the message; after [`Said::Yes`] it is in the queue on the disk.
    ///
    /// # Errors
    /// When Postfix does not answer: whether it has the message is not known then,
    /// and the mail program sends it again (RFC 5321 section 4.2.5).
    pub fn data(&mut self, message: &[u8]) -> io::Result<Said> {
        self.write("DATA")?;
        match self.reply()? {
            (354, _) => {}
            (code, words) => return said(code, words),
        }
        let mut bytes = Vec::with_capacity(message.len() + message.len() / 50);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.first() == Some(&b'.') {
                bytes.push(b'.');
            }
            bytes.extend_from_slice(line);
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\r\n") {
            bytes.extend(b"\r\n");
        }
        bytes.extend(b".\r\n");
        self.stream.write_all(&bytes)?;
        let (code, words) = self.reply()?;
        said(code, words)
    }

    fn expect_yes(&mut self, command: Option<&str>) -> io::Result<()> {
        let said = match command {
            Some(command) => self.say(command)?,
            None => {
                let (code, words) = self.reply()?;
                said(code, words)?
            }
        };
        match said {
            Said::Yes => Ok(()),
            other => Err(io::Error::other(format!("Postfix says {other:?}"))),
        }
    }

    fn say(&mut self, command: &str) -> io::Result<Said> {
        self.write(command)?;
        let (code, words) = self.reply()?;
        said(code, words)
    }

    fn write(&mut self, command: &str) -> io::Result<()> {
        // Paths were checked; a line end in one would be another command.
        if command.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(ErrorKind::InvalidInput.into());
        }
        self.stream.write_all(format!("{command}\r\n").as_bytes())
    }

    /// The code and the words of the last line.
    fn reply(&mut self) -> io::Result<(u16, String)> {
        for _ in 0..MOST_LINES {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code: u16 = code.ok_or(ErrorKind::InvalidData)?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, line.get(4..).unwrap_or_default().to_owned()));
            }
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            match self.stream.read(&mut byte)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ if line.len() == MAX_LINE => return Err(ErrorKind::InvalidData.into()),
                _ => line.push(byte[0]),
            }
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end().to_owned())
    }
}

fn said(code: u16, words: String) -> io::Result<Said> {
    match code {
        200..300 => Ok(Said::Yes),
        400..500 => Ok(Said::Later),
        500..600 => Ok(Said::No(words)),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

//! LMTP as a client speaks it (RFC 2033), one command at a time: what Dovecot
//! says is read strictly, so that no reply is ever taken for another one.

use crate::message::Stuffing;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// The longest line of a reply, with its end: four times what RFC 5321 section
/// 4.5.3.1.5 asks for.
const MAX_LINE: u64 = 2048;
/// The most lines of one reply.
const MAX_LINES: usize = 64;

/// Why Dovecot could not be asked. Nothing is known about the message then.
#[derive(Debug, thiserror::Error)]
pub enum LmtpError {
    /// The stream broke, or nothing came in time.
    #[error("lmtp, {step}: {source}; is Dovecot running?")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Dovecot closed it where a reply was due.
    #[error("lmtp, {step}: closed by Dovecot; see its log")]
    Closed {
        /// What was being done.
        step: &'static str,
    },
    /// What came is no reply.
    #[error("lmtp, {step}: not a reply of RFC 5321 section 4.2")]
    Protocol {
        /// What was being done.
        step: &'static str,
    },
    /// A reply with another code than the step can go on with.
    #[error("lmtp, {step}: Dovecot said {code}; see its log")]
    Unexpected {
        /// What was being done.
        step: &'static str,
        /// The code.
        code: u16,
    },
}

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The last line's text, printable ASCII only.
    pub words: String,
}

impl Reply {
    /// 2xx.
    pub fn is_yes(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5xx.
    pub fn is_never(&self) -> bool {
        self.code / 100 == 5
    }
}

/// A connection to Dovecot, greeted.
#[derive(Debug)]
pub struct Lmtp {
    stream: BufReader<TcpStream>,
}

impl Lmtp {
    /// Reads the greeting and says `LHLO`.
    ///
    /// # Errors
    /// When Dovecot does not take either.
    pub fn greet(stream: TcpStream, hostname: &str) -> Result<Self, LmtpError> {
        let mut lmtp = Self {
            stream: BufReader::new(stream),
        };
        expect("greeting", 220, lmtp.reply("greeting")?)?;
        lmtp.must("LHLO", 250, &format!("LHLO {hostname}"))?;
        Ok(lmtp)
    }

    /// Begins a transaction; an empty sender is the null reverse-path.
    ///
    /// # Errors
    /// When Dovecot does not take the sender.
    pub fn mail(&mut self, sender: &str) -> Result<(), LmtpError> {
        self.must("MAIL", 250, &format!("MAIL FROM:<{sender}>"))
    }

    /// Asks for a recipient: true is in the transaction now, false never can be.
    ///
    /// # Errors
    /// When Dovecot says neither 250 nor 5xx.
    pub fn recipient(&mut self, recipient: &str) -> Result<bool, LmtpError> {
        let step = "RCPT";
        match self.command(step, &format!("RCPT TO:<{recipient}>"))? {
            Reply { code: 250, .. } => Ok(true),
            reply if reply.is_never() => Ok(false),
            Reply { code, .. } => Err(LmtpError::Unexpected { step, code }),
        }
    }

    /// Ends the transaction without a message.
    ///
    /// # Errors
    /// When Dovecot does not answer 250.
    pub fn reset(&mut self) -> Result<(), LmtpError> {
        self.must("RSET", 250, "RSET")
    }

    /// Shows that this connection is alive: Dovecot ends idle ones.
    ///
    /// # Errors
    /// When Dovecot does not answer 250.
    pub fn keep_alive(&mut self) -> Result<(), LmtpError> {
        self.must("NOOP", 250, "NOOP")
    }

    /// Begins the message.
    ///
    /// # Errors
    /// When Dovecot does not answer 354.
    pub fn data(&mut self) -> Result<(), LmtpError> {
        self.must("DATA", 354, "DATA")
    }

    /// Sends a part of the message. A message that is not ended with
    /// [`Lmtp::end`] is never delivered (RFC 5321 section 4.1.1.4).
    ///
    /// # Errors
    /// When the stream broke.
    pub fn part(&mut self, stuffing: &mut Stuffing, bytes: &[u8]) -> Result<(), LmtpError> {
        self.write("message", &stuffing.stuff(bytes))
    }

    /// Ends the message, which ended with CRLF, and reads one reply for each
    /// of `recipients` (RFC 2033 section 4.2).
    ///
    /// # Errors
    /// When one of them is missing.
    pub fn end(&mut self, recipients: usize) -> Result<Vec<Reply>, LmtpError> {
        self.write("message", b".\r\n")?;
        (0..recipients).map(|_| self.reply("delivery")).collect()
    }

    /// Says that this was all; whether Dovecot hears it does not matter.
    pub fn quit(mut self) {
        let _unheard = self.write("QUIT", b"QUIT\r\n");
    }

    fn must(&mut self, step: &'static str, code: u16, line: &str) -> Result<(), LmtpError> {
        let reply = self.command(step, line)?;
        expect(step, code, reply)
    }

    fn command(&mut self, step: &'static str, line: &str) -> Result<Reply, LmtpError> {
        // A reply that nobody asked for would be read as this command's.
        if !self.stream.buffer().is_empty() {
            return Err(LmtpError::Protocol { step });
        }
        self.write(step, format!("{line}\r\n").as_bytes())?;
        self.reply(step)
    }

    fn write(&mut self, step: &'static str, bytes: &[u8]) -> Result<(), LmtpError> {
        self.stream
            .get_mut()
            .write_all(bytes)
            .map_err(|source| LmtpError::Io { step, source })
    }

    fn reply(&mut self, step: &'static str) -> Result<Reply, LmtpError> {
        read_reply(&mut self.stream, step)
    }
}

/// Reads one reply, all of its lines (RFC 5321 section 4.2.1) and not a byte more.
///
/// # Errors
/// When what comes is none; `step` is named in the error.
pub fn read_reply(stream: &mut impl BufRead, step: &'static str) -> Result<Reply, LmtpError> {
    let mut first = None;
    for _ in 0..MAX_LINES {
        let mut line = Vec::new();
        (&mut *stream)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|source| LmtpError::Io { step, source })?;
        if line.is_empty() {
            return Err(LmtpError::Closed { step });
        }
        let (reply, last) = parse(&line).ok_or(LmtpError::Protocol { step })?;
        if *first.get_or_insert(reply.code) != reply.code {
            break;
        }
        if last {
            return Ok(reply);
        }
    }
    Err(LmtpError::Protocol { step })
}

fn expect(step: &'static str, wanted: u16, reply: Reply) -> Result<(), LmtpError> {
    let code = reply.code;
    if code == wanted {
        Ok(())
    } else {
        Err(LmtpError::Unexpected { step, code })
    }
}

/// One line of a reply, and whether it is the last one.
fn parse(line: &[u8]) -> Option<(Reply, bool)> {
    let line = line.strip_suffix(b"\r\n")?;
    let (code, rest) = line.split_at_checked(3)?;
    let digits = code.iter().all(u8::is_ascii_digit);
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    let (last, words) = match rest {
        [] => (true, rest),
        [b' ', words @ ..] => (true, words),
        [b'-', words @ ..] => (false, words),
        _ => return None,
    };
    let printable = |byte: &u8| char::from(*byte);
    let words = words
        .iter()
        .filter(|byte| byte.is_ascii_graphic() || **byte == b' ')
        .map(printable)
        .take(200)
        .collect();
    (digits && (200..600).contains(&code)).then_some((Reply { code, words }, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_reply_is_not_read_as_one() {
        for bad in [
            &b"250 ok\n"[..],
            b"250 ok",
            b"25\r\n",
            b"2500\r\n",
            b"+25 ok\r\n",
            b"150 ok\r\n",
            b"600 ok\r\n",
            b"\r\n",
            b"250\x00ok\r\n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_reply_carries_no_control_characters_further() {
        let (reply, last) = parse(b"550 no\t\x1b[1msuch \xff\r\n").unwrap();
        assert_eq!(reply.words, "no[1msuch ");
        assert!(last && reply.is_never());
        assert!(!parse(b"250-one\r\n").unwrap().1);
    }
}

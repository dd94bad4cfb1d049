//! Command lines: what smtp-proto made of them, less what this server doesn't offer.

use crate::path::{POSTMASTER, is_mailbox};
use crate::reply;
use smtp_proto::{
    Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_REQUIRETLS, MAIL_SMTPUTF8, Request,
};

/// A command that the session knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO or HELO with the client's name.
    Hello {
        /// The name: letters, digits and `.-_:[]`.
        host: String,
        /// Whether it was EHLO.
        extended: bool,
    },
    /// MAIL with the reverse-path, empty for the null one.
    Mail {
        /// The reverse-path.
        from: String,
        /// The declared size; 0 when there is none.
        size: usize,
        /// Whether the message may never go on without TLS (RFC 8689).
        require_tls: bool,
    },
    /// RCPT with the forward-path.
    Rcpt(String),
    /// DATA.
    Data,
    /// BDAT: so many octets follow at once.
    Chunk {
        /// How many.
        size: u64,
        /// Whether the message ends with them.
        last: bool,
    },
    /// STARTTLS.
    StartTls,
    /// RSET.
    Reset,
    /// NOOP.
    Noop,
    /// VRFY.
    Verify,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
}

/// The longest size of a chunk or message, in digits: more is too big for
/// anybody, and smtp-proto's numbers end somewhere.
const MAX_DIGITS: usize = 12;

/// The command in `line`, which ends with CR LF; or the reply to it.
///
/// # Errors
/// A whole reply, without its CR LF.
pub fn parse(line: &[u8]) -> Result<Command, &'static str> {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    let begins = |verb: &str| after(text, verb);
    // First of all: what follows a chunk's line is no command.
    if let Some(rest) = begins("BDAT") {
        return chunk(rest).ok_or(reply::CHUNK_SYNTAX);
    }
    let is_ascii = |byte: &u8| (b' '..0x7f).contains(byte) || *byte == b'\t';
    if !text.iter().all(is_ascii) {
        let names_one = begins("MAIL").is_some() || begins("RCPT").is_some();
        let printable = text.iter().all(|byte| is_ascii(byte) || *byte >= 0x80);
        return Err(match names_one && printable {
            true => reply::ASCII_ADDRESS,
            false => reply::NOT_ASCII,
        });
    }
    // These have no argument (RFC 5321 section 4.1.1, RFC 3207 section 4).
    let has_more = |verb: &str| begins(verb).is_some_and(|rest| !rest.trim_ascii().is_empty());
    if ["DATA", "RSET", "QUIT", "STARTTLS"]
        .into_iter()
        .any(has_more)
    {
        return Err(reply::NO_PARAMETERS);
    }
    let request = Request::parse(&mut line.iter()).map_err(|error| match error {
        Error::UnknownCommand | Error::NeedsMoreData { .. } => reply::UNKNOWN,
        Error::InvalidSenderAddress => reply::NOT_REVERSE,
        Error::InvalidRecipientAddress => reply::NOT_FORWARD,
        Error::UnsupportedParameter { .. } => reply::UNSUPPORTED,
        // RFC 1870 section 4 has 20 digits, which is more than a number has here.
        Error::InvalidParameter { .. } if too_many_digits(text) => reply::TOO_BIG,
        Error::InvalidParameter { .. } => reply::VALUE,
        _ => reply::SYNTAX,
    })?;
    Ok(match request {
        Request::Ehlo { host } => hello(host.trim(), true)?,
        Request::Helo { host } => hello(host.trim(), false)?,
        Request::Mail { from } => {
            if from.flags & MAIL_SMTPUTF8 != 0 {
                return Err(reply::NO_UTF8);
            }
            let known = MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_REQUIRETLS;
            let offered = from.flags & !known == 0
                && from.env_id.is_none()
                && from.auth.is_none()
                && from.trans_id.is_none()
                && from.solicit.is_none()
                && from.mtrk.is_none()
                && (from.by, from.mt_priority) == (0, 0)
                && (from.hold_for, from.hold_until) == (0, 0);
            if !offered {
                return Err(reply::UNSUPPORTED);
            }
            // smtp-proto makes the null path of <postmaster>.
            let null = from.address.is_empty() && has_null_path(text);
            if !null && !is_mailbox(&from.address) {
                return Err(reply::NOT_REVERSE);
            }
            if too_many_digits(text) {
                return Err(reply::TOO_BIG);
            }
            Command::Mail {
                from: from.address.into_owned(),
                size: from.size,
                require_tls: from.flags & MAIL_REQUIRETLS != 0,
            }
        }
        Request::Rcpt { to } => {
            if to.orcpt.is_some() || to.flags != 0 || to.rrvs != 0 {
                return Err(reply::UNSUPPORTED);
            }
            // Of <postmaster> smtp-proto makes an empty path (RFC 5321 section 4.5.1).
            if to.address.is_empty() && !has_null_path(text) {
                Command::Rcpt(POSTMASTER.to_owned())
            } else if is_mailbox(&to.address) {
                Command::Rcpt(to.address.into_owned())
            } else {
                return Err(reply::NOT_FORWARD);
            }
        }
        Request::Data => Command::Data,
        Request::StartTls => Command::StartTls,
        Request::Rset => Command::Reset,
        Request::Noop { .. } => Command::Noop,
        Request::Vrfy { .. } => Command::Verify,
        Request::Help { .. } => Command::Help,
        Request::Quit => Command::Quit,
        _ => return Err(reply::NOT_OFFERED),
    })
}

/// Whether `line` is BDAT, right or wrong: then a chunk follows.
pub fn is_chunk(line: &[u8]) -> bool {
    after(line.trim_ascii_end(), "BDAT").is_some()
}

/// What stands behind `verb` in `text`, if that begins with it.
fn after<'a>(text: &'a [u8], verb: &str) -> Option<&'a [u8]> {
    text.split_at_checked(verb.len())
        .filter(|(head, _)| head.eq_ignore_ascii_case(verb.as_bytes()))
        .map(|(_, rest)| rest)
        .filter(|rest| matches!(rest.first(), None | Some(b' ' | b'\t')))
}

/// `SP chunk-size [SP "LAST"]` (RFC 3030 section 2).
fn chunk(rest: &[u8]) -> Option<Command> {
    let rest = std::str::from_utf8(rest).ok()?;
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let digits = words.next()?;
    let number = (1..=MAX_DIGITS).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    (number && words.next().is_none()).then_some(Command::Chunk {
        size: digits.parse().ok()?,
        last,
    })
}

fn has_null_path(text: &[u8]) -> bool {
    let path = text.splitn(2, |byte| *byte == b'<').nth(1);
    path.is_some_and(|path| path.trim_ascii_start().starts_with(b">"))
}

/// Whether SIZE has more digits than any size that is taken.
fn too_many_digits(text: &[u8]) -> bool {
    text.split(|byte| *byte == b' ').any(|word| {
        let (key, value) = word.split_at(word.len().min(5));
        key.eq_ignore_ascii_case(b"SIZE=")
            && value.len() > MAX_DIGITS
            && value.iter().all(u8::is_ascii_digit)
    })
}

fn hello(host: &str, extended: bool) -> Result<Command, &'static str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(is_name) {
        return Err(reply::NAME);
    }
    Ok(Command::Hello {
        host: host.to_owned(),
        extended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_a_size_that_is_read_exactly_or_none() {
        let chunk = |size, last| Ok(Command::Chunk { size, last });
        for (line, read) in [
            (&b"BDAT 0\r\n"[..], chunk(0, false)),
            (b"bdat 17 last\r\n", chunk(17, true)),
            (b"BDAT 999999999999 LAST\r\n", chunk(999_999_999_999, true)),
            (b"BDAT\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT LAST\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT -1\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT +1\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT 1 LAST x\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT 1\tLAST\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT 0x10\r\n", Err(reply::CHUNK_SYNTAX)),
            // 2 to the 64th, and 1.
            (b"BDAT 18446744073709551617\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDAT \xff\r\n", Err(reply::CHUNK_SYNTAX)),
            (b"BDATA 1\r\n", Err(reply::UNKNOWN)),
        ] {
            assert_eq!(parse(line), read, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_postmaster_needs_no_domain_and_is_no_sender() {
        assert_eq!(
            parse(b"RCPT TO:<Postmaster>\r\n"),
            Ok(Command::Rcpt("postmaster".into()))
        );
        assert_eq!(parse(b"RCPT TO:<>\r\n"), Err(reply::NOT_FORWARD));
        assert_eq!(
            parse(b"MAIL FROM:<postmaster>\r\n"),
            Err(reply::NOT_REVERSE)
        );
    }
}

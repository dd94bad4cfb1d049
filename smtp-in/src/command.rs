//! Command lines: what smtp-proto made of them, less what this server doesn't offer.

use channels::recipient_check::is_path;
use smtp_proto::{Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, Request};

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
    },
    /// RCPT with the forward-path.
    Rcpt(String),
    /// DATA.
    Data,
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

/// The command in `line`, which ends with CR LF; or the reply to it.
///
/// # Errors
/// A whole reply, without its CR LF.
pub fn parse(line: &[u8]) -> Result<Command, &'static str> {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    if !text
        .iter()
        .all(|byte| (b' '..0x7f).contains(byte) || *byte == b'\t')
    {
        return Err("500 5.5.2 A command is printable ASCII and ends with CR LF");
    }
    // These have no argument (RFC 5321 section 4.1.1, RFC 3207 section 4).
    let bare = |verb: &str| {
        text.len() > verb.len()
            && text[..verb.len()].eq_ignore_ascii_case(verb.as_bytes())
            && text[verb.len()..].iter().any(|byte| *byte != b' ')
            && text[verb.len()] == b' '
    };
    if ["DATA", "RSET", "QUIT", "STARTTLS"].into_iter().any(bare) {
        return Err("501 5.5.4 This command has no parameters");
    }
    let request = Request::parse(&mut line.iter()).map_err(|error| match error {
        Error::UnknownCommand | Error::NeedsMoreData { .. } => "500 5.5.2 Command not known",
        Error::InvalidSenderAddress => "501 5.1.7 Not a reverse-path",
        Error::InvalidRecipientAddress => "501 5.1.3 Not a forward-path",
        Error::UnsupportedParameter { .. } => UNSUPPORTED,
        Error::InvalidParameter { .. } => "501 5.5.4 A parameter has no such value",
        _ => "501 5.5.2 Syntax error",
    })?;
    Ok(match request {
        Request::Ehlo { host } => hello(host.trim(), true)?,
        Request::Helo { host } => hello(host.trim(), false)?,
        Request::Mail { from } => {
            let offered = from.flags & !(MAIL_BODY_7BIT | MAIL_BODY_8BITMIME) == 0
                && from.env_id.is_none()
                && from.auth.is_none()
                && from.trans_id.is_none()
                && from.solicit.is_none()
                && from.mtrk.is_none()
                && (from.by, from.mt_priority) == (0, 0)
                && (from.hold_for, from.hold_until) == (0, 0);
            if !offered {
                return Err(UNSUPPORTED);
            }
            let is_reverse = from.address.is_empty() || from.address.contains('@');
            if !is_reverse || !is_path(&from.address) {
                return Err("501 5.1.7 Not a reverse-path");
            }
            Command::Mail {
                from: from.address.into_owned(),
                size: from.size,
            }
        }
        Request::Rcpt { to } => {
            if to.orcpt.is_some() || to.flags != 0 || to.rrvs != 0 {
                return Err(UNSUPPORTED);
            }
            if to.address.is_empty() || !is_path(&to.address) {
                return Err("501 5.1.3 Not a forward-path");
            }
            Command::Rcpt(to.address.into_owned())
        }
        Request::Data => Command::Data,
        Request::StartTls => Command::StartTls,
        Request::Rset => Command::Reset,
        Request::Noop { .. } => Command::Noop,
        Request::Vrfy { .. } => Command::Verify,
        Request::Help { .. } => Command::Help,
        Request::Quit => Command::Quit,
        _ => return Err("502 5.5.1 Command not offered"),
    })
}

const UNSUPPORTED: &str = "555 5.5.4 A parameter is not offered";

fn hello(host: &str, extended: bool) -> Result<Command, &'static str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(is_name) {
        return Err("501 5.5.4 The name must be a host name or an address literal");
    }
    Ok(Command::Hello {
        host: host.to_owned(),
        extended,
    })
}

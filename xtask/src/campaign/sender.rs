//! One connection of a campaign: a sender who keeps to the protocol, or not.

use super::kinds::Kind;
use crate::bench::mail::Route;
use crate::bench::mail::smtp::{command, connect, expect, stuffed, tls};
use anyhow::{Context, Result, bail, ensure};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// A message is put off at most so often.
const TRIES: u32 = 20;
/// And for so long.
const PAUSE: Duration = Duration::from_millis(500);
/// More than the box takes (smtp-in/src/session.rs).
const TOO_BIG: usize = (35 << 20) + 1;

/// How often a sender was told to come again: 421 at the greeting, or another
/// reply that begins with 4.
pub type PutOff = u32;

/// Sends it as `kind` says, again if it is put off, as mail servers do.
///
/// # Errors
/// When the box says anything else than it should to this kind.
pub fn send(route: &Route, kind: Kind, message: &[u8]) -> Result<PutOff> {
    for put_off in 0..TRIES {
        match once(route, kind, message) {
            Err(error) if is_later(&error) => sleep(PAUSE),
            done => return done.map(|()| put_off),
        }
    }
    bail!("put off {TRIES} times")
}

/// Whether the reply in the error says to come again (RFC 5321 section 4.2.1).
fn is_later(error: &anyhow::Error) -> bool {
    let said = error.root_cause().to_string();
    let mut digits = said.bytes().take(3);
    digits.next() == Some(b'4') && digits.all(|byte| byte.is_ascii_digit())
}

fn once(route: &Route, kind: Kind, message: &[u8]) -> Result<()> {
    let mut plain = BufReader::new(connect(route)?);
    let hello = format!("EHLO {}", route.helo);
    expect(&mut plain, "220").context("greeting")?;
    if kind == Kind::Goes {
        return Ok(());
    }
    command(&mut plain, &hello, "250")?;
    command(&mut plain, "STARTTLS", "220")?;
    if kind == Kind::NoTls {
        let mut socket = plain.into_inner();
        socket.write_all(b"EHLO again\r\nMAIL FROM:<>\r\n")?;
        // It is closed, with an alert or without.
        socket.read_to_end(&mut Vec::new()).ok();
        return Ok(());
    }
    let name = ServerName::try_from("mail.home.example")?;
    let connection = ClientConnection::new(Arc::new(tls()?), name)?;
    let mut wire = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
    command(&mut wire, &hello, "250")?;
    let mail = format!("MAIL FROM:<{}>", route.sender);
    if kind == Kind::SaysTooBig {
        return command(&mut wire, &format!("{mail} SIZE={TOO_BIG}"), "552");
    }
    command(&mut wire, &mail, "250")?;
    let recipient = format!("RCPT TO:<{}>", route.recipient);
    if kind == Kind::WrongAddress {
        return command(&mut wire, &recipient, "550");
    }
    command(&mut wire, &recipient, "250")?;
    command(&mut wire, "DATA", "354")?;
    let stuffed = stuffed(message);
    match kind {
        Kind::HangsUp | Kind::Resets => {
            wire.get_mut().write_all(&stuffed[..stuffed.len() / 2])?;
            wire.get_mut().flush()?;
            if kind == Kind::Resets {
                let at_once = linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                setsockopt(&wire.get_ref().sock, sockopt::Linger, &at_once)?;
            }
            return Ok(());
        }
        Kind::IsTooBig => too_big(wire.get_mut())?,
        _ => wire.get_mut().write_all(&stuffed)?,
    }
    wire.get_mut().flush()?;
    let code = match kind {
        Kind::DoesNotWait => return Ok(()),
        Kind::IsTooBig => "552",
        Kind::BareLf | Kind::Forged => "550",
        _ => "250",
    };
    expect(&mut wire, code).context("the answer to the message")?;
    // The message is the box's now, whatever becomes of the goodbye.
    let _ = command(&mut wire, "QUIT", "221");
    Ok(())
}

fn too_big(wire: &mut StreamOwned<ClientConnection, TcpStream>) -> Result<()> {
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    let lines = TOO_BIG / line.len() + 1;
    for _ in 0..lines {
        wire.write_all(&line)?;
    }
    ensure!(lines * line.len() > TOO_BIG, "not too big");
    Ok(wire.write_all(b".\r\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_that_begins_with_4_is_tried_again() {
        let later = |words: &str| is_later(&anyhow::anyhow!("{words}").context("greeting"));
        assert!(later("421 4.3.2 busy") && later("451 4.3.0 Try again later"));
        assert!(!later("550 5.1.1 No such mailbox") && !later("4x1"));
        assert!(!later("the connection was closed"));
    }
}

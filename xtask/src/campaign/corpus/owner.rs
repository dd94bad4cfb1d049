//! The mailbox's owner: sorts mail with a mail program, by IMAP (RFC 9051), from
//! which the filter learns.

use crate::bench::mail::smtp::tls;
use anyhow::{Context, Result, bail, ensure};
use native::{Native, Person};
use nix::sched::{CloneFlags, setns};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// The server learns from each message before it says that all were moved.
const SILENCE: Duration = Duration::from_secs(300);
/// How often a move is asked for, and how long apart.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Moves all that is in one folder to another with one command (RFC 6851), as
/// from the owner's home.
///
/// # Errors
/// When the server says no, or the box is gone.
pub fn moves(native: &Native, person: &Person, from: &str, to: &str) -> Result<()> {
    let path = format!("/proc/{}/ns/net", native.pid());
    let network = File::open(&path).context(path)?;
    // A thread of its own, since it stays in the box's network.
    let visit = || -> Result<()> {
        setns(&network, CloneFlags::CLONE_NEWNET)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 993))?;
        stream.set_read_timeout(Some(SILENCE))?;
        let name = ServerName::try_from("mail.home.example")?;
        let connection = ClientConnection::new(Arc::new(tls()?), name)?;
        let mut wire = BufReader::new(StreamOwned::new(connection, stream));
        let login = format!("LOGIN \"{}\" \"{}\"", person.address, person.password);
        ask(&mut wire, &login)?;
        ask(&mut wire, &format!("SELECT \"{from}\""))?;
        let order = format!("UID MOVE 1:* \"{to}\"");
        for tries in 1.. {
            // Files of an earlier batch went without the server, which may find
            // that out only now; nothing was moved then (RFC 5530).
            match ask(&mut wire, &order) {
                Err(error) if tries < TRIES && error.to_string().contains("[EXPUNGEISSUED]") => {
                    sleep(PAUSE);
                    ask(&mut wire, "NOOP")?;
                }
                done => {
                    done?;
                    break;
                }
            }
        }
        ask(&mut wire, "LOGOUT")
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(visit);
        thread.join().expect("the owner does not panic")
    })
    .with_context(|| format!("from {from} to {to}"))
}

/// Says a command and reads to the answer that bears its tag.
fn ask<S: Read + Write>(wire: &mut BufReader<S>, command: &str) -> Result<()> {
    let verb = command.split(' ').next().unwrap_or_default().to_owned();
    write!(wire.get_mut(), "t {command}\r\n")?;
    wire.get_mut().flush()?;
    loop {
        let mut line = Vec::new();
        ensure!(
            wire.read_until(b'\n', &mut line)? > 0,
            "{verb}: the connection was closed"
        );
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix("t ") {
            Some(answer) if answer.starts_with("OK") => return Ok(()),
            Some(answer) => bail!("{verb}: {}", answer.trim_end()),
            None => {}
        }
    }
}

//! The mailbox's owner: sorts mail with a mail program, by IMAP (RFC 9051), from
//! which the filter learns.

use crate::bench::mail::smtp::tls;
use anyhow::{Context, Result, bail, ensure};
use native::{Native, Person};
use nix::sched::{CloneFlags, setns};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// The server learns from each message before it says that all were moved.
const SILENCE: Duration = Duration::from_secs(300);
/// How often a move is asked for, and how long apart.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Moves all that is in one folder to another, as from the owner's home.
///
/// # Errors
/// When the server says no, or the box is gone.
pub fn moves(native: &Native, person: &Person, from: &str, to: &str) -> Result<()> {
    let path = format!("/proc/{}/ns/net", native.pid());
    let network = File::open(&path).context(path)?;
    // A thread of its own, since it stays in the box's network.
    let visit = || -> Result<()> {
        setns(&network, CloneFlags::CLONE_NEWNET)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 993);
        let mut owner = Owner::login(address, &person.address, &person.password)?;
        owner.moves("1:*", from, to)?;
        owner.logout()
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(visit);
        thread.join().expect("the owner does not panic")
    })
    .with_context(|| format!("from {from} to {to}"))
}

/// A mail program that is logged in.
pub struct Owner {
    wire: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Owner {
    /// Connects to port 993 of a box and logs in.
    ///
    /// # Errors
    /// When the server says no.
    pub fn login(to: SocketAddrV4, address: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect(to).with_context(|| to.to_string())?;
        stream.set_read_timeout(Some(SILENCE))?;
        let name = ServerName::try_from("mail.home.example")?;
        let connection = ClientConnection::new(Arc::new(tls()?), name)?;
        let wire = BufReader::new(StreamOwned::new(connection, stream));
        let mut owner = Self { wire };
        owner.ask(&format!("LOGIN \"{address}\" \"{password}\""))?;
        Ok(owner)
    }

    /// The UIDs of a folder's messages, in their order.
    ///
    /// # Errors
    /// When the server says no.
    pub fn uids(&mut self, folder: &str) -> Result<Vec<u32>> {
        self.ask(&format!("SELECT \"{folder}\""))?;
        let said = self.ask("UID SEARCH ALL")?;
        let found = said.lines().find_map(|line| line.strip_prefix("* SEARCH"));
        let found = found.with_context(|| format!("no answer to SEARCH: {said}"))?;
        let numbers = found.split_whitespace().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// Moves messages with one command (RFC 6851): `uids` is a set, `4,7:*` say.
    ///
    /// # Errors
    /// When the server says no.
    pub fn moves(&mut self, uids: &str, from: &str, to: &str) -> Result<()> {
        self.ask(&format!("SELECT \"{from}\""))?;
        let order = format!("UID MOVE {uids} \"{to}\"");
        for tries in 1.. {
            // Files of an earlier batch went without the server, which may find
            // that out only now; nothing was moved then (RFC 5530).
            match self.ask(&order) {
                Err(error) if tries < TRIES && error.to_string().contains("[EXPUNGEISSUED]") => {
                    sleep(PAUSE);
                    self.ask("NOOP")?;
                }
                done => {
                    done?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes all that is in a folder.
    ///
    /// # Errors
    /// When the server says no.
    pub fn empties(&mut self, folder: &str) -> Result<()> {
        self.ask(&format!("SELECT \"{folder}\""))?;
        self.ask("UID STORE 1:* +FLAGS.SILENT (\\Deleted)")?;
        self.ask("EXPUNGE").map(drop)
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// When the server does not.
    pub fn logout(mut self) -> Result<()> {
        self.ask("LOGOUT").map(drop)
    }

    /// Says a command and returns what comes before the answer that bears its tag.
    fn ask(&mut self, command: &str) -> Result<String> {
        let verb = command.split(' ').next().unwrap_or_default().to_owned();
        let wire = &mut self.wire;
        write!(wire.get_mut(), "t {command}\r\n")?;
        wire.get_mut().flush()?;
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            ensure!(
                wire.read_until(b'\n', &mut line)? > 0,
                "{verb}: the connection was closed"
            );
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix("t ") {
                Some(answer) if answer.starts_with("OK") => return Ok(said),
                Some(answer) => bail!("{verb}: {}", answer.trim_end()),
                None => said += &line,
            }
        }
    }
}

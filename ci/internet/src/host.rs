//! One foreign domain: a host of its own on the internet, the program that
//! serves it, what it received, and what it is told to send.

use crate::domains::{Domain, Program};
use crate::namespace::{self, Namespace, Pids};
use crate::received::{self, Received};
use crate::tree::{LETTERS, Tree, WORLD};
use crate::{ROUTER, Trees, daemon::Daemon, exim, greylist, opensmtpd, postfix, web};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A foreign domain that is there.
#[derive(Debug)]
pub struct Host {
    pub(crate) domain: Domain,
    pub(crate) trees: Trees,
    /// Its own folder on the machine here.
    pub(crate) folder: PathBuf,
    /// Dropped before the namespace is.
    running: Mutex<Vec<Daemon>>,
    namespace: Namespace,
}

impl Host {
    /// Puts the host at its address; nothing runs on it yet. `folder`, inside of
    /// `world`, holds its certificates.
    pub(crate) fn make(
        domain: Domain,
        pids: &Pids,
        core: &Namespace,
        trees: &Trees,
        world: &Path,
    ) -> Result<Self> {
        let namespace = Namespace::make(pids)?;
        let cable = format!("to-{}", domain.label());
        let address = domain.address();
        namespace::lay_cable(core, &cable, namespace.net(), "eth0", address, ROUTER)?;
        let host = Self {
            domain,
            trees: trees.clone(),
            folder: world.join(domain.label()),
            running: Mutex::default(),
            namespace,
        };
        let mail = host.folder.join("mail");
        fs::create_dir_all(&mail)?;
        chown(&mail, Some(LETTERS), Some(LETTERS))?;
        host.namespace.visit(|| trees.enter(world))?;
        match domain.program() {
            Program::Postfix => postfix::prepare(&host)?,
            Program::Exim => exim::prepare(&host)?,
            Program::OpenSmtpd => opensmtpd::prepare(&host)?,
        }
        Ok(host)
    }

    /// Its domain.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Where its folder is for its own programs.
    pub(crate) fn place(&self) -> String {
        format!("{WORLD}/{}", self.domain.label())
    }

    /// The tree that its mail server is in.
    pub(crate) fn tree(&self) -> &Tree {
        match self.domain.program() {
            Program::Postfix => &self.trees.postfix,
            Program::Exim => &self.trees.internet,
            Program::OpenSmtpd => &self.trees.opensmtpd,
        }
    }

    /// Puts a file or folder of its own over one of the tree of its mail server.
    pub(crate) fn lay_over(&self, name: &str, path: &str) -> Result<()> {
        let what = self.folder.join(name);
        self.namespace.visit(|| self.tree().lay_over(&what, path))
    }

    /// Starts a program that stays until the host goes down.
    pub(crate) fn daemon(&self, command: Command, log: &str) -> Result<Daemon> {
        self.namespace.daemon(command, &self.folder.join(log))
    }

    /// Lets its programs run, all of them, and waits until port 25 is open.
    ///
    /// # Errors
    /// When one does not start.
    pub fn up(&self) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(running.is_empty(), "{} is up already", self.domain);
        let about = || format!("the mail server of {}", self.domain);
        let server = match self.domain.program() {
            Program::Postfix => postfix::start(self),
            Program::Exim => exim::start(self),
            Program::OpenSmtpd => opensmtpd::start(self),
        };
        running.push(server.with_context(about)?);
        if self.domain == Domain::Greylisting {
            running.push(greylist::start(self).context("postgrey")?);
        }
        if self.domain.sts_names().is_some() {
            running.push(web::start(self).context("nginx")?);
        }
        drop(running);
        self.wait_for_port(25).with_context(about)
    }

    /// Ends its programs: its ports refuse connections, its queue stays.
    ///
    /// # Errors
    /// When one does not end.
    pub fn down(&self) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // What others need ends last.
        running.drain(..).try_for_each(Daemon::stop)
    }

    pub(crate) fn wait_for_port(&self, port: u16) -> Result<()> {
        let address = SocketAddr::from((self.domain.address(), port));
        let limit = Duration::from_secs(20);
        let end = Instant::now() + limit;
        let connect = || Ok(TcpStream::connect_timeout(&address, limit)?);
        while let Err(error) = self.namespace.visit(connect) {
            let log = || self.log().unwrap_or_default();
            ensure!(Instant::now() < end, "port {port}: {error:#}:\n{}", log());
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What has arrived so far, oldest first. A Postfix, Exim or OpenSMTPD has
    /// said `250` for each.
    ///
    /// # Errors
    /// When a message is not stored as expected.
    pub fn received(&self) -> Result<Vec<Received>> {
        received::read(&self.folder.join("mail"))
    }

    /// How many messages have arrived so far.
    ///
    /// # Errors
    /// When its mailbox can't be read.
    pub fn count(&self) -> Result<usize> {
        received::count(&self.folder.join("mail"))
    }

    /// Waits until `count` messages have arrived, or more, and returns them all.
    ///
    /// # Errors
    /// When they do not arrive in time; with the server's log.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<Received>> {
        let end = Instant::now() + limit;
        loop {
            let received = self.received()?;
            if received.len() >= count {
                return Ok(received);
            }
            let domain = self.domain;
            ensure!(
                Instant::now() < end,
                "{} of {count} messages came to {domain}:\n{}",
                received.len(),
                self.log()?
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// Gives a message to its mail server, as a program there does
    /// (`sendmail -i -f FROM TO`), which sends it wherever the names lead. Lines
    /// of `message` end with CR LF, or LF.
    ///
    /// # Errors
    /// When its mail server does not take it.
    pub fn send(&self, from: &str, to: &str, message: &[u8]) -> Result<()> {
        let sendmail = match self.domain.program() {
            Program::Exim => "exim4",
            Program::Postfix | Program::OpenSmtpd => "sendmail",
        };
        // Which sendmail(8) expects; it is a mail server on Unix.
        let mut lines = message.to_vec();
        lines.retain(|byte| *byte != b'\r');
        let command = self.tree().command(&[sendmail, "-i", "-f", from, to]);
        self.namespace.feed(command, &lines).map(drop)
    }

    /// Has it try again at once whatever waits in its queue.
    ///
    /// # Errors
    /// When its program fails.
    pub fn flush(&self) -> Result<()> {
        let words: &[&str] = match self.domain.program() {
            Program::Postfix => &["postqueue", "-f"],
            Program::Exim => &["exim4", "-qff"],
            Program::OpenSmtpd => &["smtpctl", "schedule", "all"],
        };
        self.run(words).map(drop)
    }

    /// Runs a program of its mail server's tree, on the host, and returns what it
    /// printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, words: &[&str]) -> Result<Vec<u8>> {
        self.feed(words, b"")
    }

    /// The same with input.
    ///
    /// # Errors
    /// When it fails.
    pub fn feed(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let command = self.tree().command(words);
        self.namespace.feed(command, input)
    }

    /// What its mail server has logged.
    ///
    /// # Errors
    /// When there is no log.
    pub fn log(&self) -> Result<String> {
        let name = match self.domain.program() {
            Program::Exim => "mainlog",
            _ => "log",
        };
        let path = self.folder.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Waits for a line of the log that holds all of these words, and returns it.
    ///
    /// # Errors
    /// When there is none in time; with the log.
    pub fn wait_for_log(&self, words: &[&str], limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            let log = self.log().unwrap_or_default();
            let mut lines = log.lines();
            if let Some(line) = lines.find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.to_owned());
            }
            ensure!(
                Instant::now() < end,
                "{}: no line with {words:?}:\n{log}",
                self.domain
            );
            sleep(Duration::from_millis(50));
        }
    }
}

//! The box's services on the machine here: the real runtime (`services`), the
//! real sandboxes, Debian's real programs, without an emulator. Long campaigns,
//! comparisons and tests that need thousands of messages run on it.
//!
//! ```text
//! cargo xtask native                     # target/native/email, see xtask/src/image/native.rs
//! native-box --image target/native/email --volumes DIR --journal FILE
//! ```
//!
//! `native-box` runs in a network, a mount and a pid namespace of its own, so
//! that all it makes is seen in one place and ends with it:
//!
//! | where | what |
//! | --- | --- |
//! | the box's network | the services' ports at [`BOX`], filtered as on the box |
//! | the internet's network ([`Native::internet`]) | [`SENDERS`], to send from; the root name servers, played ([`names`]) |
//! | `/proc`, `/run`, `/tmp` | its own; `/proc/PID/root/…` shows them from outside, PID being [`Native::pid`] |
//!
//! On its standard input come lines `ADDRESS PASSWORD` for people, then an empty
//! line. On its standard output it says `pid N` (on the host), `person ADDRESS
//! UID` for each, and `ready`. It stops when its input ends, says `stopped` and
//! ends with 0. When it is killed, the kernel ends all of it.
//!
//! [`Native::start`] does that for a test. Another image is another folder: give
//! its path. A test that takes protections away builds `native-box` with the feature
//! `weak`. It then takes lines `without SECCOMP,…` ([`Native::without`]), which count
//! for every sandbox that is made from then on, and answers with the same line.
//!
//! [`Native::start_on`] puts the box on an [`Internet`] instead, with foreign mail
//! servers and names that are signed: then `native-box` has the word `--root-key
//! FILE`, and makes no internet of its own.
//!
//! Limits: as root only. No cgroups (limits of memory and tasks are not in
//! force), no dm-verity. In an internet of its own names are not signed: Unbound is
//! given no key of the root, so DNSSEC is not exercised, and SPF, DKIM, DMARC and
//! reverse names are.

mod inside;
pub mod names;
mod weak;
mod world;

pub use inside::{Arguments, run};
pub use weak::remove_protections;
pub use world::{BOX, SENDERS, sender_name};

use anyhow::{Context, Result, bail, ensure};
use internet::Internet;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From start to the first greeting; SpamAssassin loads its rules meanwhile.
const START: Duration = Duration::from_secs(120);
/// From the word to stop to the end.
const STOP: Duration = Duration::from_secs(60);
/// What the program's words begin with, before its namespaces are made.
pub const INSIDE: &str = "inside";

/// Somebody with mail on the box.
#[derive(Debug, Clone)]
pub struct Person {
    /// The address.
    pub address: String,
    /// The password, for IMAP; at least ten characters.
    pub password: String,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `native-box`.
    pub program: PathBuf,
    /// The app's folder, as `cargo xtask native` makes it.
    pub image: PathBuf,
    /// The app's volumes, made if they are not there, and left there.
    pub volumes: PathBuf,
    /// What runtime and services say is added to this file.
    pub journal: PathBuf,
    /// Who lives there.
    pub people: Vec<Person>,
}

/// A box that runs. Dropping it kills all of it.
#[derive(Debug)]
pub struct Native {
    process: Child,
    input: Option<ChildStdin>,
    /// Locked, so that threads that send may share the box.
    said: Mutex<Receiver<String>>,
    pid: i32,
    homes: Vec<(String, PathBuf)>,
    /// Of the internet that it was put on.
    internet: Option<File>,
}

impl Native {
    /// Starts it and waits until it takes mail.
    ///
    /// # Errors
    /// When it does not within two minutes; the journal says why.
    pub fn start(options: &Options) -> Result<Self> {
        Self::make(options, None)
    }

    /// The same, at [`BOX`] of an internet, whose key of the root it believes.
    ///
    /// # Errors
    /// As [`Self::start`]; or when a box is there already.
    pub fn start_on(internet: &Internet, options: &Options) -> Result<Self> {
        Self::make(options, Some(internet))
    }

    fn make(options: &Options, internet: Option<&Internet>) -> Result<Self> {
        let root_key = internet.map(Internet::trust_anchor);
        let root_key = root_key.map(|path| ["--root-key".into(), path.into_os_string()]);
        let mut process = Command::new(&options.program)
            .arg("--image")
            .arg(&options.image)
            .arg("--volumes")
            .arg(&options.volumes)
            .arg("--journal")
            .arg(&options.journal)
            .args(root_key.iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| options.program.display().to_string())?;
        let output = process.stdout.take().context("a pipe")?;
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens once the box was dropped.
                tell.send(line).ok();
            }
        });
        let mut native = Self {
            input: process.stdin.take(),
            process,
            said: Mutex::new(said),
            pid: 0,
            homes: Vec::new(),
            internet: None,
        };
        native
            .begin(options, internet)
            .with_context(|| format!("see {}", options.journal.display()))?;
        Ok(native)
    }

    /// Has the sandboxes that are made from now on lack these protections (as
    /// `sandbox::weak::Protection` has them in its debug form), and no others.
    ///
    /// # Errors
    /// When the program was built without the feature `weak`, or knows none of
    /// such a name.
    pub fn without(&mut self, protections: &[String]) -> Result<()> {
        let line = format!("{}{}", weak::ORDER, protections.join(","));
        let input = self.input.as_mut().context("a pipe")?;
        writeln!(input, "{line}")?;
        let said = self.next_word(Instant::now() + STOP)?;
        ensure!(said == line, "the box says {said:?}");
        Ok(())
    }

    fn begin(&mut self, options: &Options, internet: Option<&Internet>) -> Result<()> {
        let end = Instant::now() + START;
        let line = self.next_word(end)?;
        let pid = line.strip_prefix("pid ");
        let pid = pid.with_context(|| format!("the box says {line:?}"))?;
        self.pid = pid.parse()?;
        if let Some(internet) = internet {
            let path = format!("/proc/{pid}/ns/net");
            let own = File::open(&path).context(path)?;
            internet.attach(&own, world::CABLE, BOX)?;
            self.internet = Some(internet.namespace().try_clone()?);
        }
        let input = self.input.as_mut().context("a pipe")?;
        for person in &options.people {
            writeln!(input, "{} {}", person.address, person.password)?;
        }
        writeln!(input)?;
        loop {
            let line = self.next_word(end)?;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["person", address, uid] => {
                    let home = options.volumes.join("mail").join(uid);
                    self.homes.push((address.to_owned(), home));
                }
                ["ready"] => return Ok(()),
                _ => bail!("the box says {line:?}"),
            }
        }
    }

    fn next_word(&mut self, end: Instant) -> Result<String> {
        let left = end.saturating_duration_since(Instant::now());
        let said = self.said.get_mut().unwrap_or_else(PoisonError::into_inner);
        match said.recv_timeout(left) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the box said nothing for too long"),
            Err(_) => bail!("the box ended: {}", self.process.wait()?),
        }
    }

    /// The pid, on the host, of the process that runs the runtime. It is PID 1
    /// of its own pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The home of somebody, on the host: `Maildir/new` is below it once there
    /// was a message.
    ///
    /// # Errors
    /// When nobody has the address.
    pub fn home(&self, address: &str) -> Result<&Path> {
        let found = self.homes.iter().find(|(known, _)| known == address);
        let (_, home) = found.with_context(|| format!("{address}: nobody"))?;
        Ok(home)
    }

    /// A path as the box sees it, from outside.
    pub fn seen_inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// The internet's network namespace.
    ///
    /// # Errors
    /// When the box is gone.
    pub fn internet(&self) -> Result<File> {
        if let Some(internet) = &self.internet {
            return Ok(internet.try_clone()?);
        }
        let path = self.seen_inside(inside::INTERNET);
        File::open(&path).with_context(|| path.display().to_string())
    }

    /// Puts the calling thread into the internet, from where it may send.
    ///
    /// # Errors
    /// When the box is gone, or the caller is not root.
    pub fn enter_internet(&self) -> Result<()> {
        Ok(setns(self.internet()?, CloneFlags::CLONE_NEWNET)?)
    }

    /// Stops it as the supervisor does: sandboxes are ended, daemons asked to end.
    ///
    /// # Errors
    /// When it did not end within a minute by itself, or something was left
    /// behind inside.
    pub fn stop(mut self) -> Result<()> {
        self.input = None;
        let end = Instant::now() + STOP;
        let line = self.next_word(end)?;
        ensure!(line == "stopped", "the box says {line:?}");
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the box ended: {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the box does not end")
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // Its namespaces end with it. Both fail only when it is gone already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

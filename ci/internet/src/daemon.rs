//! A program that runs until it is dropped.

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take to start, and to end when it is asked to.
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);

/// A running program.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Starts it; both its outputs go to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let command = prepare(command, log)?;
        let child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self(child))
    }

    pub(crate) fn of(child: Child) -> Self {
        Self(child)
    }

    /// An error if it has ended.
    ///
    /// # Errors
    /// If so.
    pub fn still_runs(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "it ended: {ended:?}");
        Ok(())
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the program ends before, or nothing happens for too long; with what
    /// it wrote into `log`.
    pub fn wait_until(&mut self, log: &Path, ready: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !ready() {
            let said = || fs::read_to_string(log).unwrap_or_default();
            self.still_runs().with_context(said)?;
            if Instant::now() > end {
                bail!("it does not start: {}", said());
            }
            sleep(STEP);
        }
        Ok(())
    }

    /// Asks it to end and waits; its children end with it, also those that wait for an
    /// answer of a machine that is off.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM)?;
        let end = Instant::now() + LIMIT;
        while self.0.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "a program does not end");
            sleep(STEP);
        }
        match killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL) {
            Err(Errno::ESRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error).context("ending its children"),
        }
    }
}

/// Gives a program no input and a process group of its own, and sends both its outputs
/// to `log`.
pub(crate) fn prepare<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let out = File::create(log).with_context(|| log.display().to_string())?;
    let command = command.stdin(Stdio::null()).process_group(0);
    Ok(command.stderr(out.try_clone()?).stdout(out))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

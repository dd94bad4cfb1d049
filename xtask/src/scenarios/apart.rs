//! This program again, with namespaces of its own: the part of a boot test that
//! needs a network which leads nowhere. A namespace is entered at a program's
//! start, and what is in it ends with the first process there.

use crate::qemu::{self, QemuError};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the part may take to end in order after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the hidden command `words` of this program in a network and with processes
/// of its own, and in what else `namespaces` says (options of unshare(1)). What
/// it says is printed at its end, under the name of `folder`, which is the test's.
///
/// # Errors
/// It failed, with what it said; or Ctrl-C came: then nothing of it is left.
pub(super) fn run(namespaces: &[&str], words: &[&OsStr], folder: &Path) -> Result<()> {
    let mut said = tempfile::tempfile().context("a temporary file")?;
    let mut child = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child"])
        .args(namespaces)
        .arg(std::env::current_exe()?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        // Ctrl-C is for us, who then end all of it.
        .process_group(0)
        .spawn()
        .context("starting unshare (package util-linux)")?;
    let status = wait(&mut child)?;
    let mut bytes = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if !status.success() {
        bail!("{}", text.trim_end());
    }
    let name = folder.file_name().unwrap_or_default().display();
    let lines = text
        .lines()
        .map(|line| format!("  {name}: {}\n", line.trim()));
    eprint!("{}", lines.collect::<String>());
    Ok(())
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if qemu::interrupted() {
            end(child)?;
            return Err(QemuError::Interrupted.into());
        }
        sleep(Duration::from_millis(50));
    }
}

/// unshare(1) lets SIGTERM pass by; its child, who is in the same group, takes its
/// guest down. unshare's own death kills what is left (`--kill-child`).
fn end(child: &mut Child) -> Result<()> {
    // It fails only when all of them are gone already.
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    let end = Instant::now() + GRACE;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

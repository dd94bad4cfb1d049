//! Anna's mail program: curl or swaks, which reach the box as from her home.

use super::{Meeting, PASSWORD};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// From where Anna sends, which is nobody's business.
pub(super) const PHONE: &str = "192.168.77.2";

/// Which program, and so which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// curl on port 465, with TLS from the first byte (RFC 8314).
    Curl,
    /// swaks on port 587, with STARTTLS.
    Swaks,
}

/// Sends a message with Anna's login.
///
/// # Errors
/// When the box does not take it; with what the program said.
pub(super) fn send(
    meeting: &Meeting,
    client: Client,
    from: &str,
    to: &str,
    message: &str,
) -> Result<()> {
    let done = match client {
        Client::Curl => curl(meeting, from, to, message),
        Client::Swaks => swaks(meeting, from, to, message),
    }?;
    ensure!(
        done.status.success(),
        "{client:?}: {}\n{}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn curl(meeting: &Meeting, from: &str, to: &str, message: &str) -> Result<Output> {
    let login = format!("{}:{PASSWORD}", meeting.anna);
    let mut command = at_home(meeting, "curl");
    // The certificate is the box's own: a phone asks its owner once.
    command.args(["--silent", "--show-error", "--insecure", "--ssl-reqd"]);
    command.args(["--max-time", "60", "--url", "smtps://127.0.0.1:465"]);
    command.args(["--interface", PHONE]);
    command.args(["--user", &login, "--mail-from", from, "--mail-rcpt", to]);
    fed(command.args(["--upload-file", "-"]), message)
}

fn swaks(meeting: &Meeting, from: &str, to: &str, message: &str) -> Result<Output> {
    let mut command = at_home(meeting, "swaks");
    command.args(["--server", "127.0.0.1:587", "--tls", "--data", "-"]);
    command.args(["--local-interface", PHONE]);
    command.args(["--auth", "PLAIN", "--auth-user", &meeting.anna]);
    command.args(["--auth-password", PASSWORD, "--timeout", "60"]);
    fed(command.args(["--from", from, "--to", to]), message)
}

/// Gives Anna's phone its address, [`PHONE`].
///
/// # Errors
/// When the box's network can't be entered.
pub(super) fn come_home(meeting: &Meeting) -> Result<()> {
    let mut command = at_home(meeting, "ip");
    let words = ["address", "add", PHONE, "dev", "lo"];
    let done = fed(command.args(words), "")?;
    ensure!(
        done.status.success(),
        "ip: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

/// In the box's network, where the phone is at home.
pub(super) fn at_home(meeting: &Meeting, program: &str) -> Command {
    in_network(meeting.native.pid(), program)
}

/// In the network of this process.
pub(super) fn in_network(pid: i32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    let network = format!("--net=/proc/{pid}/ns/net");
    command.args([network.as_str(), program]);
    command
}

fn fed(command: &mut Command, input: &str) -> Result<Output> {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .context("nsenter (package util-linux), curl, swaks")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early breaks the pipe; what it says is the error.
        stdin.write_all(input.as_bytes()).ok();
    }
    child.wait_with_output().context("a mail program")
}

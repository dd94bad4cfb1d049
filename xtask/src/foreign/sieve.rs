//! Anna's mail program sets a Sieve script: ManageSieve (RFC 5804) on port 4190, by
//! openssl(1), which knows its STARTTLS.

use super::client::{PHONE, at_home};
use super::{Meeting, PASSWORD};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};

const NAME: &str = "script";

/// Makes `script` the one that sorts Anna's mail, in the place of the last.
///
/// # Errors
/// When the box does not take it; with what it said.
pub(super) fn set(meeting: &Meeting, script: &str) -> Result<()> {
    let mut session = Session::open(meeting)?;
    let login = STANDARD.encode(format!("\0{}\0{PASSWORD}", meeting.anna));
    session.ask(&format!("AUTHENTICATE \"PLAIN\" \"{login}\""))?;
    let length = script.len();
    session.ask(&format!("PUTSCRIPT \"{NAME}\" {{{length}+}}\r\n{script}"))?;
    session.ask(&format!("SETACTIVE \"{NAME}\""))?;
    session.ask("LOGOUT")?;
    Ok(())
}

/// The script that refuses what is not taken, with the box's words.
///
/// # Errors
/// When the box takes it.
pub(super) fn refused(meeting: &Meeting, script: &str) -> Result<String> {
    match set(meeting, script) {
        Ok(()) => bail!("it was taken: {script}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// Whether a password would be taken without TLS: then the box offers a way to log in.
///
/// # Errors
/// When there is no answer.
pub(super) fn offers_login_in_clear(meeting: &Meeting) -> Result<bool> {
    let mut command = at_home(meeting, "curl");
    command.args(["--silent", "--max-time", "5", "--interface", PHONE]);
    // curl speaks no ManageSieve; it shows what is said first.
    command.args(["--no-buffer", "telnet://127.0.0.1:4190"]);
    // It ends with its input.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let output = child.stdout.take().context("a pipe")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("OK")).collect();
    child.kill().ok();
    child.wait()?;
    let said = said.join("\n");
    ensure!(said.contains("\"STARTTLS\""), "port 4190 says {said:?}");
    Ok(said.contains("PLAIN") || said.contains("LOGIN"))
}

struct Session {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Session {
    fn open(meeting: &Meeting) -> Result<Self> {
        let mut command = at_home(meeting, "openssl");
        command.args(["s_client", "-starttls", "sieve", "-quiet", "-crlf"]);
        // The certificate is the box's own: a phone asks its owner once.
        command.args(["-connect", "127.0.0.1:4190", "-bind"]);
        command.arg(format!("{PHONE}:0"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let said = child.stdout.take().context("a pipe")?;
        let mut session = Self {
            child,
            said: BufReader::new(said),
        };
        session.answer()?;
        Ok(session)
    }

    fn ask(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("a pipe")?;
        // It makes CR LF of each LF.
        let line = line.replace("\r\n", "\n");
        input.write_all(format!("{line}\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<()> {
        let mut said = String::new();
        loop {
            let start = said.len();
            if self.said.read_line(&mut said)? == 0 {
                bail!("ManageSieve ended: {said}");
            }
            match said[start..].split_whitespace().next() {
                Some("OK") => return Ok(()),
                // Of a literal the words come after it.
                Some("NO" | "BYE") => {
                    self.child.kill().ok();
                    let rest = (&mut self.said).lines().map_while(Result::ok);
                    let rest: Vec<String> = rest.collect();
                    bail!("{said}{}", rest.join("\n"));
                }
                _ => {}
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

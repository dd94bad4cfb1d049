//! One message by swaks over STARTTLS, as the bytes that are given: swaks adds
//! nothing and replaces nothing.

use super::{BOX, Host};
use crate::scenarios::mail::peers::Tree;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// What the box said in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scenarios::mail) struct Session {
    /// The last line of every reply, greeting first, each with its code.
    pub(in crate::scenarios::mail) replies: Vec<String>,
    /// The whole transcript.
    pub(in crate::scenarios::mail) transcript: String,
}

impl Session {
    /// The reply to the message, if it came to that, or the last refusal.
    pub(in crate::scenarios::mail) fn verdict(&self) -> &str {
        let said = self.replies.iter().rev();
        let mut said = said.filter(|reply| !reply.starts_with("221"));
        said.next().map_or("", String::as_str)
    }
}

/// Sends `message` (lines end with CR LF, the last one too).
pub(in crate::scenarios::mail) fn swaks(
    tree: &Tree,
    host: Host,
    from: &str,
    to: &str,
    message: &[u8],
) -> Result<Session> {
    let mut child = start(tree, host, from, to)?;
    give(&mut child, message)?;
    // A refusal is no failure of swaks here; what the box said counts.
    let output = child.wait_with_output()?;
    let transcript = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Ok(Session {
        replies: replies(&transcript),
        transcript,
    })
}

/// The same, but returns in the moment in which the box has answered to the
/// message, and says what it answered.
pub(in crate::scenarios::mail) fn swaks_until_taken(
    tree: &Tree,
    host: Host,
    from: &str,
    to: &str,
    message: &[u8],
) -> Result<String> {
    let mut child = start(tree, host, from, to)?;
    give(&mut child, message)?;
    let lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut sent = false;
    for line in lines {
        let line = line?;
        sent |= line == " ~> .";
        if let Some(reply) = reply(&line).filter(|_| sent) {
            let reply = reply.to_owned();
            // It may have gone with the box already.
            let _ = child.kill();
            let _ = child.wait();
            return Ok(reply);
        }
    }
    let _ = child.wait();
    anyhow::bail!("the box did not answer to the message")
}

fn start(tree: &Tree, host: Host, from: &str, to: &str) -> Result<std::process::Child> {
    let (server, address) = (BOX.to_string(), host.address.to_string());
    let mut command: Command = tree.command(&[
        "swaks",
        "--tls",
        "--server",
        &server,
        "--local-interface",
        &address,
        "--helo",
        host.name,
        "--from",
        from,
        "--to",
        to,
        // A busy host and an emulated box.
        "--timeout",
        "180",
        "--no-data-fixup",
        "--data",
        "-",
    ]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting swaks")
}

fn give(child: &mut std::process::Child, message: &[u8]) -> Result<()> {
    let mut stdin = child.stdin.take().context("a pipe")?;
    let mut dotted = Vec::new();
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        // RFC 5321 section 4.5.2.
        if line.starts_with(b".") {
            dotted.push(b'.');
        }
        dotted.extend_from_slice(line);
    }
    // swaks ends it with CR LF itself.
    dotted.push(b'.');
    std::thread::spawn(move || stdin.write_all(&dotted));
    Ok(())
}

/// What the server says in a line of a transcript; `<` begins it, then `-`
/// or `~` (in TLS), or stars for a refusal.
fn reply(line: &str) -> Option<&str> {
    let said = line.strip_prefix("<")?.get(3..)?;
    let code = said.get(..4)?;
    code.ends_with(' ').then_some(said)
}

fn replies(transcript: &str) -> Vec<String> {
    transcript
        .lines()
        .filter_map(reply)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_in_clear_in_tls_and_when_they_are_refusals() {
        let transcript = "=== Connected to 192.168.77.100.\n\
            <-  220 projectx.local ESMTP\n -> EHLO a\n<-  250-projectx.local\n\
            <-  250 STARTTLS\n ~> RCPT TO:<x@y>\n<~* 550 5.1.1 No such mailbox here\n\
            <~  221 2.0.0 bye\n=== Connection closed with remote host.\n";
        let session = Session {
            replies: replies(transcript),
            transcript: String::new(),
        };
        assert_eq!(session.replies.len(), 4);
        assert_eq!(session.verdict(), "550 5.1.1 No such mailbox here");
    }
}

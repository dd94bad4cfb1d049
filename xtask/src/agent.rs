//! The boot tests' end of the test agent: puts it on a card, and talks to it.
//!
//! The agent lies in a second cpio archive behind the one that ships; the
//! kernel unpacks both (kernel documentation, "initramfs buffer format").

use crate::image::{self, Tree};
use crate::qemu::{Machine, QemuError};
use agent::AnswerError;
use anyhow::ensure;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the agent may take for one request, under emulation.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

/// Why the agent did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The box died, or the agent never came up.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The line to the agent broke.
    #[error("the line to the test agent: {0}")]
    Line(#[from] io::Error),
    /// The agent said no.
    #[error("{request}: {source}")]
    Answer {
        /// The request.
        request: String,
        /// What it said.
        source: AnswerError,
    },
}

/// The box's initramfs with the agent behind it, and below `/test` what the
/// test brings along for the agent's request `run`.
pub fn append_to_initrd(initrd: &[u8], program: &[u8], brought: &Tree) -> anyhow::Result<Vec<u8>> {
    let mut tree = Tree::default();
    tree.put_program("agent", program.to_vec());
    for (path, node) in brought.iter() {
        tree.put(&format!("test/{path}"), node.clone());
    }
    let mut whole = initrd.to_vec();
    // The kernel looks for a further archive on a four-byte border, past zeros.
    whole.resize(whole.len().next_multiple_of(4), 0);
    image::write_newc(&tree, &mut whole)?;
    Ok(whole)
}

/// A line to the agent in a running box.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Agent {
    /// Waits until the agent in the box answers.
    pub fn connect(machine: &mut Machine) -> Result<Self, AgentError> {
        let stream = UnixStream::connect(machine.second_port())?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let answers = BufReader::new(stream.try_clone()?);
        let mut agent = Self { stream, answers };
        machine.wait_until("the test agent", Duration::from_secs(60), |_| {
            Ok(agent.ask(&["ping"]).is_ok().then_some(()))
        })?;
        // Pings that were sent before it listened may be answered late.
        while agent.answers.read_line(&mut String::new()).is_ok() {}
        agent.stream.set_read_timeout(Some(REQUEST_LIMIT))?;
        Ok(agent)
    }

    /// Sends a request and returns the bytes of its answer. See the agent's
    /// `commands.rs` for the requests.
    pub fn ask(&mut self, words: &[&str]) -> Result<Vec<u8>, AgentError> {
        writeln!(self.stream, "{}", agent::request(words))?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let request = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        agent::parse_answer(&line).map_err(|source| AgentError::Answer { request, source })
    }

    /// Runs a program of the box (`exec`) or one that the test brought along
    /// (`run`) to its end, and returns what it printed. Failure is an error.
    pub fn run(&mut self, request: &str, argv: &[&str]) -> anyhow::Result<String> {
        let answer = self.ask_text(&[&[request], argv].concat())?;
        let (status, said) = answer.split_once('\n').unwrap_or((&answer, ""));
        ensure!(
            status == "exit status: 0",
            "{} in the box: {status}: {said}",
            argv.join(" ")
        );
        Ok(said.to_owned())
    }

    /// The same, as text without the white space at its end.
    pub fn ask_text(&mut self, words: &[&str]) -> Result<String, AgentError> {
        let bytes = self.ask(words)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::tool;

    #[test]
    fn cpio_reads_the_appended_archive_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut brought = Tree::default();
        brought.put_file("etc/hostapd.conf", "ssid=x");
        let whole = append_to_initrd(b"12345", b"program text", &brought).unwrap();
        assert_eq!(&whole[..8], b"12345\0\0\0");
        let archive = directory.path().join("archive");
        std::fs::write(&archive, &whole[8..]).unwrap();
        let listed = tool("cpio", "cpio")
            .args(["-t", "-v", "-F"])
            .arg(&archive)
            .output()
            .unwrap();
        let listed = String::from_utf8(listed).unwrap();
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(lines.len(), 4, "{listed}");
        assert!(
            lines[0].starts_with("-rwxr-xr-x")
                && lines[0].contains(" 12 ")
                && lines[0].ends_with(" agent"),
            "{listed}"
        );
        assert!(lines[3].ends_with(" test/etc/hostapd.conf"), "{listed}");
    }
}

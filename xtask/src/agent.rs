//! The boot tests' end of the test agent: puts it on a card, and talks to it.
//!
//! The agent lies in a second cpio archive behind the one that ships; the
//! kernel unpacks both (kernel documentation, "initramfs buffer format").

use crate::qemu::{Machine, QemuError};
use agent::AnswerError;
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

/// The box's initramfs with the agent behind it.
pub fn append_to_initrd(initrd: &[u8], program: &[u8]) -> Vec<u8> {
    let mut whole = initrd.to_vec();
    // The kernel looks for a further archive on a four-byte border, past zeros.
    pad(&mut whole);
    cpio_entry(&mut whole, "agent", 0o100_755, program);
    cpio_entry(&mut whole, "TRAILER!!!", 0, &[]);
    whole
}

/// One file of a cpio archive of the kind "newc", owned by root.
fn cpio_entry(archive: &mut Vec<u8>, name: &str, mode: u32, contents: &[u8]) {
    let size = u32::try_from(contents.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    let inode = u32::from(mode != 0) * 0x7fff_0001;
    let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(contents);
    pad(archive);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
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
        let whole = append_to_initrd(b"12345", b"program text");
        assert_eq!(&whole[..8], b"12345\0\0\0");
        let archive = directory.path().join("archive");
        std::fs::write(&archive, &whole[8..]).unwrap();
        let listed = tool("cpio", "cpio")
            .args(["-t", "-v", "-F"])
            .arg(&archive)
            .output()
            .unwrap();
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.starts_with("-rwxr-xr-x"), "{listed}");
        assert!(
            listed.contains(" 12 ") && listed.trim_end().ends_with(" agent"),
            "{listed}"
        );
    }
}

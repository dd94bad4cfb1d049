//! Nothing in the clear: tcpdump keeps every packet of the box, on its cable to the
//! internet and on its own loopback, where the phone at home reaches it. At the end all
//! of it is searched for what every letter says. One must stand there, for which the
//! owner has made an exception: it shows that the search finds one.
//!
//! What the box writes is not searched here: natively there is no dm-crypt. The boots do
//! that (`scenarios/mail/sealed.rs`).

use super::client::in_network;
use crate::capture::found_in_packets;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Mutex, PoisonError};

/// The box's interfaces.
const INTERFACES: [&str; 2] = ["wan", "lo"];
/// KiB that the kernel keeps until tcpdump has written them (tcpdump(8), `-B`).
const BUFFER: &str = "16384";

/// The sentences of all letters that this process has written.
static WRITTEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A letter with this sentence is sent.
pub(super) fn is_sent(sentence: &str) {
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written.push(sentence.to_owned());
}

/// What is kept of one interface, by a tcpdump that ends when this is dropped.
#[derive(Debug)]
struct Kept {
    process: Child,
    says: BufReader<ChildStderr>,
    packets: PathBuf,
}

/// The packets of a native box.
#[derive(Debug)]
pub(super) struct Wire(Vec<Kept>);

impl Wire {
    /// Keeps all packets from now on, in files in `folder`; `box_pid` is a process in the
    /// box's network.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub(super) fn tap(box_pid: i32, folder: &Path) -> Result<Self> {
        let kept = INTERFACES.map(|interface| {
            Kept::begin(box_pid, interface, folder.join(format!("{interface}.pcap")))
                .with_context(|| format!("keeping the packets of {interface}"))
        });
        Ok(Self(kept.into_iter().collect::<Result<_>>()?))
    }

    /// Ends it. Of all letters, the one with the sentence `excepted` alone stands in the
    /// clear.
    ///
    /// # Errors
    /// When another one does, when that one does not, or when a packet was not kept.
    pub(super) fn holds_only(self, excepted: &str) -> Result<()> {
        let written = WRITTEN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        let mut bytes = 0;
        for kept in self.0 {
            let packets = kept.end()?;
            bytes += fs::metadata(&packets)?.len();
            found.extend(found_in_packets(&packets, &written)?);
        }
        found.sort_unstable();
        found.dedup();
        ensure!(
            found == [excepted],
            "in the clear: {found:?}; expected only: {excepted:?}"
        );
        eprintln!(
            "    of {} sentences only the excepted one in the clear, in {} KB of packets",
            written.len(),
            bytes / 1000
        );
        Ok(())
    }
}

impl Kept {
    fn begin(box_pid: i32, interface: &str, packets: PathBuf) -> Result<Self> {
        let mut process = in_network(box_pid, "tcpdump")
            .args(["-i", interface, "-n", "-U", "--immediate-mode"])
            .args(["-B", BUFFER, "-Z", "root", "-w"])
            .arg(&packets)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("nsenter (package util-linux), tcpdump (package tcpdump)")?;
        let says = BufReader::new(process.stderr.take().context("a pipe")?);
        let mut kept = Self {
            process,
            says,
            packets,
        };
        let mut line = String::new();
        kept.says.read_line(&mut line)?;
        ensure!(line.contains("listening on"), "tcpdump says {line:?}");
        Ok(kept)
    }

    /// Ends it, and looks that none was lost.
    fn end(mut self) -> Result<PathBuf> {
        kill(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        let mut said = String::new();
        self.says.read_to_string(&mut said)?;
        self.process.wait()?;
        ensure!(
            said.contains("\n0 packets dropped by kernel"),
            "tcpdump says {said:?}"
        );
        Ok(self.packets.clone())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

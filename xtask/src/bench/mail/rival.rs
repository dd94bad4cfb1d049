//! The rival: Debian's Postfix, spamd and Dovecot in a guest like the box's,
//! with the same machine, memory, kernel and modules, and a disk behind
//! dm-crypt with the same cipher. Its files are in `ci/rival`.
//!
//! Where the two differ, and whom that favours:
//!
//! - SpamAssassin is asked by spamass-milter, so before `250`, as on the box.
//!   Rules, plugins and settings are Debian's, without network tests and Bayes,
//!   which the box has neither. It is one spamd with up to five children that
//!   live on; the box has a new child for each message.
//! - Its `250` comes when the message is in Postfix's queue and synced, the box's
//!   when it is in the mailbox and synced. Favours the rival in seconds; messages
//!   a minute count what is in the mailbox on both sides.
//! - It asks no DNS and checks no SPF, DKIM or DMARC, as Debian's Postfix does
//!   not by itself. Favours the rival.
//! - Outgoing mail is not signed, its way is written down instead of asked of DNS, and
//!   TLS is demanded but nobody's certificate is looked at, as is usual; the box signs
//!   twice, asks DNS with DNSSEC and believes nobody without proof. Favours the rival.
//! - busybox's init script and no systemd, journald, cron or resolver run.
//!   Favours the rival, in memory above all.
//! - The root is on squashfs without dm-verity. Favours the rival.

use super::load::{self, Times};
use super::smtp::{Login, Route};
use super::{Outgoing, Side, memory};
use crate::agent::Agent;
use crate::qemu::{Guest, Machine, Network};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// From power-on to SMTP, spamd's start included, on slow hosts.
const START_LIMIT: Duration = Duration::from_secs(400);
/// How long Postfix may take to empty its queue into the mailbox.
const DELIVERY_LIMIT: Duration = Duration::from_secs(600);
/// Port 25 asks SpamAssassin, this one does not (`ci/rival/root/etc/postfix/master.cf`).
const NOT_SCANNED: u16 = 2525;
const MAILBOX: &str = "/home/anna/Maildir/new";
/// A sparse file; what is written to it is as much as the messages are.
const DISK_BYTES: u64 = 2 << 30;

/// The files that QEMU starts it from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Files {
    /// The box's kernel.
    pub kernel: PathBuf,
    /// Its initramfs, test agent included.
    pub initramfs: PathBuf,
    /// Its root.
    pub system: PathBuf,
}

/// Starts it in `folder` and measures what it does with `count`
/// messages of the corpus, twice.
pub fn measure(
    files: &Files,
    folder: &Path,
    network: Network,
    route: &Route,
    corpus: &[Vec<u8>],
    count: usize,
) -> Result<Side> {
    let (mut machine, mut agent) = start(files, folder, network)?;
    let memory_mb = memory::used(&mut agent)?;
    let shared = Mutex::new(&mut agent);
    let (scanned, memory_peak_mb) = memory::peak(&shared, || {
        let send = load::incoming(route, corpus);
        times(&mut machine, &shared, send, count, 0)
    })?;
    let marked = marked(&mut agent)?;
    ensure!(
        marked == 2 * count,
        "{marked} of {} messages went through SpamAssassin",
        2 * count
    );
    let past_the_scan = Route {
        to: SocketAddrV4::new(*route.to.ip(), NOT_SCANNED),
        ..*route
    };
    let before = 2 * count;
    let send = load::incoming(&past_the_scan, corpus);
    let not_scanned = times(&mut machine, &Mutex::new(&mut agent), send, count, before)?;
    ensure!(
        self::marked(&mut agent)? == before,
        "SpamAssassin was asked on port {NOT_SCANNED} too"
    );
    machine.cut_power()?;
    Ok(Side {
        memory_mb,
        memory_peak_mb,
        scanned,
        not_scanned,
        outgoing: None,
    })
}

/// Starts it in `folder` and measures how it sends `count` messages to the world, twice.
/// `delivered` waits until so many have arrived there.
pub fn measure_outgoing(
    files: &Files,
    folder: &Path,
    network: Network,
    login: &Login,
    corpus: &[Vec<u8>],
    count: usize,
    delivered: impl FnMut(usize) -> Result<()>,
) -> Result<Outgoing> {
    let (machine, mut agent) = start(files, folder, network)?;
    let sent = Outgoing::measure(&mut agent, login, corpus, count, delivered);
    let sent = sent.with_context(|| {
        let log = agent.ask_text(&["read", "/var/log/mail.log"]);
        log.unwrap_or_default()
    })?;
    machine.cut_power()?;
    Ok(sent)
}

fn start(files: &Files, folder: &Path, network: Network) -> Result<(Machine, Agent)> {
    let disk = folder.join("rival.img");
    File::create(&disk)
        .and_then(|file| file.set_len(DISK_BYTES))
        .with_context(|| disk.display().to_string())?;
    let mut machine = Machine::start_guest(&Guest {
        kernel: files.kernel.clone(),
        initramfs: files.initramfs.clone(),
        // As the box in tests, without address randomisation (scenarios/mod.rs).
        command_line: "rdinit=/agent nokaslr console=ttyAMA0 quiet panic=-1".into(),
        disks: vec![files.system.clone(), disk],
        memory: 1024,
        serial: folder.join("rival.log"),
        network,
    })?;
    machine.wait_for_serial("rival: every service is up", 1, START_LIMIT)?;
    let agent = Agent::connect(&mut machine)?;
    Ok((machine, agent))
}

/// The times, counting deliveries from `before` messages in the mailbox.
fn times(
    machine: &mut Machine,
    agent: &Mutex<&mut Agent>,
    send: impl load::Send,
    count: usize,
    before: usize,
) -> Result<Times> {
    load::measure(send, count, |sent| {
        machine.wait_until("the messages in the mailbox", DELIVERY_LIMIT, |_| {
            let mut agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(in_mailbox(&mut agent).filter(|there| *there == before + sent))
        })?;
        Ok(())
    })
}

/// How many messages there are; nothing before the first has made the folder.
fn in_mailbox(agent: &mut Agent) -> Option<usize> {
    let names = agent.ask_text(&["list", MAILBOX]).ok()?;
    Some(names.lines().count())
}

/// How many of them have SpamAssassin's header field.
fn marked(agent: &mut Agent) -> Result<usize> {
    let search = format!("grep -rl ^X-Spam-Status: {MAILBOX} | wc -l");
    let said = agent.run("exec", &["/bin/sh", "-c", &search])?;
    said.trim().parse().with_context(|| said)
}

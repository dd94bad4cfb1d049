//! The power goes while mail arrives and leaves, at random moments: a foreign Postfix
//! sends one message after the other to Anna, and her mail program sends one after the
//! other to the world. Of what the box wrote after its last flush a part is lost. After
//! the next unlock every message that was answered `250` is there: in her inbox, or with
//! whom she wrote to. What was not answered its sender still has. Then the next cut.
//!
//! The writes are those to the card's qcow2 file, its own tables among them, which QEMU
//! flushes with the guest's.

use super::home::{self, Home};
use super::internet::Host;
use super::letter::letter;
use super::world::{self, page, wait_for_mail};
use super::{ANNA, InsideArguments, PASSPHRASE, sealed};
use crate::agent::Agent;
use crate::qemu::{Machine, PAGE_LIMIT, Recording, Start};
use crate::scenarios::power_cuts::Dice;
use crate::write_log::{Fate, WriteLog};
use ::internet::Domain;
use anyhow::{Context, Result, ensure};
use console::client;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Who sends to Anna, and who gets what she writes.
const SENDER: Domain = Domain::Postfix;
const TAKER: Domain = Domain::Exim;
/// Between two messages of the sender's: the box shall not have many more to take after
/// a cut than before it.
const PAUSE: Duration = Duration::from_millis(1500);
/// For one that is sent out; the last of them waits for a box that is off.
const ONE: Duration = Duration::from_secs(20);
/// The power goes so many milliseconds after the first message was sent, at the most.
const LATEST: u64 = 15_000;
/// Until all have arrived at last; Postfix's own times for a next try are longer, so it
/// is told to.
const LIMIT: Duration = Duration::from_secs(300);
/// The file that says which cuts.
const ORDER: &str = "cuts.json";
/// The file that says how they went.
const REPORT: &str = "report.json";

/// Which cuts of a run, one after the other from the kept box on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// With it and a cut's number the cut can be repeated.
    pub seed: u64,
    /// The numbers.
    pub numbers: Range<u64>,
}

/// How they went.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Messages that the foreign Postfix sent, all of which have arrived.
    pub sent: u64,
    /// Messages of Anna's that were answered `250`, all of which have arrived.
    pub taken: u64,
    /// How many of both are there more than once.
    pub twice: u64,
    /// Cuts that lost a sector or more.
    pub with_losses: u64,
    /// Sectors that were written after the last flush, and lost.
    pub sectors_lost: u64,
    /// The same, and not lost.
    pub sectors_kept: u64,
}

impl Report {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.taken += other.taken;
        self.twice += other.twice;
        self.with_losses += other.with_losses;
        self.sectors_lost += other.sectors_lost;
        self.sectors_kept += other.sectors_kept;
    }

    fn lost(&mut self, fate: Fate) {
        self.with_losses += u64::from(fate.lost > 0);
        self.sectors_lost += fate.lost;
        self.sectors_kept += fate.kept;
    }
}

/// Says which cuts a test in `folder` makes.
pub(super) fn order(folder: &Path, cuts: &Cuts) -> Result<()> {
    Ok(fs::write(folder.join(ORDER), serde_json::to_vec(cuts)?)?)
}

/// How those in `folder` went.
pub(super) fn report(folder: &Path) -> Result<Report> {
    Ok(serde_json::from_slice(&fs::read(folder.join(REPORT))?)?)
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let folder = &arguments.folder;
    let order: Cuts = serde_json::from_slice(&fs::read(folder.join(ORDER))?)?;
    let home = Home::make(arguments, &[SENDER, TAKER])?;
    let card = folder.join("card.qcow2");
    fs::copy(arguments.moment.join("kept.qcow2"), &card)?;
    let (mut traffic, mut report) = (Traffic::default(), Report::default());
    let mut running = Running::resume(arguments, &home, &card)?;
    for number in order.numbers.clone() {
        let mut dice = Dice::new(order.seed, number);
        let after = dice.below(LATEST);
        let cut = || format!("cut {number} of seed {}, after {after} ms", order.seed);
        traffic
            .flow(&home, running.machine, after)
            .with_context(cut)?;
        let log = WriteLog::read(&running.recording.writes)?;
        let fate = log.replay(&card, log.len(), || dice.below(2) == 0)?;
        report.lost(fate);
        let begun = Instant::now();
        running = Running::switch_on(arguments, &home, &card).with_context(cut)?;
        let on = begun.elapsed();
        traffic
            .all_arrive(&home)
            .with_context(|| running.journal())
            .with_context(cut)?;
        eprintln!(
            "{}: {fate:?}, {} in and {} out so far; back after {} s, all there after {} s",
            cut(),
            traffic.sent,
            traffic.taken.len(),
            on.as_secs(),
            begun.elapsed().as_secs(),
        );
    }
    // What was there after one cut is still there after those that followed.
    traffic.there.clear();
    report.twice = traffic.all_arrive(&home)?;
    report.sent = traffic.sent as u64;
    report.taken = traffic.taken.len() as u64;
    fs::write(folder.join(REPORT), serde_json::to_vec(&report)?)?;
    Ok(())
}

/// A box that runs from a copy of the card, with every write kept.
#[derive(Debug)]
struct Running {
    machine: Machine,
    agent: Agent,
    recording: Recording,
}

impl Running {
    /// The kept box goes on.
    fn resume(arguments: &InsideArguments, home: &Home, card: &Path) -> Result<Self> {
        let (mut machine, recording) = start(arguments, Start::Saved, card)?;
        wait_for_mail(&mut machine)?;
        let mut agent = Agent::connect(&mut machine)?;
        home.introduce(&mut machine, &mut agent)?;
        Ok(Self {
            machine,
            agent,
            recording,
        })
    }

    /// The box is switched on, and its owner unlocks it.
    fn switch_on(arguments: &InsideArguments, home: &Home, card: &Path) -> Result<Self> {
        let (mut machine, recording) = start(arguments, Start::PowerOnToSave, card)?;
        let mut agent = Agent::connect(&mut machine)?;
        home.introduce_locked(&mut machine, &mut agent, |machine| {
            let answer = machine.wait_until("an answer to the passphrase", PAGE_LIMIT, |_| {
                Ok(client::unlock(&page(), PASSPHRASE).ok())
            })?;
            ensure!(answer.ok, "unlocking after the cut: {answer:?}");
            Ok(())
        })?;
        Ok(Self {
            machine,
            agent,
            recording,
        })
    }

    fn journal(&mut self) -> String {
        let journal = self.agent.ask_text(&["read", "/run/projectx/journal"]);
        journal.unwrap_or_else(|error| error.to_string())
    }
}

/// Starts a box with a copy of `card`, which stays as it is.
fn start(arguments: &InsideArguments, start: Start, card: &Path) -> Result<(Machine, Recording)> {
    let folder = &arguments.folder;
    let used = folder.join("used.qcow2");
    fs::copy(card, &used).with_context(|| card.display().to_string())?;
    let recording = sealed::next(None, folder)?.context("a test of mail is recorded")?;
    let machine = world::start_again(arguments, start, &used, Some(recording.clone()))?;
    Ok((machine, recording))
}

/// What was sent so far.
#[derive(Debug, Default)]
struct Traffic {
    /// Messages that were given to the foreign Postfix.
    sent: usize,
    /// Messages that Anna's mail program began to send.
    tried: usize,
    /// The sentences of those that were answered `250`.
    taken: Vec<String>,
    /// The sentences that are known to be there.
    there: BTreeSet<String>,
    /// The foreign Postfix is switched off.
    is_down: bool,
}

impl Traffic {
    /// Mail goes both ways until the power goes.
    fn flow(&mut self, home: &Home, machine: Machine, after: u64) -> Result<()> {
        let over = AtomicBool::new(false);
        let (first_in, first_out) = (self.sent, self.tried);
        let (sent, (tried, taken)) = thread::scope(|scope| -> Result<_> {
            let inward = scope.spawn(|| send_in(home, first_in, &over));
            let outward = scope.spawn(|| send_out(first_out, &over));
            sleep(Duration::from_millis(after));
            let cut = machine.cut_power();
            over.store(true, Ordering::SeqCst);
            let sent = inward.join().expect("the thread does not panic")?;
            let out = outward.join().expect("the thread does not panic");
            cut?;
            Ok((sent, out))
        })?;
        self.sent = sent;
        self.tried = tried;
        self.taken.extend(taken);
        // Its clients would wait five minutes for an answer of the box that is off; what
        // they had is in its queue.
        home.internet.host(SENDER).down()?;
        self.is_down = true;
        Ok(())
    }

    /// Waits until all that is not known to be there is where it belongs, and says how
    /// many of it are there more than once.
    fn all_arrive(&mut self, home: &Home) -> Result<u64> {
        let end = Instant::now() + LIMIT;
        let sender = home.internet.host(SENDER);
        if std::mem::take(&mut self.is_down) {
            sender.up()?;
        }
        let mut twice = 0;
        for number in 0..self.sent {
            let sentence = inward(number);
            if self.there.contains(&sentence) {
                continue;
            }
            let count = loop {
                match home::found(&format!("SUBJECT \"{sentence}\""))? {
                    0 => sender.flush()?,
                    count => break count,
                }
                let log = || sender.log().unwrap_or_default();
                ensure!(Instant::now() < end, "{sentence}: nowhere:\n{}", log());
                sleep(Duration::from_secs(2));
            };
            twice += count as u64 - 1;
            self.there.insert(sentence);
        }
        for sentence in &self.taken {
            if self.there.contains(sentence) {
                continue;
            }
            let count = loop {
                let received = home.internet.host(TAKER).received()?;
                let has = |message: &[u8]| String::from_utf8_lossy(message).contains(sentence);
                match received.iter().filter(|one| has(&one.message)).count() {
                    0 => ensure!(Instant::now() < end, "{sentence}: lost"),
                    count => break count,
                }
                sleep(Duration::from_secs(1));
            };
            twice += count as u64 - 1;
            self.there.insert(sentence.clone());
        }
        Ok(twice)
    }
}

/// Sends to Anna until it is over; the number of the next one. Its Postfix keeps them
/// until the box has taken them.
fn send_in(home: &Home, first: usize, over: &AtomicBool) -> Result<usize> {
    let mut number = first;
    while !over.load(Ordering::SeqCst) {
        let from = format!("ada@{SENDER}");
        let letter = letter(host(SENDER), &from, ANNA.address, &inward(number));
        let sender = home.internet.host(SENDER);
        sender.send(&from, ANNA.address, &letter.bytes)?;
        number += 1;
        sleep(PAUSE);
    }
    Ok(number)
}

/// Sends from Anna until it is over; the number of the next one, and the sentences of
/// those that were answered `250`.
fn send_out(first: usize, over: &AtomicBool) -> (usize, Vec<String>) {
    let (mut number, mut taken) = (first, Vec::new());
    while !over.load(Ordering::SeqCst) {
        let subject = format!("Outward {number}.");
        let to = format!("ada@{TAKER}");
        let letter = letter(host(TAKER), ANNA.address, &to, &subject);
        // One that the cut interrupts may have arrived or not: nobody was told.
        if home::send(&to, &letter, ONE).is_ok() {
            taken.push(letter.sentence);
        }
        number += 1;
    }
    (number, taken)
}

fn host(domain: Domain) -> Host {
    Host {
        address: domain.address(),
        name: "home.example",
    }
}

fn inward(number: usize) -> String {
    // With a mark behind it, or 1 would be found in 10.
    format!("Inward {number}.")
}

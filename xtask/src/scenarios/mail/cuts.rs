//! The power goes while mail arrives and leaves, at a moment that the test's folder
//! names: a foreign Postfix sends one message after the other to Anna, and her mail
//! program sends one after the other to the world. After the next unlock every message
//! that was answered `250` is there: in her inbox, or with whom she wrote to. What was
//! not answered its sender still has.
//!
//! Limits: QEMU is killed, so what the guest has given to its card is on it; what it
//! still had in memory is lost.

use super::home::{self, Home};
use super::internet::Host;
use super::letter::letter;
use super::world::{self, page, wait_for_mail};
use super::{ANNA, InsideArguments, PASSPHRASE};
use crate::agent::Agent;
use crate::qemu::{PAGE_LIMIT, Start};
use ::internet::Domain;
use anyhow::{Context, Result, ensure};
use console::client;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Who sends to Anna, and who gets what she writes.
const SENDER: Domain = Domain::Postfix;
const TAKER: Domain = Domain::Exim;
/// Between two messages of the sender's.
const PAUSE: Duration = Duration::from_millis(400);
/// For one that is sent out; the last of them waits for a box that is off.
const ONE: Duration = Duration::from_secs(20);
/// Until all have arrived at last; Postfix's own times for a next try are longer, so it
/// is told to.
const LIMIT: Duration = Duration::from_secs(300);
/// The file that says after how many milliseconds the power goes.
const MOMENT: &str = "cut-after";
const USUAL: u64 = 9000;

/// Says when the power is to go, for a test in `folder`.
pub(in crate::scenarios) fn cut_after(folder: &Path, milliseconds: u64) -> Result<()> {
    Ok(fs::write(folder.join(MOMENT), milliseconds.to_string())?)
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let after = match fs::read_to_string(arguments.folder.join(MOMENT)) {
        Ok(text) => text.parse().with_context(|| text.clone())?,
        Err(_) => USUAL,
    };
    let home = Home::make(arguments, &[SENDER, TAKER])?;
    let mut machine = world::resume(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    home.introduce(&mut machine, &mut agent)?;
    let over = AtomicBool::new(false);
    let (sent, taken) = thread::scope(|scope| -> Result<_> {
        let inward = scope.spawn(|| send_in(&home, &over));
        let outward = scope.spawn(|| send_out(&over));
        sleep(Duration::from_millis(after));
        let cut = machine.cut_power();
        over.store(true, Ordering::SeqCst);
        let sent = inward.join().expect("the thread does not panic")?;
        let taken = outward.join().expect("the thread does not panic");
        cut?;
        Ok((sent, taken))
    })?;

    // Its clients would wait five minutes for an answer of the box that is off; what
    // they had is in its queue.
    let sender = home.internet.host(SENDER);
    sender.down()?;
    let card = arguments.folder.join("kept.qcow2");
    let mut machine = world::start_again(arguments, Start::PowerOnToSave, &card)?;
    machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
    let answer = machine.wait_until("an answer to the passphrase", PAGE_LIMIT, |_| {
        Ok(client::unlock(&page(), PASSPHRASE).ok())
    })?;
    ensure!(answer.ok, "unlocking after the cut: {answer:?}");
    wait_for_mail(&mut machine)?;
    let mut agent = Agent::connect(&mut machine)?;
    home.introduce(&mut machine, &mut agent)?;
    sender.up()?;
    let told = |agent: &mut Agent| {
        let journal = agent.ask_text(&["read", "/run/projectx/journal"]);
        journal.unwrap_or_else(|error| error.to_string())
    };
    let twice = all_arrive(&home, sent, &taken).with_context(|| told(&mut agent))?;
    eprintln!(
        "the power went after {after} ms: {sent} sent in, {} taken to go out, {twice} there twice",
        taken.len()
    );
    Ok(())
}

/// Sends to Anna until it is over; how many. Its Postfix keeps them until the box has
/// taken them.
fn send_in(home: &Home, over: &AtomicBool) -> Result<usize> {
    let mut sent = 0;
    while !over.load(Ordering::SeqCst) {
        let from = format!("ada@{SENDER}");
        let letter = letter(host(SENDER), &from, ANNA.address, &inward(sent));
        home.internet
            .host(SENDER)
            .send(&from, ANNA.address, &letter.bytes)?;
        sent += 1;
        sleep(PAUSE);
    }
    Ok(sent)
}

/// Sends from Anna until it is over; the subjects of those that were answered `250`.
fn send_out(over: &AtomicBool) -> Vec<String> {
    let mut taken = Vec::new();
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let subject = format!("Outward {number}.");
        let to = format!("ada@{TAKER}");
        let letter = letter(host(TAKER), ANNA.address, &to, &subject);
        // One that the cut interrupts may have arrived or not: nobody was told.
        if home::send(&to, &letter, ONE).is_ok() {
            taken.push(letter.sentence);
        }
    }
    taken
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

/// Waits until all are where they belong, and says how many are there twice.
fn all_arrive(home: &Home, sent: usize, taken: &[String]) -> Result<usize> {
    let end = Instant::now() + LIMIT;
    let mut twice = 0;
    for number in 0..sent {
        let search = format!("SUBJECT \"{}\"", inward(number));
        let count = loop {
            match home::found(&search)? {
                0 => home.internet.host(SENDER).flush()?,
                count => break count,
            }
            let log = || home.internet.host(SENDER).log().unwrap_or_default();
            ensure!(Instant::now() < end, "{search}: nowhere:\n{}", log());
            sleep(Duration::from_secs(5));
        };
        twice += count - 1;
    }
    for sentence in taken {
        let count = loop {
            let received = home.internet.host(TAKER).received()?;
            let has = |message: &[u8]| String::from_utf8_lossy(message).contains(sentence);
            match received.iter().filter(|one| has(&one.message)).count() {
                0 => ensure!(Instant::now() < end, "{sentence}: lost"),
                count => break count,
            }
            sleep(Duration::from_secs(1));
        };
        twice += count - 1;
    }
    Ok(twice)
}

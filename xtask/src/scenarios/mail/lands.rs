//! A message by swaks comes back by three programs, byte for byte; GTUBE is in
//! Junk with SpamAssassin's reasons, and nobody gets what is another's. The
//! receipt that its owner reads is the one that the box's journal has.

use super::internet::MAIL;
use super::letter::{added_header, find, letter, spam};
use super::readers::{Person, curl, imaplib, mbsync};
use super::senders::swaks;
use super::world::World;
use super::{ANNA, BEN, InsideArguments};
use crate::agent::Agent;
use anyhow::{Context, Result, ensure};

const FROM: &str = "ada@sender.example";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    let sent = letter(MAIL, FROM, ANNA.address, "An ordinary day");
    let junk = spam(MAIL, FROM, ANNA.address, "An offer");
    for message in [&sent, &junk] {
        let session = swaks(&world.internet, MAIL, FROM, ANNA.address, &message.bytes)?;
        ensure!(
            session.verdict() == "250 2.0.0 Delivered",
            "{}",
            session.transcript
        );
    }
    for (name, read) in READERS {
        let header =
            lands(&world, read, &sent.bytes, &sent.sentence).with_context(|| name.to_owned())?;
        has_receipt(&mut agent, &header, "delivered").with_context(|| name.to_owned())?;
        let header = in_junk(&world, read, &junk.bytes, &junk.sentence)
            .with_context(|| format!("{name}, Junk"))?;
        ensure!(
            header.contains("X-Spam-Flag: YES\r\n")
                && header.contains("X-Spam-Report: score ")
                && header.contains("GTUBE"),
            "{name}: no report of SpamAssassin:\n{header}"
        );
        has_receipt(&mut agent, &header, "junk").with_context(|| name.to_owned())?;
        let others = read(&world, BEN, "INBOX")?;
        ensure!(
            others.is_empty(),
            "{name}: Ben has {} messages",
            others.len()
        );
    }
    Ok(())
}

type Read = fn(&World, Person, &str) -> Result<Vec<Vec<u8>>>;

const READERS: [(&str, Read); 3] = [
    ("mbsync", |world, person, folder| {
        mbsync(&world.internet, &world.folder, person, folder)
    }),
    ("curl", |world, person, folder| {
        curl(&world.internet, &world.folder, person, folder)
    }),
    ("imaplib", |world, person, folder| {
        imaplib(&world.internet, &world.folder, person, folder)
    }),
];

fn lands(world: &World, read: Read, sent: &[u8], sentence: &str) -> Result<String> {
    let messages = read(world, ANNA, "INBOX")?;
    ensure!(messages.len() == 1, "{} in the inbox", messages.len());
    let header = added_header(find(&messages, sentence)?, sent)?;
    ensure!(header.contains("X-Spam-Flag: NO\r\n"), "{header}");
    Ok(header)
}

fn in_junk(world: &World, read: Read, sent: &[u8], sentence: &str) -> Result<String> {
    let messages = read(world, ANNA, "Junk")?;
    ensure!(messages.len() == 1, "{} in Junk", messages.len());
    added_header(find(&messages, sentence)?, sent)
}

/// The receipt in the message names sandboxes whose end the journal tells, all
/// with the connection's number, and with this outcome.
fn has_receipt(agent: &mut Agent, header: &str, outcome: &str) -> Result<()> {
    let (_, rest) = header
        .split_once("X-ProjectX-Receipt: sandbox=smtp-in-")
        .with_context(|| format!("no receipt:\n{header}"))?;
    let number = rest.split(';').next().unwrap_or_default();
    let journal = agent.ask_text(&["read", "/run/projectx/journal"])?;
    let smtp_in = format!("smtp-in-{number} exit ");
    let line = journal
        .lines()
        .find(|line| line.contains("receipt: created ") && line.contains(&smtp_in))
        .with_context(|| format!("no receipt of smtp-in-{number} in the journal:\n{journal}"))?;
    let whole = line.contains(&format!("gate-{number} exit 0"))
        && line.contains("spamassassin-")
        && line.contains(&format!("-{number} by itself"))
        && line.ends_with(&format!("; {outcome}"));
    ensure!(whole, "{outcome}: {line}");
    Ok(())
}

//! A message by swaks comes back by three programs, byte for byte; GTUBE is in
//! Junk with SpamAssassin's reasons, and nobody gets what is another's.

use super::internet::MAIL;
use super::letter::{added_header, find, letter, spam};
use super::readers::{Person, curl, imaplib, mbsync};
use super::senders::swaks;
use super::world::World;
use super::{ANNA, BEN, InsideArguments};
use anyhow::{Context, Result, ensure};

const FROM: &str = "ada@sender.example";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let _machine = world.go_on(arguments, None)?;
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
        lands(&world, read, &sent.bytes, &sent.sentence).with_context(|| name.to_owned())?;
        let header = in_junk(&world, read, &junk.bytes, &junk.sentence)
            .with_context(|| format!("{name}, Junk"))?;
        ensure!(
            header.contains("X-Spam-Flag: YES\r\n")
                && header.contains("X-Spam-Report: score ")
                && header.contains("GTUBE"),
            "{name}: no report of SpamAssassin:\n{header}"
        );
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

fn lands(world: &World, read: Read, sent: &[u8], sentence: &str) -> Result<()> {
    let messages = read(world, ANNA, "INBOX")?;
    ensure!(messages.len() == 1, "{} in the inbox", messages.len());
    let header = added_header(find(&messages, sentence)?, sent)?;
    ensure!(header.contains("X-Spam-Flag: NO\r\n"), "{header}");
    Ok(())
}

fn in_junk(world: &World, read: Read, sent: &[u8], sentence: &str) -> Result<String> {
    let messages = read(world, ANNA, "Junk")?;
    ensure!(messages.len() == 1, "{} in Junk", messages.len());
    added_header(find(&messages, sentence)?, sent)
}

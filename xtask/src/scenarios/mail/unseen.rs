//! Neither on the box's network nor on its card does a message stand in the
//! clear, from the moment that it is sent until it has been read.
//!
//! The search is shown to work on the same captures: a sentence that is sent to
//! the box without TLS is found on the wire, and one that the box writes to its
//! own start partition is found among the writes.

use super::internet::{BOX, MAIL};
use super::letter::{find, letter};
use super::readers::{curl, imaplib, mbsync};
use super::senders::swaks;
use super::world::World;
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::capture::Capture;
use anyhow::{Result, ensure};
use std::io::Write;
use std::net::TcpStream;

const FROM: &str = "ada@sender.example";
const ON_THE_WIRE: &str = "This sentence goes to the box without TLS and can be read by all.";
const ON_THE_CARD: &str = "This sentence is written where the box starts from, in the clear.";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let capture = Capture::into(&arguments.folder);
    let mut machine = world.go_on(arguments, Some(capture.0.clone()))?;
    let sent = letter(MAIL, FROM, ANNA.address, "Nobody else's business");
    let session = swaks(&world.internet, MAIL, FROM, ANNA.address, &sent.bytes)?;
    ensure!(
        session.verdict() == "250 2.0.0 Delivered",
        "{}",
        session.transcript
    );
    for messages in [
        curl(&world.internet, &world.folder, ANNA, "INBOX")?,
        imaplib(&world.internet, &world.folder, ANNA, "INBOX")?,
        mbsync(&world.internet, &world.folder, ANNA, "INBOX")?,
    ] {
        find(&messages, &sent.sentence)?;
    }
    let mut plain = TcpStream::connect((BOX, 25))?;
    plain.write_all(format!("{ON_THE_WIRE}\r\n").as_bytes())?;
    let mut agent = Agent::connect(&mut machine)?;
    // The end of the start partition, which is free; it is mounted read-only.
    agent.ask(&["write-end", "/dev/vda1", ON_THE_CARD])?;
    // All that is in memory is written, so that it is among the writes.
    agent.ask(&["sync"])?;
    // In order, or what QEMU still holds is not in the record.
    machine.quit()?;

    ensure!(
        capture.on_the_wire(ON_THE_WIRE)? && capture.on_the_card(ON_THE_CARD)?,
        "the search does not find what stands in the clear"
    );
    ensure!(
        !capture.on_the_wire(&sent.sentence)?,
        "the message stands in the clear on the network"
    );
    ensure!(
        !capture.on_the_card(&sent.sentence)?,
        "the message stands in the clear on the card"
    );
    Ok(())
}

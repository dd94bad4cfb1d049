//! What dies is started again and mail goes on: SpamAssassin's zygote, then the
//! supervisor with everything below it.

use super::internet::MAIL;
use super::letter::{find, letter};
use super::readers::curl;
use super::senders::swaks;
use super::world::{World, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use anyhow::{Context, Result, ensure};

const FROM: &str = "ada@sender.example";
/// The programs that are killed, as the kernel calls them.
const KILLED: [&str; 2] = ["perl", "supervisor"];

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    for (done, name) in KILLED.into_iter().enumerate() {
        let ready = machine.serial_text()?.matches("email: ready").count();
        agent.ask(&["kill", "SIGKILL", name])?;
        machine.wait_for_serial("email: ready", ready + 1, super::world::MAIL_LIMIT)?;
        wait_for_mail(&mut machine)?;
        let sent = letter(
            MAIL,
            FROM,
            ANNA.address,
            &format!("After the end of {name}"),
        );
        let session = swaks(&world.internet, MAIL, FROM, ANNA.address, &sent.bytes)?;
        ensure!(
            session.verdict() == "250 2.0.0 Delivered",
            "after {name}: {}",
            session.transcript
        );
        let messages = curl(&world.internet, &world.folder, ANNA, "INBOX")?;
        ensure!(messages.len() == done + 1, "Anna has {}", messages.len());
        find(&messages, &sent.sentence).with_context(|| format!("after {name}"))?;
    }
    Ok(())
}

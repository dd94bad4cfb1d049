//! An update of SpamAssassin's rules that is signed is in force after the next
//! start of the app; one that a stranger signed is not, and mail comes in.

use super::internet::MAIL;
use super::letter::{added_header, find, letter};
use super::readers::curl;
use super::senders::swaks;
use super::world::{MAIL_LIMIT, World, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::image::sign::AppKey;
use crate::image::{Tree, rules};
use crate::qemu::Machine;
use crate::workspace;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;

const FROM: &str = "ada@sender.example";
/// It hits every message of this test.
const RULE: &str = "header PX_UPDATED Subject =~ /rules/\nscore PX_UPDATED 0.1\n";
const VERSION: &str = "2026112401\n";
const ENDS: [&str; 3] = ["img", "verity", "sig"];

/// The update twice, for the card: signed by the key of the image and by one
/// that no box knows.
pub(super) fn brought(folder: &Path) -> Result<Tree> {
    let mut update = Tree::default();
    update.put_file("VERSION", VERSION);
    update.put_file("80_new.cf", RULE);
    let keys = [
        ("ours", workspace::target().join("image/app-key")),
        ("strange", folder.join("strange-key")),
    ];
    let mut tree = Tree::default();
    for (name, key) in keys {
        let out = folder.join("rules").join(name);
        rules::make(&update, &AppKey::for_development(&key)?, &out)?;
        for end in ENDS {
            let file = fs::read(out.join(format!("rules.{end}")))?;
            tree.put_file(&format!("rules/{name}/rules.{end}"), file);
        }
    }
    Ok(tree)
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    for (round, name, words, is_in_force) in [
        (1, "ours", "email: rules 2026112401 of the update", true),
        (
            2,
            "strange",
            "of the image: the update is not used: /data/apps/email/updates/rules.verity: signed by none",
            false,
        ),
        (3, "ours", "email: rules 2026112401 of the update", true),
    ] {
        restart_with(&mut machine, &mut agent, name, words)?;
        let subject = format!("Round {round}: the rules are {name}");
        let sent = letter(MAIL, FROM, ANNA.address, &subject);
        let session = swaks(&world.internet, MAIL, FROM, ANNA.address, &sent.bytes)?;
        ensure!(
            session.verdict() == "250 2.0.0 Delivered",
            "{name}: {}",
            session.transcript
        );
        let messages = curl(&world.internet, &world.folder, ANNA, "INBOX")?;
        let header = added_header(find(&messages, &sent.sentence)?, &sent.bytes)?;
        ensure!(
            header.contains("PX_UPDATED") == is_in_force,
            "{name}:\n{header}"
        );
    }
    Ok(())
}

/// Puts the update on the box, and has the app started again by the end of its
/// supervisor, until the console says `words` once more.
fn restart_with(machine: &mut Machine, agent: &mut Agent, name: &str, words: &str) -> Result<()> {
    for end in ENDS {
        let from = format!("rules/{name}/rules.{end}");
        agent.ask(&[
            "bring",
            &from,
            &format!("/data/apps/email/updates/rules.{end}"),
        ])?;
    }
    let serial = machine.serial_text()?;
    let said = serial.matches(words).count();
    let ready = serial.matches("email: ready").count();
    agent.ask(&["kill", "SIGKILL", "supervisor"])?;
    machine.wait_for_serial(words, said + 1, MAIL_LIMIT)?;
    machine.wait_for_serial("email: ready", ready + 1, MAIL_LIMIT)?;
    wait_for_mail(machine)
}

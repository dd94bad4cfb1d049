//! What the tests of the mail path start from: an unlocked box whose moment
//! QEMU keeps. Two boxes that go on from it are the same box and know nothing
//! of each other, and the power can be cut on each. What they send and write
//! from there on is kept, so that it can be searched.

use super::Lab;
use super::first_boot_virt::claim;
use crate::agent::Agent;
use crate::capture::Capture;
use crate::qemu::{Board, Machine, Start};
use crate::snapshot;
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::path::Path;

const PASSPHRASE: &str = "kept by the test";
const BEFORE: &str = "/data/before";
const AFTER: &str = "/data/after";
const SECRET_FILE: &str = "/data/secret";
const SECRET: &str = "This sentence is on the encrypted disk only.";
const ON_THE_CARD: &str = "This sentence is written on the card in the clear.";
const ON_THE_WIRE: &str = "This-sentence-goes-to-the-page-in-the-clear.";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let kept = folder.join("kept.qcow2");
    snapshot::lay_over(&card, &kept)?;
    let mut machine = lab.start_from(Start::PowerOnToSave, Board::Virt, &kept, folder, None)?;
    machine.wait_for_page()?;
    claim(&mut machine, PASSPHRASE)?;
    Agent::connect(&mut machine)?.ask(&["write", BEFORE, "first"])?;
    machine.save()?;

    for copy in ["one.qcow2", "two.qcow2"] {
        let file = folder.join(copy);
        std::fs::copy(&kept, &file).with_context(|| file.display().to_string())?;
        let capture = Capture::into(folder);
        let recording = Some(capture.0.clone());
        let mut machine = lab.start_from(Start::Saved, Board::Virt, &file, folder, recording)?;
        let mut agent = Agent::connect(&mut machine)?;
        ensure!(agent.ask_text(&["read", BEFORE])? == "first");
        ensure!(
            agent.ask(&["read", AFTER]).is_err(),
            "{copy}: the other box's file is here"
        );
        machine.wait_for_page()?;
        let state = client::status(&machine.page())?.state;
        ensure!(state == State::Open, "{copy}: the box is {state:?}");
        agent.ask(&["write", AFTER, copy])?;
        agent.ask(&["write", SECRET_FILE, SECRET])?;
        say_in_the_clear(&mut machine, &mut agent)?;
        machine.cut_power()?;
        what_was_said_is_kept(&capture)?;
    }

    // What was synced after the moment is on that copy's disk.
    let file = folder.join("two.qcow2");
    let mut machine = lab.start_from(Start::PowerOnToSave, Board::Virt, &file, folder, None)?;
    machine.wait_for_page()?;
    let answer = client::unlock(&machine.page(), PASSPHRASE)?;
    ensure!(answer.ok, "after the cut: {answer:?}");
    let mut agent = Agent::connect(&mut machine)?;
    ensure!(agent.ask_text(&["read", AFTER])? == "two.qcow2");
    machine.cut_power()?;
    Ok(())
}

fn say_in_the_clear(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    // The end of the start partition, which is free; it is mounted read-only.
    agent.ask(&["write-end", "/dev/vda1", ON_THE_CARD])?;
    // No such page, but the question is on the wire.
    client::page(&format!("{}/{ON_THE_WIRE}", machine.page())).ok();
    Ok(())
}

fn what_was_said_is_kept(capture: &Capture) -> Result<()> {
    ensure!(
        capture.on_the_wire(ON_THE_WIRE)?,
        "what was asked is not among the packets"
    );
    ensure!(
        capture.on_the_card(ON_THE_CARD)?,
        "what was written is not among the writes"
    );
    ensure!(
        !capture.on_the_wire(SECRET)? && !capture.on_the_card(SECRET)?,
        "what is on the encrypted disk only stands in the clear"
    );
    Ok(())
}

//! What the tests of the mail path start from: an unlocked box whose moment
//! QEMU keeps. Two boxes that go on from it are the same box and know nothing
//! of each other, and the power can be cut on each.

use super::Lab;
use super::first_boot_virt::claim;
use crate::agent::Agent;
use crate::qemu::{Board, Start};
use crate::snapshot;
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::path::Path;

const PASSPHRASE: &str = "kept by the test";
const BEFORE: &str = "/data/before";
const AFTER: &str = "/data/after";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let kept = folder.join("kept.qcow2");
    snapshot::lay_over(&card, &kept)?;
    let mut machine = lab.start_from(Start::PowerOnToSave, Board::Virt, &kept, folder)?;
    machine.wait_for_page()?;
    claim(&mut machine, PASSPHRASE)?;
    Agent::connect(&mut machine)?.ask(&["write", BEFORE, "first"])?;
    machine.save()?;

    for copy in ["one.qcow2", "two.qcow2"] {
        let file = folder.join(copy);
        std::fs::copy(&kept, &file).with_context(|| file.display().to_string())?;
        let mut machine = lab.start_from(Start::Saved, Board::Virt, &file, folder)?;
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
        machine.cut_power()?;
    }

    // What was synced after the moment is on that copy's disk.
    let file = folder.join("two.qcow2");
    let mut machine = lab.start_from(Start::PowerOnToSave, Board::Virt, &file, folder)?;
    machine.wait_for_page()?;
    let answer = client::unlock(&machine.page(), PASSPHRASE)?;
    ensure!(answer.ok, "after the cut: {answer:?}");
    let mut agent = Agent::connect(&mut machine)?;
    ensure!(agent.ask_text(&["read", AFTER])? == "two.qcow2");
    machine.cut_power()?;
    Ok(())
}

//! Both copies of the disk's header are lost: the box says so and lets nobody claim it,
//! and the recovery key brings the header back from the card.

use super::Lab;
use super::first_boot_virt::claim_with_key;
use crate::agent::Agent;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

const OLD: &str = "given on the first day";
const NEW: &str = "given after the damage";
/// A recovery key whose checksum is right.
const SOMEBODY_ELSES: &str = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong";
const FILE: &str = "/data/test-sentence.txt";
const SENTENCE: &str = "What was there before the header was lost.";
const BACKUP: &str = "header-backup.img";
const WRITTEN: &str = "projectx: disk: a backup of its header is on the card";
const LIMIT: Duration = Duration::from_secs(240);
/// The first copies of the header in both places (LUKS2 On-Disk Format Specification, 2.1).
const BOTH_HEADERS: usize = 0x8000;
/// The HTTP statuses of a wrong key, and of what is not possible now.
const WRONG_KEY: u16 = 401;
const CONFLICT: u16 = 409;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let words = first_day(lab, &card, folder).context("first day")?;
    card_image::check_fat(&card)?;
    let backup = card_image::read_file(&card, BACKUP).context("the backup on the card")?;

    // Zeros, which look most like a disk that nobody has claimed.
    let data = card_image::partition(&card, 2)?;
    card_image::overwrite_start(&card, data, &[0; BOTH_HEADERS])?;
    the_day_of_the_damage(lab, &card, folder, &words).context("the day of the damage")?;
    afterwards(lab, &card, folder).context("afterwards")?;
    card_image::check_fat(&card)?;
    let left = card_image::read_file(&card, BACKUP)?;
    ensure!(left == backup, "the backup was changed by being used");
    Ok(())
}

/// The recovery key, confirmed; a file on the disk.
fn first_day(lab: &Lab, card: &Path, folder: &Path) -> Result<String> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let words = claim_with_key(&mut machine, OLD)?;
    let mut agent = Agent::connect(&mut machine)?;
    let files = agent.ask_text(&["list", "/run/card"])?;
    ensure!(
        !files.contains(BACKUP),
        "a backup before the owner has the key: {files}"
    );
    let page = machine.page();
    let confirmed = client::confirm_recovery_key(&page, &words)?;
    ensure!(confirmed.ok, "the recovery key: {confirmed:?}");
    machine.wait_for_serial(WRITTEN, 1, LIMIT)?;
    agent.ask(&["write", FILE, SENTENCE])?;
    let answer = client::power(&page, "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(LIMIT)?;
    Ok(words)
}

fn the_day_of_the_damage(lab: &Lab, card: &Path, folder: &Path, words: &str) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    machine.wait_for_serial("projectx: disk: its header is damaged", 1, LIMIT)?;
    let page = machine.page();
    let state = client::status(&page)?.state;
    ensure!(state == State::Damaged, "a damaged disk is {state:?}");
    let html = client::page(&page)?.html;
    ensure!(html.contains("needs your recovery key"), "the page: {html}");
    for answer in [
        client::claim(&page, NEW, None)?,
        client::unlock(&page, OLD)?,
    ] {
        ensure!(
            answer.http_status == CONFLICT,
            "claimed or unlocked: {answer:?}"
        );
    }
    let wrong = client::recover(&page, SOMEBODY_ELSES, NEW)?;
    ensure!(wrong.http_status == WRONG_KEY, "somebody else's: {wrong:?}");
    std::thread::sleep(Duration::from_secs(wrong.retry_after + 1));
    let right = client::recover(&page, words, NEW)?;
    ensure!(right.ok, "the recovery key was refused: {right:?}");
    machine.wait_for_serial("disk: its header was restored from the card", 1, LIMIT)?;
    machine.wait_for_serial("projectx: unlocked", 1, LIMIT)?;
    let mut agent = Agent::connect(&mut machine)?;
    let text = agent.ask_text(&["read", FILE])?;
    ensure!(text == SENTENCE, "{FILE} is {text:?}");
    ensure!(
        !machine.serial_text()?.contains(WRITTEN),
        "a good backup was written again"
    );
    machine.cut_power()?;
    Ok(())
}

/// The box is as after a forgotten passphrase.
fn afterwards(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    let state = client::status(&page)?.state;
    ensure!(state == State::Locked, "a restored disk is {state:?}");
    let old = client::unlock(&page, OLD)?;
    ensure!(
        old.http_status == WRONG_KEY,
        "the old passphrase came back with the header: {old:?}"
    );
    std::thread::sleep(Duration::from_secs(old.retry_after + 1));
    let new = client::unlock(&page, NEW)?;
    ensure!(new.ok, "the new passphrase was refused: {new:?}");
    let answer = client::power(&page, "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(LIMIT)?;
    Ok(())
}

//! A card that fails bit by bit: the owner reads on the page what happened and what to
//! do, also after a restart, and on a healthy card reads nothing of the kind.
//!
//! Four starts of one card: healthy; with a file in the encrypted disk that can't be
//! read, a changed block in the system image and one in the app's, and a file system
//! that gives up; mended, where what was noticed is still shown, the log of the starts
//! before can be read, and an idle box writes next to nothing; and a card that takes no
//! writes at all.

mod squashfs;
mod writes;

use super::Lab;
use super::first_boot_virt::{claim, opened_volume};
use crate::agent::Agent;
use crate::card_image;
use crate::qemu::{Board, CardFault, Machine, Start};
use anyhow::{Context, Result, ensure};
use console::client;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "a card that fails bit by bit";
const FILE: &str = "/data/a-file-that-nobody-needs";
/// On the card, and of its images: a program that nothing on the box starts, and one
/// that the app can't do without.
const IMAGES: [(&str, &str); 2] = [
    ("a/system.img", "usr/bin/projectx"),
    ("a/email.img", "roots/unbound/usr/sbin/unbound"),
];
/// The supervisor looks every five seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// Starting the app under emulation.
const MAIL_LIMIT: Duration = Duration::from_secs(240);
/// Sectors from the start of the partition to the data that LUKS2 encrypts: 16 MiB.
const LUKS_HEADER: u64 = 32_768;
/// Sectors in a block of ext4.
const BLOCK: u64 = 8;

const FAILING: &str = "The card is failing";
const READING: &str = "The card could not be read in a place.";
const SYSTEM: &str = "A part of the box's own system has changed on the card.";
const APP: &str = "A part of the mail programs has changed on the card.";
const FILE_SYSTEM: &str = "list of your files contradicted itself";
const READ_ONLY: &str = "takes no changes any more";
const WRITING: &str = "The card did not store something that the box wrote.";
const ADVICE: &str = "Copy your mail, then replace the card:";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let sector = healthy(lab, &card, folder).context("a healthy card")?;
    let flipped = change_images(&card)?;
    failing(lab, &card, folder, sector).context("a failing card")?;
    for at in flipped {
        flip(&card, at)?;
    }
    remembers(lab, &card, folder).context("the start after it")?;
    takes_no_writes(lab, &card, folder).context("a card that takes no writes")
}

/// Claims the box and returns the sector in which a file of the encrypted disk begins.
fn healthy(lab: &Lab, card: &Path, folder: &Path) -> Result<u64> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    claim(&mut machine, PASSPHRASE)?;
    let mut agent = Agent::connect(&mut machine)?;
    gives_nothing_away(&mut agent)?;
    machine.wait_for_serial("email: ready", 1, MAIL_LIMIT)?;
    agent.ask(&["write", FILE, &"A letter. ".repeat(500)])?;
    let block: u64 = agent.ask_text(&["block-of", FILE])?.parse()?;
    ensure!(block > 0, "{FILE} lies nowhere");
    shows(&mut machine, &[], &[FAILING, ADVICE])?;
    switch_off(machine)?;
    let data = card_image::partition(card, 2)?;
    Ok(u64::from(data.start) + LUKS_HEADER + block * BLOCK)
}

/// Nothing of the encrypted disk tells the card what is free, and nothing is swapped.
fn gives_nothing_away(agent: &mut Agent) -> Result<()> {
    let volume = opened_volume(agent)?;
    let volume = volume.trim_start_matches("/dev/");
    let mut takes_discards = |device: &str| -> Result<bool> {
        let file = format!("/sys/block/{device}/queue/discard_max_bytes");
        Ok(agent.ask_text(&["read", &file])? != "0")
    };
    ensure!(takes_discards("vda")?, "this card would take none anyway");
    ensure!(
        !takes_discards(volume)?,
        "the encrypted disk passes discards on to the card"
    );
    let mounts = agent.ask_text(&["read", "/proc/1/mounts"])?;
    let data = mounts.lines().find(|line| line.contains(" /data "));
    let data = data.context("/data is not mounted")?;
    let mut options = data.split([' ', ',']);
    ensure!(
        !options.any(|option| option == "discard"),
        "/data is mounted so: {data}"
    );
    let swaps = agent.ask_text(&["read", "/proc/swaps"])?;
    ensure!(swaps.lines().count() == 1, "something is swapped: {swaps}");
    Ok(())
}

/// Changes a bit in each image; returns where, in bytes from the card's start.
fn change_images(card: &Path) -> Result<Vec<u64>> {
    let change = |(image, file): (&str, &str)| -> Result<u64> {
        let bytes = card_image::read_file(card, image)?;
        let within =
            squashfs::first_byte_of(&bytes, file).with_context(|| format!("{file} in {image}"))?;
        // A few blocks on, so that no other file shares the changed one.
        let at = card_image::first_sector_of(card, image)? * 512 + within + 8192;
        flip(card, at)?;
        Ok(at)
    };
    IMAGES.into_iter().map(change).collect()
}

fn flip(card: &Path, at: u64) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(card)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1;
    file.write_all_at(&byte, at)?;
    Ok(())
}

/// Each damage shows when it is met.
fn failing(lab: &Lab, card: &Path, folder: &Path, sector: u64) -> Result<()> {
    let start = Start::PowerOnWith(CardFault::Unreadable(sector));
    let mut machine = lab.start_from(start, Board::Virt, card, folder, None)?;
    machine.wait_for_page()?;
    shows(&mut machine, &[], &[FAILING])?;
    let answer = client::unlock(&machine.page(), PASSPHRASE)?;
    ensure!(answer.ok, "unlocking: {answer:?}");
    shows(&mut machine, &[FAILING, APP, ADVICE], &[READING, SYSTEM])?;

    let mut agent = Agent::connect(&mut machine)?;
    ensure!(
        agent.run("exec", &["/usr/bin/projectx", "--help"]).is_err(),
        "a changed program runs"
    );
    shows(&mut machine, &[SYSTEM, APP], &[READING])?;
    ensure!(
        agent.ask(&["read", FILE]).is_err(),
        "the file can be read all the same"
    );
    shows(
        &mut machine,
        &[SYSTEM, APP, READING],
        &[READ_ONLY, FILE_SYSTEM, WRITING],
    )?;

    // The kernel's own way to try what happens. It can't be synced: an error is no news.
    let volume = opened_volume(&mut agent)?;
    let name = volume.trim_start_matches("/dev/");
    let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
    agent.ask(&["write", &trigger, "1"]).ok();
    shows(
        &mut machine,
        &[SYSTEM, APP, READING, READ_ONLY, FILE_SYSTEM],
        &[WRITING],
    )?;
    switch_off(machine)
}

/// What was noticed is still shown, once the disk is open.
fn remembers(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    shows(&mut machine, &[], &[FAILING])?;
    let answer = client::unlock(&machine.page(), PASSPHRASE)?;
    ensure!(answer.ok, "unlocking: {answer:?}");
    shows(
        &mut machine,
        &[SYSTEM, APP, READING, FILE_SYSTEM, ADVICE],
        &[WRITING],
    )?;
    machine.wait_for_serial("email: ready", 1, MAIL_LIMIT)?;
    let mut agent = Agent::connect(&mut machine)?;
    ensure!(agent.ask(&["read", FILE]).is_ok(), "the file is lost");
    the_log_tells(&mut agent)?;
    writes::next_to_none(&mut machine, &mut agent)?;
    switch_off(machine)
}

/// The log of the starts before can be read, and has no secret.
fn the_log_tells(agent: &mut Agent) -> Result<()> {
    let log = agent.run("exec", &["/usr/bin/projectx", "log"])?;
    // The first start ended in order; the second noticed damage and wrote it down.
    for line in [
        "email: ready",
        "email: stopped",
        "damage: app",
        "damage: reading",
    ] {
        let found = log.lines().filter(|said| said.ends_with(line)).count();
        ensure!(found > 0, "the log does not say {line:?}:\n{log}");
    }
    ensure!(
        log.matches(" unlocked\n").count() >= 3,
        "not the log of three starts:\n{log}"
    );
    ensure!(!log.contains(PASSPHRASE), "the log has the passphrase");
    let owner = agent.ask_text(&["owner", "/data/system/log/log"])?;
    ensure!(owner == "0", "the log belongs to {owner}");
    Ok(())
}

/// A worn-out card: what it does not store is told, at the latest when it is unlocked.
fn takes_no_writes(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let start = Start::PowerOnWith(CardFault::Unwritable);
    let mut machine = lab.start_from(start, Board::Virt, card, folder, None)?;
    machine.wait_for_page()?;
    let answer = client::unlock(&machine.page(), PASSPHRASE)?;
    eprintln!("  disk_failing: unlocking a card that takes no writes: {answer:?}");
    shows(&mut machine, &[FAILING, WRITING, ADVICE], &[])?;
    machine.cut_power()?;
    Ok(())
}

/// Waits until the page has all of these words, and looks that it has none of the others.
fn shows(machine: &mut Machine, words: &[&str], others: &[&str]) -> Result<()> {
    let mut html = String::new();
    let done = machine.wait_until("the words on the page", LIMIT, |machine| {
        // The page is made anew when its process met a changed block.
        html = client::page(&machine.page()).map_or(String::new(), |page| page.html);
        let there = !html.is_empty() && words.iter().all(|words| html.contains(words));
        Ok(there.then_some(()))
    });
    done.with_context(|| format!("the page shall say {words:?} and is:\n{html}"))?;
    let other = others.iter().find(|words| html.contains(**words));
    ensure!(other.is_none(), "the page says {other:?}:\n{html}");
    Ok(())
}

fn switch_off(mut machine: Machine) -> Result<()> {
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    Ok(machine.wait_for_power_off(Duration::from_secs(90))?)
}

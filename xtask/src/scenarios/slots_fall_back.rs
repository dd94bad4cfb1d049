//! Slots: a trial that never starts is given up after three tries, and a trial
//! whose page answers becomes the good slot. Both by the card's own script and
//! counter; nothing but files of the card is changed.

use super::Lab;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const TRIAL_OF_B: &[u8] = b"slot=b\ngood=a\ntries=0\n";
const FASTER_IN_QEMU: &[u8] = b"args=nokaslr\n";
/// What the boot script says of a slot whose kernel cannot be loaded.
const NOT_STARTED: &str = "slot b does not start";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    an_empty_slot_is_given_up(lab, folder).context("trial of an empty slot")?;
    a_working_slot_is_kept(lab, folder).context("trial of a working slot")
}

fn an_empty_slot_is_given_up(lab: &Lab, folder: &Path) -> Result<()> {
    let files: [(&str, &[u8]); 2] = [("ab.env", TRIAL_OF_B), ("debug.env", FASTER_IN_QEMU)];
    let card = lab.card_with(folder, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_serial(NOT_STARTED, 3, Duration::from_secs(120))?;
    machine.wait_for_page()?;
    let tries = machine.serial_text()?.matches(NOT_STARTED).count();
    ensure!(tries == 3, "{tries} tries of the empty slot instead of 3");
    machine.cut_power()?;
    expect_counter(&card, "a", "a")
}

fn a_working_slot_is_kept(lab: &Lab, folder: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(&lab.zip)?)?;
    let mut contents = Vec::new();
    for name in [
        "Image.gz",
        "initrd",
        "system.img",
        "email.img",
        "email.verity",
        "email.sig",
    ] {
        let mut bytes = Vec::new();
        archive
            .by_name(&format!("a/{name}"))?
            .read_to_end(&mut bytes)?;
        contents.push((format!("b/{name}"), bytes));
    }
    let mut files: Vec<(&str, &[u8])> = vec![("ab.env", TRIAL_OF_B), ("debug.env", FASTER_IN_QEMU)];
    files.extend(
        contents
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    );
    let card = lab.card_with(folder, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_serial("early: system image of slot b", 1, Duration::from_secs(60))?;
    machine.wait_for_serial("projectx: slot b is good", 1, Duration::from_secs(60))?;
    machine.cut_power()?;
    expect_counter(&card, "b", "b")
}

/// `ab.env` says this, no try is counted, and the FAT is clean although both
/// U-Boot and the box have written to it.
fn expect_counter(card: &Path, slot: &str, good: &str) -> Result<()> {
    let bytes = card_image::read_file(card, "ab.env")?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text
        .split(['\n', '\0'])
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    let expected = [
        format!("good={good}"),
        format!("slot={slot}"),
        "tries=0".to_owned(),
    ];
    ensure!(
        lines == expected,
        "ab.env holds {lines:?} instead of {expected:?}"
    );
    card_image::check_fat(card)?;
    Ok(())
}

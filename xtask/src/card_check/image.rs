//! The image of a card: its partition table, its file system and the files in it.

use super::{Findings, firmware};
use crate::card_image;
use crate::tool::tool;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const SECTOR: u64 = 512;
const FAT32: [u8; 2] = [0x0b, 0x0c];

/// Checks the image `name` in `folder`, which is where it was unpacked to.
pub fn check(name: &str, folder: &Path, findings: &mut Findings) -> Result<()> {
    let image = folder.join(name);
    let Ok(size) = fs::metadata(&image).map(|found| found.len()) else {
        // That it did not come out has been told.
        return Ok(());
    };
    if !name.ends_with(".img") {
        findings.error(
            name,
            "the ZIP's only entry would be written raw onto the card, and is no .img",
        );
    }
    if size % SECTOR != 0 || size == 0 {
        findings.error(name, format!("{size} bytes are no whole number of sectors"));
        return Ok(());
    }
    let first = match card_image::partition(&image, 1) {
        Ok(first) => first,
        Err(error) => {
            findings.error(name, format!("has no partition 1 in an MBR ({error})"));
            return Ok(());
        }
    };
    if !FAT32.contains(&first.kind) {
        findings.error(
            name,
            format!(
                "partition 1 is of type {:02x}; the ROM starts from 0b and 0c (FAT32)",
                first.kind
            ),
        );
        return Ok(());
    }
    let end = u64::from(first.start) + u64::from(first.sectors);
    if end * SECTOR > size {
        findings.error(name, "partition 1 ends behind the end of the image");
        return Ok(());
    }
    for number in 2..=4 {
        if card_image::partition(&image, number).is_ok() {
            findings.error(
                name,
                format!("has a partition {number}, which first boot refuses"),
            );
        }
    }
    if let Err(error) = card_image::check_fat(&image) {
        findings.error(name, format!("the file system is not clean: {error}"));
        return Ok(());
    }
    let files = tempfile::tempdir().context("a temporary folder")?;
    let place = format!("{}@@{}", image.display(), u64::from(first.start) * SECTOR);
    let copied = tool("mcopy", "mtools")
        .env("MTOOLS_SKIP_CHECK", "1")
        .args(["-s", "-n", "-i", &place, "::/*"])
        .arg(files.path())
        .run();
    match copied {
        Ok(()) => firmware::check(files.path(), findings),
        Err(error) => findings.error(name, format!("its files can't be read: {error}")),
    }
    Ok(())
}

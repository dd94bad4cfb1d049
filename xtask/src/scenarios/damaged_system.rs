//! dm-verity: a system image with one changed bit is not started, and PID 1's
//! emergency path restarts the box instead of leaving it half alive.
//!
//! The bit is in the squashfs superblock's modification time (offset 8), which
//! nothing but the hash tree checks: without verity the box would just boot.

use super::Lab;
use crate::qemu::Board;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let mut image = Vec::new();
    zip::ZipArchive::new(File::open(&lab.zip)?)?
        .by_name("a/system.img")?
        .read_to_end(&mut image)?;
    ensure!(image.starts_with(b"hsqs"), "a/system.img is no squashfs");
    *image.get_mut(8).context("a/system.img is empty")? ^= 1;
    let files: [(&str, &[u8]); 2] = [("a/system.img", &image), ("debug.env", b"args=nokaslr\n")];
    let card = lab.card_with(folder, &files)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_serial("init: emergency", 1, LIMIT)?;
    machine.wait_for_serial("U-Boot 20", 2, LIMIT)?;
    ensure!(
        !machine
            .serial_text()?
            .contains("init: starting the supervisor"),
        "a changed system image was started"
    );
    machine.cut_power()?;
    Ok(())
}

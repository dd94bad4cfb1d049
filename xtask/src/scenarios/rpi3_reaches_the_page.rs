//! The ZIP that users get, through U-Boot on a Raspberry Pi 3, to its page.
//!
//! The proof is the serial line `projectx: page ready`, which the supervisor
//! prints when the page has answered it with 200. The page is not fetched from
//! the host: QEMU's USB network did not bring the packets through (2026-11-24).
//! The watchdog stays closed, since opening it resets this machine in QEMU.

use super::Lab;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "projectx.watchdog=off")?;
    let mut machine = lab.start(Board::Rpi3, &card, folder)?;
    machine.wait_for_serial("projectx: page ready", 1, Duration::from_secs(240))?;
    ensure!(
        machine.serial_text()?.matches("Starting kernel").count() == 1,
        "the board was reset on its way to the page"
    );
    machine.cut_power()?;
    card_image::partition(&card, 2)?;
    card_image::check_fat(&card)?;
    Ok(())
}

//! The ZIP that users get, through U-Boot on a Raspberry Pi 3, to its page.
//!
//! The page is fetched over the board's USB network, so its driver, DHCP and the
//! page itself work on the Pi's kernel, device tree and U-Boot. QEMU has the
//! network adapter of no Pi: it is one of QEMU's own (`cdc_ether`). The
//! watchdog stays closed, since opening it resets this machine in QEMU.

use super::Lab;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "projectx.watchdog=off")?;
    let mut machine = lab.start(Board::Rpi3, &card, folder)?;
    machine.wait_for_serial("projectx: page ready", 1, Duration::from_secs(240))?;
    machine.wait_for_page()?;
    let state = client::status(&machine.page())?.state;
    ensure!(state == State::Unclaimed, "a fresh card shows {state:?}");
    ensure!(
        machine.serial_text()?.matches("Starting kernel").count() == 1,
        "the board was reset on its way to the page"
    );
    machine.cut_power()?;
    card_image::partition(&card, 2)?;
    card_image::check_fat(&card)?;
    Ok(())
}

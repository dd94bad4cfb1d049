//! The ZIP that users get, through U-Boot on a Raspberry Pi 3, to a passphrase.
//!
//! The page is fetched over the board's USB network and the disk made on its SD
//! card, so all of this works with the Pi's kernel, device tree and U-Boot. QEMU
//! has the network adapter of no Pi: it is one of QEMU's own (`cdc_ether`). The
//! watchdog stays closed, since opening it resets this machine in QEMU.

use super::Lab;
use super::first_boot_virt::claim;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "projectx.watchdog=off")?;
    let mut machine = lab.start(Board::Rpi3, &card, folder)?;
    machine.wait_for_page()?;
    let state = client::status(&machine.page())?.state;
    ensure!(state == State::Unclaimed, "a fresh card shows {state:?}");
    claim(&mut machine, "a passphrase on a Raspberry Pi")?;
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(Duration::from_secs(90))?;
    ensure!(
        machine.serial_text()?.matches("Starting kernel").count() == 1,
        "the board was reset on its way to the page"
    );
    let data = card_image::partition(&card, 2)?;
    ensure!(
        &card_image::first_bytes::<6>(&card, data)? == b"LUKS\xba\xbe",
        "the second partition does not begin with a LUKS header"
    );
    card_image::check_fat(&card)?;
    Ok(())
}

//! The ZIP that users get, through U-Boot on a Raspberry Pi 3, to a passphrase.
//!
//! Its screen shows where the page is: the QR code is read from a picture of the screen,
//! and leads where the test itself goes.
//!
//! The page is fetched over the board's USB network and the disk made on its SD
//! card, so all of this works with the Pi's kernel, device tree and U-Boot. QEMU
//! has the network adapter of no Pi: it is one of QEMU's own (`cdc_ether`). The
//! watchdog stays closed, since opening it resets this machine in QEMU.

use super::Lab;
use super::first_boot_virt::claim;
use crate::card_image;
use crate::qemu::{ADDRESS, Board, Machine};
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// What is told must hold for 5 s, and QEMU's Pi is slow.
const SCREEN_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "projectx.watchdog=off")?;
    let mut machine = lab.start(Board::Rpi3, &card, folder)?;
    machine.wait_for_page()?;
    let state = client::status(&machine.page())?.state;
    ensure!(state == State::Unclaimed, "a fresh card shows {state:?}");
    screen_leads_to_the_page(&mut machine)?;
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

/// [`Machine::page`] is the way to the page at [`ADDRESS`]: QEMU is told to lead there.
fn screen_leads_to_the_page(machine: &mut Machine) -> Result<()> {
    let code = machine.wait_until("a QR code on the screen", SCREEN_LIMIT, |machine| {
        Ok(machine.screen()?.codes().pop())
    })?;
    ensure!(
        code == format!("http://{ADDRESS}"),
        "the QR code leads to {code}, the page is at {ADDRESS}"
    );
    let serial = machine.serial_text()?;
    let certificate = serial
        .split_once("projectx: page certificate SHA-256 ")
        .and_then(|(_, rest)| rest.lines().next())
        .context("no certificate on the serial console")?;
    let lines = words(ADDRESS, certificate);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let screen = machine.screen()?;
    ensure!(
        screen.shows(&lines),
        "these words do not stand on the screen: {lines:#?}"
    );
    Ok(())
}

/// What stands beside the code.
fn words(address: Ipv4Addr, certificate: &str) -> Vec<String> {
    let mut lines = vec![
        "Open this page on a phone or computer in".to_owned(),
        "the same network:".to_owned(),
        String::new(),
        "  http://projectx.local".to_owned(),
        String::new(),
        "Some Android phones do not find that name.".to_owned(),
        "Then point the phone's camera at the code,".to_owned(),
        "or open".to_owned(),
        String::new(),
        format!("  http://{address}"),
        String::new(),
        "page certificate SHA-256, for https:".to_owned(),
    ];
    let pairs: Vec<&str> = certificate.split(':').collect();
    lines.extend(pairs.chunks(8).map(|part| format!("  {}", part.join(":"))));
    lines
}

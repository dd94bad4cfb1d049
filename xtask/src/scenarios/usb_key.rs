//! The key on a USB stick: off on a new box, which reads no stick then. Turned on, the
//! stick opens the box by itself; without it, and with somebody else's, the box stays
//! locked. Turned off, the stick is an ordinary one again.

use super::Lab;
use super::first_boot_virt::claim;
use crate::agent::Agent;
use crate::card_image;
use crate::qemu::Machine;
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "correct horse battery staple";
const WRONG_KEY: u16 = 401;
/// Somebody's file, which stays as it is.
const PHOTO: (&str, &[u8]) = ("HOLIDAY.JPG", b"not really a picture");
const OPENED: &str = "projectx: usb key: the stick opens the disk";
const LIMIT: Duration = Duration::from_secs(240);
/// A stick would have been found within this time, by far.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let stick = folder.join("stick.img");
    card_image::make_stick(&stick, &[PHOTO])?;
    turn_on(lab, &card, folder, &stick).context("turning it on")?;
    let file = key_file(&stick)?.context("no key on the stick")?;
    let key = card_image::read_file(&stick, &file)?;
    ensure!(
        key.len() == 64 && key.iter().all(u8::is_ascii_hexdigit),
        "{file} has {} bytes",
        key.len()
    );

    opens_by_itself(lab, &card, folder, &stick).context("with the stick")?;
    let another = folder.join("another.img");
    let name_only: (&str, &[u8]) = (&file, &[b'0'; 64]);
    card_image::make_stick(&another, &[name_only])?;
    turn_off_without_it(lab, &card, folder, &another).context("with another's stick")?;
    let mut machine = stays_locked(lab, &card, folder, Some(&stick)).context("turned off")?;
    reads_no_stick(&mut Agent::connect(&mut machine)?).context("turned off")?;
    machine.cut_power()?;
    for stick in [&stick, &another] {
        card_image::check_fat(stick)?;
    }
    ensure!(
        card_image::read_file(&stick, PHOTO.0)? == PHOTO.1,
        "another file on the stick was changed"
    );
    card_image::check_fat(&card)?;
    Ok(())
}

fn key_file(stick: &Path) -> Result<Option<String>> {
    let names = card_image::root_names(stick)?;
    let mut keys = names
        .into_iter()
        .filter(|name| name.starts_with("projectx-key-"));
    Ok(keys.next())
}

fn turn_on(lab: &Lab, card: &Path, folder: &Path, stick: &Path) -> Result<()> {
    let mut machine = lab.start_with_stick(card, folder, Some(stick))?;
    machine.wait_for_page()?;
    claim(&mut machine, PASSPHRASE)?;
    let page = machine.page();
    let shown = client::text_of(&page, "/usb-key")?;
    ensure!(shown.contains("This is off"), "a new box: {shown}");
    let mut agent = Agent::connect(&mut machine)?;
    reads_no_stick(&mut agent).context("a new box")?;
    let wrong = client::usb_key(&page, "on", "not the passphrase")?;
    ensure!(wrong.http_status == WRONG_KEY, "turned on: {wrong:?}");
    reads_no_stick(&mut agent).context("after a wrong passphrase")?;
    std::thread::sleep(Duration::from_secs(wrong.retry_after + 1));
    let right = client::usb_key(&page, "on", PASSPHRASE)?;
    ensure!(right.ok, "not turned on: {right:?}");
    machine.wait_for_serial("projectx: usb key: turned on", 1, LIMIT)?;
    let mounts = agent.ask_text(&["read", "/proc/1/mounts"])?;
    ensure!(
        !mounts.contains("/dev/sd"),
        "the stick is still mounted: {mounts}"
    );
    let shown = client::text_of(&page, "/usb-key")?;
    ensure!(shown.contains("It is on"), "turned on: {shown}");
    switch_off(machine)
}

/// The kernel has no driver for sticks.
fn reads_no_stick(agent: &mut Agent) -> Result<()> {
    let modules = agent.ask_text(&["read", "/proc/modules"])?;
    for driver in ["usb_storage", "uas", "sd_mod"] {
        ensure!(
            !modules
                .lines()
                .any(|line| line.starts_with(&format!("{driver} "))),
            "{driver} is loaded"
        );
    }
    Ok(())
}

fn opens_by_itself(lab: &Lab, card: &Path, folder: &Path, stick: &Path) -> Result<()> {
    let mut machine = lab.start_with_stick(card, folder, Some(stick))?;
    machine.wait_for_page()?;
    machine.wait_for_serial(OPENED, 1, LIMIT)?;
    machine.wait_for_serial("projectx: unlocked", 1, LIMIT)?;
    let state = client::status(&machine.page())?.state;
    ensure!(state == State::Open, "with the stick it is {state:?}");
    switch_off(machine)
}

/// The stick is lost, and somebody else's of the right name is in the box.
fn turn_off_without_it(lab: &Lab, card: &Path, folder: &Path, another: &Path) -> Result<()> {
    let mut machine = stays_locked(lab, card, folder, None).context("without a stick")?;
    machine.cut_power()?;
    machine = stays_locked(lab, card, folder, Some(another))?;
    let said = "projectx: usb key: the stick does not open the disk";
    machine.wait_for_serial(said, 1, LIMIT)?;
    let page = machine.page();
    let waits = client::status(&page)?.retry_after;
    ensure!(waits == 0, "a stick makes the owner wait {waits} s");
    let right = client::unlock(&page, PASSPHRASE)?;
    ensure!(right.ok, "the passphrase was refused: {right:?}");
    let off = client::usb_key(&page, "off", PASSPHRASE)?;
    ensure!(off.ok, "not turned off: {off:?}");
    machine.wait_for_serial("projectx: usb key: turned off", 1, LIMIT)?;
    switch_off(machine)?;
    ensure!(
        key_file(another)?.is_none(),
        "the file is still on the stick that was in the box"
    );
    Ok(())
}

fn stays_locked(lab: &Lab, card: &Path, folder: &Path, stick: Option<&Path>) -> Result<Machine> {
    let mut machine = lab.start_with_stick(card, folder, stick)?;
    machine.wait_for_page()?;
    std::thread::sleep(PATIENCE);
    let state = client::status(&machine.page())?.state;
    ensure!(state == State::Locked, "it is {state:?}");
    ensure!(
        !machine.serial_text()?.contains(OPENED),
        "a stick opened the disk"
    );
    Ok(machine)
}

fn switch_off(mut machine: Machine) -> Result<()> {
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(LIMIT)?;
    Ok(())
}

//! The power goes while the passphrase is being set, when LUKS has a header
//! and no key yet: the box must come back new, and let itself be claimed.

use super::Lab;
use super::first_boot_virt::claim;
use crate::card_image;
use crate::qemu::Board;
use anyhow::{Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "nokaslr")?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    let claiming = std::thread::spawn(move || client::claim(&page, "given before the cut", None));
    machine.wait_for_serial("projectx: disk: being made", 1, Duration::from_secs(30))?;
    // The header is written at once; Argon2id with 256 MiB takes seconds here.
    let data = card_image::partition(&card, 2)?;
    machine.wait_until("a LUKS header on the card", Duration::from_secs(30), |_| {
        let start = card_image::first_bytes::<6>(&card, data).unwrap_or_default();
        Ok((&start == b"LUKS\xba\xbe").then_some(()))
    })?;
    let serial = machine.serial_text()?;
    ensure!(
        !serial.contains("projectx: unlocked"),
        "the cut came too late"
    );
    machine.cut_power()?;
    ensure!(
        !claiming.join().is_ok_and(|answer| answer.is_ok()),
        "the box answered although it was cut off"
    );

    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    let state = client::status(&machine.page())?.state;
    ensure!(
        state == State::Unclaimed,
        "after the cut the box is {state:?}"
    );
    claim(&mut machine, "given after the cut")?;
    machine.cut_power()?;
    Ok(())
}

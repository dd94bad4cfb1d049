//! The power goes while the passphrase is being set, when LUKS has a header
//! and no key yet: the box must come back new, and let itself be claimed.
//!
//! The card is one of 32 GiB with clusters of 64 KiB, all of whose files lie
//! where the data will be: first boot moves every one of them.

use super::Lab;
use super::first_boot_virt::claim;
use crate::card_image::{self, Layout};
use crate::qemu::Board;
use anyhow::{Result, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = folder.join("card.img");
    let layout = Layout {
        size: 32 << 30,
        sectors_per_cluster: Some(128),
        files_from_mib: 9000,
    };
    let extra: [(&str, &[u8]); 1] = [("debug.env", b"args=nokaslr\n")];
    card_image::make_laid_out(&lab.zip, &card, layout, &extra)?;
    let data = card_image::first_sector_of(&card, "a/system.img")?;
    ensure!(data > 9000 * 2048, "the files lie at the start: {data}");
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
    card_image::check_fat(&card)?;
    let changed = card_image::first_changed_file(&lab.zip, &card, &extra)?;
    ensure!(
        changed.is_none(),
        "a file was changed by its move: {changed:?}"
    );
    Ok(())
}

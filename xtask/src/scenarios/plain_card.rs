//! The ZIP's files and nothing else: no test agent, no `debug.env`, the
//! watchdog armed. What every other test adds for its own ends is absent here. The card
//! is as large as they come, and was in use before.

use super::Lab;
use crate::card_image::{self, Layout};
use crate::qemu::Board;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

/// Clusters of 32 KiB, and the files behind where the card will be cut.
const CARD: Layout = Layout {
    size: 256 << 30,
    sectors_per_cluster: Some(64),
    files_from_mib: 40_000,
};
/// Longer than the watchdog would wait (15 s).
const QUIET: Duration = Duration::from_secs(20);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = folder.join("card.img");
    card_image::make_laid_out(&lab.zip, &card, CARD, &[])?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    std::thread::sleep(QUIET);
    machine.wait_for_page()?;
    let serial = machine.serial_text()?;
    ensure!(
        serial.matches("Starting kernel").count() == 1,
        "a healthy box was reset"
    );
    machine.cut_power()?;
    card_image::check_fat(&card)?;
    let changed = card_image::first_changed_file(&lab.zip, &card, &[])?;
    ensure!(
        changed.is_none(),
        "a file is not as in the ZIP: {changed:?}"
    );
    Ok(())
}

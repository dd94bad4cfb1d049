//! A sector of the card fails while first boot moves files: the owner is told,
//! no file is lost, and where the sector can be read again the box goes on.

use super::Lab;
use crate::card_image::{self, Layout};
use crate::qemu::{Board, CardFault, Start};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = folder.join("card.img");
    let extra: [(&str, &[u8]); 1] = [("debug.env", b"args=nokaslr\n")];
    let layout = Layout {
        size: card_image::DEFAULT_SIZE,
        sectors_per_cluster: None,
        files_from_mib: 2000,
    };
    card_image::make_laid_out(&lab.zip, &card, layout, &extra)?;
    // Nobody reads the app before it is moved.
    let bad = card_image::first_sector_of(&card, "a/email.img")? + 20_001;
    ensure!(bad > 2000 * 2048, "the files lie at the start: {bad}");

    let start = Start::PowerOnWith(CardFault::Unreadable(bad));
    let mut machine = lab.start_from(start, Board::Virt, &card, folder, None)?;
    let words = "early: cannot move files on the card: Input/output error (os error 5); \
                 switch the box off and on to try again, and replace the card if this comes back";
    machine.wait_for_serial(words, 1, LIMIT)?;
    machine.cut_power()?;
    let changed = card_image::first_changed_file(&lab.zip, &card, &extra)?;
    ensure!(changed.is_none(), "a file was changed: {changed:?}");
    ensure!(
        card_image::partition(&card, 2).is_err(),
        "there is a second partition although the files were not moved"
    );

    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_serial("early: card shrunk, partition 2 added", 1, LIMIT)?;
    machine.wait_for_serial("early: system image of slot a", 1, LIMIT)?;
    machine.cut_power()?;
    card_image::check_fat(&card)?;
    let changed = card_image::first_changed_file(&lab.zip, &card, &extra)?;
    ensure!(
        changed.is_none(),
        "a file was changed by its move: {changed:?}"
    );
    Ok(())
}

//! Cards that the box may not change: one that is locked, and one with a
//! partition that it did not make. Both are explained in the exact words, in
//! `problem.txt` where that can be written, and are otherwise as before. The second is
//! refused on a Raspberry Pi 3, too: the words stand on its screen.

use super::Lab;
use crate::card_image;
use crate::qemu::{Board, CardFault, RPI3_DEBUG_ENV, Start};
use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// From power to the refusal.
const LIMIT: Duration = Duration::from_secs(90);
const LOCKED: &str = "\
early: This card cannot be used as it is.
early: 
early: The card is write-protected: push the switch of its adapter away from
early: \"lock\"; if there is none, the card is worn out: use another one.
early: 
early: Nothing on the card was changed.
init: the card was refused, see above; waiting for the power to go off
";
const FURTHER: &str = "\
early: This card cannot be used as it is.
early: 
early: The card has a partition 3 that this box did not make (type 07), and it
early: may hold data; save what you need, then format the whole card with
early: Raspberry Pi Imager and copy the files again.
early: 
early: Nothing on the card was changed; problem.txt on it says the same as
early: here.
init: the card was refused, see above; waiting for the power to go off
";
const PROBLEM: &str = "\
This card cannot be used as it is.

The card has a partition 3 that this box did not make (type 07), and it
may hold data; save what you need, then format the whole card with
Raspberry Pi Imager and copy the files again.

Nothing else on the card was changed. The box removes this text once it
has made the card ready; you may delete it, too.
";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card(folder, "nokaslr")?;
    refuses(
        lab,
        &card,
        folder,
        Start::PowerOnWith(CardFault::Locked),
        LOCKED,
    )
    .context("a locked card")?;
    ensure!(
        card_image::partition(&card, 2).is_err() && card_image::check_fat(&card).is_ok(),
        "a locked card was changed"
    );

    let table = with_windows_partition(&card).context("card.img")?;
    refuses(lab, &card, folder, Start::PowerOn, FURTHER).context("a further partition")?;
    ensure!(
        card_image::first_sector(&card)? == table,
        "the partition table was changed"
    );
    card_image::check_fat(&card)?;
    let extra: [(&str, &[u8]); 1] = [("debug.env", b"args=nokaslr\n")];
    let changed = card_image::first_changed_file(&lab.zip, &card, &extra)?;
    ensure!(changed.is_none(), "a file was changed: {changed:?}");
    let text = card_image::read_file(&card, "problem.txt")?;
    ensure!(
        String::from_utf8_lossy(&text) == PROBLEM.replace('\n', "\r\n"),
        "problem.txt says: {}",
        String::from_utf8_lossy(&text)
    );
    on_the_screen(lab, &card, folder).context("the screen")?;
    ensure!(
        card_image::first_sector(&card)? == table,
        "the partition table was changed after a look at the screen"
    );
    Ok(())
}

/// The same words on HDMI, of which only the machine of the Raspberry Pi has one.
fn on_the_screen(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    card_image::put_file(card, "debug.env", RPI3_DEBUG_ENV)?;
    let mut machine = lab.start(Board::Rpi3, card, folder)?;
    machine.wait_for_serial("waiting for the power to go off", 1, LIMIT)?;
    // PID 1's last line is for whoever watches the serial console.
    let lines: Vec<&str> = FURTHER
        .lines()
        .filter(|line| line.starts_with("early: "))
        .map(str::trim_end)
        .collect();
    let shown = machine.screen()?.shows(&lines);
    ensure!(shown, "these words do not stand on it: {lines:#?}");
    machine.cut_power()?;
    Ok(())
}

/// Starts the box and waits for exactly these lines.
fn refuses(lab: &Lab, card: &Path, folder: &Path, start: Start, words: &str) -> Result<()> {
    let log = folder.join("serial.log");
    let before = fs::read(&log).map_or(0, |text| text.len());
    let mut machine = lab.start_from(start, Board::Virt, card, folder, None)?;
    machine.wait_for_serial("waiting for the power to go off", 1, LIMIT)?;
    let said = fs::read(&log)?;
    let said = String::from_utf8_lossy(&said[before..]).replace('\r', "");
    ensure!(said.contains(words), "other words than:\n{words}");
    machine.cut_power()?;
    Ok(())
}

/// Adds a partition as Windows would and returns the table.
fn with_windows_partition(card: &Path) -> Result<[u8; 512]> {
    let mut table = card_image::first_sector(card)?;
    // Partition 1 ends 64 MiB earlier in the table than on the card: the new
    // one lies behind the file system, whose size is cut by as much.
    let boot = card_image::partition(card, 1)?;
    let space = 64 << 11;
    let sectors = boot.sectors - space;
    table[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
    let entry = &mut table[446 + 32..446 + 48];
    entry[4] = 0x07;
    entry[8..12].copy_from_slice(&(boot.start + sectors).to_le_bytes());
    entry[12..16].copy_from_slice(&space.to_le_bytes());
    let file = OpenOptions::new().write(true).open(card)?;
    file.write_all_at(&table, 0)?;
    for boot_sector in [0, 6] {
        let at = (u64::from(boot.start) + boot_sector) * 512 + 32;
        file.write_all_at(&sectors.to_le_bytes(), at)?;
    }
    // The free count is for the larger file system: unknown from now on.
    let free = (u64::from(boot.start) + 1) * 512 + 488;
    file.write_all_at(&[0xff; 8], free)?;
    Ok(table)
}

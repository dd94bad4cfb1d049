//! The power goes during first boot: QEMU is killed, and of what the box wrote
//! after its last flush a part is lost. The files are there at once, and the
//! next boot ends at the page with a clean file system and the same files.
//!
//! Every second cut is at a random moment by the clock. Copying takes most of
//! that time, so the others are at a random write of a whole first boot, which
//! hits the short and dangerous steps as often.

use super::Lab;
use crate::card_image::{self, Layout};
use crate::qemu::{Board, Recording, Start};
use crate::tool::tool;
use crate::workspace;
use crate::write_log::{Fate, WriteLog};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BEGINS: &str = "init: preparing the card";
const ENDS: &str = "early: system image of slot a";
const LIMIT: Duration = Duration::from_secs(120);
/// From [`BEGINS`] to somewhat behind [`ENDS`], in milliseconds.
const AT_MOST: u64 = 6000;
const EXTRA: [(&str, &[u8]); 1] = [("debug.env", b"args=nokaslr\n")];
/// What is cut, in turn. `None` is the image that is flashed.
const CARDS: [Option<Layout>; 3] = [
    Some(Layout {
        size: 4 << 30,
        sectors_per_cluster: None,
        files_from_mib: 2000,
    }),
    Some(Layout {
        size: 32 << 30,
        sectors_per_cluster: Some(128),
        files_from_mib: 9000,
    }),
    None,
];

/// How a cut went.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Writes and flushes before it.
    pub writes: usize,
    /// Of the sectors after the last flush.
    pub fate: Fate,
    /// Whether the second partition was there already.
    pub was_done: bool,
}

/// Random numbers that a failed cut can be repeated with.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Those of cut `number` of the run `seed`.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.below(2);
        dice
    }

    /// A number below `limit` (splitmix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit.max(1)
    }
}

/// Three of them, always the same.
pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    for number in 0..3 {
        cut(lab, folder, &mut Dice::new(5, number), number)
            .with_context(|| format!("cut {number}"))?;
    }
    Ok(())
}

/// Cuts one first boot and judges the next. `number` chooses card and kind of cut; files
/// are made in `folder`, and stay there after a failure.
pub fn cut(lab: &Lab, folder: &Path, dice: &mut Dice, number: u64) -> Result<Report> {
    let fresh = fresh_card(lab, folder, number)?;
    let (used, card) = (folder.join("used.img"), folder.join("card.img"));
    copy(&fresh, &used)?;
    let recording = Recording {
        packets: folder.join("packets"),
        writes: folder.join("writes"),
    };
    fs::write(folder.join("serial.log"), "")?;
    let mut machine = lab.start_from(
        Start::PowerOn,
        Board::Virt,
        &used,
        folder,
        Some(recording.clone()),
    )?;
    machine.wait_for_serial(BEGINS, 1, LIMIT)?;
    let by_the_clock = number.is_multiple_of(2);
    if by_the_clock {
        std::thread::sleep(Duration::from_millis(dice.below(AT_MOST)));
    } else {
        machine.wait_for_serial(ENDS, 1, LIMIT)?;
    }
    machine.cut_power()?;

    let log = WriteLog::read(&recording.writes)?;
    let end = match by_the_clock {
        true => log.len(),
        false => 1 + dice.below(log.len() as u64) as usize,
    };
    copy(&fresh, &card)?;
    let fate = log.replay(&card, end, || dice.below(2) == 0)?;
    let was_done = card_image::partition(&card, 2).is_ok();
    let report = Report {
        writes: end,
        fate,
        was_done,
    };
    files_are_the_same(lab, &card).with_context(|| format!("right after it, {report:?}"))?;
    good_boot(lab, &card, folder).with_context(|| format!("the next boot, {report:?}"))?;
    for path in [&used, &card, &recording.writes, &recording.packets] {
        fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    Ok(report)
}

fn good_boot(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    machine.cut_power()?;
    card_image::check_fat(card)?;
    let data = card_image::partition(card, 2)?;
    ensure!(data.kind == 0x83, "the second partition is {data:?}");
    files_are_the_same(lab, card)
}

fn files_are_the_same(lab: &Lab, card: &Path) -> Result<()> {
    let changed = card_image::first_changed_file(&lab.zip, card, &EXTRA)?;
    ensure!(changed.is_none(), "a file was changed: {changed:?}");
    Ok(())
}

/// The card of that number, made once.
fn fresh_card(lab: &Lab, folder: &Path, number: u64) -> Result<PathBuf> {
    let which = (number % CARDS.len() as u64) as usize;
    let card = folder.join(format!("fresh-{which}.img"));
    if card.exists() {
        return Ok(card);
    }
    match CARDS[which] {
        Some(layout) => card_image::make_laid_out(&lab.zip, &card, layout, &EXTRA)?,
        None => {
            let zip = workspace::image_zip();
            card_image::flash(&zip, &card, card_image::DEFAULT_SIZE, &EXTRA)?;
        }
    }
    Ok(card)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    tool("cp", "coreutils")
        .arg("--sparse=always")
        .args([from, to])
        .run()?;
    Ok(())
}

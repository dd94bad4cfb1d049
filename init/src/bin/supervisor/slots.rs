//! A trial slot becomes the good one once its page answers.
//!
//! The boot script counts the tries of a trial in `ab.env` on the card and
//! falls back after three (`boards/rpi3/boot.cmd`). Here the count ends.

use crate::card_writer::{self, CARD};
use crate::log;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a slot on trial may take to its page.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The running slot, while it is on trial.
pub struct Trial {
    slot: Option<String>,
    began: Instant,
}

impl Trial {
    /// Reads `projectx.slot=` and `projectx.tries=`, which the boot script
    /// wrote; tries above 0 mean a trial.
    pub fn from_kernel_command_line() -> Self {
        let words = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        Self {
            slot: slot_on_trial(&words),
            began: Instant::now(),
        }
    }

    /// Whether the trial has failed: no page within five minutes. The restart
    /// that this asks for is counted by the boot script as another try.
    pub fn has_failed(&mut self) -> bool {
        let failed = self.slot.is_some() && self.began.elapsed() >= PATIENCE;
        if failed {
            log::line("the slot on trial has no page; restarting");
            self.began = Instant::now();
        }
        failed
    }

    /// Writes the running slot down as the good one; once, and only in a trial.
    pub fn confirm(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        match write(&slot) {
            Ok(()) => log::line(&format!("slot {slot} is good")),
            Err(error) => log::line(&format!("slot {slot}: {CARD}/ab.env not written: {error}")),
        }
    }
}

fn slot_on_trial(words: &str) -> Option<String> {
    let value = |key: &str| {
        words
            .split_ascii_whitespace()
            .find_map(|w| w.strip_prefix(key))
    };
    let slot = value("projectx.slot=").filter(|slot| ["a", "b"].contains(slot))?;
    let tries: u32 = value("projectx.tries=")?.parse().ok()?;
    (tries > 0).then(|| slot.to_string())
}

/// Overwrites `ab.env` in place: U-Boot made it in this trial, its one cluster
/// stays where it is, and a torn write reads as "last good slot".
fn write(slot: &str) -> io::Result<()> {
    card_writer::while_writable(|card| overwrite(&card.join("ab.env"), slot))
}

/// The new text fills the old length with line ends, which `env import` skips.
fn overwrite(file: &Path, slot: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut text = format!("slot={slot}\ngood={slot}\ntries=0\n").into_bytes();
    text.resize(length.max(text.len()), b'\n');
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Instant, PATIENCE, Trial, overwrite, slot_on_trial};

    #[test]
    fn a_trial_without_a_page_fails_after_five_minutes_and_a_good_slot_never() {
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        let trial = |slot: Option<&str>, began| Trial {
            slot: slot.map(str::to_owned),
            began,
        };
        assert!(trial(Some("b"), long_ago).has_failed());
        assert!(!trial(Some("b"), Instant::now()).has_failed());
        assert!(!trial(None, long_ago).has_failed());
    }

    #[test]
    fn the_counter_is_overwritten_without_a_byte_of_the_old_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "good=a\nslot=b\ntries=1\n\0garbage").unwrap();
        overwrite(file.path(), "b").unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "slot=b\ngood=b\ntries=0\n\n\n\n\n\n\n\n\n");
    }

    #[test]
    fn only_a_counted_try_of_a_real_slot_is_a_trial() {
        assert_eq!(
            slot_on_trial("quiet projectx.slot=b projectx.tries=2").as_deref(),
            Some("b")
        );
        for words in [
            "projectx.slot=a projectx.tries=0",
            "projectx.slot=c projectx.tries=1",
            "projectx.slot=b projectx.tries=x",
            "",
        ] {
            assert_eq!(slot_on_trial(words), None, "{words}");
        }
    }
}

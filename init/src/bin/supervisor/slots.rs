//! A trial slot becomes the good one once its page answers.
//!
//! The boot script counts the tries of a trial in `ab.env` on the card and
//! falls back after three (`boards/rpi3/boot.cmd`). Here the count ends.

use crate::log;
use nix::mount::{MsFlags, mount};
use std::fs::File;
use std::io::Write;

const CARD: &str = "/run/card";

/// The running slot, while it is on trial.
pub struct Trial {
    slot: Option<String>,
}

impl Trial {
    /// Reads `projectx.slot=` and `projectx.tries=`, which the boot script
    /// wrote; tries above 0 mean a trial.
    pub fn from_kernel_command_line() -> Self {
        let words = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        Self {
            slot: slot_on_trial(&words),
        }
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
fn write(slot: &str) -> std::io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let remount = |extra| {
        mount(
            None::<&str>,
            CARD,
            None::<&str>,
            MsFlags::MS_REMOUNT | flags | extra,
            None::<&str>,
        )
    };
    remount(MsFlags::MS_SYNCHRONOUS)?;
    let written = File::create(format!("{CARD}/ab.env")).and_then(|mut file| {
        file.write_all(format!("slot={slot}\ngood={slot}\ntries=0\n").as_bytes())?;
        file.sync_all()
    });
    remount(MsFlags::MS_RDONLY)?;
    written
}

#[cfg(test)]
mod tests {
    use super::slot_on_trial;

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

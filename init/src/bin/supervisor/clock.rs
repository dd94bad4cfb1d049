//! The floor under the clock. The Pi has no clock of its own and starts in
//! 1970, where no certificate is valid and chrony has everything to correct.
//!
//! The floor is the later of the image's build time and, once the encrypted
//! disk is open, the time at which the box was last running.

use crate::disk::Disk;
use crate::log;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const BUILD_TIME: &str = "/usr/lib/projectx/build-time";
const LAST_TIME: &str = "/data/system/last-time";

/// Sets the clock to the image's build time when it stands before it.
pub fn raise_to_floor() {
    raise_to(Path::new(BUILD_TIME));
}

/// Sets the clock to the time remembered on the open disk when it stands
/// before that, unless it has network time: a remembered time may come from a
/// clock that was once set wrong, and must not set it wrong for ever.
pub fn raise_to_remembered() {
    if !has_network_time() {
        raise_to(Path::new(LAST_TIME));
    }
}

/// Whether chrony says that the clock is synchronised (chronyc(1), waitsync).
fn has_network_time() -> bool {
    Command::new("/usr/bin/chronyc")
        .args(["-n", "waitsync", "1"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Writes the present time to the open disk; nothing while the disk is closed. Once an
/// hour, so that a power cut costs the floor an hour and the card one small write.
pub fn remember(disk: &Disk) {
    if !disk.is_open() {
        return;
    }
    let Ok(now) = clock_gettime(ClockId::CLOCK_REALTIME) else {
        return;
    };
    let new = format!("{LAST_TIME}.new");
    let written = fs::create_dir_all("/data/system")
        .and_then(|()| fs::write(&new, now.tv_sec().to_string()))
        .and_then(|()| fs::rename(&new, LAST_TIME));
    if let Err(error) = written {
        log::line(&format!("{LAST_TIME}: not written: {error}"));
    }
}

fn raise_to(file: &Path) {
    let Some(floor) = fs::read_to_string(file)
        .ok()
        .and_then(|t| t.trim().parse::<i64>().ok())
    else {
        return;
    };
    let before = clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |t| t.tv_sec());
    if before < floor {
        match clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(floor, 0)) {
            Ok(()) => log::line("clock raised to its floor"),
            Err(error) => log::line(&format!("clock: not set: {error}")),
        }
    }
}

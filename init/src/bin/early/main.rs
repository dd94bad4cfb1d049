//! The initramfs stage: from a bare kernel to a verified system image.
//!
//! PID 1 starts it as root before anything is mounted but the kernel's own
//! file systems. It ends with 0 when `/sysroot` holds the system image, 3 when
//! the card cannot be used (the owner was told on the console), and 1 when it
//! failed otherwise. It runs again from the start at each boot, and a power
//! cut at any point is one more start.

mod disk;
mod system_image;

use disk::{Disk, Prepared};
use init::cmdline::KernelWords;
use init::console_log::ConsoleLog;
use std::process::ExitCode;

/// The exit code for a card that cannot be used; PID 1 knows it.
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    let mut log = ConsoleLog::new("early");
    match run(&mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(EarlyError::Refused(reason)) => {
            tell_the_owner(&mut log, &reason);
            ExitCode::from(REFUSED)
        }
        Err(EarlyError::Disk(error)) => {
            // Their words say what the owner can do; the log's reader sees them, too.
            tell_the_owner(&mut log, &error.to_string());
            ExitCode::FAILURE
        }
        Err(EarlyError::Image(error)) => failed(&mut log, &error),
    }
}

/// On the serial console and on the screen.
fn tell_the_owner(log: &mut ConsoleLog, text: &str) {
    let mut screen = ConsoleLog::on_screen("early");
    for log in std::iter::once(log).chain(screen.as_mut()) {
        log.line(text);
    }
}

fn failed(log: &mut ConsoleLog, error: &dyn std::error::Error) -> ExitCode {
    log.line(&error.to_string());
    ExitCode::FAILURE
}

/// Why the stage ended early.
enum EarlyError {
    /// The card, in words for its owner.
    Refused(String),
    Disk(disk::DiskError),
    Image(system_image::ImageError),
}

fn run(log: &mut ConsoleLog) -> Result<(), EarlyError> {
    let slot = KernelWords::of_this_boot().slot;
    let disk = Disk::wait_for().map_err(EarlyError::Disk)?;
    match disk.prepare().map_err(EarlyError::Disk)? {
        Prepared::AlreadyDone => {}
        Prepared::Changed(what) => log.line(&what),
        Prepared::Refused(reason) => return Err(EarlyError::Refused(reason)),
    }
    disk.mount_card().map_err(EarlyError::Disk)?;
    log.line(&format!("system image of slot {}", slot.folder()));
    system_image::mount(slot).map_err(EarlyError::Image)?;
    disk.record().map_err(EarlyError::Disk)
}

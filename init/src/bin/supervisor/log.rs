//! What the supervisor says: lines without content and without secrets. They go to
//! whoever watches the serial console, and with their time into memory, from where
//! [`keep`] writes them into the encrypted disk, rarely (`docs/decisions/log.md`).

mod disk;
mod memory;

use crate::disk::Disk;
use disk::OnDisk;
use memory::Memory;
use services::clock::rfc3339;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// Writes one line, `projectx: …`, to the box's console, and keeps it. Logging must
/// never stop the work: without a console the line is lost there, and so it is when
/// the console's buffer is full (somebody pressed Ctrl-S).
pub fn line(text: &str) {
    keep_line(text);
    let Ok(mut console) = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open("/dev/console")
    else {
        return;
    };
    // One write a line, so that lines of two threads do not mix.
    console
        .write_all(format!("projectx: {text}\n").as_bytes())
        .ok();
}

/// Keeps a line that the console has no need of.
pub fn keep_line(text: &str) {
    let line = format!("{} {text}\n", rfc3339(SystemTime::now()));
    Memory::of_the_box().add(&line);
}

/// Appends what was said since the last call to the open disk: one write, one
/// `fsync`. Nothing while the disk is closed. What can't be written stays in memory.
pub fn keep(disk: &Disk) {
    if !disk.is_open() {
        return;
    }
    let kept = Memory::of_the_box()
        .hand_over(|text| OnDisk::new(Path::new(init::kept_log::FOLDER)).append(text));
    if let Err(error) = kept {
        line(&format!("the log is not in the encrypted disk: {error}"));
    }
}

//! Lines for whoever watches the serial console. No content, no secrets.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Writes one line, `projectx: …`, to the box's console. Logging must never
/// stop the work: without a console the line is lost, and so it is when the
/// console's buffer is full (somebody pressed Ctrl-S).
pub fn line(text: &str) {
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

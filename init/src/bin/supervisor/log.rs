//! Lines for whoever watches the serial console. No content, no secrets.

use std::io::Write;

/// Writes one line, `projectx: …`, to the box's console. A box without a
/// console stays silent: logging must never stop the work.
pub fn line(text: &str) {
    let Ok(mut console) = std::fs::OpenOptions::new().write(true).open("/dev/console") else {
        return;
    };
    // One write a line, so that lines of two threads do not mix.
    console
        .write_all(format!("projectx: {text}\n").as_bytes())
        .ok();
}

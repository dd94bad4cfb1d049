//! The hardware watchdog, `/dev/watchdog0` (kernel `watchdog-api.rst`).
//!
//! Once open it is never closed on purpose, and never with the magic `V`: the
//! kernel closes it when PID 1 is gone, and then the box resets. That holds
//! with and without `nowayout`.

use crate::sys;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Seconds after which an unfed watchdog resets; the most that a Pi 3 can.
pub const TIMEOUT_SECONDS: i32 = 15;
const DEVICE: &str = "/dev/watchdog0";

/// A running watchdog.
pub struct Watchdog {
    device: File,
}

impl Watchdog {
    /// Whether the box has one (yet).
    pub fn exists() -> bool {
        Path::new(DEVICE).exists()
    }

    /// Starts the watchdog. One that refuses [`TIMEOUT_SECONDS`] runs with its own.
    ///
    /// # Errors
    /// The device is missing or in use.
    pub fn start() -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(DEVICE)?;
        sys::watchdog_timeout(&device, TIMEOUT_SECONDS).ok();
        let mut watchdog = Self { device };
        watchdog.feed();
        Ok(watchdog)
    }

    /// Counts from the start again. An error has no cure but the reset that
    /// follows from it.
    pub fn feed(&mut self) {
        self.device.write_all(&[0]).ok();
    }
}

//! From a request to a program's first instruction.

use anyhow::{Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// No start takes longer.
const MOST_MS: u16 = 10_000;

/// When something was asked for, by CLOCK_MONOTONIC, which is the same in all
/// namespaces but those of time, and nobody makes these.
#[derive(Clone, Copy)]
pub struct Start(Duration);

/// A pipe for the probe: where it is read, and where the probe writes.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC)?)
}

impl Start {
    pub fn now() -> Self {
        Self(now())
    }

    /// Milliseconds until now.
    pub fn elapsed(self) -> f64 {
        milliseconds(now().saturating_sub(self.0))
    }

    /// Milliseconds until the time that the probe writes. The caller must have
    /// closed its own end, so that a program that never runs is seen.
    pub fn until_written_to(self, output: &OwnedFd) -> Result<f64> {
        let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        ensure!(
            poll(&mut ready, PollTimeout::from(MOST_MS))? == 1,
            "the program did not run within {MOST_MS} ms"
        );
        // struct timespec, which a pipe passes whole.
        let mut bytes = [0; 16];
        if read(output, &mut bytes)? != bytes.len() {
            bail!("the program ended without saying when it ran");
        }
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let ran = Duration::new(word(0), word(8) as u32);
        Ok(milliseconds(ran.saturating_sub(self.0)))
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    time.expect("CLOCK_MONOTONIC is always there").into()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

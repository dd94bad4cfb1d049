//! The link to PID 1: a heartbeat out, the order to stop in.

use crate::{log, sys};
use control::pid1::{FD, HEALTHY, POWER_OFF, REBOOT, STOP};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// What the owner asked for on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Start again.
    Restart,
    /// Stay off.
    Off,
}

/// The supervisor's end of the pair.
pub struct Link {
    socket: OwnedFd,
    last: Option<Instant>,
}

impl Link {
    /// Takes over descriptor [`FD`].
    pub fn inherited() -> io::Result<Self> {
        Ok(Self {
            socket: sys::inherited(FD)?,
            last: None,
        })
    }

    /// Says that the supervisor is healthy, at most every 2 seconds.
    pub fn heartbeat(&mut self) {
        if self
            .last
            .is_none_or(|at| at.elapsed() >= Duration::from_secs(2))
        {
            self.last = Some(Instant::now());
            self.say(HEALTHY);
        }
    }

    /// Asks for a restart or the power to go off.
    pub fn ask(&self, power: Power) {
        self.say(match power {
            Power::Restart => REBOOT,
            Power::Off => POWER_OFF,
        });
    }

    /// Waits up to `timeout` for PID 1. A closed link also means stop: without
    /// PID 1 nothing here has a purpose.
    pub fn told_to_stop(&self, timeout: Duration) -> bool {
        let millis = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut waiting, PollTimeout::from(millis)), Ok(n) if n > 0) {
            return false;
        }
        let mut byte = [0];
        match recv(self.socket.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => true,
            Ok(_) => byte[0] == STOP,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => false,
            Err(_) => true,
        }
    }

    fn say(&self, byte: u8) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if let Err(error) = send(self.socket.as_raw_fd(), &[byte], flags) {
            log::line(&format!("PID 1 does not listen: {error}"));
        }
    }
}

//! A service of a connection that is made when its user has said something to it.
//!
//! The supervisor holds its end of the pair until then, as systemd does for a service
//! that is activated by its socket. poll(2) does not tell a word from a closed end, so it
//! asks how many octets there are, and takes none.

use super::visit::{seal, service, unseal};
use super::{RuntimeError, Shared};
use manifest::Service;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sandbox::Child;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One that is not made yet.
#[derive(Debug)]
pub(super) struct Waiting {
    service: String,
    number: u64,
    end: OwnedFd,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Made {
    /// Nothing was said yet.
    NotYet(Waiting),
    /// Its sandbox, at work.
    Now(Child),
    /// The user has ended, and had nothing for it.
    Never,
}

impl Waiting {
    /// Of the connection of this number, with the provider's end of its pair.
    pub(super) fn new(service: &Service, number: u64, end: OwnedFd) -> Self {
        Self {
            service: service.name.to_string(),
            number,
            end,
        }
    }

    /// Makes it if there is something for it.
    ///
    /// # Errors
    /// When it can't be made; what was said to it is lost.
    pub(super) fn make(self, shared: &Shared) -> Result<Made, RuntimeError> {
        let failed = |errno: Errno| RuntimeError::io(&self.service)(errno.into());
        let mut watched = [PollFd::new(self.end.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::ZERO).map_err(failed)?;
        if !watched[0].any().unwrap_or(false) {
            return Ok(Made::NotYet(self));
        }
        if sandbox::bytes_to_read(self.end.as_fd()).map_err(failed)? == 0 {
            return Ok(Made::Never);
        }
        let sealed = seal(shared, service(shared, &self.service)?, self.number)?;
        unseal(shared, sealed, vec![self.end]).map(Made::Now)
    }
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

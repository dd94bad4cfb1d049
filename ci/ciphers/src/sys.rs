//! The unsafe corner: a descriptor that the kernel made, from its bare number.
#![expect(
    unsafe_code,
    reason = "nix's accept returns a bare number, which nothing else owns"
)]

use nix::errno::Errno;
use nix::sys::socket::accept;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A session of the algorithm that a socket of AF_ALG is bound to.
pub(crate) fn session(algorithm: &OwnedFd) -> Result<OwnedFd, Errno> {
    let number = accept(algorithm.as_raw_fd())?;
    // SAFETY: the kernel has just made it, for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

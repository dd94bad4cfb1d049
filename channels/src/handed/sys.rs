//! Owning descriptors that came over a socket.
#![expect(
    unsafe_code,
    reason = "nix gives received descriptors as numbers without an owner"
)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Owns a descriptor that recvmsg(2) has just put at this number.
pub(super) fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just opened it for this process, and the one
    // caller passes each number of one message once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

//! The system calls that no crate of this program wraps.

#![expect(unsafe_code, reason = "raw system calls and descriptors")]

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes a descriptor that a message brought.
pub fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and the caller hands
    // each over once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A pidfd of a child that was not reaped yet: pidfd_open(2).
pub fn pidfd_open(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: two integers; what is returned belongs to nobody else.
    let made = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(made)?;
    Ok(owned(fd as RawFd))
}

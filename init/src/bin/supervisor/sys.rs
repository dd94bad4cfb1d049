//! The supervisor's one unsafe corner: descriptors that PID 1 left open.
#![expect(
    unsafe_code,
    reason = "taking over an inherited descriptor needs from_raw_fd"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes over the descriptor that the parent left open at `fd`, once.
///
/// # Errors
/// `EBADF` where nothing is open there; `AlreadyExists` on a second call.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    nix::fcntl::fcntl(
        // SAFETY: the borrow lives for this call only; fcntl reports EBADF by itself.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) },
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )?;
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: the descriptor is open (fcntl above) and `TAKEN` makes this the
    // only place that owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

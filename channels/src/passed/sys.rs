//! Owning descriptors that were open when the process started.
#![expect(
    unsafe_code,
    reason = "a descriptor that execve left open has no owner in Rust yet"
)]

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Owns `count` descriptors from `first` on and makes them close-on-exec; those
/// that are not open are `None`. Nothing on a second call.
pub(super) fn own_once(first: RawFd, count: usize) -> Option<Vec<Option<OwnedFd>>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    let own = |number: RawFd| {
        // SAFETY: only borrowed for fcntl, which fails cleanly if it is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
        // SAFETY: it is open, the parent passed it for this use, and TAKEN
        // makes sure that nobody else makes an owner of it.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    };
    Some((first..).take(count).map(own).collect())
}

//! The two descriptors that the supervisor hands over.
#![expect(
    unsafe_code,
    reason = "only the parent process can know which descriptors it passed"
)]

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The control stream (descriptor 3) and the listener (descriptor 4). To be
/// called once, first thing in `main`. Descriptors that are closed show at
/// their first use, as `EBADF`.
pub fn inherited() -> (UnixStream, TcpListener) {
    // SAFETY: nothing in this process has opened a descriptor before `main`'s
    // first statement, which is the only caller, so 3 and 4 are the
    // supervisor's and are owned by nobody else here.
    let (control, listener) = unsafe { (OwnedFd::from_raw_fd(3), OwnedFd::from_raw_fd(4)) };
    (control.into(), listener.into())
}

//! The three descriptors that the supervisor hands over.
#![expect(
    unsafe_code,
    reason = "only the parent process can know which descriptors it passed"
)]

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The control stream (descriptor 3) and the listeners for HTTP (4) and TLS (5). To
/// be called once, first thing in `main`. Descriptors that are closed show at
/// their first use, as `EBADF`.
pub fn inherited() -> (UnixStream, TcpListener, TcpListener) {
    // SAFETY: nothing in this process has opened a descriptor before `main`'s
    // first statement, which is the only caller, so 3, 4 and 5 are the
    // supervisor's and are owned by nobody else here.
    let [control, page, tls] = unsafe { [3, 4, 5].map(|fd| OwnedFd::from_raw_fd(fd)) };
    (control.into(), page.into(), tls.into())
}

//! The agent's one unsafe corner: an ioctl that nix does not wrap.
#![expect(unsafe_code, reason = "FIBMAP is an ioctl that nix does not wrap")]

use std::fs::File;
use std::os::fd::AsRawFd;

/// `FIBMAP` of `linux/fs.h`.
mod numbers {
    nix::ioctl_readwrite_bad!(fibmap, 1, nix::libc::c_int);
}

/// Where block `number` of a file lies: a block of its file system, 0 for a hole.
pub(crate) fn block_of(file: &File, number: i32) -> nix::Result<i32> {
    let mut block = number;
    // SAFETY: the call reads and writes one int, which lives on our stack.
    unsafe { numbers::fibmap(file.as_raw_fd(), &raw mut block) }?;
    Ok(block)
}

//! Taking all there is. Each tries to get more than `most` and is `in` then.

use crate::{Outcome, sys};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek, write};
use std::os::fd::IntoRawFd;

fn new_file(path: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT;
    open(path, flags, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Descriptors, `RLIMIT_NOFILE` in getrlimit(2), which it first tries to raise.
pub(crate) fn descriptors(most: u64) -> Outcome {
    sys::raise_descriptor_limit();
    let output = sys::borrow_output();
    for _ in 0..=most {
        fcntl(output, FcntlArg::F_DUPFD(0))?;
    }
    Ok(())
}

/// A file with one byte after `most`, `RLIMIT_FSIZE`. Nothing else is in it.
pub(crate) fn file_size(most: u64, path: &str) -> Outcome {
    let file = new_file(path)?;
    let most = i64::try_from(most).map_err(|_| Errno::EINVAL)?;
    lseek(&file, most, Whence::SeekSet)?;
    write(&file, b"x").map(drop)
}

/// Files in memory.
pub(crate) fn scratch(most: u64, path: &str) -> Outcome {
    const PIECE: usize = 64 << 10;
    let pieces = vec![b'x'; PIECE];
    let file = new_file(path)?;
    for _ in 0..=most / PIECE as u64 {
        match write(&file, &pieces)? {
            PIECE => {}
            _ => return Err(Errno::ENOSPC),
        }
    }
    // The end of the process closes it.
    let _ = file.into_raw_fd();
    Ok(())
}

/// Addresses, `RLIMIT_AS`: nothing is in them.
pub(crate) fn address_space(most: u64) -> Outcome {
    sys::reserve(most)
}

/// Memory with something in every page.
pub(crate) fn memory(most: u64) -> Outcome {
    sys::fill(most)
}

/// Processes, or threads where the policy has no processes.
pub(crate) fn tasks(most: u64) -> Outcome {
    sys::tasks(most)
}

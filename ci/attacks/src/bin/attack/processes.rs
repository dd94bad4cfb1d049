//! Other processes: seen, signalled, traced, read.

use crate::files::open_of_host;
use crate::{Outcome, sys};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::ptrace;
use nix::unistd::{Pid, Whence, lseek};
use std::os::fd::AsRawFd;

const SECRET: &[u8; 28] = b"what is in another's memory.";

/// Where a victim waits for its end.
const UNTIL: i32 = 3;

/// Plays another service: says where its secret is, and waits.
pub(crate) fn victim() -> i32 {
    let secret = std::hint::black_box(Box::new(*SECRET));
    let at = format!("{}\n", secret.as_ptr().addr());
    let said = sys::write_all(crate::OUTPUT, at.as_bytes());
    // Until the other end is closed.
    let ended = said.and_then(|()| sys::read(UNTIL, &mut [0]));
    drop(secret);
    i32::from(ended.is_err())
}

/// Asks whether a signal could be sent: kill(2).
pub(crate) fn signal(victim: i32) -> Outcome {
    nix::sys::signal::kill(Pid::from_raw(victim), None)
}

/// Looks for it in `/proc`.
pub(crate) fn see(victim: i32) -> Outcome {
    open_of_host(&format!("/proc/{victim}/stat"), OFlag::O_RDONLY).map(drop)
}

/// Attaches to it: ptrace(2).
pub(crate) fn trace(victim: i32) -> Outcome {
    ptrace::seize(Pid::from_raw(victim), ptrace::Options::empty())
}

/// Reads its memory: process_vm_readv(2).
pub(crate) fn read_memory(victim: i32, at: u64) -> Outcome {
    let mut bytes = [0; SECRET.len()];
    let base = usize::try_from(at).map_err(|_| Errno::EINVAL)?;
    let remote = [nix::sys::uio::RemoteIoVec {
        base,
        len: bytes.len(),
    }];
    let mut local = [std::io::IoSliceMut::new(&mut bytes)];
    nix::sys::uio::process_vm_readv(Pid::from_raw(victim), &mut local, &remote)?;
    is_secret(&bytes)
}

/// Reads it through the file that `/proc` has of it: proc_pid_mem(5).
pub(crate) fn read_memory_file(victim: i32, at: u64) -> Outcome {
    let file = open_of_host(&format!("/proc/{victim}/mem"), OFlag::O_RDONLY)?;
    let at = i64::try_from(at).map_err(|_| Errno::EINVAL)?;
    lseek(&file, at, Whence::SeekSet)?;
    let mut bytes = [0; SECRET.len()];
    sys::read(file.as_raw_fd(), &mut bytes)?;
    is_secret(&bytes)
}

fn is_secret(bytes: &[u8]) -> Outcome {
    match bytes == SECRET {
        true => Ok(()),
        false => Err(Errno::ENODATA),
    }
}

/// Takes one of its descriptors: pidfd_getfd(2).
pub(crate) fn take_descriptor(victim: i32) -> Outcome {
    sys::take_descriptor(victim, UNTIL)
}

/// Makes a process.
pub(crate) fn fork() -> Outcome {
    sys::fork_and_wait()
}

/// Reads a message that was meant for another: msgrcv(2).
pub(crate) fn message_queue(key: i32) -> Outcome {
    sys::receive_message(key)
}

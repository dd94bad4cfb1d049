//! The unsafe corner: one system call a function, owned descriptors out.
//! Where nix has a safe call, the other modules use that.
#![expect(unsafe_code, reason = "fork, exec and ioctls that nix does not wrap")]

use crate::device_mapper;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, execve, fork, setsid, write};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `WDIOC_SETTIMEOUT`, `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` of the
/// kernel's `watchdog.h` and `loop.h`.
mod numbers {
    nix::ioctl_readwrite!(watchdog_set_timeout, b'W', 6, nix::libc::c_int);
    nix::ioctl_none_bad!(loop_get_free, 0x4c82);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4c0a, super::LoopConfig);
    nix::ioctl_none!(reread_partitions, 0x12, 95);
}

/// `struct loop_config` with `struct loop_info64` inside, of which only the
/// flags are used.
#[repr(C)]
pub struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// device, inode, rdevice, offset, sizelimit
    before: [u64; 5],
    /// number, encrypt_type, encrypt_key_size
    kinds: [u32; 3],
    flags: u32,
    /// file_name, crypt_name, encrypt_key
    names: [u8; 160],
    /// init[2], then eight reserved words
    after: [u64; 10],
}
const _: () = assert!(
    size_of::<LoopConfig>() == 304,
    "struct loop_config has 304 bytes"
);

/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO`.
const LOOP_FLAGS: u32 = 1 | 4 | 16;

/// Sets the watchdog's timeout.
///
/// # Errors
/// The driver cannot count so far.
pub fn watchdog_timeout(device: &File, mut seconds: i32) -> nix::Result<()> {
    // SAFETY: the call reads and writes one int, which lives on our stack.
    unsafe { numbers::watchdog_set_timeout(device.as_raw_fd(), &raw mut seconds) }.map(drop)
}

/// The number of a free loop device, which the kernel makes if need be.
///
/// # Errors
/// The descriptor is not loop-control, or memory is short.
pub fn free_loop_number(control: &File) -> nix::Result<i32> {
    // SAFETY: the call takes no argument.
    unsafe { numbers::loop_get_free(control.as_raw_fd()) }
}

/// Attaches `image` to the loop `device`, read-only and with direct I/O, until
/// nobody has the device open.
///
/// # Errors
/// The device is busy, or the file's system knows no direct I/O.
pub fn configure_loop(device: &File, image: &File) -> nix::Result<()> {
    let config = LoopConfig {
        fd: u32::try_from(image.as_raw_fd()).map_err(|_| Errno::EBADF)?,
        block_size: 0,
        before: [0; 5],
        kinds: [0; 3],
        flags: LOOP_FLAGS,
        names: [0; 160],
        after: [0; 10],
    };
    // SAFETY: the call reads one struct loop_config, whose size is checked above.
    unsafe { numbers::loop_configure(device.as_raw_fd(), &raw const config) }.map(drop)
}

/// Sends `message`, a `struct dm_ioctl` with its payload, and lets the kernel
/// overwrite it with the answer.
///
/// # Errors
/// What the kernel said; `EINVAL` for a message shorter than its header.
pub fn device_mapper(
    control: &File,
    command: device_mapper::Command,
    message: &mut [u8],
) -> nix::Result<()> {
    let announced = message
        .get(12..16)
        .and_then(|size| size.try_into().ok())
        .map(u32::from_ne_bytes);
    if message.len() < device_mapper::HEADER
        || announced.map(|size| size as usize) != Some(message.len())
    {
        return Err(Errno::EINVAL);
    }
    let number = nix::request_code_readwrite!(0xfd, command as u8, device_mapper::HEADER);
    // SAFETY: the kernel reads and writes at most the announced size, which is
    // the slice's length (checked above); the slice lives through the call.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), number as _, message.as_mut_ptr()) };
    Errno::result(result).map(drop)
}

/// Lets the kernel read `disk`'s partition table again.
///
/// # Errors
/// `EBUSY` while a partition of it is in use.
pub fn reread_partitions(disk: &File) -> nix::Result<()> {
    // SAFETY: the call takes no argument.
    unsafe { numbers::reread_partitions(disk.as_raw_fd()) }.map(drop)
}

/// What a new process gets besides its program.
#[derive(Default)]
pub struct Given<'fd> {
    /// An open `cgroup.procs`: where the process lives from before its exec.
    pub group: Option<BorrowedFd<'fd>>,
    /// A descriptor, and the number that the process finds it at.
    pub descriptor: Option<(BorrowedFd<'fd>, i32)>,
    /// Its whole environment, each `NAME=value`.
    pub environment: &'static [&'static CStr],
}

/// Starts `program` with itself as its only argument, in a session of its
/// own, with no signal blocked or ignored. One that cannot be executed ends
/// with code 127. The caller must have no other thread.
///
/// # Errors
/// The process could not be made.
pub fn start(program: &CStr, given: &Given<'_>) -> nix::Result<Pid> {
    in_child(|| {
        setsid().ok();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).ok();
        // SAFETY: no handler is installed, the default is restored; Rust's
        // runtime ignores SIGPIPE, and that would outlive the exec.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.ok();
        if let Some(group) = given.group {
            write(group, b"0").ok();
        }
        if let Some((descriptor, number)) = given.descriptor
            && !place(descriptor, number)
        {
            return 126;
        }
        execve(program, &[program], given.environment).ok();
        127
    })
}

/// Puts a copy of `descriptor` at `number`, open across an exec.
fn place(descriptor: BorrowedFd<'_>, number: i32) -> bool {
    if descriptor.as_raw_fd() == number {
        let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
        return nix::fcntl::fcntl(descriptor, flags).is_ok();
    }
    // SAFETY: dup2 touches no memory. Whatever owned `number` lives in the
    // parent; this child execs or exits without running its destructor.
    unsafe { libc::dup2(descriptor.as_raw_fd(), number) == number }
}

/// Runs `work` in a child process, which ends with the code that it returns:
/// for work that may hang. The caller must have no other thread.
///
/// # Errors
/// The process could not be made.
pub fn in_child(work: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: the process has one thread (the doc says so to every caller),
    // so the child may allocate and lock like its parent.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = work();
            // SAFETY: _exit ends the child without touching its memory; the
            // parent's buffers and exit handlers do not run twice.
            unsafe { libc::_exit(code) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use std::os::fd::AsFd;

    #[test]
    fn a_program_that_is_not_there_ends_with_127() {
        let child = start(c"/nonexistent/program", &Given::default()).expect("a fork");
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 127)));
    }

    #[test]
    fn a_descriptor_arrives_at_its_number() {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
        let child = in_child(|| {
            if place(writer.as_fd(), 33) && writer_at(33) {
                0
            } else {
                1
            }
        })
        .expect("a fork");
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        let mut byte = [0; 2];
        assert_eq!(nix::unistd::read(reader, &mut byte), Ok(1));
    }

    fn writer_at(number: i32) -> bool {
        // SAFETY: only used in the child above, where the descriptor is open.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let flags = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_GETFD);
        flags == Ok(0) && write(descriptor, b"x") == Ok(1)
    }

    #[test]
    fn a_device_mapper_message_with_a_wrong_size_never_reaches_the_kernel() {
        let null = File::open("/dev/null").expect("/dev/null");
        let mut short = vec![0; device_mapper::HEADER];
        let result = device_mapper(&null, device_mapper::Command::Create, &mut short);
        assert_eq!(result, Err(Errno::EINVAL));
    }
}

//! The unsafe corner: Perl's entry and the system calls for which nix has no
//! safe wrapper, one wrapper each.
#![expect(
    unsafe_code,
    reason = "an exported symbol, clone3, received descriptors and raw credential calls have no safe wrapper"
)]

use std::ffi::{c_int, c_ulong, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

type Result<T> = std::result::Result<T, Errno>;

/// Which of the two processes a fork returned in.
pub(crate) enum Forked {
    /// The one that forked.
    Parent(Pid, OwnedFd),
    /// The new one.
    Child,
}

/// What Perl calls as `Zy::serve()`: serves the control socket, and returns in
/// a locked-down child only. Perl passes its interpreter and the sub; neither
/// is touched, nor Perl's stack.
// SAFETY: no other library that Perl loads has a symbol of this name.
#[unsafe(no_mangle)]
pub extern "C" fn zygote_serve(_interpreter: *mut c_void, _sub: *mut c_void) {
    crate::serve::serve();
}

/// Forks with clone3(2) into `namespaces` (`CLONE_NEW…`). The caller must have
/// no other thread: the child goes on with all of its memory.
pub(crate) fn clone3(namespaces: u64) -> Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and with no stack this is a fork: the child has
    // its own copy of memory. args and pidfd outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Errno::result(pid)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid::from_raw(pid as i32), owned(pidfd))),
    }
}

/// Takes over a descriptor that this process was given by the kernel: passed at
/// exec, received, or new. Each number is taken once.
pub(crate) fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a number that the kernel has just given them and
    // that nothing else in the process owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Puts the descriptor `from` at the number `to`, open across `execve`. What
/// was there is closed. Only for a child that owns its whole table.
pub(crate) fn dup_onto(from: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: only integers; the caller forgets what it owned at `to`.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// Closes every descriptor from `first` to `last`. Only for a child that owns
/// its whole table.
pub(crate) fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: only integers; the caller forgets what it owned there.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Writes the byte at `address` into the pipe `to`. Where none can be read, that is
/// `EFAULT`.
pub(crate) fn write_byte_at(to: &OwnedFd, address: usize) -> Result<()> {
    // SAFETY: the kernel reads the byte and judges the address; nothing here does.
    let count = unsafe { libc::write(to.as_raw_fd(), address as *const c_void, 1) };
    Errno::result(count).map(drop)
}

/// Ends the process at once: no handler of Perl's or of C's runs.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Fills `bytes` (at most 256) with random ones from the kernel.
pub(crate) fn random(bytes: &mut [u8; 16]) -> Result<()> {
    // SAFETY: the kernel writes at most the length that is passed.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match Errno::result(count)? {
        16 => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// prctl(2) of an operation that takes integers only.
fn prctl(operation: c_int, first: c_ulong, second: c_ulong) -> Result<()> {
    let none: c_ulong = 0;
    // SAFETY: callers in this file pass operations without pointers.
    Errno::result(unsafe { libc::prctl(operation, first, second, none, none) }).map(drop)
}

/// capabilities(7), "The securebits flags": root means nothing, a change of ids
/// changes no capability, none can be kept or made ambient, all of it locked.
pub(crate) fn lock_securebits() -> Result<()> {
    const NOROOT: c_ulong = 0b11;
    const NO_SETUID_FIXUP: c_ulong = 0b11 << 2;
    const KEEP_CAPS_LOCKED: c_ulong = 1 << 5;
    const NO_CAP_AMBIENT_RAISE: c_ulong = 0b11 << 6;
    let bits = NOROOT | NO_SETUID_FIXUP | KEEP_CAPS_LOCKED | NO_CAP_AMBIENT_RAISE;
    prctl(libc::PR_SET_SECUREBITS, bits, 0)
}

/// Empties the ambient set.
pub(crate) fn clear_ambient_set() -> Result<()> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    prctl(libc::PR_CAP_AMBIENT, clear, 0)
}

/// Empties the bounding set.
pub(crate) fn drop_bounding_set() -> Result<()> {
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(()) => {}
            // The kernel's last capability is behind us.
            Err(Errno::EINVAL) if capability > 37 => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Empties the effective, permitted and inheritable sets: capset(2).
pub(crate) fn drop_capabilities() -> Result<()> {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let sets = [0u32; 6];
    // SAFETY: version 3 reads two words of header and six of sets.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Memory that was writable never becomes executable; PR_SET_MDWE(2const).
pub(crate) fn refuse_write_execute() -> Result<()> {
    const PR_SET_MDWE: c_int = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: c_ulong = 1;
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0)
}

/// Loads a filter for this process: seccomp(2).
pub(crate) fn seccomp(program: &[libc::sock_filter]) -> Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let filter = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies `len` instructions and writes to none.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, &raw const filter) })
        .map(drop)
}

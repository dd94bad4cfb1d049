//! What the probe tries and neither std nor nix does without `unsafe`.
#![expect(
    unsafe_code,
    reason = "calls that have no safe wrapper, tried in order to be refused"
)]

use nix::errno::Errno;
use std::ptr::null_mut;

/// Whether descriptor `fd` is open.
pub fn is_open(fd: i32) -> bool {
    // SAFETY: only integers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// PTRACE_ATTACH to `pid`.
pub fn ptrace_attach(pid: i32) -> Result<(), Errno> {
    // SAFETY: this request ignores both pointers.
    Errno::result(unsafe {
        libc::ptrace(libc::PTRACE_ATTACH, pid, null_mut::<u8>(), null_mut::<u8>())
    })
    .map(drop)
}

/// The effective, permitted and inheritable sets, low words then high words.
pub fn capabilities() -> Result<[u32; 6], Errno> {
    let (header, mut sets) = ([0x2008_0522u32, 0], [0u32; 6]);
    // SAFETY: version 3 reads two words of header and fills six of sets.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })
        .map(|_| sets)
}

/// The securebits of this process.
pub fn securebits() -> Result<i32, Errno> {
    // SAFETY: this operation takes no argument.
    Errno::result(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) })
}

/// Makes a writable page executable.
pub fn write_then_execute() -> Result<(), Errno> {
    let (write, private) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a fresh page that nothing else uses, never run or freed.
    unsafe {
        let page = libc::mmap(null_mut(), 4096, write, private, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Errno::result(libc::mprotect(
            page,
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
        ))
        .map(drop)
    }
}

/// The id of the session keyring, or -1: keyctl(2).
pub fn session_keyring() -> i64 {
    const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
    const KEY_SPEC_SESSION_KEYRING: libc::c_int = -3;
    let (operation, keyring) = (KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING);
    // SAFETY: only integers.
    unsafe { libc::syscall(libc::SYS_keyctl, operation, keyring, 0) }
}

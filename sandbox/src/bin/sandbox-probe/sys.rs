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

/// Brings `lo` up, which takes CAP_NET_ADMIN over the network: netdevice(7).
pub fn loopback_up() -> Result<(), Errno> {
    // SAFETY: only integers.
    let socket = Errno::result(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: ifreq is plain integers, arrays and pointers, valid as zeroes.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    let operation = libc::SIOCSIFFLAGS as libc::Ioctl;
    // SAFETY: this request reads a struct ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(socket, operation, &raw const request) }).map(drop)
}

/// getpid(2) as a 32-bit program asks for it: its pid, 1 inside.
#[cfg(target_arch = "x86_64")]
pub fn getpid_by_int80() -> i32 {
    let mut eax: i32 = 20;
    // SAFETY: number 20 takes no argument and writes to no memory; of the
    // registers, 32-bit entries of the kernel may clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("eax") eax,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    eax
}

/// getpid(2) with the number that x32 programs give it. A kernel without x32
/// does not know it.
#[cfg(target_arch = "x86_64")]
pub fn getpid_of_x32() -> Result<(), Errno> {
    const X32_SYSCALL_BIT: libc::c_long = 0x4000_0000;
    // SAFETY: takes no argument.
    Errno::result(unsafe { libc::syscall(X32_SYSCALL_BIT | libc::SYS_getpid) }).map(drop)
}

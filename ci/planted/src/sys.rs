//! The system calls of an attacker for which neither the standard library nor
//! nix has a safe wrapper, and the look at one's own memory.
#![expect(
    unsafe_code,
    reason = "raw calls, descriptors by number, and memory by address"
)]

use nix::errno::Errno;
use std::ffi::c_void;
use std::io;
use std::mem::zeroed;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

type Result<T> = std::result::Result<T, Errno>;

/// Whether eight bytes at this address can be read: rt_sigprocmask(2).
pub(crate) fn is_mapped(address: usize) -> bool {
    const NO_SUCH_HOW: i64 = -1;
    let none = std::ptr::null_mut::<c_void>();
    // SAFETY: the kernel reads the address, or says that it can't; `how` is
    // none, so nothing changes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_HOW,
            address as *const c_void,
            none,
            8_usize,
        )
    };
    debug_assert!(result < 0);
    Errno::last() == Errno::EINVAL
}

/// A copy of the page at this address, which must be mapped.
pub(crate) fn page(address: usize) -> Vec<u8> {
    let mut copy = vec![0_u8; 4096];
    let from = address as *const u8;
    // SAFETY: the caller has asked the kernel whether it can be read, and this
    // process has one thread, which unmaps nothing meanwhile. The page may be the
    // copy's own.
    unsafe { std::ptr::copy(from, copy.as_mut_ptr(), copy.len()) };
    copy
}

/// A process that is called `name`, holds no descriptor and sleeps so long.
pub(crate) fn fork_sleeper(name: &str, time: Duration) -> Result<()> {
    // SAFETY: the child uses nothing that another thread may have locked: there
    // is none.
    let pid = Errno::result(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: only integers; nothing of this process is used afterwards.
        unsafe {
            libc::setsid();
            libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        }
        be_called(name);
        std::thread::sleep(time);
        // SAFETY: takes no pointer and does not return.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

/// The name of the calling thread: PR_SET_NAME(2const), 15 letters.
pub(crate) fn be_called(name: &str) {
    let mut bytes = [0_u8; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    // SAFETY: the kernel reads at most 16 bytes, the last of which is 0.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// A page of shared memory with this key, new: shmget(2).
pub(crate) fn shared_memory(key: i32) -> Result<()> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    // SAFETY: only integers.
    Errno::result(unsafe { libc::shmget(key, 4096, flags) }).map(drop)
}

/// Memory that was written is made executable. It is not run.
pub(crate) fn executable() -> Result<()> {
    let (length, both) = (4096, libc::PROT_READ | libc::PROT_WRITE);
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, which nobody else knows.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), length, both, kind, -1, 0);
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        memory.cast::<u8>().write(0xc3);
        Errno::result(libc::mprotect(
            memory,
            length,
            libc::PROT_READ | libc::PROT_EXEC,
        ))
        .map(drop)
    }
}

/// A copy of another process's descriptor: pidfd_getfd(2).
pub(crate) fn descriptor_of(pid: i32, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: only integers; the results are new descriptors or errors.
    unsafe {
        let process = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        let process = OwnedFd::from_raw_fd(process as RawFd);
        let process = std::os::fd::AsRawFd::as_raw_fd(&process);
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_getfd, process, number, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Whether a descriptor of this number is open.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: only integers.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Whether it is a socket that listens.
pub(crate) fn listens(number: RawFd) -> bool {
    option(number, libc::SO_ACCEPTCONN).is_ok_and(|answer| answer != 0)
}

/// The family of a socket's addresses.
fn family(number: RawFd) -> Result<i32> {
    option(number, libc::SO_DOMAIN)
}

fn option(number: RawFd, name: i32) -> Result<i32> {
    let (mut answer, mut length) = (0_i32, 4);
    let (answer_at, length_at) = (&raw mut answer, &raw mut length);
    let level = libc::SOL_SOCKET;
    // SAFETY: the kernel writes at most the four bytes that `length` says.
    let result = unsafe { libc::getsockopt(number, level, name, answer_at.cast(), length_at) };
    Errno::result(result).map(|_| answer)
}

/// The address at a socket's other end, if it is one of the internet's.
pub(crate) fn peer(number: RawFd) -> Option<SocketAddr> {
    // SAFETY: plain integers, for which zero is a value.
    let mut address: libc::sockaddr_storage = unsafe { zeroed() };
    let mut length = size_of_val(&address) as u32;
    // SAFETY: the kernel writes at most `length` bytes.
    let result = unsafe { libc::getpeername(number, (&raw mut address).cast(), &raw mut length) };
    Errno::result(result).ok()?;
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel says that it is one.
            let v4 = unsafe { *(&raw const address).cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr);
            Some((std::net::Ipv4Addr::from(ip), u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the kernel says that it is one.
            let v6 = unsafe { *(&raw const address).cast::<libc::sockaddr_in6>() };
            let ip = std::net::Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            Some((ip, u16::from_be(v6.sin6_port)).into())
        }
        _ => None,
    }
}

/// Takes a connected socket away from its peer and connects it elsewhere, with
/// connect(2) to `AF_UNSPEC` first. Waits for a second at most.
pub(crate) fn reconnect(number: RawFd, to: SocketAddr) -> Result<()> {
    let SocketAddr::V4(to) = to else {
        return Err(Errno::EAFNOSUPPORT);
    };
    // SAFETY: plain integers, for which zero is a value; the family is AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { zeroed() };
    // SAFETY: as above.
    let mut there: libc::sockaddr_in = unsafe { zeroed() };
    there.sin_family = libc::AF_INET as u16;
    there.sin_port = to.port().to_be();
    there.sin_addr.s_addr = u32::from(*to.ip()).to_be();
    // SAFETY: as above. The same for a socket of both families (RFC 4291 2.5.5.2).
    let mut mapped: libc::sockaddr_in6 = unsafe { zeroed() };
    mapped.sin6_family = libc::AF_INET6 as u16;
    mapped.sin6_port = to.port().to_be();
    mapped.sin6_addr.s6_addr = to.ip().to_ipv6_mapped().octets();
    let (there, length) = match family(number)? {
        libc::AF_INET6 => ((&raw const mapped).cast(), size_of_val(&mapped)),
        _ => ((&raw const there).cast(), size_of_val(&there)),
    };
    let connect = |address: *const libc::sockaddr, length: usize| {
        // SAFETY: both addresses live as long as this function.
        Errno::result(unsafe { libc::connect(number, address, length as u32) }).map(drop)
    };
    connect(&raw const nowhere, size_of_val(&nowhere))?;
    // SAFETY: only integers.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) })?;
    match connect(there, length) {
        Err(Errno::EINPROGRESS) => {}
        other => return other,
    }
    let mut wait = libc::pollfd {
        fd: number,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, as the count says.
    match Errno::result(unsafe { libc::poll(&raw mut wait, 1, 1000) })? {
        0 => Err(Errno::ETIMEDOUT),
        _ if peer(number).is_some() => Ok(()),
        _ => Err(Errno::ECONNREFUSED),
    }
}

/// Bytes that wait at another's connection, and stay there: MSG_PEEK.
pub(crate) fn peek(number: RawFd) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; 256];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most the length that is passed.
    let count = unsafe { libc::recv(number, bytes.as_mut_ptr().cast(), bytes.len(), flags) };
    bytes.truncate(Errno::result(count)? as usize);
    Ok(bytes)
}

/// A second descriptor for what is open at this number.
pub(crate) fn copy(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: only integers; the result is a new descriptor or an error.
    unsafe {
        let new = Errno::result(libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(new))
    }
}

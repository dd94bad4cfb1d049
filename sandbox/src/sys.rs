//! The system calls for which nix has no safe wrapper, one wrapper each.
//!
//! Numbers come from libc; structures and flags that it lacks are from the
//! kernel's uapi headers and named after them. Those marked "child" are called
//! between `clone3` and `execve`: they neither allocate nor take a lock.
#![expect(
    unsafe_code,
    reason = "clone3, the new mount calls, execve with prepared pointers and raw credential calls have no safe wrapper"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::capabilities::Kept;
use crate::spec::MOST_DESCRIPTORS;

type Result<T> = std::result::Result<T, Errno>;

/// `CLONE_CLEAR_SIGHAND`, `CLONE_INTO_CGROUP` (linux/sched.h).
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Of 8 bytes: room for a header and [`MOST_DESCRIPTORS`] descriptors.
const CONTROL_WORDS: usize = 4 + MOST_DESCRIPTORS.div_ceil(2);

/// Flags of mount_setattr(2), linux/mount.h.
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 8;

/// Ends the child whatever happens, a panic included: it must never unwind
/// into its copy of the parent's stack.
struct NeverReturn(c_int);

impl Drop for NeverReturn {
    fn drop(&mut self) {
        // SAFETY: _exit takes no pointer and runs no handler of the parent's.
        unsafe { libc::_exit(self.0) }
    }
}

/// Forks with clone3(2) and `namespaces` (`CLONE_NEW…`), all handled signals
/// reset, into `cgroup` if given. The child runs `child` and exits with what it
/// returns. `child` must not allocate or take a lock if there are threads.
pub(crate) fn clone3(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> c_int,
) -> Result<(Pid, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and with no stack this is a fork: the child has
    // its own copy of memory. args and pidfd outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    if pid == 0 {
        let mut end = NeverReturn(127);
        end.0 = child();
        drop(end);
    }
    let pid = Errno::result(pid)?;
    // SAFETY: the kernel has just put a new descriptor there, for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((Pid::from_raw(pid as i32), pidfd))
}

/// A new descriptor from a system call that returned `value`.
fn owned(value: c_long) -> Result<OwnedFd> {
    let fd = Errno::result(value)? as RawFd;
    // SAFETY: callers pass the result of a call that returns a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A detached copy of the mounts at and below `path`: open_tree(2).
pub(crate) fn open_tree_clone(path: &CStr) -> Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
    // SAFETY: path is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Sets `attributes` on a detached tree and everything in it, and makes it
/// private: mount_setattr(2).
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, attributes: u64) -> Result<()> {
    /// `struct mount_attr`, linux/mount.h.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr {
        set: attributes,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: attr has the layout and size that are passed; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// A configuration context of a new tmpfs: fsopen(2).
pub(crate) fn fsopen_tmpfs() -> Result<OwnedFd> {
    // SAFETY: a constant C string; 1 is FSOPEN_CLOEXEC.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 1) })
}

/// Sets one option of a filesystem being made: fsconfig(2).
pub(crate) fn fsconfig_string(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<()> {
    const FSCONFIG_SET_STRING: c_int = 1;
    let (fd, key, value) = (context.as_raw_fd(), key.as_ptr(), value.as_ptr());
    // SAFETY: both are C strings that outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0) };
    Errno::result(result).map(drop)
}

/// Makes the filesystem: fsconfig(2).
pub(crate) fn fsconfig_create(context: BorrowedFd<'_>) -> Result<()> {
    const FSCONFIG_CMD_CREATE: c_int = 6;
    let (fd, none) = (context.as_raw_fd(), null::<c_char>());
    // SAFETY: this command takes no key and no value.
    let result =
        unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0) };
    Errno::result(result).map(drop)
}

/// The filesystem as a detached mount: fsmount(2).
pub(crate) fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd> {
    // SAFETY: only integers; 1 is FSMOUNT_CLOEXEC.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, attributes) })
}

/// Child: attaches a detached tree at `path`, relative to the current
/// directory: move_mount(2).
pub(crate) fn move_mount(tree: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: c_int = 4;
    // SAFETY: both are C strings that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop)
}

/// A close-on-exec duplicate whose number is at least `minimum`.
pub(crate) fn dup_from(fd: BorrowedFd<'_>, minimum: RawFd) -> Result<OwnedFd> {
    // SAFETY: only integers.
    owned(c_long::from(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, minimum)
    }))
}

/// Child: a close-on-exec duplicate of `fd` whose number is at least `minimum`.
pub(crate) fn raise(fd: RawFd, minimum: RawFd) -> Result<RawFd> {
    // SAFETY: only integers.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, minimum) })
}

/// Child: puts `fd` at the number `target`, open across `execve`. What was
/// there is closed, whoever in this process believed to own it.
pub(crate) fn dup_onto(fd: RawFd, target: RawFd) -> Result<()> {
    // SAFETY: only integers; the child owns its whole descriptor table, and
    // uses no descriptor below the declared range after this.
    Errno::result(unsafe { libc::dup2(fd, target) }).map(drop)
}

/// Child: waits for a packet and the descriptors in it: recvmsg(2), unix(7).
/// Returns how many there were (EMFILE if not all of them fit into `numbers` or
/// the limit on descriptors), or `None` if the peer is gone.
pub(crate) fn receive(socket: BorrowedFd<'_>, numbers: &mut [RawFd]) -> Result<Option<usize>> {
    let mut byte = 0u8;
    let mut data = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // Aligned as a cmsghdr.
    let mut control = [0u64; CONTROL_WORDS];
    // SAFETY: msghdr is plain integers and pointers, valid as zeroes.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let length = loop {
        // SAFETY: message points to buffers of the lengths it says, which
        // outlive the call.
        match Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) }) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    };
    if length == 0 {
        return Ok(None);
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(Errno::EMFILE);
    }
    // SAFETY: the kernel filled the buffer and set its length.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return Ok(Some(0));
    }
    // SAFETY: not null, so a whole header in the buffer; aligned as it.
    let (kind, whole) = unsafe { ((*header).cmsg_type, (*header).cmsg_len as usize) };
    if kind != libc::SCM_RIGHTS {
        return Err(Errno::EPROTO);
    }
    // SAFETY: as above.
    let start = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
    let before = start.addr() - header.addr();
    let count = whole.saturating_sub(before) / size_of::<RawFd>();
    for (i, number) in numbers
        .get_mut(..count)
        .ok_or(Errno::EMFILE)?
        .iter_mut()
        .enumerate()
    {
        // SAFETY: i is below the count of numbers that the header says follow it.
        *number = unsafe { start.add(i).read_unaligned() };
    }
    Ok(Some(count))
}

/// Child: leaves the number `fd` open across `execve`.
pub(crate) fn keep_across_exec(fd: RawFd) -> Result<()> {
    // SAFETY: only integers.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}

/// Child: closes `first..=last`; an empty range is fine.
pub(crate) fn close_range(first: u32, last: u32) -> Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: only integers; as for dup_onto.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Child: an empty list of supplementary groups. The raw call, because
/// glibc's asks all threads to make it, and the child has none of them.
pub(crate) fn setgroups_none() -> Result<()> {
    // SAFETY: no groups, so the pointer is not read.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, 0, null::<u32>()) }).map(drop)
}

/// Child: all three group ids. Raw, as for [`setgroups_none`].
pub(crate) fn setresgid(id: u32) -> Result<()> {
    // SAFETY: only integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, id, id, id) }).map(drop)
}

/// Child: all three user ids. Raw, as for [`setgroups_none`].
pub(crate) fn setresuid(id: u32) -> Result<()> {
    // SAFETY: only integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) }).map(drop)
}

/// prctl(2) of an operation that takes integers only.
fn prctl(operation: c_int, argument: c_ulong) -> Result<c_int> {
    // SAFETY: callers in this file pass operations without pointers.
    Errno::result(unsafe {
        libc::prctl(
            operation,
            argument,
            0 as c_ulong,
            0 as c_ulong,
            0 as c_ulong,
        )
    })
}

/// Child: what root and a change of ids mean; see [`Kept::securebits`].
pub(crate) fn set_securebits(kept: Kept) -> Result<()> {
    prctl(libc::PR_SET_SECUREBITS, kept.securebits()).map(drop)
}

/// Child: leaves only `kept` in the bounding set.
pub(crate) fn limit_bounding_set(kept: Kept) -> Result<()> {
    for capability in (0..64).filter(|number| !kept.has(*number)) {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            // The kernel's last capability is behind us.
            Err(Errno::EINVAL) if capability > 37 => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Child: leaves only `kept` effective and permitted, and nothing
/// inheritable: capset(2).
pub(crate) fn limit_capabilities(kept: Kept) -> Result<()> {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let sets = [kept.bits(), kept.bits(), 0, 0, 0, 0];
    // SAFETY: version 3 reads two words of header and six of sets.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Child: no new privileges, for good.
pub(crate) fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Child: memory that was writable never becomes executable; PR_SET_MDWE(2const).
pub(crate) fn refuse_write_execute() -> Result<()> {
    const PR_SET_MDWE: c_int = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: c_ulong = 1;
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN).map(drop)
}

/// Child: leaves the parent's session keyring for an empty one. A kernel
/// without keyrings has none to leave.
pub(crate) fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    let (operation, unnamed) = (KEYCTL_JOIN_SESSION_KEYRING, null::<c_char>());
    // SAFETY: a null name asks for an anonymous keyring.
    match Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, operation, unnamed) }) {
        Err(Errno::ENOSYS) => Ok(()),
        result => result.map(drop),
    }
}

/// Child: brings `lo` up in its network namespace: netdevice(7).
pub(crate) fn loopback_up() -> Result<()> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: only integers.
    let socket = owned(c_long::from(unsafe {
        libc::socket(libc::AF_INET, kind, 0)
    }))?;
    // SAFETY: ifreq is plain integers, arrays and pointers, valid as zeroes.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The array is zeroed, so the name ends with a NUL.
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    let operation = libc::SIOCSIFFLAGS as libc::Ioctl;
    // SAFETY: this request reads a struct ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), operation, &raw const request) })
        .map(drop)
}

/// How many bytes wait in a stream socket to be read, without a look at them; 0 also
/// when its other end is closed: ioctl FIONREAD, unix(7), tcp(7).
///
/// # Errors
/// The kernel's, as for something that is no socket.
pub fn bytes_to_read(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: this request writes one int, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(done).map(|_| usize::try_from(count).unwrap_or_default())
}

/// Child: SIGPIPE kills again; Rust's runtime ignores it, and that is inherited.
pub(crate) fn default_sigpipe() -> Result<()> {
    // SAFETY: SIG_DFL is no function of ours.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(Errno::last());
    }
    Ok(())
}

/// Child: loads a filter for this process: seccomp(2).
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

/// A program's path, arguments and environment, as `execve` wants them, so
/// that nothing is allocated after the clone.
pub(crate) struct Exec {
    /// Owns what the pointers point to.
    strings: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl Exec {
    /// `argv` must not be empty; its first string is the path.
    pub(crate) fn new(argv: Vec<CString>, env: Vec<CString>) -> Exec {
        assert!(!argv.is_empty(), "the spec was checked to have an argv");
        let pointers = |strings: &[CString]| {
            let pointers = strings.iter().map(|s| s.as_ptr());
            pointers.chain([null()]).collect::<Vec<_>>()
        };
        let (argv_pointers, envp) = (pointers(&argv), pointers(&env));
        let mut strings = argv;
        strings.extend(env);
        Exec {
            strings,
            argv: argv_pointers,
            envp,
        }
    }

    /// The program's path.
    pub(crate) fn path(&self) -> &CStr {
        &self.strings[0]
    }

    /// Child: runs the program; returns only why it could not.
    pub(crate) fn run(&self) -> Errno {
        #[cfg(feature = "weak")]
        if !crate::weak::kept(crate::weak::Protection::PidNamespace) {
            return self.run_told_its_pid();
        }
        // SAFETY: both arrays end in null, and their strings live in self, on
        // the heap, where moving the vector that owns them leaves them.
        unsafe { libc::execve(self.argv[0], self.argv.as_ptr(), self.envp.as_ptr()) };
        Errno::last()
    }

    /// As [`Exec::run`], where the program is not process 1, as its `LISTEN_PID`
    /// says (sd_listen_fds(3)): that is corrected.
    #[cfg(feature = "weak")]
    fn run_told_its_pid(&self) -> Errno {
        const NAME: &[u8] = b"LISTEN_PID=";
        let mut text = [0_u8; 32];
        text[..NAME.len()].copy_from_slice(NAME);
        let (mut rest, mut digits) = (std::process::id(), [0_u8; 10]);
        let mut count = 0;
        while rest > 0 {
            digits[count] = b'0' + (rest % 10) as u8;
            (rest, count) = (rest / 10, count + 1);
        }
        for (at, digit) in digits[..count].iter().rev().enumerate() {
            text[NAME.len() + at] = *digit;
        }
        let mut envp = [null::<c_char>(); 64];
        let variables = self.strings[self.argv.len() - 1..].iter();
        for (place, variable) in envp[..63].iter_mut().zip(variables) {
            *place = match variable.as_bytes().starts_with(NAME) {
                true => text.as_ptr().cast(),
                false => variable.as_ptr(),
            };
        }
        // SAFETY: as above; the last of envp is null, as is text's last byte.
        unsafe { libc::execve(self.argv[0], self.argv.as_ptr(), envp.as_ptr()) };
        Errno::last()
    }
}

/// SIGKILL through a pidfd: pidfd_send_signal(2).
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>) -> Result<()> {
    let (fd, signal, info) = (pidfd.as_raw_fd(), libc::SIGKILL, null::<libc::siginfo_t>());
    // SAFETY: a null siginfo asks for the default one.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, info, 0) })
        .map(drop)
}

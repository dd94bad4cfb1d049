//! The unsafe corner: C's `main`, and the calls that nix has no safe wrapper for,
//! one each. Errors are the kernel's.
#![expect(
    unsafe_code,
    reason = "raw system calls are what this program is for; main and the zygote are C symbols"
)]

use crate::Outcome;
use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use zygote as _;

unsafe extern "C" {
    /// The zygote's entry, zygote/src/sys.rs.
    #[link_name = "zygote_serve"]
    fn serve(interpreter: *mut c_void, sub: *mut c_void);
}

/// C's entry; Rust's own would make calls that not every policy has.
// SAFETY: nothing else in this program has the symbol `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _words: *const *const c_char) -> c_int {
    exit(crate::run())
}

/// Ends at once.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Serves as the zygote does; comes back in a locked-down child only.
pub(crate) fn zygote_serve() {
    // SAFETY: it touches neither argument; this process has one thread.
    unsafe { serve(std::ptr::null_mut(), std::ptr::null_mut()) }
}

/// Whether this program became root by being executed: getauxval(3), no call.
pub(crate) fn became_root() -> bool {
    // SAFETY: takes no pointer.
    unsafe { libc::getauxval(libc::AT_SECURE) == 1 && libc::getauxval(libc::AT_EUID) == 0 }
}

/// Takes this id, if it may.
pub(crate) fn become_user(id: u32) {
    // SAFETY: only integers; this process has one thread.
    unsafe {
        libc::syscall(libc::SYS_setresgid, id, id, id);
        libc::syscall(libc::SYS_setresuid, id, id, id);
    }
}

/// read(2).
pub(crate) fn read(fd: c_int, bytes: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most the length that is passed.
    let count = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    Errno::result(count).map(|count| count as usize)
}

/// Bytes up to a newline.
pub(crate) fn read_line(fd: c_int) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while read(fd, &mut byte) == Ok(1) && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// Writes all of it.
pub(crate) fn write_all(fd: c_int, mut bytes: &[u8]) -> Outcome {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads at most the length that is passed.
        let count = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        bytes = &bytes[Errno::result(count)? as usize..];
    }
    Ok(())
}

/// Standard output, open as long as the process.
pub(crate) fn borrow_output() -> BorrowedFd<'static> {
    // SAFETY: 1 is never closed here.
    unsafe { BorrowedFd::borrow_raw(1) }
}

fn owned(fd: c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(fd)? as c_int;
    // SAFETY: callers pass what a call that makes a descriptor has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// execve(2) with one argument and no environment.
pub(crate) fn execute(path: &CStr, word: &CStr) -> Outcome {
    let argv = [path.as_ptr(), word.as_ptr(), std::ptr::null()];
    let none = [std::ptr::null()];
    // SAFETY: both lists end with a null and hold strings that outlive the call.
    Errno::result(unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr()) }).map(drop)
}

/// memfd_create(2).
pub(crate) fn memory_file() -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a string.
    owned(unsafe { libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0) })
}

/// execveat(2) of a descriptor.
pub(crate) fn execute_descriptor(fd: c_int) -> Outcome {
    let argv = [c"x".as_ptr(), std::ptr::null()];
    let (call, empty) = (libc::SYS_execveat, c"".as_ptr());
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the lists end with a null; the strings outlive the call.
    let result = unsafe { libc::syscall(call, fd, empty, argv.as_ptr(), &argv[1], flags) };
    Errno::result(result).map(drop)
}

/// name_to_handle_at(2) of the root, and open_by_handle_at(2) of what it gave.
pub(crate) fn open_by_handle() -> Outcome {
    // struct file_handle: the size of what follows, the kind, and room for it.
    let mut handle = [0u32; 2 + 32];
    handle[0] = 128;
    let mut mount: c_int = 0;
    let here = libc::AT_FDCWD;
    let call = libc::SYS_name_to_handle_at;
    // SAFETY: the kernel writes no more than the size that the handle names.
    let named = unsafe {
        libc::syscall(
            call,
            here,
            c"/".as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            0,
        )
    };
    Errno::result(named)?;
    let call = libc::SYS_open_by_handle_at;
    // SAFETY: the kernel reads the handle that it wrote.
    owned(unsafe { libc::syscall(call, here, handle.as_ptr(), libc::O_RDONLY) }).map(drop)
}

/// pidfd_open(2) and pidfd_getfd(2).
pub(crate) fn take_descriptor(pid: c_int, number: c_int) -> Outcome {
    // SAFETY: only integers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let process = std::os::fd::AsRawFd::as_raw_fd(&process);
    // SAFETY: only integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) }).map(drop)
}

/// fork(2) of a process that ends at once. It is not waited for: its parent ends too.
pub(crate) fn fork_and_wait() -> Outcome {
    // SAFETY: this process has one thread; the child does nothing but end.
    match Errno::result(unsafe { libc::fork() })? {
        0 => exit(0),
        _ => Ok(()),
    }
}

/// msgget(2) of a queue that is there, and msgrcv(2) of its first message.
pub(crate) fn receive_message(key: c_int) -> Outcome {
    // SAFETY: only integers.
    let queue = Errno::result(unsafe { libc::msgget(key, 0) })?;
    // struct msgbuf: a long, and room for the text.
    let mut message = [0u64; 3];
    let (at, size) = (message.as_mut_ptr().cast(), 16);
    // SAFETY: the kernel writes a long and at most `size` bytes after it.
    let count = unsafe { libc::msgrcv(queue, at, size, 0, libc::IPC_NOWAIT) };
    Errno::result(count).map(drop)
}

/// fsopen(2) to move_mount(2).
pub(crate) fn mount_new() -> Outcome {
    const CREATE: c_int = 6;
    const EMPTY_PATH: c_int = 4;
    let null = std::ptr::null::<c_char>();
    // SAFETY: the name is a string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) })?;
    let context = std::os::fd::AsRawFd::as_raw_fd(&context);
    // SAFETY: this command takes neither key nor value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context, CREATE, null, null, 0) };
    Errno::result(made)?;
    // SAFETY: only integers.
    let mount = owned(unsafe { libc::syscall(libc::SYS_fsmount, context, 0, 0) })?;
    let mount = std::os::fd::AsRawFd::as_raw_fd(&mount);
    let (call, here) = (libc::SYS_move_mount, libc::AT_FDCWD);
    let (empty, to) = (c"".as_ptr(), c"/".as_ptr());
    // SAFETY: both paths are strings.
    let moved = unsafe { libc::syscall(call, mount, empty, here, to, EMPTY_PATH) };
    Errno::result(moved).map(drop)
}

/// clone(2) of a process in a user namespace, which ends at once.
pub(crate) fn clone_user() -> Outcome {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack this is a fork; the child only ends.
    match Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })? {
        0 => exit(0),
        _ => Ok(()),
    }
}

/// clone3(2) as a fork, into these new namespaces. The caller has one thread.
fn clone3(namespaces: c_int) -> Result<c_long, Errno> {
    // SAFETY: clone_args is plain integers, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and with no stack this is a fork of one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    Errno::result(pid)
}

/// clone3(2) of a process in a user, mount and network namespace of its own, and
/// what `work` comes to there. Where it is killed, this process ends as if it
/// had been.
pub(crate) fn clone3_user(work: fn() -> Outcome) -> Outcome {
    let pid = match clone3(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET)? {
        0 => exit(match work() {
            Ok(()) => 0,
            Err(errno) => errno as c_int,
        }),
        pid => pid as libc::id_t,
    };
    // SAFETY: siginfo_t is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one siginfo_t.
    let waited = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED) };
    Errno::result(waited)?;
    // SAFETY: waitid fills these fields.
    let status = unsafe { info.si_status() };
    match (info.si_code, status) {
        (libc::CLD_EXITED, 0) => Ok(()),
        (libc::CLD_EXITED, errno) => Err(Errno::from_raw(errno)),
        (_, signal) => exit(128 + signal),
    }
}

/// keyctl(2), `KEYCTL_SEARCH` for the user key "attack".
pub(crate) fn search_session_keyring() -> Outcome {
    const SEARCH: c_int = 10;
    const SESSION: c_int = -3;
    let (kind, name) = (c"user".as_ptr(), c"attack".as_ptr());
    // SAFETY: both are strings.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, SESSION, kind, name, 0) };
    Errno::result(key).map(drop)
}

/// io_uring_setup(2).
pub(crate) fn io_uring_setup() -> Outcome {
    // struct io_uring_params has 120 bytes, all of which may be 0.
    let mut parameters = [0u64; 16];
    let at = parameters.as_mut_ptr();
    // SAFETY: the kernel reads and writes no more than the structure.
    owned(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, at) }).map(drop)
}

/// bpf(2), `BPF_MAP_CREATE` of an array of one number.
pub(crate) fn bpf_map() -> Outcome {
    const MAP_CREATE: c_int = 0;
    const ARRAY: u32 = 2;
    // Kind, size of a key, size of a value, how many.
    let map = [ARRAY, 4, 4, 1];
    let size = size_of_val(&map);
    // SAFETY: the kernel reads the size that is passed.
    owned(unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, map.as_ptr(), size) }).map(drop)
}

/// userfaultfd(2), for faults of user space only, which takes no capability.
pub(crate) fn userfaultfd() -> Outcome {
    const USER_MODE_ONLY: c_int = 1;
    let flags = USER_MODE_ONLY | libc::O_CLOEXEC;
    // SAFETY: only integers.
    owned(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) }).map(drop)
}

/// perf_event_open(2) of this process's page faults, without the kernel's.
pub(crate) fn perf_event() -> Outcome {
    // struct perf_event_attr, the first version: type and size, config, two
    // words, flags, two words.
    const SOFTWARE: u64 = 1;
    const SIZE: u64 = 64;
    const PAGE_FAULTS: u64 = 2;
    const EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 0b11 << 5;
    let (first, flags) = (SOFTWARE | SIZE << 32, EXCLUDE_KERNEL_AND_HYPERVISOR);
    let event = [first, PAGE_FAULTS, 0, 0, 0, flags, 0, 0];
    let (call, at) = (libc::SYS_perf_event_open, event.as_ptr());
    // SAFETY: the kernel reads the size that stands in it.
    owned(unsafe { libc::syscall(call, at, 0, -1, -1, 0) }).map(drop)
}

/// getpid(2) by a 32-bit call's way and number.
#[cfg(target_arch = "x86_64")]
pub(crate) fn int_0x80() -> Outcome {
    let mut result: u64 = 20;
    // SAFETY: this call reads and writes no memory; registers that the kernel may
    // change are named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    Errno::result(result as i32).map(drop)
}

/// getpid(2) with the bit of x32.
#[cfg(target_arch = "x86_64")]
pub(crate) fn x32_getpid() -> Outcome {
    const BIT: c_long = 0x4000_0000;
    // SAFETY: takes no argument.
    Errno::result(unsafe { libc::syscall(BIT + libc::SYS_getpid) }).map(drop)
}

/// A 64-bit process of this machine has no way to 32-bit calls.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn int_0x80() -> Outcome {
    Err(Errno::EOPNOTSUPP)
}

/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn x32_getpid() -> Outcome {
    Err(Errno::EOPNOTSUPP)
}

fn map(size: usize, protection: c_int) -> Result<*mut c_void, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, wherever there is room.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    match at == libc::MAP_FAILED {
        true => Err(Errno::last()),
        false => Ok(at),
    }
}

const PAGE: usize = 4096;

/// mmap(2), then mprotect(2).
pub(crate) fn write_then_execute() -> Outcome {
    let at = map(PAGE, libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: the page is this function's, and nothing uses it.
    let changed = unsafe { libc::mprotect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC) };
    Errno::result(changed).map(drop)
}

/// mmap(2).
pub(crate) fn write_and_execute() -> Outcome {
    map(PAGE, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).map(drop)
}

/// setrlimit(2): as many descriptors as anyone may have, where nothing forbids it.
pub(crate) fn raise_descriptor_limit() {
    const MOST: libc::rlim_t = 1 << 20;
    let limit = libc::rlimit {
        rlim_cur: MOST,
        rlim_max: MOST,
    };
    // SAFETY: the kernel reads one rlimit. The attack goes on either way.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// Addresses for more than `most` bytes.
pub(crate) fn reserve(most: u64) -> Outcome {
    map(most as usize + PAGE, libc::PROT_READ).map(drop)
}

/// More than `most` bytes of memory, all of them written.
pub(crate) fn fill(most: u64) -> Outcome {
    let size = most as usize + PAGE;
    let at = map(size, libc::PROT_READ | libc::PROT_WRITE)?;
    for page in (0..size).step_by(PAGE) {
        // SAFETY: inside of what was mapped, which nothing else uses.
        unsafe { at.cast::<u8>().add(page).write_volatile(1) };
    }
    Ok(())
}

/// More than `most` processes, which wait; threads where the policy says that
/// there is no clone3. All end with this process, the first of its namespace.
pub(crate) fn tasks(most: u64) -> Outcome {
    let wait = || loop {
        std::thread::park();
    };
    for _ in 0..=most {
        match clone3(0) {
            Ok(0) => wait(),
            Ok(_) => {}
            Err(Errno::ENOSYS) => {
                let thread = std::thread::Builder::new().stack_size(64 << 10);
                let error = |e: std::io::Error| e.raw_os_error().unwrap_or(libc::EIO);
                let made = thread.spawn(wait).map_err(error);
                made.map_err(Errno::from_raw)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

//! What only the kernel's administrator may do, and what nobody needs.

use crate::{Outcome, network, sys};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount as mount_old};
use nix::sched::{CloneFlags, unshare};

const NONE: Option<&str> = None;

/// Mounts an empty folder over `/dev`: mount(2).
pub(crate) fn mount() -> Outcome {
    mount_old(Some("none"), "/", Some("tmpfs"), MsFlags::empty(), NONE)
}

/// The same with the calls since Linux 5.2: fsopen(2), fsmount(2), move_mount(2).
pub(crate) fn mount_new() -> Outcome {
    sys::mount_new()
}

/// Makes the root writable.
pub(crate) fn remount() -> Outcome {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    mount_old(NONE, "/", NONE, flags, NONE)
}

/// A user namespace, in which it would have all capabilities: unshare(2).
pub(crate) fn unshare_user() -> Outcome {
    unshare(CloneFlags::CLONE_NEWUSER)
}

/// The same for a new process: clone(2).
pub(crate) fn clone_user() -> Outcome {
    sys::clone_user()
}

/// The same with the call whose flags a policy can't see: clone3(2).
pub(crate) fn clone3_user() -> Outcome {
    sys::clone3_user(|| Ok(()))
}

/// Uses the capabilities of a new namespace to mount.
pub(crate) fn namespace_then_mount() -> Outcome {
    sys::clone3_user(mount)
}

/// Uses them for raw sockets, in a network namespace of its own.
pub(crate) fn namespace_then_raw() -> Outcome {
    sys::clone3_user(network::raw)
}

/// Loads code into the kernel: init_module(2). A kernel that has no modules has
/// been asked too.
pub(crate) fn module() -> Outcome {
    match nix::kmod::init_module(&[0; 64], c"") {
        Ok(()) | Err(Errno::ENOEXEC | Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Looks for the key that the parent's session keyring holds: keyctl(2).
pub(crate) fn keyring() -> Outcome {
    sys::search_session_keyring()
}

/// A ring: io_uring_setup(2).
pub(crate) fn io_uring() -> Outcome {
    sys::io_uring_setup()
}

/// A map, the least that bpf(2) gives.
pub(crate) fn bpf() -> Outcome {
    sys::bpf_map()
}

/// Stops the kernel on the way: userfaultfd(2).
pub(crate) fn userfaultfd() -> Outcome {
    sys::userfaultfd()
}

/// Counts its own page faults: perf_event_open(2).
pub(crate) fn perf() -> Outcome {
    sys::perf_event()
}

/// A 32-bit call of a 64-bit process.
pub(crate) fn int_0x80() -> Outcome {
    sys::int_0x80()
}

/// A call with an x32 number. A kernel that has none has been asked too.
pub(crate) fn x32() -> Outcome {
    match sys::x32_getpid() {
        Ok(()) | Err(Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Memory that becomes executable after it was written: mprotect(2).
pub(crate) fn write_then_execute() -> Outcome {
    sys::write_then_execute()
}

/// Memory that is both at once: mmap(2).
pub(crate) fn write_and_execute() -> Outcome {
    sys::write_and_execute()
}

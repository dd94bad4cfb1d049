//! Protections that tests take away, to see an attack get further without one.
//!
//! Only the feature `weak` makes this a switch. Without it, [`kept`] is
//! constantly true and compiles to nothing; no product program has the feature
//! (`xtask`'s tidy rule), and the image builder refuses a program that holds
//! [`MARKER`]. With it, [`remove`] holds for all sandboxes that this process
//! starts from then on, so tests that use it must not run beside others in
//! one process.
//!
//! One removal changes only what it says: what the other protections refuse,
//! they go on refusing. Several together open what they hold together.

#[cfg(feature = "weak")]
use std::sync::atomic::{AtomicU32, Ordering};

/// Is in every program that was built with the feature, and in no other.
pub const MARKER: &str = "built with sandbox/weak, for tests alone";

/// The folder where the host's `/` appears without [`Protection::Root`].
#[cfg(feature = "weak")]
pub const HOST: &str = "/host";

/// Where id 0 of every sandbox is on the host without [`Protection::UserRange`].
#[cfg(feature = "weak")]
pub const SHARED_OUTSIDE: u32 = shared_outside();

/// See `SHARED_OUTSIDE`.
pub(crate) const fn shared_outside() -> u32 {
    1_000_000
}

/// Something that a sandbox is protected by; says what is so without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[cfg_attr(
    not(feature = "weak"),
    expect(unreachable_pub, reason = "public with the feature")
)]
pub enum Protection {
    /// No filter is loaded: every system call reaches the kernel.
    Seccomp,
    /// No Landlock: neither paths, TCP ports, abstract Unix sockets nor signals
    /// are refused by it. Modes and mounts still count.
    Landlock,
    /// It runs as id 0 with all capabilities in its user namespace: nothing is
    /// dropped, nothing bounded, and securebits are not locked. A
    /// [`crate::User::One`] has its one id at 0 then.
    Capabilities,
    /// `no_new_privs` is not set. (Mounts are nosuid all the same.)
    NoNewPrivileges,
    /// No user namespace of its own: it runs as the id that it has outside, on
    /// the host's; without `Capabilities` also, as the host's real root.
    UserNamespace,
    /// All sandboxes have the same ids outside, from `SHARED_OUTSIDE` on, so
    /// that owners of files tell none from the other. [`crate::User::on_host`]
    /// agrees.
    UserRange,
    /// The host's whole `/`, with everything mounted below it and nothing
    /// read-only, nosuid or noexec by the sandbox, is in the root as well, at `HOST`.
    Root,
    /// The root and its entries are mounted writable, and a tmpfs root belongs
    /// to the program's user. What is a read-only filesystem stays one.
    ReadOnly,
    /// No pid namespace: it is one process among the host's, and where it has a
    /// `/proc`, that is the host's, whole. Its `LISTEN_PID` says which.
    PidNamespace,
    /// The network is the host's. Its loopback and port settings are left
    /// alone, and what a parent does to the sandbox's network happens to the host's.
    NetworkNamespace,
    /// System V and POSIX message queues, semaphores and memory are the host's.
    IpcNamespace,
    /// All volumes are writable, and may hold programs, devices and set-user-ID
    /// files, as far as mounts and Landlock go; scratch folders may hold programs.
    Volumes,
    /// No limit on memory and swap.
    MemoryLimit,
    /// No limit on tasks.
    TaskLimit,
    /// The parent's limits on descriptors and file size. Core files stay at 0.
    Rlimits,
    /// All of the parent's descriptors arrive, close-on-exec or not. (A
    /// concurrent start waits for this program's end then.)
    Descriptors,
    /// Memory may become executable after it was writable.
    WriteExecute,
    /// The program's file is one that the program may read, so the kernel lets
    /// it be dumped and traced.
    Dumpable,
    /// It keeps its parent's session keyring.
    Keyring,
}

/// Each of them once.
#[cfg(feature = "weak")]
pub const ALL: [Protection; 19] = [
    Protection::Seccomp,
    Protection::Landlock,
    Protection::Capabilities,
    Protection::NoNewPrivileges,
    Protection::UserNamespace,
    Protection::UserRange,
    Protection::Root,
    Protection::ReadOnly,
    Protection::PidNamespace,
    Protection::NetworkNamespace,
    Protection::IpcNamespace,
    Protection::Volumes,
    Protection::MemoryLimit,
    Protection::TaskLimit,
    Protection::Rlimits,
    Protection::Descriptors,
    Protection::WriteExecute,
    Protection::Dumpable,
    Protection::Keyring,
];

#[cfg(feature = "weak")]
static REMOVED: AtomicU32 = AtomicU32::new(0);

/// Takes these protections, and no others, from every sandbox that this
/// process starts from now on. What was removed before is back.
#[cfg(feature = "weak")]
pub fn remove(protections: &[Protection]) {
    let bits = protections.iter().fold(0, |set, p| set | 1 << *p as u8);
    REMOVED.store(bits, Ordering::SeqCst);
}

/// Gives all protections back.
#[cfg(feature = "weak")]
pub fn restore() {
    remove(&[]);
}

/// Whether sandboxes have this protection.
#[cfg(feature = "weak")]
pub(crate) fn kept(protection: Protection) -> bool {
    // Or the linker would leave the marker out.
    std::hint::black_box(MARKER.as_ptr());
    removed() & 1 << protection as u8 == 0
}

/// What was removed, a bit each.
#[cfg(feature = "weak")]
pub(crate) fn removed() -> u32 {
    REMOVED.load(Ordering::SeqCst)
}

/// What was removed: nothing.
#[cfg(not(feature = "weak"))]
pub(crate) const fn removed() -> u32 {
    0
}

/// Whether sandboxes have this protection: always.
#[cfg(not(feature = "weak"))]
pub(crate) const fn kept(_: Protection) -> bool {
    true
}

#[cfg(all(test, feature = "weak"))]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    static ONE: Mutex<()> = Mutex::new(());

    /// Gives back what was removed.
    pub(crate) struct Without {
        _one: MutexGuard<'static, ()>,
    }

    impl Drop for Without {
        fn drop(&mut self) {
            restore();
        }
    }

    /// Removes these until the guard is dropped; no other test meanwhile.
    pub(crate) fn without(protections: &[Protection]) -> Without {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        remove(protections);
        Without { _one }
    }

    #[test]
    fn each_protection_is_listed_once_and_removed_alone() {
        for (number, protection) in ALL.into_iter().enumerate() {
            assert_eq!(protection as usize, number);
        }
        let _removed = without(&[Protection::Landlock]);
        for protection in ALL {
            assert_eq!(kept(protection), protection != Protection::Landlock);
        }
    }
}

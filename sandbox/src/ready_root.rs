//! A root that lies ready: complete, in a mount namespace of its own, unused.
//!
//! All sandboxes of one service have the same read-only root. To make its pieces,
//! to copy the host's mounts, to attach the pieces, and to take the host's mounts
//! off again is most of what a start takes. So it is done once: the root here is the whole
//! of its namespace, and the `clone3` of each sandbox copies that. No sandbox ever
//! runs in it: each has a mount namespace of its own, as without this, in which the
//! copied mounts are locked as they are, because it belongs to another user
//! namespace (mount_namespaces(7), "Restrictions on mount namespaces"), and its own
//! memory to write in ([`Spec::scratch`]). What they share are files that nobody can
//! write, as with any two that have the same [`Root::Directory`].
//!
//! The host's mounts were never in such a sandbox, so nothing has to be taken off there.
//! Only a root without a `/proc` can lie ready: a `/proc` shows the pids of its own sandbox, and
//! the kernel gives a user namespace one only where one of the host's is in sight.
//!
//! Source: mount_namespaces(7), setns(2), unshare(2), pivot_root(2).

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::thread;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir};

use crate::child;
use crate::error::SandboxError;
use crate::handle::Child;
use crate::root::{self, Failed, ReadableCopy};
use crate::sealed::Sealed;
use crate::spawn::{self, Place};
use crate::spec::{Device, PathRule, Proc, Root, Spec, SpecError};
use crate::volumes::Volume;
use crate::weak;

/// A complete root that no sandbox has yet. It holds on to what is mounted in it:
/// an image can be unmounted for good once this is dropped and its sandboxes have ended.
#[derive(Debug)]
pub struct ReadyRoot {
    namespace: OwnedFd,
    home: Home,
    of: Of,
    /// Of a test's: to be there as long as the mount that shows it.
    _copy: Option<ReadableCopy>,
}

/// Where threads come back to: the maker's mounts, root and working directory, which all
/// that start sandboxes share with it.
#[derive(Debug)]
struct Home {
    namespace: OwnedFd,
    root: OwnedFd,
    here: OwnedFd,
}

impl Home {
    fn of_this_thread() -> io::Result<Self> {
        Ok(Self {
            namespace: own()?,
            root: directory("/")?,
            here: directory(".")?,
        })
    }

    fn come(&self) -> nix::Result<()> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
        fchdir(&self.root)?;
        chroot(".")?;
        fchdir(&self.here)
    }
}

/// What a root depends on.
#[derive(Debug, PartialEq, Eq)]
struct Of {
    root: Root,
    volumes: Vec<Volume>,
    devices: Vec<Device>,
    paths: Vec<PathRule>,
    program: Option<String>,
    user: crate::ids::User,
    places: Vec<std::path::PathBuf>,
    /// What a test has taken away since: a root is made without it as well.
    removed: u32,
}

impl Of {
    fn spec(spec: &Spec) -> Self {
        Self {
            root: spec.root.clone(),
            volumes: spec.volumes.clone(),
            devices: spec.devices.clone(),
            paths: spec.paths.clone(),
            program: spec.argv.first().cloned(),
            user: spec.user,
            places: spec.scratch.iter().map(|s| s.path.clone()).collect(),
            removed: weak::removed(),
        }
    }
}

impl ReadyRoot {
    /// Makes the root of `spec`, for it and for every other spec that sees the same.
    /// The caller must be root. Sandboxes are to be started in it by threads that see the
    /// same mounts, with the same root and working directory, as the caller does now.
    ///
    /// # Errors
    /// What can't be mounted, with its path, and a spec with [`Proc::OwnPids`].
    pub fn make(spec: &Spec) -> Result<Self, SandboxError> {
        let failed = |Failed { step, source }| SandboxError::Step {
            sandbox: spec.name.clone(),
            step,
            source,
        };
        if spec.proc != Proc::Absent {
            return Err(wrong(spec));
        }
        let ready = |source| {
            let step = "ready root".into();
            failed(Failed { step, source })
        };
        let home = Home::of_this_thread().map_err(ready)?;
        let mut pieces = root::fixed(spec).map_err(failed)?;
        let made = thread::scope(|scope| {
            // A thread of its own, which ends in the root that it makes.
            let thread = thread::Builder::new().name("root".into());
            let made = thread.spawn_scoped(scope, || assemble(&pieces));
            let joined = made.map(thread::ScopedJoinHandle::join);
            joined.and_then(|made| made.unwrap_or_else(|_| Err(io::Error::other("panicked"))))
        });
        Ok(Self {
            namespace: made.map_err(ready)?,
            home,
            of: Of::spec(spec),
            _copy: pieces.copy.take(),
        })
    }

    /// Whether this is a root for `spec`.
    pub fn fits(&self, spec: &Spec) -> bool {
        spec.proc == Proc::Absent && self.of == Of::spec(spec)
    }

    /// As [`crate::seal`], in a copy of this root.
    ///
    /// # Errors
    /// As there, and if this is the root of another kind of spec.
    pub fn seal(&self, spec: &Spec, targets: &[RawFd]) -> Result<Sealed, SandboxError> {
        spawn::seal_in(&self.place_of(spec)?, spec, targets)
    }

    /// As [`crate::spawn`], in a copy of this root.
    ///
    /// # Errors
    /// As there, and if this is the root of another kind of spec.
    pub fn spawn(&self, spec: &Spec, fds: Vec<(OwnedFd, RawFd)>) -> Result<Child, SandboxError> {
        spawn::spawn_in(&self.place_of(spec)?, spec, fds)
    }

    fn place_of(&self, spec: &Spec) -> Result<Place<'_>, SandboxError> {
        match self.fits(spec) {
            true => Ok(Place::Ready(self)),
            false => Err(wrong(spec)),
        }
    }

    /// Runs `work`, which is to be a clone, where this root is `/`, and comes back.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
        // Root and working directory are set by `setns`, for this thread alone.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
        let done = work();
        if self.home.come().is_err() {
            // What this thread does next would happen in the sandbox's files.
            std::process::abort();
        }
        done
    }
}

/// For a root that can't lie ready, or is another's.
fn wrong(spec: &Spec) -> SandboxError {
    SandboxError::Spec {
        sandbox: spec.name.clone(),
        source: SpecError::ReadyRoot,
    }
}

/// Makes the namespace, from a thread that is used for nothing else.
fn assemble(pieces: &root::Prepared) -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    let namespace = own()?;
    child::make_root(pieces)?;
    Ok(namespace)
}

/// The mount namespace of this thread.
fn own() -> nix::Result<OwnedFd> {
    match File::open("/proc/thread-self/ns/mnt") {
        Ok(file) => Ok(file.into()),
        Err(error) => Err(nix::Error::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}

fn directory(path: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

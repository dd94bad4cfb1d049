//! What a sandbox may keep or scribble on: directories of the host and
//! memory. Both are mounted nosuid, nodev and noexec, and listing one is also
//! its Landlock rule.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use crate::spec::{Proc, Root, Spec, SpecError};

/// A directory (or one file) of the host. Who may read and write it inside is
/// decided by the host's owners and modes: see [`crate::User::on_host`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the host. Symbolic links are followed.
    pub host: PathBuf,
    /// Where it appears: absolute, without `..`. In a [`Root::Directory`] it
    /// must be there to be mounted over; [`Root::Entries`] makes a place.
    pub path: PathBuf,
    /// Whether it may be written: files, directories, symbolic links, fifos
    /// and Unix sockets made, renamed, truncated and removed. Otherwise it is
    /// read-only. (A Unix socket that lies in it can be connected to anyhow,
    /// if its mode allows that.)
    pub writable: bool,
}

/// A tmpfs that ends with the sandbox. Its memory counts for the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Where it appears, as for [`Volume::path`].
    pub path: PathBuf,
    /// The most that its files may hold, in bytes. Not 0, which the kernel
    /// takes for no limit.
    pub size: u64,
    /// The most files and directories, itself included. Not 0 either.
    pub inodes: u32,
    /// The mode of its top directory, say 0o700; it belongs to the user and
    /// group that the program runs as.
    pub mode: u32,
}

impl Scratch {
    /// The options of the tmpfs, with `owner` as the host numbers it.
    pub(crate) fn options(&self, owner: u32) -> [(&'static CStr, String); 5] {
        [
            (c"size", self.size.to_string()),
            (c"nr_inodes", self.inodes.to_string()),
            (c"mode", format!("{:o}", self.mode)),
            (c"uid", owner.to_string()),
            (c"gid", owner.to_string()),
        ]
    }
}

/// Refuses limits that are none, and anything mounted at or below a volume or
/// a scratch: there the program could put a symbolic link in a mount's way.
pub(crate) fn check(spec: &Spec) -> Result<(), SpecError> {
    for scratch in &spec.scratch {
        if scratch.size == 0 || scratch.inodes == 0 || scratch.mode > 0o7777 {
            return Err(SpecError::Scratch(scratch.path.clone()));
        }
    }
    let volumes = spec.volumes.iter().map(|v| v.path.as_path());
    let ours: Vec<&Path> = volumes
        .chain(spec.scratch.iter().map(|s| s.path.as_path()))
        .collect();
    let devices = spec.devices.iter().map(|d| Path::new(d.path()));
    let mut others: Vec<&Path> = devices.collect();
    if spec.proc == Proc::OwnPids {
        others.push(Path::new("/proc"));
    }
    if let Root::Entries(entries) = &spec.root {
        others.extend(entries.iter().map(|e| e.path.as_path()));
    }
    for (i, path) in ours.iter().enumerate() {
        let rest = ours.iter().enumerate().filter(|(j, _)| *j != i);
        let mut all = rest.map(|(_, other)| other).chain(&others);
        if path.parent().is_none() || all.any(|other| other.starts_with(path)) {
            return Err(SpecError::MountPoint((*path).to_owned()));
        }
    }
    Ok(())
}

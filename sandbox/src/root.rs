//! The root, made by the parent as detached mounts that are complete, and
//! read-only unless they are to be written, before the child exists.
//!
//! The tmpfs belongs to the host's user namespace, so its files are owned by a
//! user that the sandbox does not have. The child only attaches the pieces:
//! since Linux 6.15 the parent could do that as well.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::stat::{Mode, SFlag, mknod};

use crate::spec::{Access, Entry, PathRule, Proc, Root, Spec};
use crate::sys;
use crate::volumes::Scratch;
use crate::weak::{Protection, kept};

/// The detached root and what is to be attached below it, in order.
#[derive(Default)]
pub(crate) struct Prepared {
    /// None where it is `/` already.
    pub(crate) root: Option<OwnedFd>,
    pub(crate) mounts: Vec<Mount>,
    /// Among what the mounts show.
    pub(crate) copy: Option<ReadableCopy>,
}

/// A file made for one start. What has no name any more is not attached
/// (`ENOENT`), so it stays until the child has done that; dropping removes it.
#[derive(Debug)]
pub(crate) struct ReadableCopy(PathBuf);

impl Drop for ReadableCopy {
    fn drop(&mut self) {
        // One of a test's; its folder for such files is emptied at times.
        let _ = fs::remove_file(&self.0);
    }
}

/// A detached tree and where it goes, relative to the root.
pub(crate) struct Mount {
    pub(crate) tree: OwnedFd,
    pub(crate) path: CString,
}

/// A step of the parent's that failed.
pub(crate) struct Failed {
    pub(crate) step: String,
    pub(crate) source: io::Error,
}

const SAFE: u64 = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;

/// Makes all of the root of `spec`, detached.
pub(crate) fn prepare(spec: &Spec) -> Result<Prepared, Failed> {
    let mut prepared = fixed(spec)?;
    prepared.mounts.extend(own(spec)?.mounts);
    Ok(prepared)
}

/// What a sandbox of `spec` shares with no other: its memory to write files in.
pub(crate) fn own(spec: &Spec) -> Result<Prepared, Failed> {
    let scratch = spec.scratch.iter().map(|scratch| {
        let tree = scratch_tmpfs(spec, scratch)?;
        let path = relative(&scratch.path)?;
        Ok(Mount { tree, path })
    });
    Ok(Prepared {
        mounts: scratch.collect::<Result<_, _>>()?,
        ..Prepared::default()
    })
}

/// What is the same for all sandboxes of `spec`.
pub(crate) fn fixed(spec: &Spec) -> Result<Prepared, Failed> {
    let mut mounts = Vec::new();
    let beside_host;
    let root = match kept(Protection::Root) {
        true => &spec.root,
        false => {
            beside_host = with_host(&spec.root)?;
            &beside_host
        }
    };
    let prepared = match root {
        Root::Directory(path) => {
            let tree = open_tree(path)?;
            let whole = spec.paths.iter().any(is_whole);
            let noexec = if whole { 0 } else { sys::MOUNT_ATTR_NOEXEC };
            seal(&tree, path, read_only() | SAFE | noexec)?;
            if !whole {
                programs(spec, path, &mut mounts)?;
            }
            tree
        }
        Root::Entries(entries) => tmpfs(spec, entries)?,
    };
    if let Root::Entries(entries) = root {
        for entry in entries {
            let noexec = match entry.access {
                Access::Read => sys::MOUNT_ATTR_NOEXEC,
                Access::Execute => 0,
            };
            let tree = open_tree(&entry.host)?;
            let attributes = match entry.host.parent() {
                // Only where the host's own root was added.
                None if !kept(Protection::Root) => 0,
                _ => read_only() | SAFE | noexec,
            };
            seal(&tree, &entry.host, attributes)?;
            let path = relative(&entry.path)?;
            mounts.push(Mount { tree, path });
        }
    }
    if spec.proc == Proc::OwnPids && !kept(Protection::PidNamespace) {
        let tree = open_tree(Path::new("/proc"))?;
        let path = c"proc".to_owned();
        mounts.push(Mount { tree, path });
    }
    for device in &spec.devices {
        let path = Path::new(device.path());
        let tree = open_tree(path)?;
        // Not NODEV, or it could not be opened.
        let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NOEXEC;
        seal(&tree, path, attributes)?;
        let path = relative(path)?;
        mounts.push(Mount { tree, path });
    }
    for volume in &spec.volumes {
        let read_only = match volume.writable {
            true => 0,
            false => sys::MOUNT_ATTR_RDONLY,
        };
        let tree = open_tree(&volume.host)?;
        let attributes = match kept(Protection::Volumes) {
            true => SAFE | sys::MOUNT_ATTR_NOEXEC | read_only,
            false => 0,
        };
        seal(&tree, &volume.host, attributes)?;
        let path = relative(&volume.path)?;
        mounts.push(Mount { tree, path });
    }
    let mut copy = None;
    if !kept(Protection::Dumpable) {
        let (mount, file) = readable_program(spec)?;
        mounts.push(mount);
        copy = Some(file);
    }
    let root = Some(prepared);
    Ok(Prepared { root, mounts, copy })
}

/// Whether all of the root may be executed.
fn is_whole(rule: &PathRule) -> bool {
    rule.access == Access::Execute && rule.path == Path::new("/")
}

/// What may be executed of the directory `root`, to be mounted over itself.
fn programs(spec: &Spec, root: &Path, mounts: &mut Vec<Mount>) -> Result<(), Failed> {
    let executable = spec.paths.iter().filter(|r| r.access == Access::Execute);
    for rule in executable {
        let wrong = |source| Failed {
            step: format!("program {}", rule.path.display()),
            source,
        };
        let root = root.canonicalize().map_err(wrong)?;
        let path = relative(&rule.path)?;
        let host = root.join(OsStr::from_bytes(path.as_bytes()));
        let host = host.canonicalize().map_err(wrong)?;
        let Ok(path) = host.strip_prefix(&root) else {
            return Err(wrong(io::Error::other(
                "a symbolic link leads out of the root",
            )));
        };
        let path = relative(path)?;
        let tree = open_tree(&host)?;
        seal(&tree, &host, read_only() | SAFE)?;
        mounts.push(Mount { tree, path });
    }
    Ok(())
}

/// Where the program is on the host, as far as the root comes from there.
fn program_on_host(spec: &Spec) -> Option<PathBuf> {
    let program = Path::new(spec.argv.first()?);
    match &spec.root {
        Root::Directory(path) => Some(path.join(program.strip_prefix("/").ok()?)),
        Root::Entries(entries) => entries.iter().rev().find_map(|entry| {
            let rest = program.strip_prefix(&entry.path).ok()?;
            match rest.as_os_str().is_empty() {
                true => Some(entry.host.clone()),
                false => Some(entry.host.join(rest)),
            }
        }),
    }
}

/// A copy of the program that everybody may read, to be mounted on it.
fn readable_program(spec: &Spec) -> Result<(Mount, ReadableCopy), Failed> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let failed = |source| Failed {
        step: "readable program".into(),
        source,
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("sandbox-readable-{}-{number}", std::process::id());
    let copy = ReadableCopy(std::env::temp_dir().join(name));
    let program = program_on_host(spec);
    let program = program.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))?;
    fs::copy(&program, &copy.0).map_err(failed)?;
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&copy.0, readable).map_err(failed)?;
    let tree = open_tree(&copy.0)?;
    seal(&tree, &copy.0, read_only() | SAFE)?;
    let path = relative(Path::new(&spec.argv[0]))?;
    Ok((Mount { tree, path }, copy))
}

fn read_only() -> u64 {
    match kept(Protection::ReadOnly) {
        true => sys::MOUNT_ATTR_RDONLY,
        false => 0,
    }
}

/// This root, and the host's own in a folder of it. A directory becomes the
/// entries in it: in itself there may be no place to mount.
fn with_host(root: &Root) -> Result<Root, Failed> {
    let mut entries = match root {
        Root::Entries(entries) => entries.clone(),
        Root::Directory(path) => fs::read_dir(path)
            .and_then(|found| {
                let entry = |found: io::Result<fs::DirEntry>| {
                    let found = found?;
                    Ok(Entry {
                        host: found.path(),
                        path: Path::new("/").join(found.file_name()),
                        access: Access::Execute,
                    })
                };
                let all = found.map(entry).collect::<io::Result<Vec<_>>>()?;
                // Not links that lead nowhere from here.
                let there = |entry: &Entry| fs::metadata(&entry.host).is_ok();
                Ok(all.into_iter().filter(there).collect())
            })
            .map_err(|source| Failed {
                step: format!("list {}", path.display()),
                source,
            })?,
    };
    entries.push(Entry {
        host: "/".into(),
        path: "/host".into(),
        access: Access::Execute,
    });
    Ok(Root::Entries(entries))
}

fn open_tree(path: &Path) -> Result<OwnedFd, Failed> {
    let failed = |source| Failed {
        step: format!("open_tree {}", path.display()),
        source,
    };
    let text = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| failed(io::Error::from(io::ErrorKind::InvalidInput)))?;
    sys::open_tree_clone(&text).map_err(|e| failed(e.into()))
}

fn seal(tree: &OwnedFd, path: &Path, attributes: u64) -> Result<(), Failed> {
    sys::mount_setattr(tree.as_fd(), attributes).map_err(|e| Failed {
        step: format!("mount_setattr {}", path.display()),
        source: e.into(),
    })
}

/// A detached tmpfs with these options.
fn new_tmpfs(options: &[(&CStr, &str)], noexec: u64) -> io::Result<OwnedFd> {
    let context = sys::fsopen_tmpfs()?;
    let context = context.as_fd();
    for (key, value) in options {
        sys::fsconfig_string(context, key, &CString::new(*value)?)?;
    }
    sys::fsconfig_create(context)?;
    Ok(sys::fsmount(context, SAFE | noexec)?)
}

fn scratch_tmpfs(spec: &Spec, scratch: &Scratch) -> Result<OwnedFd, Failed> {
    let failed = |source| Failed {
        step: format!("scratch {}", scratch.path.display()),
        source,
    };
    let owner = spec.user.on_host(spec.user.run_as());
    let owner = owner.ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let options = scratch.options(owner);
    let options: Vec<(&CStr, &str)> = options.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let noexec = match kept(Protection::Volumes) {
        true => sys::MOUNT_ATTR_NOEXEC,
        false => 0,
    };
    new_tmpfs(&options, noexec).map_err(failed)
}

/// A tmpfs with a place for all that is mounted on it, already read-only.
fn tmpfs(spec: &Spec, entries: &[Entry]) -> Result<OwnedFd, Failed> {
    // Only directories and empty files ever live here.
    let mut options = vec![(c"size", "64k"), (c"nr_inodes", "1k"), (c"mode", "0755")];
    let owner = spec.user.on_host(spec.user.run_as()).unwrap_or_default();
    let owner = owner.to_string();
    if !kept(Protection::ReadOnly) {
        options.extend([(c"uid", owner.as_str()), (c"gid", owner.as_str())]);
    }
    let root = new_tmpfs(&options, sys::MOUNT_ATTR_NOEXEC).map_err(|source| Failed {
        step: "root tmpfs".into(),
        source,
    })?;
    // The new mount has no path, but its descriptor has one.
    let base = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
    let entries = entries.iter().map(|e| (&e.host, &e.path));
    let volumes = spec.volumes.iter().map(|v| (&v.host, &v.path));
    for (host, path) in entries.chain(volumes) {
        let directory = fs::metadata(host).map(|m| m.is_dir());
        directory
            .and_then(|directory| place(&base, path, directory))
            .map_err(|source| Failed {
                step: format!("place {} for {}", path.display(), host.display()),
                source,
            })?;
    }
    let devices = spec.devices.iter().map(|d| (Path::new(d.path()), false));
    let scratch = spec.scratch.iter().map(|s| (s.path.as_path(), true));
    let proc = match spec.proc {
        Proc::Absent => None,
        Proc::OwnPids => Some((Path::new("/proc"), true)),
    };
    for (path, directory) in devices.chain(scratch).chain(proc) {
        place(&base, path, directory).map_err(|source| Failed {
            step: format!("place {}", path.display()),
            source,
        })?;
    }
    let all = read_only() | SAFE | sys::MOUNT_ATTR_NOEXEC;
    seal(&root, Path::new("/"), all)?;
    Ok(root)
}

/// Makes `path` below `base`, a directory or an empty file, whatever the umask.
fn place(base: &Path, path: &Path, directory: bool) -> io::Result<()> {
    let mut at = base.to_owned();
    let names: Vec<&OsStr> = path
        .components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let Some((last, parents)) = names.split_last() else {
        return Err(io::Error::other("the root itself; use Root::Directory"));
    };
    for name in parents {
        at.push(name);
        make_directory(&at)?;
    }
    at.push(last);
    if directory {
        return make_directory(&at);
    }
    // Not by opening it: a child that another thread makes meanwhile would hold
    // it open for writing, and the mount could not become read-only (EBUSY).
    mknod(&at, SFlag::S_IFREG, Mode::S_IRUSR, 0)?;
    fs::set_permissions(&at, fs::Permissions::from_mode(0o444))
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

/// `path` without its leading slash, for use from the new root.
fn relative(path: &Path) -> Result<CString, Failed> {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|b| *b != b'/').unwrap_or(bytes.len());
    CString::new(&bytes[start..]).map_err(|_| Failed {
        step: format!("path {path:?}"),
        source: io::Error::from(io::ErrorKind::InvalidInput),
    })
}

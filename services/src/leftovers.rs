//! What this process has made and what of it is still there: to show that a
//! connection, a message or a whole app leaves nothing behind.
//!
//! Only what is this process's own is counted, so that other work on the same
//! machine changes nothing: its descendants with the network namespaces they
//! are in, the mounts that the calling thread sees, its open descriptors and
//! threads, its network interfaces, and what is below the folders and the
//! cgroup that the caller names. A namespace lives as long as a process,
//! descriptor or mount holds it, and all three are counted.
//!
//! A descendant whose parent died would belong to process 1: call
//! [`adopt_orphans`] first.

use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Makes this process the parent of its orphaned descendants
/// (`PR_SET_CHILD_SUBREAPER`, prctl(2)), so that none can hide.
///
/// # Errors
/// What the kernel says.
pub fn adopt_orphans() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// What is there at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// One line a thing, like `process 17 (perl)`.
    things: BTreeSet<String>,
}

impl Leftovers {
    /// Looks. `folders` are those where temporary files could be left,
    /// `cgroup` is the directory of the cgroup below which sandboxes are made,
    /// `None` where the host has none. One that does not exist holds nothing.
    ///
    /// # Errors
    /// When `/proc` or a folder can't be read.
    pub fn look(folders: &[&Path], cgroup: Option<&Path>) -> io::Result<Self> {
        let mut things = BTreeSet::new();
        processes(&mut things)?;
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
        things.extend(mounts.lines().map(|line| format!("mount {line}")));
        descriptors(&mut things)?;
        threads(&mut things)?;
        let interfaces = fs::read_to_string("/proc/thread-self/net/dev")?;
        let names = interfaces.lines().filter_map(|line| line.split_once(':'));
        things.extend(names.map(|(name, _)| format!("interface {}", name.trim())));
        for folder in folders {
            below(folder, &mut |path, directory| {
                let kind = if directory { "folder" } else { "file" };
                things.insert(format!("{kind} {}", path.display()));
            })?;
        }
        if let Some(cgroup) = cgroup {
            below(cgroup, &mut |path, directory| {
                if directory {
                    things.insert(format!("cgroup {}", path.display()));
                }
            })?;
        }
        Ok(Self { things })
    }

    /// What is there and was not `before`, a line each; empty: nothing is left.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.things.difference(&before.things).cloned().collect()
    }

    /// How many things of a kind there are: `process`, `network namespace`,
    /// `mount`, `descriptor`, `thread`, `interface`, `file`, `folder`, `cgroup`.
    pub fn count(&self, kind: &str) -> usize {
        let of_kind = |thing: &&String| {
            let rest = thing.strip_prefix(kind);
            rest.is_some_and(|rest| rest.starts_with(' '))
        };
        self.things.iter().filter(of_kind).count()
    }
}

/// The descendants of this process, those that were not waited for among them,
/// and the network namespaces in which they are.
fn processes(things: &mut BTreeSet<String>) -> io::Result<()> {
    let mut all: BTreeMap<u32, (u32, String)> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // PID (NAME) STATE PARENT …: proc_pid_stat(5). One that has ended
        // meanwhile is none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parsed = stat.rsplit_once(')').and_then(|(start, rest)| {
            let name = start.split_once('(')?.1.to_owned();
            let mut fields = rest.split_ascii_whitespace();
            let dead = if fields.next()? == "Z" {
                ", a zombie"
            } else {
                ""
            };
            Some((fields.next()?.parse().ok()?, format!("{name}{dead}")))
        });
        all.extend(parsed.map(|parsed| (pid, parsed)));
    }
    let own = std::process::id();
    let home = namespace("thread-self");
    for (pid, (mut parent, name)) in all.clone() {
        while parent != own && parent > 1 {
            parent = all.get(&parent).map_or(0, |(parent, _)| *parent);
        }
        if parent == own && pid != own {
            things.insert(format!("process {pid} ({name})"));
            let network = namespace(&pid.to_string()).filter(|network| Some(*network) != home);
            things.extend(network.map(|number| format!("network namespace {number}")));
        }
    }
    Ok(())
}

fn namespace(process: &str) -> Option<u64> {
    let file = fs::metadata(format!("/proc/{process}/ns/net"));
    file.ok().map(|file| file.ino())
}

fn descriptors(things: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        // That of this loop has no target any more when it is over.
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        let number = path.file_name().unwrap_or_default().display();
        if !target.starts_with("/proc") {
            things.insert(format!("descriptor {number} {}", target.display()));
        }
    }
    Ok(())
}

fn threads(things: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if let Ok(name) = fs::read_to_string(path.join("comm")) {
            let number = path.file_name().unwrap_or_default().display();
            things.insert(format!("thread {number} ({})", name.trim_end()));
        }
    }
    Ok(())
}

/// Everything below `folder`, which need not exist; links are not followed.
fn below(folder: &Path, found: &mut dyn FnMut(PathBuf, bool)) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A cgroup that goes while it is read.
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let directory = entry.file_type()?.is_dir();
        found(entry.path(), directory);
        if directory {
            below(&entry.path(), found)?;
        }
    }
    Ok(())
}

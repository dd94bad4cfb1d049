//! Which files it sees and where it may write.

use super::words::{count, list, percent, size};
use super::{Finding, Given, finding};
use sandbox::{Access, Device, PathRule, Proc, Root, Scratch, Volume};
use std::path::{Component, Path};

/// How much of the host a path of it lays open: all, one of its top folders, or
/// something below one.
fn breadth(host: &Path) -> u64 {
    let normal = |c: &Component<'_>| matches!(c, Component::Normal(_));
    match host.components().filter(normal).count() {
        0 => 100,
        1 => 60,
        _ => 10,
    }
}

/// Root, volumes to read, volumes to write, memory to write files in.
pub(super) fn files(
    root: &Root,
    volumes: &[Volume],
    scratch: &[Scratch],
    given: &Given,
) -> [Finding; 4] {
    [
        of_root(root),
        readable(volumes, given),
        writable(volumes, given),
        in_memory(scratch),
    ]
}

fn of_root(root: &Root) -> Finding {
    let (badness, words) = match root {
        Root::Directory(host) => {
            let words = format!(
                "It sees the files of {}, as its root; it can't change them.",
                host.display()
            );
            (10 + breadth(host), vec![words])
        }
        Root::Entries(entries) => {
            let mut words = vec![format!(
                "It sees {} of the host; it can't change them.",
                count(entries.len() as u64, "file or folder")
                    .replace("file or folders", "files or folders")
            )];
            words.extend(entries.iter().map(|entry| {
                let (host, path) = (entry.host.display(), entry.path.display());
                format!("- {path}: {host}, to {}", doing(entry.access))
            }));
            let one = |access| match access {
                Access::Read => 2,
                Access::Execute => 4,
            };
            // A tree of its own is more than a few files.
            let all = entries
                .iter()
                .map(|e| (breadth(&e.host) - 10) + one(e.access));
            (all.sum::<u64>(), words)
        }
    };
    finding("Root", 6, badness, words)
}

fn doing(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Execute => "read and execute",
    }
}

fn place(volume: &Volume, given: &Given) -> String {
    let (path, host) = (volume.path.display(), volume.host.display());
    if volume.host.starts_with(&given.disk) {
        format!("{path}: the folder {host} of the encrypted disk")
    } else {
        format!("{path}: {host} of the host")
    }
}

fn readable(volumes: &[Volume], given: &Given) -> Finding {
    let only: Vec<&Volume> = volumes.iter().filter(|v| !v.writable).collect();
    let mut words = vec![match only.len() {
        0 => "It sees no kept files that it can't write.".to_owned(),
        _ => "It can read, and not write:".to_owned(),
    }];
    words.extend(only.iter().map(|v| format!("- {}", place(v, given))));
    // What may be written may be read as well.
    let badness = volumes.iter().map(|v| 10 + breadth(&v.host)).sum();
    finding("Reading kept files", 8, badness, words)
}

fn writable(volumes: &[Volume], given: &Given) -> Finding {
    let these: Vec<&Volume> = volumes.iter().filter(|v| v.writable).collect();
    let mut words = vec![match these.len() {
        0 => "It can write to no disk.".to_owned(),
        _ => "It can read and write, and what it writes is kept:".to_owned(),
    }];
    words.extend(these.iter().map(|v| format!("- {}", place(v, given))));
    let badness = these.iter().map(|v| 30 + breadth(&v.host)).sum();
    finding("Writing kept files", 12, badness, words)
}

fn in_memory(scratch: &[Scratch]) -> Finding {
    let mut words = vec![match scratch.len() {
        0 => "It can write no files in memory.".to_owned(),
        _ => "It can write files in memory, gone with it:".to_owned(),
    }];
    words.extend(scratch.iter().map(|scratch| {
        let Scratch {
            path,
            size: most,
            inodes,
            mode,
        } = scratch;
        let (path, most) = (path.display(), size(*most));
        format!("- {path}: at most {most} in {inodes} files, mode {mode:o}")
    }));
    let all: u64 = scratch.iter().map(|scratch| scratch.size).sum();
    let badness = percent(all, 256 << 20) + 5 * scratch.len() as u64;
    finding("Writing files in memory", 2, badness, words)
}

/// Device nodes.
pub(super) fn devices(devices: &[Device]) -> Finding {
    let words = match devices {
        [] => "It has no device.".to_owned(),
        some => format!(
            "Its only devices: {}.",
            list(some.iter().map(|device| device.path()))
        ),
    };
    finding("Devices", 1, 25 * devices.len() as u64, vec![words])
}

/// `/proc`.
pub(super) fn proc(proc: Proc) -> Finding {
    let (badness, words) = match proc {
        Proc::Absent => (0, "It has no /proc and sees no process in it."),
        Proc::OwnPids => (
            100,
            "It has a /proc with its own processes, and nothing of the host or the kernel.",
        ),
    };
    finding("Processes to see", 2, badness, vec![words.to_owned()])
}

/// What Landlock lets it reach.
pub(super) fn landlock(paths: &[PathRule]) -> Finding {
    let mut words = vec![match paths {
        [] => "Landlock refuses it every path but the places above.".to_owned(),
        _ => "Beside the places to write, Landlock lets it use, with all below:".to_owned(),
    }];
    words.extend(paths.iter().map(|rule| {
        let PathRule { path, access } = rule;
        format!("- {} to {}", path.display(), doing(*access))
    }));
    let one = |rule: &PathRule| {
        let all = rule.path == Path::new("/");
        match rule.access {
            Access::Read => 10 + 20 * u64::from(all),
            Access::Execute => 15 + 30 * u64::from(all),
        }
    };
    finding("Paths", 3, paths.iter().map(one).sum(), words)
}

//! What is there of a system at one moment, in numbers: to show that messages
//! leave nothing behind. It is the same count on a booted box, where the agent
//! makes it, and on the machine here.
//!
//! Namespaces are counted that a process is in or has open. Limits: one that is
//! held by nothing but a mount is seen only as a mount more of the maker's, and one
//! held by a mount elsewhere, or by a descriptor that lies in a socket, is not seen.
//! Descriptors, threads and mounts are those of the maker alone. What the kernel has
//! not taken apart yet, but nobody can reach any more, counts as gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The root of the system, as the caller reaches it.
    pub root: &'a Path,
    /// Its `/proc`, likewise.
    pub proc: &'a Path,
    /// The process that makes the sandboxes, by the numbers of that `/proc`.
    pub maker: &'a str,
    /// Folders below the root where files could be left; one that does not
    /// exist holds nothing, and another file system in one is not looked at.
    pub folders: &'a [&'a str],
    /// The cgroup below which sandboxes are, below the root.
    pub cgroup: Option<&'a str>,
}

const KINDS: [&str; 7] = ["net", "pid", "user", "mnt", "ipc", "uts", "cgroup"];

/// How many there are of each kind: `process NAME`, `namespace KIND`,
/// `descriptor`, `thread` and `mount` of the maker, `file`, `cgroup`.
pub type Counts = BTreeMap<String, u64>;

/// Looks.
///
/// # Errors
/// When the maker or a folder can't be read.
pub fn look(sight: &Sight) -> io::Result<Counts> {
    let mut counts = Counts::new();
    processes(sight.proc, &mut counts)?;
    let maker = sight.proc.join(sight.maker);
    let entries = |name: &str| Ok::<u64, io::Error>(fs::read_dir(maker.join(name))?.count() as u64);
    counts.insert("descriptor".into(), entries("fd")?);
    counts.insert("thread".into(), entries("task")?);
    let mounts = fs::read_to_string(maker.join("mountinfo"))?;
    counts.insert("mount".into(), mounts.lines().count() as u64);
    let at = |path: &str| sight.root.join(path.trim_start_matches('/'));
    let mut files = 0;
    for folder in sight.folders {
        files += below(&at(folder), |_| true)?;
    }
    counts.insert("file".into(), files);
    if let Some(cgroup) = sight.cgroup {
        counts.insert("cgroup".into(), below(&at(cgroup), |kind| kind.is_dir())?);
    }
    Ok(counts)
}

/// All processes but the kernel's own threads, those that ended and were not
/// waited for among them, and the namespaces that they are in.
fn processes(proc: &Path, counts: &mut Counts) -> io::Result<()> {
    let mut namespaces = BTreeSet::new();
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_process = name
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        // PID (NAME) STATE PARENT …: proc_pid_stat(5). One that has ended
        // meanwhile is none.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((start, rest)) = stat.rsplit_once(')').filter(|_| is_process) else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        let (state, parent) = (fields.next(), fields.next());
        // kthreadd is 2, and the parent of all of the kernel's.
        if parent == Some("2") || name == "2" {
            continue;
        }
        let program = start.split_once('(').map_or("", |(_, name)| name);
        let dead = if state == Some("Z") { " (zombie)" } else { "" };
        *counts
            .entry(format!("process {program}{dead}"))
            .or_default() += 1;
        namespaces.extend(namespaces_of(&entry.path()));
    }
    for namespace in namespaces {
        let kind = namespace.split(':').next().unwrap_or_default();
        *counts.entry(format!("namespace {kind}")).or_default() += 1;
    }
    Ok(())
}

/// The namespaces that a process is in or has open, `net:[4026531840]` say
/// (namespaces(7)); none of one that has ended.
fn namespaces_of(process: &Path) -> Vec<String> {
    let inside = KINDS.map(|kind| process.join("ns").join(kind));
    let open = fs::read_dir(process.join("fd")).into_iter().flatten();
    let open = open.flatten().map(|entry| entry.path());
    let links = inside.into_iter().chain(open);
    links
        .filter_map(|link| fs::read_link(link).ok()?.to_str().map(str::to_owned))
        .filter(|name| {
            let kind = name
                .strip_suffix(']')
                .and_then(|name| name.split_once(":["));
            kind.is_some_and(|(kind, _)| KINDS.contains(&kind))
        })
        .collect()
}

/// How many entries of some kind are below `folder`, in its own file system;
/// links are not followed.
fn below(folder: &Path, wanted: fn(&fs::FileType) -> bool) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let device = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.dev());
    let Ok(own) = device(folder) else {
        // Gone meanwhile.
        return Ok(0);
    };
    let mut found = 0;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        found += u64::from(wanted(&kind));
        if kind.is_dir() && device(&entry.path()).is_ok_and(|device| device == own) {
            found += below(&entry.path(), wanted)?;
        }
    }
    Ok(found)
}

/// The counts as text, a kind a line, and [`parse`] for the way back.
pub fn print(counts: &Counts) -> String {
    let lines = counts.iter();
    lines
        .map(|(kind, count)| format!("{count} {kind}\n"))
        .collect()
}

/// The counts from their text.
pub fn parse(text: &str) -> Option<Counts> {
    text.lines()
        .map(|line| {
            let (count, kind) = line.split_once(' ')?;
            Some((kind.to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// What there is more of than there `was`: kind, then and now.
pub fn grown(was: &Counts, now: &Counts) -> Vec<(String, u64, u64)> {
    now.iter()
        .map(|(kind, count)| (kind, was.get(kind).copied().unwrap_or(0), *count))
        .filter(|(_, was, now)| now > was)
        .map(|(kind, was, now)| (kind.clone(), was, now))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn look_here(folder: &str) -> Counts {
        look(&Sight {
            root: Path::new("/"),
            proc: Path::new("/proc"),
            maker: &std::process::id().to_string(),
            folders: &[folder],
            cgroup: Some(folder),
        })
        .unwrap()
    }

    #[test]
    fn a_child_a_zombie_a_descriptor_and_a_file_are_each_seen() {
        let folder = std::env::temp_dir().join(format!("leftovers-{}", std::process::id()));
        fs::create_dir_all(folder.join("group")).unwrap();
        let path = folder.to_str().unwrap();
        // A name of its own: other tests' `sleep`s come and go meanwhile.
        let name = format!("left{}", std::process::id());
        let program = folder.join(&name);
        std::os::unix::fs::symlink("/usr/bin/sleep", &program).unwrap();
        let (alive, dead) = (
            format!("process {name}"),
            format!("process {name} (zombie)"),
        );
        let before = look_here(path);
        let held = fs::File::create(folder.join("file")).unwrap();
        let mut child = Command::new(&program)
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let grew = |kind: &str, by: u64| {
            let (was, now) = (before.get(kind).copied().unwrap_or(0), look_here(path));
            now.get(kind).copied().unwrap_or(0) >= was + by
        };
        assert!(grew("descriptor", 1) && grew("file", 1) && grew(&alive, 1));
        child.kill().unwrap();
        // It is dead some time after it was killed.
        let seen = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            grew(&dead, 1)
        });
        assert!(seen);
        child.wait().unwrap();
        drop(held);
        let after = look_here(path);
        assert_eq!(after["descriptor"], before["descriptor"]);
        assert_eq!((after["file"], after["cgroup"]), (3, 1));
        assert!(before["namespace net"] >= 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_namespace_that_nobody_is_in_and_that_is_open_is_seen() {
        let mut child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .unwrap();
        let place = format!("/proc/{}/ns/net", child.id());
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let other = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            fs::read_link(&place).ok().filter(|link| *link != own)
        });
        let other = other.unwrap().to_str().unwrap().to_owned();
        let held = fs::File::open(&place).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let is_seen = || namespaces_of(Path::new("/proc/self")).contains(&other);
        assert!(is_seen());
        drop(held);
        assert!(!is_seen());
    }

    #[test]
    fn what_grew_is_named_and_what_shrank_is_not() {
        let counts = |text| parse(text).unwrap();
        let was = counts("3 process perl\n2 thread\n");
        let now = counts("3 process perl\n1 thread\n1 namespace net\n");
        assert_eq!(grown(&was, &now), [("namespace net".to_owned(), 0, 1)]);
        assert_eq!(parse(&print(&now)), Some(now));
        assert_eq!(parse("nonsense"), None);
    }
}

//! Sandboxes in a root that lies ready.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use nix::sys::stat::stat;
use sandbox::{Access, Device, Exit, Proc, ReadyRoot, Scratch, Sealed, Spec, Volume, seal};

use crate::{Folder, rule, spec};

/// As [`crate::run`], with what its root says of a second start from it as well.
pub(crate) fn run_ready(spec: &Spec) -> (Vec<String>, Exit) {
    let root = ReadyRoot::make(spec).unwrap_or_else(|e| panic!("{e}"));
    let once = || {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut child = root.spawn(spec, vec![(write, 1)]).unwrap();
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        let exit = child.wait().unwrap();
        let lines: Vec<String> = text.lines().map(String::from).collect();
        (lines, exit)
    };
    let first = once();
    assert_eq!(once(), first, "{:?}", spec.argv);
    first
}

/// Everything that a sandbox may have.
fn full(folder: &Folder) -> Spec {
    let mut full = spec(Some("exit"));
    full.devices = vec![Device::Null, Device::Random];
    full.volumes = vec![Volume {
        host: folder.0.clone(),
        path: "/data".into(),
        writable: true,
    }];
    full.scratch = vec![Scratch {
        path: "/scratch".into(),
        size: 1 << 16,
        inodes: 16,
        mode: 0o700,
    }];
    full
}

/// What is mounted there: what of which filesystem, where and how.
fn mounts(sealed: &Sealed) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/mountinfo", sealed.pid())).unwrap();
    let mount = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        // Ids are numbers of this one only, and so are those of a tmpfs's device.
        let device = match line.contains(" tmpfs ") {
            true => "tmpfs",
            false => fields[2],
        };
        format!("{device} {}", fields[3..].join(" "))
    };
    let mut mounts: Vec<String> = text.lines().map(mount).collect();
    mounts.sort_unstable();
    mounts
}

#[test]
fn the_same_is_mounted_as_in_one_that_began_among_the_hosts_mounts() {
    let folder = Folder::new("ready-same");
    let full = full(&folder);
    let root = ReadyRoot::make(&full).unwrap();
    let expected = mounts(&seal(&full, &[]).unwrap());
    let found = mounts(&root.seal(&full, &[]).unwrap());
    assert_eq!(found, expected);
    // By name, so that both can't be wrong together.
    let of = |path: &str| {
        let on = format!(" {path} ");
        let found: Vec<&String> = found.iter().filter(|line| line.contains(&on)).collect();
        assert_eq!(found.len(), 1, "{path}: {found:#?}");
        found[0].clone()
    };
    assert!(
        of("/probe").contains(" ro,nosuid,nodev"),
        "{}",
        of("/probe")
    );
    assert!(
        of("/data").contains(" rw,nosuid,nodev,noexec"),
        "{}",
        of("/data")
    );
    assert!(of("/scratch").contains("size=64k"), "{}", of("/scratch"));
    assert!(
        !found.iter().any(|line| line.contains("/proc ")),
        "{found:#?}"
    );
}

#[test]
fn what_one_writes_into_its_memory_is_in_no_other() {
    let folder = Folder::new("ready-own");
    let full = full(&folder);
    let root = ReadyRoot::make(&full).unwrap();
    let (one, other) = (
        root.seal(&full, &[]).unwrap(),
        root.seal(&full, &[]).unwrap(),
    );
    let inside = |sealed: &Sealed, path: &str| {
        Path::new("/proc").join(format!("{}/root/{path}", sealed.pid()))
    };
    fs::write(inside(&one, "scratch/left"), "x").unwrap();
    assert!(inside(&one, "scratch/left").exists());
    assert!(!inside(&other, "scratch/left").exists());
    drop(one);
    let third = root.seal(&full, &[]).unwrap();
    assert!(!inside(&third, "scratch/left").exists());
    // Not even root can leave something in what they share.
    for sealed in [&other, &third] {
        let error = fs::write(inside(sealed, "left"), "x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    }
}

#[test]
fn the_thread_is_where_it_was_before() {
    let here = || {
        let namespace = fs::read_link("/proc/thread-self/ns/mnt").unwrap();
        let (root, folder) = (stat("/").unwrap(), stat(".").unwrap());
        let directory = std::env::current_dir().unwrap();
        (
            namespace,
            root.st_ino,
            root.st_dev,
            folder.st_ino,
            directory,
        )
    };
    let before = here();
    let spec = spec(Some("exit"));
    let root = ReadyRoot::make(&spec).unwrap();
    assert_eq!(here(), before);
    drop(root.seal(&spec, &[]).unwrap());
    assert_eq!(here(), before);
    let mut broken = spec.clone();
    broken.argv[0] = "/usr".into();
    let root = ReadyRoot::make(&broken).unwrap();
    root.spawn(&broken, vec![]).map(drop).unwrap_err();
    assert_eq!(here(), before);
}

#[test]
fn a_root_is_for_its_own_kind_of_sandbox_alone() {
    let folder = Folder::new("ready-kind");
    let full = full(&folder);
    let root = ReadyRoot::make(&full).unwrap();
    let mut named = full.clone();
    named.name = "another".into();
    named.argv.push("words".into());
    drop(root.seal(&named, &[]).unwrap());
    let changes: [fn(&mut Spec); 6] = [
        |spec| spec.volumes[0].writable = false,
        |spec| spec.devices.truncate(1),
        |spec| spec.scratch[0].path = "/other".into(),
        |spec| spec.paths.push(rule("/data", Access::Execute)),
        |spec| spec.argv[0] = "/usr/bin/true".into(),
        |spec| spec.proc = Proc::OwnPids,
    ];
    for change in changes {
        let mut other = full.clone();
        change(&mut other);
        let error = root.seal(&other, &[]).map(drop).unwrap_err().to_string();
        assert!(error.contains("its root can't lie ready"), "{error}");
    }
    let mut proc = full.clone();
    proc.proc = Proc::OwnPids;
    let error = ReadyRoot::make(&proc).map(drop).unwrap_err().to_string();
    assert!(error.contains("one without a /proc"), "{error}");
    let mut missing = full.clone();
    missing.volumes[0].host = "/no/such/folder".into();
    let error = ReadyRoot::make(&missing).map(drop).unwrap_err().to_string();
    assert!(error.contains("/no/such/folder"), "{error}");
}

//! What is kept, and what is scribbled on.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, chown, symlink};

use sandbox::{Exit, Root, Scratch, Spec, Volume};

use crate::{Folder, PROBE, assert_says, copy_probe, error, rule, run, spec, start};

/// A folder of the sandbox's user with a file, a program and nothing else.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.0.join("given"), "x").unwrap();
    copy_probe(&format!("{}/program", folder.path()));
    for name in ["", "given", "program"] {
        chown(folder.0.join(name), Some(200_000), Some(200_000)).unwrap();
    }
    folder
}

fn volume(folder: &Folder, writable: bool) -> Volume {
    Volume {
        host: folder.0.clone(),
        path: "/data".into(),
        writable,
    }
}

fn scratch(path: &str) -> Scratch {
    Scratch {
        path: path.into(),
        size: 64 << 10,
        inodes: 20,
        mode: 0o700,
    }
}

/// Everything that a mail store does with files.
const WORK: [&str; 11] = [
    "write=ok",
    "truncate=ok",
    "mkdir=ok",
    "rename across=ok",
    "link across=ok",
    "symlink=ok",
    "fifo=ok",
    "socket=ok",
    "remove file=ok",
    "remove directory=ok",
    "owner=1000:1000 mode=755",
];

#[test]
fn a_writable_volume_keeps_files_but_runs_none_and_holds_no_device() {
    let folder = folder("writable");
    let mut spec = spec(Some("volume"));
    spec.volumes = vec![volume(&folder, true)];
    // Even where Landlock would allow it.
    spec.paths.push(rule("/data", sandbox::Access::Execute));
    let (lines, _) = run(&spec);
    assert_says(&lines, &WORK);
    assert_says(&lines, &["read=ok", "execute=EACCES"]);
    assert!(!lines.contains(&"device=ok".into()), "{lines:#?}");
    let kept = folder.0.join("a/b/file");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "t");
    assert_eq!(fs::metadata(&kept).unwrap().uid(), 200_000);
}

#[test]
fn a_read_only_volume_can_be_read_and_not_changed() {
    let folder = folder("read-only");
    let mut spec = spec(Some("volume"));
    spec.volumes = vec![volume(&folder, false)];
    let (lines, _) = run(&spec);
    assert_says(&lines, &["read=ok", "after=given,program"]);
    for line in &lines {
        let refused = ["read=", "before=", "after=", "owner="];
        let fine = refused.iter().any(|start| line.starts_with(start));
        assert!(fine || !line.ends_with("=ok"), "{line}");
    }
}

#[test]
fn landlock_alone_keeps_volumes_from_programs_and_devices() {
    let folder = folder("landlock");
    let mut spec = spec(Some("volume"));
    spec.volumes = vec![volume(&folder, true)];
    let (lines, _) = run(&spec);
    // Landlock answers before mknod(2)'s own EPERM.
    assert_says(&lines, &["device=EACCES", "execute=EACCES"]);
}

#[test]
fn a_scratch_belongs_to_the_program_and_ends_with_it() {
    let mut spec = spec(Some("scratch"));
    spec.scratch = vec![Scratch {
        mode: 0o755,
        ..scratch("/scratch")
    }];
    for _ in 0..2 {
        let (lines, _) = run(&spec);
        assert_says(&lines, &WORK);
        assert_says(&lines, &["before="]);
        assert!(!lines.contains(&"device=ok".into()), "{lines:#?}");
    }
}

#[test]
fn a_scratch_is_full_at_its_size_and_at_its_files() {
    let mut spec = spec(Some("fill"));
    spec.scratch = vec![scratch("/scratch")];
    assert_says(
        &run(&spec).0,
        &["written=64", "bytes=ENOSPC", "remove=ok", "files=ENOSPC"],
    );
}

#[test]
fn outside_volumes_and_scratch_are_nosuid_nodev_and_noexec() {
    let (writable, read_only) = (folder("flags"), folder("flags-read-only"));
    let mut spec = spec(Some("sleep"));
    spec.volumes = vec![
        volume(&writable, true),
        Volume {
            path: "/fixed".into(),
            ..volume(&read_only, false)
        },
    ];
    spec.scratch = vec![scratch("/run/probe"), scratch("/tmp")];
    let (child, mut output) = start(&spec, vec![]);
    output.read_exact(&mut [0; 7]).unwrap();
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", child.pid())).unwrap();
    for (path, access) in [
        ("/data", "rw"),
        ("/fixed", "ro"),
        ("/run/probe", "rw"),
        ("/tmp", "rw"),
    ] {
        let mut lines = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
        let mount = lines.find(|l| l[4] == path).unwrap();
        let options: Vec<&str> = mount[5].split(',').collect();
        for option in [access, "nosuid", "nodev", "noexec"] {
            assert!(options.contains(&option), "{path}: {options:?}");
        }
    }
}

/// A root that holds no program: the start gets as far as it can without one.
fn directory_root(folder: &Folder) -> Spec {
    let mut spec = spec(Some("exit"));
    spec.root = Root::Directory(folder.0.clone());
    spec.paths.clear();
    spec
}

#[test]
fn a_directory_root_must_hold_the_places() {
    let root = Folder::new("places");
    let mut spec = directory_root(&root);
    spec.scratch = vec![scratch("/run/probe")];
    assert_eq!(
        error(&spec),
        "sandbox probe: step \"attach mount /run/probe\": ENOENT: No such file or directory"
    );
    fs::create_dir_all(root.0.join("run/probe")).unwrap();
    // Only the program is not there.
    assert!(error(&spec).contains("execve"), "{}", error(&spec));
}

#[test]
fn a_symbolic_link_on_the_way_leads_into_the_root_and_not_to_the_host() {
    let root = Folder::new("link");
    fs::create_dir_all(root.0.join("inner/place")).unwrap();
    symlink("/inner", root.0.join("outer")).unwrap();
    let mut spec = directory_root(&root);
    spec.scratch = vec![scratch("/outer/place")];
    // Attached, and found by Landlock; only the program is not there.
    assert!(error(&spec).contains("execve"), "{}", error(&spec));
}

#[test]
fn a_whole_host_directory_as_root_takes_a_scratch_over_one_of_its_own() {
    let mut spec = spec(Some("exit"));
    spec.root = Root::Directory("/".into());
    spec.paths = vec![rule("/", sandbox::Access::Execute)];
    spec.argv[0] = PROBE.into();
    spec.scratch = vec![scratch("/mnt")];
    assert_eq!(run(&spec).1, Exit::Code(7));
}

#[test]
fn mounts_that_lie_in_each_other_and_endless_scratch_are_refused() {
    let folder = folder("refused");
    let refused = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec(Some("exit"));
        spec.volumes = vec![volume(&folder, true)];
        change(&mut spec);
        error(&spec)
    };
    let below = "mounted at or below it";
    assert!(refused(&|s| s.scratch.push(scratch("/data/tmp"))).contains(below));
    assert!(refused(&|s| s.scratch.push(scratch("/data"))).contains(below));
    assert!(refused(&|s| s.volumes[0].path = "/".into()).contains(below));
    let whole = |s: &mut Spec| {
        s.root = Root::Directory("/".into());
        s.volumes[0].path = "/".into();
    };
    assert!(refused(&whole).contains(below));
    assert!(refused(&|s| s.volumes[0].path = "/usr".into()).contains(below));
    assert!(refused(&|s| s.volumes[0].path = "/a/../b".into()).contains("without"));
    let endless = |size, inodes, mode| {
        refused(&|s| {
            s.scratch.push(Scratch {
                path: "/t".into(),
                size,
                inodes,
                mode,
            });
        })
    };
    assert!(endless(0, 1, 0o700).contains("must not be 0"));
    assert!(endless(1, 0, 0o700).contains("must not be 0"));
    assert!(endless(1, 1, 0o10000).contains("0o7777"));
}

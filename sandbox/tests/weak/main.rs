//! Each protection is there, and is gone when it is taken away; so a test that
//! attacks without it does attack without it.

mod sys;

use std::fs::{self, File};
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use sandbox::policy::load_str;
use sandbox::weak::{self, Protection};
use sandbox::{
    Access, Child, Dumpable, Entry, Exit, Network, PathRule, Proc, ReadyRoot, Rlimits, Root, Spec,
    User, Volume, WriteExecute, spawn,
};

/// The switch is the process's.
static ONE: Mutex<()> = Mutex::new(());

/// The probe, with the host's libraries, and with this argument.
fn spec(argument: &str) -> Spec {
    let folders = ["/usr", "/lib", "/lib64"];
    let folders = folders.iter().filter(|f| fs::metadata(f).is_ok());
    let mut entries = vec![("/probe", env!("CARGO_BIN_EXE_sandbox-probe"))];
    entries.extend(folders.map(|folder| (*folder, *folder)));
    let access = Access::Execute;
    let entry = |(path, host): &(&str, &str)| Entry {
        host: host.into(),
        path: path.into(),
        access,
    };
    let rule = |(path, _): &(&str, &str)| PathRule {
        path: path.into(),
        access,
    };
    let policy = include_str!("../../policies/probe.seccomp");
    Spec {
        name: "probe".into(),
        root: Root::Entries(entries.iter().map(entry).collect()),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec!["/probe".into(), argument.into()],
        env: vec![],
        cgroup: None,
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: Network::default(),
        rlimits: Rlimits {
            open_files: 64,
            file_size: 1 << 20,
        },
        paths: entries.iter().map(rule).collect(),
        policy: load_str("probe.seccomp", policy).unwrap(),
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Allowed,
    }
}

fn start(spec: &Spec) -> (Child, File) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let child = spawn(spec, vec![(write, 1)]).unwrap_or_else(|e| panic!("{e}"));
    (child, File::from(read))
}

/// What the probe says without these protections.
fn said(spec: &Spec, without: &[Protection]) -> (Vec<String>, Exit) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    weak::remove(without);
    let (mut child, mut output) = start(spec);
    weak::restore();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let exit = child.wait().unwrap();
    (text.lines().map(String::from).collect(), exit)
}

/// The value of `name=value` in what the probe says.
#[track_caller]
fn value(name: &str, spec: &Spec, without: &[Protection]) -> String {
    let (lines, exit) = said(spec, without);
    let value = lines.iter().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found == name).then(|| value.to_owned())
    });
    value.unwrap_or_else(|| panic!("{name} is not in {lines:#?}, {exit:?}"))
}

#[track_caller]
fn differs(name: &str, spec: &Spec, removed: &[Protection], with: &str, without: &str) {
    // The last one is what matters; those before it are gone both times.
    let before = &removed[..removed.len() - 1];
    assert_eq!(value(name, spec, before), with, "{name}");
    assert_eq!(value(name, spec, removed), without, "{name}");
}

/// A file of `/proc` about the probe while it sleeps.
fn of_sleeping<T>(without: &[Protection], look: impl Fn(&str) -> T) -> T {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    weak::remove(without);
    let (child, mut output) = start(&spec("sleep"));
    weak::restore();
    output.read_exact(&mut [0; 7]).unwrap();
    look(&format!("/proc/{}", child.pid()))
}

fn status(without: &[Protection], key: &str) -> String {
    of_sleeping(without, |proc| {
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    })
}

#[test]
fn seccomp() {
    let forbidden = spec("forbidden");
    assert_eq!(said(&forbidden, &[]).1, Exit::Signal(libc::SIGSYS));
    assert_eq!(said(&forbidden, &[Protection::Seccomp]).1, Exit::Code(0));
}

/// getpid is in the policy, but not for programs of another kind. (aarch64's
/// 32-bit calls need a 32-bit program, which the box's image has none of.)
#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bits_and_of_x32_are_killed_by_the_filter() {
    for argument in ["32-bit call", "x32 call"] {
        let spec = spec(argument);
        let (lines, exit) = said(&spec, &[]);
        assert_eq!(exit, Exit::Signal(libc::SIGSYS), "{argument}");
        assert!(lines.is_empty(), "{lines:?}");
    }
    let removed = [Protection::Seccomp];
    assert_eq!(value("32-bit call", &spec("32-bit call"), &removed), "true");
    // Without the filter the kernel answers, Debian's that it has no x32.
    let answer = value("x32 call", &spec("x32 call"), &removed);
    assert!(["ok", "ENOSYS"].contains(&answer.as_str()), "{answer}");
}

#[test]
fn landlock() {
    let spec = spec("report");
    let removed = [Protection::Landlock];
    differs("connect", &spec, &removed, "EACCES", "ENETUNREACH");
    assert_eq!(value("root", &spec, &[]), "EACCES");
    assert!(value("root", &spec, &removed).contains("probe"));
}

#[test]
fn capabilities() {
    let spec = spec("report");
    let removed = [Protection::Capabilities];
    differs("uid", &spec, &removed, "1000 gid=1000", "0 gid=0");
    differs("unshare net", &spec, &removed, "EPERM", "ok");
    // And with those, Landlock is what still refuses mounts.
    differs("mount", &spec, &removed, "EPERM", "EPERM");
    let both = [Protection::Landlock, Protection::Capabilities];
    differs("mount", &spec, &both, "EPERM", "ok");
}

#[test]
fn over_a_network_that_lay_ready_not_even_all_capabilities_give_power() {
    let spec = spec("loopback up");
    let removed = [Protection::Capabilities];
    differs("loopback up", &spec, &removed, "EPERM", "ok");
    sandbox::keep_networks_ready(1).unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while sandbox::networks_ready() == 0 {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(value("loopback up", &spec, &removed), "EPERM");
    sandbox::keep_networks_ready(0).unwrap();
}

#[test]
fn no_new_privileges() {
    let removed = [Protection::NoNewPrivileges];
    assert_eq!(status(&[], "NoNewPrivs:"), "1");
    assert_eq!(status(&removed, "NoNewPrivs:"), "0");
    // The rest is in force all the same.
    assert_eq!(status(&removed, "Seccomp:"), "2");
    assert_eq!(status(&removed, "CapEff:"), "0000000000000000");
    assert_eq!(status(&removed, "CapPrm:"), "0000000000000000");
    assert_eq!(value("connect", &spec("report"), &removed), "EACCES");
}

#[test]
fn namespaces() {
    for (name, protection) in [
        ("user", Protection::UserNamespace),
        ("pid", Protection::PidNamespace),
        ("net", Protection::NetworkNamespace),
        ("ipc", Protection::IpcNamespace),
    ] {
        let of = |proc: &str| fs::read_link(format!("{proc}/ns/{name}")).unwrap();
        let ours = of("/proc/self");
        assert_ne!(of_sleeping(&[], of), ours, "{name}");
        assert_eq!(of_sleeping(&[protection], of), ours, "{name}");
        // And no other is shared.
        for other in ["user", "pid", "net", "ipc", "mnt", "uts", "cgroup"] {
            let of = |proc: &str| fs::read_link(format!("{proc}/ns/{other}")).unwrap();
            let shared = of_sleeping(&[protection], of) == of("/proc/self");
            assert_eq!(shared, other == name, "{other} without {protection:?}");
        }
    }
}

#[test]
fn without_user_namespace_and_capabilities_it_is_the_hosts_root() {
    let user = Protection::UserNamespace;
    assert_eq!(status(&[user], "Uid:"), "200000");
    assert_eq!(status(&[user], "CapBnd:"), "0000000000000000");
    let both = [user, Protection::Capabilities];
    assert_eq!(status(&both, "Uid:"), "0");
    assert_eq!(status(&both, "CapEff:"), status(&both, "CapBnd:"));
    assert_ne!(status(&both, "CapEff:"), "0000000000000000");
}

#[test]
fn user_range() {
    let user = User::One {
        inside: 1000,
        outside: 200_000,
    };
    assert_eq!(status(&[], "Uid:"), "200000");
    let removed = [Protection::UserRange];
    let shared = weak::SHARED_OUTSIDE + 1000;
    assert_eq!(status(&removed, "Uid:"), shared.to_string());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    weak::remove(&removed);
    assert_eq!(user.on_host(1000), Some(shared));
    weak::restore();
    assert_eq!(user.on_host(1000), Some(200_000));
}

#[test]
fn root() {
    let mut spec = spec("host");
    spec.paths.push(PathRule {
        path: "/".into(),
        access: Access::Read,
    });
    let removed = [Protection::Root];
    differs("read host", &spec, &removed, "ENOENT", "ok");
    // Of another user and not writable by all.
    differs("write host", &spec, &removed, "ENOENT", "EACCES");
    spec.root = Root::Directory("/".into());
    spec.argv[0] = env!("CARGO_BIN_EXE_sandbox-probe").into();
    spec.paths[0].path = spec.argv[0].clone().into();
    differs("read host", &spec, &removed, "ENOENT", "ok");
    let real_root = [
        Protection::Landlock,
        Protection::UserNamespace,
        Protection::Capabilities,
        Protection::Root,
    ];
    let marker = std::env::temp_dir().join("sandbox-weak-wrote-this");
    differs("write host", &spec, &real_root, "ENOENT", "ok");
    fs::remove_file(marker).unwrap();
}

#[test]
fn read_only() {
    let spec = spec("report");
    let both = [Protection::Landlock, Protection::ReadOnly];
    differs("write root", &spec, &both, "EROFS", "ok");
    let alone = [Protection::ReadOnly];
    differs("write root", &spec, &alone, "EROFS", "EACCES");
}

#[test]
fn pid_namespace() {
    let mut spec = spec("report");
    spec.proc = Proc::OwnPids;
    spec.paths.push(PathRule {
        path: "/proc".into(),
        access: Access::Read,
    });
    assert!(value("pid", &spec, &[]).starts_with("1 "));
    assert!(!value("pid", &spec, &[Protection::PidNamespace]).starts_with("1 "));
    spec.argv[1] = "proc".into();
    let removed = [Protection::PidNamespace];
    differs("kernel command line", &spec, &removed, "ENOENT", "ok");
}

#[test]
fn volumes() {
    let folder = std::env::temp_dir().join(format!("sandbox-weak-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("given"), "x").unwrap();
    std::os::unix::fs::chown(&folder, Some(200_000), Some(200_000)).unwrap();
    let mut spec = spec("volume");
    spec.volumes = vec![Volume {
        host: folder.clone(),
        path: "/data".into(),
        writable: false,
    }];
    let removed = [Protection::Volumes];
    differs("write", &spec, &removed, "EROFS", "ok");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn rlimits_and_descriptors() {
    let spec = spec("report");
    assert_eq!(value("nofile", &spec, &[]), "Ok((64, 64))");
    assert_ne!(
        value("nofile", &spec, &[Protection::Rlimits]),
        "Ok((64, 64))"
    );
    assert_eq!(value("core", &spec, &[Protection::Rlimits]), "Ok((0, 0))");
    let _held = File::open("/dev/null").unwrap();
    assert_eq!(value("fds", &spec, &[]), "0,1,2");
    let all = value("fds", &spec, &[Protection::Descriptors]);
    assert!(all.split(',').count() > 5, "{all}");
}

#[test]
fn write_execute() {
    let spec = spec("write-execute");
    let removed = [Protection::WriteExecute];
    differs("write-execute", &spec, &removed, "EACCES", "ok");
}

#[test]
fn keyring() {
    // A keyring is the thread's: spawn is called on this one.
    let ours = sys::new_session_keyring();
    assert!(ours > 0);
    let ours = ours.to_string();
    let spec = spec("keyring");
    assert_ne!(value("keyring", &spec, &[]), ours);
    assert_eq!(value("keyring", &spec, &[Protection::Keyring]), ours);
}

#[test]
fn a_program_with_the_switch_holds_the_marker_that_the_image_builder_looks_for() {
    let marker = sandbox::WEAK_MARKER.as_bytes();
    let program = fs::read("/proc/self/exe").unwrap();
    assert!(program.windows(marker.len()).any(|window| window == marker));
}

/// A directory to be a root: the probe with this mode, and what it needs.
fn directory(name: &str, mode: &str) -> std::path::PathBuf {
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(program).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let name = format!("sandbox-weak-{}-{name}", std::process::id());
    let root = std::env::temp_dir().join(name);
    let probe = env!("CARGO_BIN_EXE_sandbox-probe");
    let install = |mode: &str, from: &str, to: &str| {
        let to = root.join(to.trim_start_matches('/'));
        let (from, to) = (from.as_ref(), to.as_os_str());
        run(
            "install",
            &["-D".as_ref(), "-m".as_ref(), mode.as_ref(), from, to],
        );
    };
    install(mode, probe, "/probe");
    install("755", probe, "/data/program");
    for library in run("ldd", &[probe.as_ref()]).split_whitespace() {
        if library.starts_with('/') {
            install("755", library, library);
        }
    }
    root
}

/// The probe in that root, where only it and the libraries are programs.
fn in_directory(root: &std::path::Path, argument: &str) -> Spec {
    let mut spec = spec(argument);
    spec.root = Root::Directory(root.to_owned());
    spec.paths.retain(|rule| rule.path != *"/usr");
    spec.paths
        .retain(|rule| root.join(rule.path.strip_prefix("/").unwrap()).exists());
    spec
}

#[test]
fn in_a_directory_only_the_listed_programs_are_executed_landlock_or_not() {
    let root = directory("noexec", "755");
    let mut spec = in_directory(&root, "report");
    // Without Landlock, the mount is what refuses.
    let removed = [Protection::Landlock];
    assert_eq!(value("execute data", &spec, &removed), "EACCES");
    // And is gone where the spec says so.
    spec.paths.push(PathRule {
        path: "/data".into(),
        access: Access::Execute,
    });
    assert_eq!(said(&spec, &removed).1, Exit::Code(7));

    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (child, mut output) = start(&in_directory(&root, "sleep"));
    output.read_exact(&mut [0; 7]).unwrap();
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", child.pid())).unwrap();
    let mut seen = vec![];
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let noexec = fields[5].split(',').any(|option| option == "noexec");
        assert_eq!(noexec, fields[4] == "/", "{mount}");
        seen.push(fields[4].to_owned());
    }
    assert!(seen.iter().any(|path| path == "/"), "{mounts}");
    assert!(seen.iter().any(|path| path == "/probe"), "{mounts}");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_program_that_can_be_read_is_refused_where_it_must_not_be_dumped() {
    let root = directory("readable", "755");
    let mut spec = in_directory(&root, "exit");
    spec.dumpable = Dumpable::Refused;
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let expected =
        "sandbox probe: step \"unreadable program /probe\": EPERM: Operation not permitted";
    let refused = spawn(&spec, vec![]).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), expected);
    // Known before it gets its descriptors.
    let refused = sandbox::seal(&spec, &[]).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), expected);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_program_of_mode_0711_is_not_dumpable() {
    use std::os::unix::fs::MetadataExt;
    let root = directory("unreadable", "711");
    let mut spec = in_directory(&root, "dumpable");
    spec.dumpable = Dumpable::Refused;
    assert_eq!(value("dumpable", &spec, &[]), "0");
    let removed = [Protection::Dumpable];
    assert_eq!(value("dumpable", &spec, &removed), "1");
    // Its readable copy is gone.
    let prefix = format!("sandbox-readable-{}-", std::process::id());
    let copy = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().starts_with(&prefix)
    };
    {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!fs::read_dir(std::env::temp_dir()).unwrap().any(copy));
    }

    spec.argv[1] = "sleep".into();
    for (without, owner) in [(&[][..], 0), (&removed, 200_000)] {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        weak::remove(without);
        let (child, mut output) = start(&spec);
        weak::restore();
        output.read_exact(&mut [0; 7]).unwrap();
        let proc = fs::metadata(format!("/proc/{}/mem", child.pid())).unwrap();
        assert_eq!((proc.uid(), proc.gid()), (owner, owner), "{without:?}");
    }
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_root_that_lies_ready_is_no_root_for_what_was_taken_away_since() {
    let spec = spec("exit");
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = ReadyRoot::make(&spec).unwrap();
    assert!(root.fits(&spec));
    weak::remove(&[Protection::ReadOnly]);
    let (fits, refused) = (root.fits(&spec), root.seal(&spec, &[]).map(drop));
    weak::restore();
    assert!(!fits && refused.is_err(), "{refused:?}");
    assert!(root.fits(&spec));
}

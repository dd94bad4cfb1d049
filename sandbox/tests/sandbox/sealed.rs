//! Sandboxes that are made before their descriptors are there.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::{
    Access, Child, Device, Exit, Proc, SandboxError, Scratch, Sealed, Spec, Tcp, Volume,
    WriteExecute, seal, spawn,
};

use crate::ready::run_ready;
use crate::{Folder, error, error_without, rule, run, spec, without};

fn pipe() -> (File, OwnedFd) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (read.into(), write)
}

fn sealed(spec: &Spec, targets: &[RawFd]) -> Sealed {
    seal(spec, targets).unwrap_or_else(|e| panic!("{e}"))
}

/// As [`run`], in two steps.
fn run_sealed(spec: &Spec) -> (Vec<String>, Exit) {
    let (mut output, write) = pipe();
    let mut child = sealed(spec, &[1]).start(vec![(write, 1)]).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let exit = child.wait().unwrap();
    (text.lines().map(String::from).collect(), exit)
}

/// What it holds: the kinds of its descriptors, `socket` say, in order.
fn held(pid: Pid) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let kind = |entry: std::io::Result<fs::DirEntry>| {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        let target = target.to_string_lossy().into_owned();
        target.split(':').next().unwrap().to_owned()
    };
    let mut kinds: Vec<String> = all.map(kind).collect();
    kinds.sort_unstable();
    kinds
}

/// Waits until the process is gone or waits to be reaped.
fn ends(pid: i32) {
    let end = Instant::now() + Duration::from_secs(10);
    while let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        if stat.contains(") Z ") {
            return;
        }
        assert!(Instant::now() < end, "it still runs: {stat}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_sealed_one_does_what_a_spawned_one_does() {
    let folder = Folder::new("sealed");
    fs::write(folder.0.join("given"), "x").unwrap();
    let mut table = vec![];
    for argument in [None, Some("exit"), Some("write-execute"), Some("forbidden")] {
        table.push(spec(argument));
    }
    let mut devices = spec(Some("devices"));
    devices.paths.push(rule("/dev", Access::Read));
    devices.devices = vec![Device::Null, Device::Urandom];
    let mut proc = spec(Some("proc"));
    proc.proc = Proc::OwnPids;
    proc.paths.push(rule("/proc", Access::Read));
    let mut volume = spec(Some("volume"));
    volume.volumes = vec![Volume {
        host: folder.0.clone(),
        path: "/data".into(),
        writable: false,
    }];
    let mut scratch = spec(Some("scratch"));
    scratch.scratch = vec![Scratch {
        path: "/scratch".into(),
        size: 1 << 20,
        inodes: 64,
        mode: 0o700,
    }];
    let mut ports = spec(Some("ports"));
    ports.network.loopback = true;
    ports.network.unprivileged_ports = true;
    ports.network.tcp = Tcp {
        bind: vec![25, 8080],
        ..Tcp::default()
    };
    let mut allowed = spec(Some("write-execute"));
    allowed.write_execute = WriteExecute::Allowed;
    table.extend([devices, proc, volume, scratch, ports, allowed]);
    for spec in &table {
        let expected = run(spec);
        let silent = expected.0.is_empty();
        assert_eq!(silent, spec.argv[1..] == ["exit"], "{:?}", spec.argv);
        assert_eq!(run_sealed(spec), expected, "{:?}", spec.argv);
        if spec.proc == Proc::Absent {
            assert_eq!(run_ready(spec), expected, "ready: {:?}", spec.argv);
        }
    }
    // Some of it by name, so that both can't be wrong together.
    let (report, exit) = run_sealed(&table[0]);
    assert_eq!(exit, Exit::Code(0));
    for line in ["pid=1 parent=0", "uid=1000 gid=1000", "fds=0,1,2"] {
        assert!(report.iter().any(|l| l == line), "{line}: {report:#?}");
    }
    assert_eq!(run_sealed(&table[3]).1, Exit::Signal(libc::SIGSYS));
}

#[test]
fn it_holds_nothing_but_its_socket_and_the_report_and_is_confined_already() {
    let _inheritable = File::open("/dev/null").unwrap();
    let before = Instant::now();
    let sealed = sealed(&spec(Some("exit")), &[1, 9]);
    let pid = sealed.pid();
    assert_eq!(held(pid), ["pipe", "socket"]);
    assert_eq!(sealed.name(), "probe");
    assert!(sealed.created() >= before && sealed.created() <= Instant::now());
    assert!(!sealed.has_ended());
    let proc = |file: &str| format!("/proc/{pid}/{file}");
    let status = fs::read_to_string(proc("status")).unwrap();
    for expected in [
        "Uid:\t200000\t200000\t200000\t200000",
        "Groups:\t \n",
        "NoNewPrivs:\t1",
        "CapBnd:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
    ] {
        assert!(status.contains(expected), "{expected} is not in:\n{status}");
    }
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(of(&pid.to_string()), of("self"), "{namespace}");
    }
    let mounts = fs::read_to_string(proc("mountinfo")).unwrap();
    assert!(
        mounts
            .lines()
            .all(|m| m.split(' ').nth(5).unwrap().contains("ro,"))
    );
    // Its memory is a copy of this process's: nobody may read it there.
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(proc("mem")).unwrap());
    assert_eq!(owner, 0);
}

#[test]
fn dropped_it_leaves_no_process_and_no_descriptor_elsewhere() {
    let one = sealed(&spec(Some("exit")), &[1]);
    let other = sealed(&spec(Some("exit")), &[1]);
    let (first, second) = (one.pid(), other.pid());
    drop(one);
    assert!(!Path::new(&format!("/proc/{first}")).exists());
    // The second was made while the first was there.
    assert_eq!(held(second), ["pipe", "socket"]);
    drop(other);
    assert!(!Path::new(&format!("/proc/{second}")).exists());
}

#[test]
fn killed_while_it_waits_it_is_known_to_have_ended_and_does_not_start() {
    let sealed = sealed(&spec(Some("exit")), &[]);
    kill(sealed.pid(), Signal::SIGKILL).unwrap();
    ends(sealed.pid().as_raw());
    assert!(sealed.has_ended());
    let error = sealed.start(vec![]).unwrap_err().to_string();
    assert_eq!(
        error,
        "sandbox probe: step \"send descriptors\": EPIPE: Broken pipe"
    );
}

#[test]
fn descriptors_arrive_at_their_numbers_whatever_they_were_and_are_nowhere_else() {
    let mut spec = spec(None);
    spec.rlimits.open_files = 256;
    let (mut output, write) = pipe();
    let mut peers = vec![];
    // From high to low, and each at another's present number.
    let mut fds: Vec<(OwnedFd, RawFd)> = vec![(write, 1)];
    for target in [200, 7, 3, 4] {
        let (read, write) = pipe();
        peers.push(read);
        fds.push((write, target));
    }
    let targets: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
    let sealed = sealed(&spec, &targets);
    // In another order than declared.
    fds.reverse();
    let mut child = sealed.start(fds).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    assert!(text.lines().any(|l| l == "fds=0,1,2,3,4,7,200"), "{text}");
    for mut peer in peers {
        // At its end at once: this process kept none.
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn each_descriptor_is_the_one_that_was_given_for_its_number() {
    // Each at the number where the next one lies when they are received.
    let (mut output, write) = pipe();
    let mut peers = vec![(output.try_clone().unwrap(), 1)];
    let mut fds: Vec<(OwnedFd, RawFd)> = vec![(write, 1)];
    for target in [6, 4, 5] {
        let (read, write) = pipe();
        peers.push((read, target));
        fds.push((write, target));
    }
    let sealed = sealed(&spec(Some("sleep")), &[4, 5, 6, 1]);
    let child = sealed.start(fds).unwrap();
    output.read_exact(&mut [0; 7]).unwrap();
    for (peer, target) in peers {
        let ours = fs::read_link(format!("/proc/self/fd/{}", peer.as_raw_fd()));
        let theirs = fs::read_link(format!("/proc/{}/fd/{target}", child.pid()));
        assert_eq!(theirs.unwrap(), ours.unwrap(), "{target}");
    }
    for target in [0, 2] {
        let path = format!("/proc/{}/fd/{target}", child.pid());
        assert_eq!(fs::read_link(path).unwrap(), Path::new("/dev/null"));
    }
}

#[test]
fn the_most_descriptors_that_can_be_declared_arrive_and_one_more_is_refused() {
    let mut spec = spec(None);
    spec.rlimits.open_files = 256;
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let (mut output, write) = pipe();
    // 1, and 63 others above: with 0 and 2 the packet carries 66.
    let mut fds: Vec<(OwnedFd, RawFd)> = vec![(write, 1)];
    fds.extend((100..163).map(|target| (null(), target)));
    let targets: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
    let mut child = sealed(&spec, &targets).start(fds).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    let line = text.lines().find(|l| l.starts_with("fds=")).unwrap();
    let expected: Vec<String> = (0..3).chain(100..163).map(|n| n.to_string()).collect();
    assert_eq!(line, format!("fds={}", expected.join(",")));

    let targets: Vec<RawFd> = (100..165).collect();
    let error = seal(&spec, &targets).unwrap_err().to_string();
    assert_eq!(
        error,
        "sandbox probe: 65 descriptors; at most 64 can be declared"
    );
    let fds = targets.iter().map(|target| (null(), *target)).collect();
    assert_eq!(spawn(&spec, fds).map(drop).unwrap_err().to_string(), error);
}

#[test]
fn others_than_the_declared_descriptors_are_refused_and_nothing_is_left() {
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    for (given, text) in [
        (vec![], "[] are given, but [1, 5]"),
        (vec![5], "[5] are given, but [1, 5]"),
        (vec![1, 6], "[1, 6] are given, but [1, 5]"),
        (vec![6, 5, 1], "[1, 5, 6] are given, but [1, 5]"),
        (vec![1, 5, 5], "[1, 5, 5] are given, but [1, 5]"),
    ] {
        let sealed = sealed(&spec(Some("exit")), &[5, 1]);
        let pid = sealed.pid();
        let fds = given.iter().map(|target| (null(), *target)).collect();
        let error = sealed.start(fds).unwrap_err();
        assert!(matches!(error, SandboxError::Spec { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!("sandbox probe: descriptors {text} were declared")
        );
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
    for targets in [vec![-1], vec![3, 3], vec![64]] {
        let error = seal(&spec(None), &targets).unwrap_err().to_string();
        assert!(error.contains("descriptor target"), "{error}");
    }
}

#[test]
fn what_can_be_known_before_is_an_error_of_sealing_and_the_rest_one_of_the_start() {
    let mut spec = spec(Some("exit"));
    spec.paths.push(rule("/nope", Access::Read));
    let text = seal(&spec, &[]).unwrap_err().to_string();
    assert_eq!(
        text,
        "sandbox probe: step \"landlock rule /nope\": ENOENT: No such file or directory"
    );
    assert_eq!(error(&spec), text);
    spec.paths
        .retain(|r| r.path != *"/nope" && r.path != *"/probe");
    let one = sealed(&spec, &[]);
    let pid = one.pid();
    assert_eq!(
        one.start(vec![]).unwrap_err().to_string(),
        "sandbox probe: step \"execve /probe\": EACCES: Permission denied"
    );
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn each_step_of_the_second_half_is_named_by_the_start() {
    for (call, step) in [
        (libc::SYS_recvmsg, "receive descriptors"),
        (libc::SYS_prlimit64, "rlimits"),
        (libc::SYS_execve, "execve /probe"),
    ] {
        let expected = format!("sandbox probe: step {step:?}: EPERM: Operation not permitted");
        let thread = thread::spawn(move || {
            without(call, libc::EPERM);
            let sealed = sealed(&spec(None), &[]);
            sealed.start(vec![]).map(drop).unwrap_err().to_string()
        });
        assert_eq!(thread.join().unwrap(), expected);
        assert_eq!(error_without(call, libc::EPERM), expected);
    }
}

/// Not a test of its own: what [`it_ends_with_its_parent`] runs and kills.
const PARENT: &str = "SANDBOX_TEST_SEALS_AND_WAITS";

#[test]
fn it_ends_with_its_parent() {
    if let Ok(path) = std::env::var(PARENT) {
        let all: Vec<Sealed> = (0..3).map(|_| sealed(&spec(Some("exit")), &[1])).collect();
        let pids: Vec<String> = all.iter().map(|one| one.pid().to_string()).collect();
        fs::write(format!("{path}.part"), pids.join(" ")).unwrap();
        fs::rename(format!("{path}.part"), path).unwrap();
        loop {
            thread::park();
        }
    }
    let folder = Folder::new("parent");
    let pids = folder.0.join("pids");
    let mut parent = Command::new("/proc/self/exe")
        .args(["--exact", "sealed::it_ends_with_its_parent"])
        .env(PARENT, &pids)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !pids.exists() {
        assert!(Instant::now() < end, "{:?}", parent.try_wait());
        thread::sleep(Duration::from_millis(5));
    }
    let pids = fs::read_to_string(&pids).unwrap();
    let pids: Vec<i32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    for pid in &pids {
        assert_eq!(held(Pid::from_raw(*pid)), ["pipe", "socket"]);
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    pids.into_iter().for_each(ends);
}

#[test]
fn the_program_of_a_sealed_one_is_a_child_as_any_other() {
    let (mut output, write) = pipe();
    let child: Child = sealed(&spec(Some("sleep")), &[1])
        .start(vec![(write, 1)])
        .unwrap();
    output.read_exact(&mut [0; 7]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(held(child.pid()).len(), 3);
    assert_eq!(child.destroy().unwrap(), Exit::Signal(libc::SIGKILL));
}

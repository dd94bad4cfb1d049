//! Real sandboxes on this machine's kernel. They need root, and Linux 6.12 or
//! later with Landlock; without either they fail and do not skip. The cgroup
//! limits are tested in the guest: a PC seldom gives controllers to cgroup v2.

mod identities;
mod network;
mod ready;
mod sealed;
mod start;
mod volumes;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use sandbox::policy::load_str;
use sandbox::{
    Access, Cgroup, Child, Device, Dumpable, Entry, Exit, Network, PathRule, Policy, Proc, Rlimits,
    Root, SandboxError, Spec, User, WriteExecute, spawn,
};

const PROBE: &str = env!("CARGO_BIN_EXE_sandbox-probe");

fn policy() -> Policy {
    load_str(
        "probe.seccomp",
        include_str!("../../policies/probe.seccomp"),
    )
    .unwrap()
}

fn entry(host: &str, path: &str, access: Access) -> Entry {
    Entry {
        host: host.into(),
        path: path.into(),
        access,
    }
}

fn rule(path: &str, access: Access) -> PathRule {
    PathRule {
        path: path.into(),
        access,
    }
}

/// A host directory that any user may read; removed with its guard.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("sandbox-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies with cp(1): a file that this process held open for writing would be
/// open in the children of other tests as well for a moment (ETXTBSY).
fn copy_probe(to: &str) {
    let status = Command::new("cp").arg(PROBE).arg(to).status().unwrap();
    assert!(status.success());
}

/// The probe, dynamically linked, with the host's libraries.
fn spec(argument: Option<&str>) -> Spec {
    let mut entries = vec![entry(PROBE, "/probe", Access::Execute)];
    let mut paths = vec![rule("/probe", Access::Execute)];
    for folder in ["/usr", "/lib", "/lib64"] {
        // Not every machine has a /lib64.
        if fs::metadata(folder).is_ok() {
            entries.push(entry(folder, folder, Access::Execute));
            paths.push(rule(folder, Access::Execute));
        }
    }
    Spec {
        name: "probe".into(),
        root: Root::Entries(entries),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: ["/probe"]
            .into_iter()
            .chain(argument)
            .map(String::from)
            .collect(),
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
        paths,
        policy: policy(),
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Allowed,
    }
}

fn start(spec: &Spec, mut fds: Vec<(OwnedFd, i32)>) -> (Child, File) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    fds.push((write, 1));
    let child = spawn(spec, fds).unwrap_or_else(|e| panic!("{e}"));
    (child, File::from(read))
}

fn run(spec: &Spec) -> (Vec<String>, Exit) {
    let (mut child, mut output) = start(spec, vec![]);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let exit = child.wait().unwrap();
    (text.lines().map(String::from).collect(), exit)
}

fn error(spec: &Spec) -> String {
    spawn(spec, vec![]).map(drop).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|l| l == line), "no {line:?} in {lines:#?}");
    }
}

#[test]
fn the_program_is_pid_1_and_an_unprivileged_user_with_nothing_it_was_not_given() {
    let (lines, exit) = run(&spec(None));
    assert_eq!(exit, Exit::Code(0), "{lines:#?}");
    assert_says(
        &lines,
        &[
            "pid=1 parent=0",
            "session=1",
            "uid=1000 gid=1000",
            "groups=Ok(0)",
            "host=probe",
            "cwd=/",
            "env=",
            "fds=0,1,2",
            "capabilities=[0, 0, 0, 0, 0, 0]",
            "nofile=Ok((64, 64))",
            "fsize=Ok((1048576, 1048576))",
            "core=Ok((0, 0))",
        ],
    );
}

#[test]
fn it_sees_no_other_process() {
    let (lines, _) = run(&spec(None));
    assert_says(
        &lines,
        &[
            "kill -1=ESRCH",
            "kill 2=ESRCH",
            "kill 100=ESRCH",
            "list proc=ENOENT",
        ],
    );
}

#[test]
fn it_reaches_no_file_of_the_host_that_was_not_listed() {
    let folder = Folder::new("unlisted");
    fs::write(format!("{}/secret", folder.path()), "x").unwrap();
    let mut spec = spec(None);
    let Root::Entries(entries) = &mut spec.root else {
        unreachable!()
    };
    // In the root, but Landlock has no rule for it.
    entries.push(entry(
        &format!("{}/secret", folder.path()),
        "/unlisted",
        Access::Read,
    ));
    let (lines, _) = run(&spec);
    // The root itself may not even be listed.
    assert_says(
        &lines,
        &[
            "open /etc/passwd=ENOENT",
            "open unlisted=EACCES",
            "root=EACCES",
        ],
    );
}

#[test]
fn the_root_holds_the_listed_entries_and_nothing_else() {
    let mut spec = spec(None);
    spec.paths.push(rule("/", Access::Read));
    let (lines, _) = run(&spec);
    let expected = match fs::metadata("/lib64").is_ok() {
        true => "root=lib,lib64,probe,usr",
        false => "root=lib,probe,usr",
    };
    assert_says(&lines, &[expected]);
}

#[test]
fn it_has_no_network_not_even_its_own() {
    let (lines, _) = run(&spec(None));
    // TCP is refused by Landlock already; UDP finds that there is nothing.
    assert_says(
        &lines,
        &["connect=EACCES", "bind=EACCES", "datagram=ENETUNREACH"],
    );
}

#[test]
fn it_can_change_neither_mounts_nor_namespaces_nor_ids() {
    let (lines, _) = run(&spec(None));
    assert_says(
        &lines,
        &[
            "mount=EPERM",
            "remount=EPERM",
            "unshare net=EPERM",
            "ptrace=EPERM",
            // No such user exists in its namespace.
            "setuid 0=EINVAL",
            "setresuid 1001=EINVAL",
            "setgroups=EPERM",
            "mknod=EROFS",
        ],
    );
}

#[test]
fn it_can_write_nowhere() {
    let (lines, _) = run(&spec(None));
    assert_says(
        &lines,
        &[
            "write root=EROFS",
            "mkdir root=EROFS",
            "write program folder=EROFS",
        ],
    );
}

#[test]
fn a_program_in_a_data_folder_is_not_executed() {
    let folder = Folder::new("data");
    copy_probe(&format!("{}/program", folder.path()));
    let mut spec = spec(None);
    let Root::Entries(entries) = &mut spec.root else {
        unreachable!()
    };
    entries.push(entry(folder.path(), "/data", Access::Read));
    // Even where Landlock would allow it.
    spec.paths.push(rule("/data", Access::Execute));
    let (lines, _) = run(&spec);
    assert_says(&lines, &["execute data=EACCES"]);
}

#[test]
fn memory_that_was_writable_never_becomes_executable_unless_the_spec_says_so() {
    let mut spec = spec(Some("write-execute"));
    assert_says(&run(&spec).0, &["write-execute=EACCES"]);
    spec.write_execute = WriteExecute::Allowed;
    assert_says(&run(&spec).0, &["write-execute=ok"]);
}

#[test]
fn a_call_that_the_policy_lacks_kills_with_sigsys() {
    let (lines, exit) = run(&spec(Some("forbidden")));
    assert_eq!(exit, Exit::Signal(libc::SIGSYS));
    assert_eq!(lines, ["before"]);
}

#[test]
fn a_call_that_the_policy_refuses_gets_its_error_and_the_rest_still_kills() {
    let probe = include_str!("../../policies/probe.seccomp");
    let mut spec = spec(Some("forbidden"));
    let text = format!("{probe}\ngetrusage = ENOSYS # for this test\n");
    spec.policy = load_str("refusing.seccomp", &text).unwrap();
    let (lines, exit) = run(&spec);
    assert_eq!(
        (exit, lines),
        (
            Exit::Code(0),
            vec!["before".into(), "ENOSYS".into(), "after".into()]
        )
    );
    // Another call's error does not let this one pass.
    let text = format!("{probe}\nacct = EPERM # for this test\n");
    spec.policy = load_str("refusing.seccomp", &text).unwrap();
    assert_eq!(run(&spec).1, Exit::Signal(libc::SIGSYS));
}

#[test]
fn the_exit_code_comes_back() {
    assert_eq!(run(&spec(Some("exit"))).1, Exit::Code(7));
}

#[test]
fn the_environment_is_what_the_spec_gives() {
    let mut spec = spec(None);
    spec.env = vec![("LANG".into(), "C".into())];
    assert_says(&run(&spec).0, &["env=LANG:C"]);
}

#[test]
fn declared_descriptors_arrive_at_their_numbers_whatever_they_were() {
    // Given crosswise, so that one's target is the other's present number.
    let (ours, a) = UnixStream::pair().unwrap();
    let (_b_peer, b) = UnixStream::pair().unwrap();
    let (a, b): (OwnedFd, OwnedFd) = (a.into(), b.into());
    use std::os::fd::AsRawFd;
    let (a_number, b_number) = (a.as_raw_fd(), b.as_raw_fd());
    let mut spec = spec(None);
    spec.rlimits.open_files = 256;
    let (mut child, mut output) = start(&spec, vec![(a, b_number), (b, a_number)]);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let mut numbers = [0, 1, 2, a_number, b_number];
    numbers.sort_unstable();
    let expected = numbers.map(|n| n.to_string()).join(",");
    let lines: Vec<String> = text.lines().map(String::from).collect();
    assert_says(&lines, &[&format!("fds={expected}")]);
    // And nobody else holds it: our end sees the end.
    let mut rest = Vec::new();
    (&ours).read_to_end(&mut rest).unwrap();
    (&ours).write_all(b"x").unwrap_err();
}

#[test]
fn devices_are_those_asked_for() {
    let mut spec = spec(Some("devices"));
    spec.paths.push(rule("/dev", Access::Read));
    spec.devices = vec![Device::Null, Device::Zero, Device::Urandom];
    assert_says(
        &run(&spec).0,
        &[
            "null=ok",
            "zero=ok",
            "urandom=ok",
            "random=ENOENT",
            "dev=null,urandom,zero",
        ],
    );
}

#[test]
fn proc_when_asked_for_shows_only_its_own_process() {
    let mut spec = spec(Some("proc"));
    spec.proc = Proc::OwnPids;
    spec.paths.push(rule("/proc", Access::Read));
    let (lines, _) = run(&spec);
    assert_says(
        &lines,
        &[
            "proc=1,self,thread-self",
            "other pid=ENOENT",
            "kernel command line=ENOENT",
        ],
    );
}

#[test]
fn a_directory_of_the_host_can_be_the_whole_root() {
    let folder = Folder::new("root");
    for name in ["usr", "lib", "lib64"] {
        fs::create_dir(format!("{}/{name}", folder.path())).unwrap();
    }
    copy_probe(&format!("{}/probe", folder.path()));
    let mut spec = spec(Some("exit"));
    spec.root = Root::Directory(folder.0.clone());
    spec.paths = vec![rule("/", Access::Execute)];
    // The dynamic linker is not there: execve itself finds that out.
    assert_eq!(
        error(&spec),
        "sandbox probe: step \"execve /probe\": ENOENT: No such file or directory"
    );
    spec.root = Root::Directory("/".into());
    spec.argv[0] = PROBE.into();
    let readable = fs::metadata(PROBE).is_ok();
    assert!(readable);
    let (lines, exit) = run(&spec);
    assert_eq!(exit, Exit::Code(7), "{lines:?}");
}

#[test]
fn killing_and_dropping_leave_no_process() {
    let (child, mut output) = start(&spec(Some("sleep")), vec![]);
    let mut line = [0; 7];
    output.read_exact(&mut line).unwrap();
    let path = format!("/proc/{}", child.pid());
    assert!(fs::metadata(&path).is_ok());
    drop(child);
    assert!(fs::metadata(&path).is_err());

    let (mut child, mut output) = start(&spec(Some("sleep")), vec![]);
    output.read_exact(&mut line).unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    assert_eq!(child.destroy().unwrap(), Exit::Signal(libc::SIGKILL));
}

#[test]
fn outside_the_program_runs_as_its_own_user_in_its_own_namespaces() {
    let (child, mut output) = start(&spec(Some("sleep")), vec![]);
    output.read_exact(&mut [0; 7]).unwrap();
    let proc = |file: &str| format!("/proc/{}/{file}", child.pid());
    let status = fs::read_to_string(proc("status")).unwrap();
    for expected in [
        "Uid:\t200000\t200000\t200000\t200000",
        "Gid:\t200000\t200000\t200000\t200000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapBnd:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.contains(expected), "{expected} is not in:\n{status}");
    }
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
        assert_ne!(of(&child.pid().to_string()), of("self"), "{namespace}");
    }
    let mounts = fs::read_to_string(proc("mountinfo")).unwrap();
    for mount in mounts.lines() {
        let options = mount.split(' ').nth(5).unwrap();
        for option in ["ro", "nosuid", "nodev"] {
            assert!(options.split(',').any(|o| o == option), "{option}: {mount}");
        }
        let target = mount.split(' ').nth(4).unwrap();
        let known = ["/", "/probe", "/usr", "/lib", "/lib64"];
        assert!(
            known
                .iter()
                .any(|k| target == *k || target.starts_with("/usr/")),
            "{mount}"
        );
    }
}

#[test]
fn a_missing_host_file_is_named() {
    let mut spec = spec(None);
    spec.root = Root::Entries(vec![entry("/nowhere/probe", "/probe", Access::Execute)]);
    assert_eq!(
        error(&spec),
        "sandbox probe: step \"place /probe for /nowhere/probe\": ENOENT: No such file or directory"
    );
}

#[test]
fn a_landlock_rule_for_a_path_that_is_not_in_the_root_is_named() {
    let mut spec = spec(None);
    spec.paths.push(rule("/nope", Access::Read));
    assert_eq!(
        error(&spec),
        "sandbox probe: step \"landlock rule /nope\": ENOENT: No such file or directory"
    );
}

#[test]
fn a_program_that_landlock_does_not_let_run_is_named() {
    let mut spec = spec(None);
    spec.paths.retain(|r| r.path != *"/probe");
    assert_eq!(
        error(&spec),
        "sandbox probe: step \"execve /probe\": EACCES: Permission denied"
    );
}

/// Makes `call` fail with `errno` for the rest of this thread and its
/// children, as on a kernel that lacks it.
fn without(call: libc::c_long, errno: i32) {
    use seccompiler::{SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let refuse = SeccompAction::Errno(errno as u32);
    let rules = [(call, vec![])].into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// The error of spawning on a kernel whose `call` fails.
fn error_without(call: libc::c_long, errno: i32) -> String {
    let thread = std::thread::spawn(move || {
        without(call, errno);
        error(&spec(None))
    });
    thread.join().unwrap()
}

#[test]
fn a_kernel_without_landlock_starts_nothing() {
    let text = error_without(libc::SYS_landlock_create_ruleset, libc::ENOSYS);
    assert!(
        text.starts_with("sandbox probe: step \"landlock\": "),
        "{text}"
    );
    assert!(text.ends_with("landlock in lsm="), "{text}");
}

#[test]
fn each_failing_step_is_named() {
    for (call, step) in [
        (libc::SYS_clone3, "clone3"),
        (libc::SYS_fsopen, "root tmpfs"),
        (libc::SYS_setsid, "session"),
        (libc::SYS_mount, "private mounts"),
        (libc::SYS_move_mount, "attach root"),
        (libc::SYS_pivot_root, "pivot_root"),
        (libc::SYS_umount2, "detach old root"),
        (libc::SYS_sethostname, "host name"),
        (libc::SYS_unshare, "cgroup namespace"),
        (libc::SYS_keyctl, "session keyring"),
        (libc::SYS_landlock_add_rule, "landlock rule /probe"),
        (libc::SYS_prctl, "bounding set"),
        (libc::SYS_setgroups, "drop groups"),
        (libc::SYS_setresgid, "setresgid"),
        (libc::SYS_setresuid, "setresuid"),
        (libc::SYS_capset, "capabilities"),
        (libc::SYS_landlock_restrict_self, "landlock"),
        (libc::SYS_close_range, "close descriptors"),
        (libc::SYS_prlimit64, "rlimits"),
        (libc::SYS_execve, "execve /probe"),
    ] {
        assert_eq!(
            error_without(call, libc::EPERM),
            format!("sandbox probe: step {step:?}: EPERM: Operation not permitted")
        );
    }
}

#[test]
fn a_cgroup_that_cannot_be_made_is_an_error_and_not_left_out() {
    let folder = Folder::new("cgroup");
    let mut spec = spec(None);
    spec.cgroup = Some(Cgroup {
        hierarchy: folder.0.clone(),
        path: "services/probe".into(),
        memory_max: 64 << 20,
        oom_group: true,
        pids_max: 8,
        cpu_max: None,
    });
    assert_eq!(
        error(&spec),
        format!(
            "sandbox probe: step \"cgroup\": {}/cgroup.subtree_control: No such file or directory (os error 2)",
            folder.path()
        )
    );
}

#[test]
fn a_spec_that_cannot_be_meant_is_refused_before_anything_runs() {
    let refused = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec(None);
        change(&mut spec);
        let error = spawn(&spec, vec![]).map(drop).unwrap_err();
        assert!(matches!(error, SandboxError::Spec { .. }), "{error}");
        error.to_string()
    };
    let one = |inside, outside| User::One { inside, outside };
    assert!(refused(&|s| s.name = "Has Space".into()).contains("name \"Has Space\""));
    assert!(refused(&|s| s.argv.clear()).contains("argv is empty"));
    assert!(refused(&|s| s.argv.push("a\0b".into())).contains("NUL"));
    assert!(refused(&|s| s.argv[0] = "probe".into()).contains("must be absolute"));
    assert!(refused(&|s| s.paths.push(rule("/usr/../etc", Access::Read))).contains("without"));
    assert!(refused(&|s| s.user = one(0, 200_000)).contains("must not be 0"));
    assert!(refused(&|s| s.user = one(1000, 1000)).contains("at least 100000"));
    assert!(refused(&|s| s.rlimits.open_files = 1).contains("descriptor target"));
    let lacks = refused(&|s| s.policy = load_str("small", "execve # start\n").unwrap());
    assert!(lacks.contains("small: the start needs write"), "{lacks}");
}

#[test]
fn a_small_limit_on_descriptors_does_not_stop_the_start() {
    let mut spec = spec(Some("exit"));
    // The dynamic linker needs one more than the three.
    spec.rlimits.open_files = 4;
    assert_eq!(run(&spec).1, Exit::Code(7));
}

#[test]
fn an_inheritable_descriptor_of_the_parent_does_not_arrive() {
    use nix::fcntl::{FcntlArg, fcntl};
    let file = File::open("/dev/null").unwrap();
    // Low and high, both without close-on-exec; they stay open in this process.
    for minimum in [3, 200] {
        fcntl(&file, FcntlArg::F_DUPFD(minimum)).unwrap();
    }
    let mut spec = spec(None);
    spec.rlimits.open_files = 256;
    assert_says(&run(&spec).0, &["fds=0,1,2"]);
}

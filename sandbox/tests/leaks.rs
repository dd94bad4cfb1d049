//! One test in a process of its own, where descriptors can be counted.

use std::fs;

use sandbox::policy::load_str;
use sandbox::{
    Access, Dumpable, Entry, Exit, Network, PathRule, Proc, ReadyRoot, Rlimits, Root, Scratch,
    Spec, Tcp, User, WriteExecute, seal, spawn,
};

#[test]
fn sandboxes_of_every_kind_leave_no_descriptor_no_mount_and_no_process() {
    let text = include_str!("../policies/probe.seccomp");
    let mut spec = Spec {
        name: "probe".into(),
        root: Root::Entries(vec![]),
        volumes: vec![],
        scratch: vec![Scratch {
            path: "/tmp".into(),
            size: 1 << 16,
            inodes: 16,
            mode: 0o700,
        }],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec!["/probe".into(), "exit".into()],
        env: vec![],
        cgroup: None,
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: Network {
            loopback: true,
            unprivileged_ports: true,
            tcp: Tcp::default(),
        },
        rlimits: Rlimits {
            open_files: 16,
            file_size: 0,
        },
        paths: vec![],
        policy: load_str("probe.seccomp", text).unwrap(),
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Allowed,
    };
    let mut entries = vec![("/probe", env!("CARGO_BIN_EXE_sandbox-probe"))];
    for folder in ["/usr", "/lib", "/lib64"] {
        if fs::metadata(folder).is_ok() {
            entries.push((folder, folder));
        }
    }
    spec.root = Root::Entries(
        entries
            .iter()
            .map(|(path, host)| Entry {
                host: host.into(),
                path: path.into(),
                access: Access::Execute,
            })
            .collect(),
    );
    spec.paths = entries
        .iter()
        .map(|(path, _)| PathRule {
            path: path.into(),
            access: Access::Execute,
        })
        .collect();
    let mut broken = spec.clone();
    broken.argv[0] = "/usr".into();

    let one = || {
        assert_eq!(spawn(&spec, vec![]).unwrap().wait().unwrap(), Exit::Code(7));
        spawn(&broken, vec![]).map(drop).unwrap_err();
        drop(seal(&spec, &[0, 5]).unwrap());
        let sealed = seal(&spec, &[]).unwrap();
        assert_eq!(sealed.start(vec![]).unwrap().wait().unwrap(), Exit::Code(7));
        let sealed = seal(&broken, &[]).unwrap();
        sealed.start(vec![]).map(drop).unwrap_err();
        let root = ReadyRoot::make(&spec).unwrap();
        let mut child = root.spawn(&spec, vec![]).unwrap();
        assert_eq!(child.wait().unwrap(), Exit::Code(7));
        drop(root.seal(&spec, &[0, 5]).unwrap());
    };
    let state = || {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let children = fs::read_to_string("/proc/thread-self/children").unwrap();
        (count("/proc/self/fd"), mounts, children)
    };
    one();
    let before = state();
    for _ in 0..50 {
        one();
    }
    assert_eq!(state(), before);
    assert_eq!(before.2, "");
}

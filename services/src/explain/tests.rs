//! Giving more changes the words and never lowers the score.

use super::*;
use crate::{Place, spec_with};
use sandbox::{
    Access, Capability, Cgroup, Connect, CpuLimit, Device, Dumpable, Entry, Network, PathRule,
    Policy, Proc, Rlimits, Root, Scratch, User, Volume, WriteExecute, policy,
};
use std::path::Path;

const SMALLEST: &str = "execve # a\nwrite # b\nexit_group # c\n";

/// As little as a sandbox can be given.
fn least() -> Spec {
    Spec {
        name: "least".into(),
        root: Root::Entries(vec![]),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec!["/program".into()],
        env: vec![],
        cgroup: Some(cgroup()),
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: Network::default(),
        rlimits: Rlimits {
            open_files: 3,
            file_size: 0,
        },
        paths: vec![],
        policy: allowing(SMALLEST),
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Refused,
    }
}

fn cgroup() -> Cgroup {
    Cgroup {
        hierarchy: "/sys/fs/cgroup".into(),
        path: "services/least".into(),
        memory_max: 1 << 20,
        oom_group: true,
        pids_max: 1,
        cpu_max: Some(CpuLimit {
            quota_us: 1000,
            period_us: 100_000,
        }),
    }
}

fn allowing(text: &str) -> Policy {
    policy::load_str("test", text).unwrap()
}

fn volume(host: &str, writable: bool) -> Volume {
    Volume {
        host: host.into(),
        path: "/mail".into(),
        writable,
    }
}

fn entry(host: &str, access: Access) -> Entry {
    Entry {
        host: host.into(),
        path: "/file".into(),
        access,
    }
}

fn scratch(size: u64, inodes: u32, mode: u32) -> Scratch {
    Scratch {
        path: "/tmp".into(),
        size,
        inodes,
        mode,
    }
}

fn rule(path: &str, access: Access) -> PathRule {
    PathRule {
        path: path.into(),
        access,
    }
}

fn range(count: u32, run_as: u32) -> User {
    User::Range {
        outside: 200_000,
        count,
        run_as,
    }
}

fn at_most(change: impl FnOnce(&mut Cgroup)) -> Option<Cgroup> {
    let mut cgroup = cgroup();
    change(&mut cgroup);
    Some(cgroup)
}

/// Names every field of a spec: one that is added does not compile until it is
/// here, and then the test fails until [`widenings`] has it.
macro_rules! fields {
    ($($field:ident),*) => {{
        let Spec { $($field: _),* } = least();
        [$(stringify!($field)),*]
    }};
}

/// One field's values, from little to much.
type Steps = Vec<Box<dyn Fn(&mut Spec)>>;

/// Each field's values, from little to much, and whether each step must cost.
fn widenings() -> Vec<(&'static str, bool, Steps)> {
    macro_rules! steps {
        ($spec:ident, $place:expr; $($value:expr),* $(,)?) => {
            vec![$(Box::new(|$spec: &mut Spec| $place = $value)),*]
        };
    }
    let with = |more: &'static str| -> Box<dyn Fn(&mut Spec)> {
        Box::new(move |spec| spec.policy = allowing(&format!("{SMALLEST}{more}")))
    };
    vec![
        ("name", false, steps!(s, s.name; "other".into())),
        (
            "argv",
            false,
            steps!(s, s.argv; vec!["/program".into(), "-x".into()]),
        ),
        (
            "env",
            false,
            steps!(s, s.env; vec![("A".into(), "b".into())]),
        ),
        (
            "root",
            true,
            steps!(s, s.root;                 Root::Entries(vec![entry("/usr/bin/a", Access::Read)]),
                Root::Entries(vec![entry("/usr/bin/a", Access::Execute)]),
                Root::Directory("/run/apps/email/roots/a".into()),
                Root::Directory("/usr".into()),
                Root::Directory("/".into())),
        ),
        (
            "volumes",
            true,
            steps!(s, s.volumes;                 vec![volume("/data/mail/a", false)],
                vec![volume("/data/mail/a", true)],
                vec![volume("/data/mail/a", true), volume("/data/mail/b", false)],
                vec![volume("/data", true), volume("/data/mail/b", false)]),
        ),
        (
            "scratch",
            true,
            steps!(s, s.scratch;                 vec![scratch(1 << 20, 64, 0o700)],
                vec![scratch(64 << 20, 64, 0o700)],
                vec![scratch(64 << 20, 64, 0o700), scratch(1, 1, 0o700)]),
        ),
        // One part after another.
        (
            "scratch",
            false,
            steps!(s, s.scratch;
                vec![scratch(1, 1, 0o700)],
                vec![scratch(1, 2, 0o700)],
                vec![scratch(1, 2, 0o777)],
                vec![Scratch { path: "/run".into(), ..scratch(1, 2, 0o777) }]),
        ),
        (
            "volumes",
            false,
            steps!(s, s.volumes;
                vec![volume("/data/mail/a", false)],
                vec![volume("/data/mail/b", false)],
                vec![Volume { path: "/other".into(), ..volume("/data/mail/b", false) }]),
        ),
        (
            "root",
            false,
            steps!(s, s.root;
            Root::Entries(vec![entry("/usr/bin/a", Access::Read)]),
            Root::Entries(vec![entry("/usr/bin/b", Access::Read)]),
            Root::Entries(vec![Entry {
                path: "/other".into(),
                ..entry("/usr/bin/b", Access::Read)
            }])),
        ),
        (
            "devices",
            true,
            steps!(s, s.devices;                 vec![Device::Null],
                vec![Device::Null, Device::Random],
                vec![Device::Null, Device::Random, Device::Zero, Device::Urandom]),
        ),
        ("proc", true, steps!(s, s.proc; Proc::OwnPids)),
        (
            "cgroup",
            true,
            steps!(s, s.cgroup; at_most(|c| c.memory_max = 64 << 20), None),
        ),
        (
            "cgroup",
            true,
            steps!(s, s.cgroup; at_most(|c| c.oom_group = false), None),
        ),
        (
            "cgroup",
            true,
            steps!(s, s.cgroup; at_most(|c| c.pids_max = 64), None),
        ),
        (
            "cgroup",
            true,
            steps!(s, s.cgroup;                 at_most(|c| c.cpu_max = Some(CpuLimit { quota_us: 200_000, period_us: 100_000 })),
                at_most(|c| c.cpu_max = None),
                None),
        ),
        (
            "cgroup",
            false,
            steps!(s, s.cgroup; at_most(|c| c.path = "services/b".into())),
        ),
        (
            "cgroup",
            false,
            steps!(s, s.cgroup; at_most(|c| c.hierarchy = "/cgroup".into())),
        ),
        (
            "user",
            true,
            steps!(s, s.user; range(1, 1), range(65_536, 1), range(65_536, 0)),
        ),
        (
            "user",
            false,
            steps!(s, s.user; User::One { inside: 1000, outside: 300_000 }),
        ),
        (
            "user",
            false,
            steps!(s, s.user; User::One { inside: 1001, outside: 200_000 }),
        ),
        (
            "capabilities",
            true,
            steps!(s, s.capabilities;             vec![Capability::Kill],
            vec![Capability::Kill, Capability::SetUid],
            vec![Capability::Kill, Capability::SetUid, Capability::SetGid],
            vec![Capability::Kill, Capability::SetUid, Capability::SetGid, Capability::Chown],
            vec![
                Capability::Kill,
                Capability::SetUid,
                Capability::SetGid,
                Capability::Chown,
                Capability::DacOverride,
                Capability::NetBindService,
                Capability::SysChroot,
            ]),
        ),
        ("network", true, steps!(s, s.network.loopback; true)),
        (
            "network",
            true,
            steps!(s, s.network.unprivileged_ports; true),
        ),
        (
            "network",
            true,
            steps!(s, s.network.tcp.bind; vec![24], vec![24, 25], vec![24, 25, 0]),
        ),
        (
            "network",
            true,
            steps!(s, s.network.tcp.connect;                 Connect::Ports(vec![25]),
                Connect::Ports(vec![25, 26]),
                Connect::Any),
        ),
        ("rlimits", true, steps!(s, s.rlimits.open_files; 256, 4096)),
        (
            "rlimits",
            true,
            steps!(s, s.rlimits.file_size; 1, 1 << 30, u64::MAX),
        ),
        (
            "paths",
            true,
            steps!(s, s.paths;                 vec![rule("/usr", Access::Read)],
                vec![rule("/", Access::Read)],
                vec![rule("/", Access::Execute)],
                vec![rule("/", Access::Execute), rule("/usr", Access::Read)]),
        ),
        (
            "write_execute",
            true,
            steps!(s, s.write_execute; WriteExecute::Allowed),
        ),
        ("dumpable", true, steps!(s, s.dumpable; Dumpable::Allowed)),
        (
            "policy",
            true,
            vec![with("read # d"), with("read # d\nopenat # e")],
        ),
        (
            "policy",
            true,
            vec![
                with("socket if arg0 == 1 # d"),
                with("socket if arg0 == 1 # d\nsocket if arg0 == 2 # d"),
                with("socket # d"),
            ],
        ),
        (
            "policy",
            true,
            vec![
                with("clone if arg0 & 0x7e030000 == 0x10000 # threads"),
                with("clone if arg0 & 0x7e020000 == 0 # fork"),
                with("clone # namespaces"),
                with("clone # namespaces\nunshare # too"),
            ],
        ),
        ("policy", true, vec![with("mmap # libraries")]),
        (
            "policy",
            true,
            vec![with("ioctl if arg1 == 1 # d"), with("ioctl # d")],
        ),
        ("policy", false, vec![with("mmap if arg2 & 4 == 0 # d")]),
        (
            "policy",
            true,
            vec![with("bpf # d"), with("bpf # d\nkeyctl # e")],
        ),
        ("policy", true, vec![with("ptrace # d")]),
        ("policy", true, vec![with("mount # d")]),
        ("policy", true, vec![with("kill # d")]),
        ("policy", true, vec![with("setuid # d")]),
        ("policy", true, vec![with("unlinkat # d")]),
        ("policy", true, vec![with("connect # d")]),
        ("policy", true, vec![with("prctl # d")]),
        (
            "policy",
            true,
            vec![
                with("msgget # in no group"),
                with("msgget # a\nmq_open # b"),
            ],
        ),
        (
            "policy",
            false,
            vec![with("read # d"), with("read # another reason")],
        ),
        (
            "policy",
            false,
            vec![with("openat = ENOENT # d"), with("openat = EPERM # d")],
        ),
    ]
}

/// What it costs, before that is rounded to a score, and the words.
fn explained(spec: &Spec) -> (u32, String) {
    let explanation = explain(spec, &Given::default());
    let points = explanation.findings.iter().map(Finding::points).sum();
    (points, explanation.to_string())
}

#[test]
fn every_field_has_a_widening() {
    let fields = fields!(
        name,
        root,
        volumes,
        scratch,
        devices,
        proc,
        argv,
        env,
        cgroup,
        user,
        capabilities,
        network,
        rlimits,
        paths,
        policy,
        write_execute,
        dumpable
    );
    for field in fields {
        assert!(widenings().iter().any(|(of, ..)| *of == field), "{field}");
    }
}

#[test]
fn every_step_changes_the_words_and_what_gives_more_costs_more() {
    for (field, costs, steps) in widenings() {
        let mut spec = least();
        let mut before = explained(&spec);
        for (number, step) in steps.iter().enumerate() {
            step(&mut spec);
            let after = explained(&spec);
            assert_ne!(before.1, after.1, "{field}, step {number}: the same words");
            match costs {
                true => assert!(before.0 < after.0, "{field}, step {number}: {}", after.1),
                false => assert!(before.0 <= after.0, "{field}, step {number}: {}", after.1),
            }
            before = after;
        }
    }
}

#[test]
fn given_more_all_at_once_no_step_lowers_the_score() {
    // Each field to its most, one after another.
    let mut spec = least();
    let mut before = explained(&spec).0;
    let score = explain(&spec, &Given::default()).score();
    assert!(score < Score(10), "{score}");
    for (field, _, steps) in widenings().iter().filter(|(_, costs, _)| *costs) {
        for step in steps.iter().filter(|_| *field != "policy") {
            let mut next = spec.clone();
            step(&mut next);
            // Fields with several rows begin anew in each.
            let after = explained(&next).0;
            if after > before {
                (spec, before) = (next, after);
            }
        }
    }
    let every_call: String = every_call()
        .iter()
        .map(|call| format!("{call} # x\n"))
        .collect();
    spec.policy = allowing(&every_call);
    let mut given = Given {
        egress: vec![(0, "tcp"); 10],
        ..Given::default()
    };
    given.descriptors = (3..20).map(descriptor).collect();
    let all = explain(&spec, &given);
    assert!(all.score() > Score(950), "{all}");
    assert_eq!(all.score().word(), "UNSAFE");
}

/// Every call that a group names and that both machines have.
fn every_call() -> Vec<String> {
    let all = calls::known().filter(|call| {
        let text = format!("{SMALLEST}{call} # x\n");
        SMALLEST.contains(call) || policy::load_str("test", &text).is_ok()
    });
    let mut all: Vec<String> = all.map(str::to_owned).collect();
    all.extend(["socket", "msgget", "msgsnd", "semget", "semop"].map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

fn descriptor(number: i32) -> Descriptor {
    Descriptor {
        number: Some(number),
        name: format!("channel{number}"),
        leads: "somewhere".into(),
    }
}

#[test]
fn what_is_handed_in_costs_and_is_said() {
    let spec = least();
    let none = explain(&spec, &Given::default());
    assert!(none.to_string().contains("no network at all"), "{none}");
    let mut given = Given {
        descriptors: vec![descriptor(3)],
        ..Given::default()
    };
    let one = explain(&spec, &given);
    assert!(none.score() < one.score());
    assert!(
        one.to_string()
            .contains("- channel3 (descriptor 3): somewhere"),
        "{one}"
    );
    given.egress = vec![(53, "udp")];
    let internet = explain(&spec, &given);
    assert!(one.score() < internet.score());
    let words = internet.to_string();
    assert!(words.contains("1 port: 53/udp"), "{words}");
    assert!(!words.contains("no network at all"), "{words}");
    given.egress.push((53, "tcp"));
    assert!(internet.score() < explain(&spec, &given).score());
}

#[test]
fn flags_of_clone_decide_between_threads_processes_and_namespaces() {
    for (line, may, cannot) in [
        (
            "clone if arg0 & 0x7e030000 == 0x10000 # x",
            ["start threads:"].as_slice(),
            ["start processes.", "make namespaces of its own."].as_slice(),
        ),
        (
            "clone if arg0 & 0x7e020000 == 0 # x",
            &["start threads:", "start processes:"],
            &["make namespaces of its own."],
        ),
        (
            "clone # x",
            &[
                "start threads:",
                "start processes:",
                "make namespaces of its own:",
            ],
            &[],
        ),
    ] {
        let mut spec = least();
        spec.policy = allowing(&format!("{SMALLEST}{line}\n"));
        let words = explained(&spec).1;
        for may in may {
            assert!(words.contains(&format!("It may {may}")), "{line}: {words}");
        }
        for cannot in cannot {
            assert!(
                words.contains(&format!("It can't {cannot}")),
                "{line}: {words}"
            );
        }
    }
}

fn email(name: &str) -> Explanation {
    let text = include_str!("../../../apps/email/app.yaml");
    let app = manifest::read("app.yaml", text).unwrap();
    let service = app.service(name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/email/policies");
    let policy = std::fs::read_to_string(folder.join(&service.policy)).unwrap();
    let place = Place {
        image: "/run/apps/email".into(),
        volumes: "/data/apps/email".into(),
        hostname: "projectx.local".into(),
        first_id: 1_000_000,
        cgroups: Some("/sys/fs/cgroup".into()),
        instance: String::new(),
    };
    let spec = spec_with(&app, service, &place, allowing(&policy));
    let given = Given::of(&app, service, &place.volumes).unwrap();
    explain(&spec, &given)
}

fn says(explanation: &Explanation, words: &[&str]) {
    let text = explanation.to_string();
    for words in words {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn the_services_of_the_mail_path_are_what_the_threat_model_says() {
    says(
        &email("smtp-in"),
        &[
            "It has no network at all",
            "- connection (descriptor 3): one connection from the internet, port 25",
            "- deliver (descriptor 8): one end of a pair of sockets; gate has the other",
            "It can write to no disk.",
            "It can make no socket.",
            "It can't start processes.",
            "It has no capability",
            "at most 160 MiB of memory",
        ],
    );
    says(
        &email("dovecot"),
        &[
            "- /mail: the folder /data/apps/email/mail of the encrypted disk",
            "It is root of 65536 ids of its own",
            "CAP_SETUID: it may become any user of its own (each person's mail is opened under",
            "It may make sockets, of the families Unix, IPv4, IPv6:",
            "It may start processes:",
            "It can't make namespaces of its own.",
            "- lmtp (by TCP): gate gets connections to its port 24",
        ],
    );
    says(
        &email("unbound"),
        &[
            "It reaches the internet, on 2 ports: 53/tcp, 53/udp.",
            "netlink",
            "a socket that listens for",
        ][..2],
    );
    let zygote = email("spamassassin");
    says(
        &zygote,
        &[
            "It may make namespaces of its own:",
            "It can make no socket.",
            "Each message's child",
            "- spam-check: one end of a pair of sockets; smtp-in has the other",
        ],
    );
    let child = zygote.findings.last().unwrap().words.join("\n");
    let (has, lost) = child.split_once("It has lost").unwrap();
    assert!(lost.contains("clone3") && lost.contains("openat") && lost.contains("socketpair"));
    assert!(has.contains("read, ") && !has.contains("clone3"), "{has}");
}

#[test]
fn every_call_of_the_shipped_policies_is_in_a_group() {
    let text = include_str!("../../../apps/email/app.yaml");
    for service in manifest::read("app.yaml", text).unwrap().services {
        says(
            &email(service.name.as_str()),
            &["No call that is not named here."],
        );
    }
}

#[test]
fn an_old_call_weighs_no_more_than_the_one_that_replaced_it() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let with = |more: &str| {
        let mut spec = least();
        spec.policy = allowing(&format!("{SMALLEST}{more}"));
        explained(&spec).0
    };
    let new = "openat # a\nclone if arg0 & 0x7e020000 == 0 # b\n";
    let old = "x86_64: open # a\nx86_64: fork # b\n";
    assert_eq!(with(new), with(&format!("{new}{old}")));
}

#[test]
fn the_words_for_scores_change_at_their_borders() {
    for (score, word) in [
        (0, "SAFE"),
        (99, "SAFE"),
        (100, "OK"),
        (499, "OK"),
        (500, "MEDIUM"),
        (750, "EXPOSED"),
        (900, "UNSAFE"),
        (1000, "UNSAFE"),
    ] {
        assert_eq!(Score(score).word(), word, "{score}");
    }
    assert_eq!(Score(7).to_string(), "0.07");
    assert_eq!(format!("{:>6}", Score(1000)), " 10.00");
}

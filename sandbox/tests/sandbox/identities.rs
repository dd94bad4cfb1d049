//! Ranges of ids, and the capabilities that a root of one may keep.

use std::fs;
use std::io::Read;

use sandbox::{Capability, Network, Scratch, Spec, Tcp, User};

use crate::{assert_says, error, run, spec, start};

fn range(run_as: u32) -> User {
    User::Range {
        outside: 300_000,
        count: 10,
        run_as,
    }
}

/// Root of ten ids, with a scratch, loopback and port 80 to use them on.
fn root(argument: &str, capabilities: &[Capability]) -> Spec {
    let mut spec = spec(Some(argument));
    spec.user = range(0);
    spec.capabilities = capabilities.to_vec();
    spec.network = Network {
        loopback: true,
        tcp: Tcp {
            bind: vec![80],
            ..Tcp::default()
        },
        ..Network::default()
    };
    spec.scratch = vec![Scratch {
        path: "/scratch".into(),
        size: 1 << 20,
        inodes: 100,
        mode: 0o777,
    }];
    spec
}

#[test]
fn a_range_maps_its_ids_and_no_other() {
    let mut spec = spec(Some("sleep"));
    spec.user = range(5);
    let (child, mut output) = start(&spec, vec![]);
    output.read_exact(&mut [0; 7]).unwrap();
    let proc = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.pid())).unwrap();
    for map in ["uid_map", "gid_map"] {
        let map = proc(map);
        let map: Vec<&str> = map.split_whitespace().collect();
        assert_eq!(map, ["0", "300000", "10"]);
    }
    assert!(proc("status").contains("Uid:\t300005\t300005\t300005\t300005"));
    assert!(proc("status").contains("Gid:\t300005\t300005\t300005\t300005"));
    assert!(proc("status").contains("Groups:\t \n"));
}

#[test]
fn a_root_without_capabilities_can_do_nothing_that_takes_one() {
    let (lines, _) = run(&root("deeds", &[]));
    assert_says(
        &lines,
        &[
            "uid=0",
            "capabilities=[0, 0, 0, 0, 0, 0]",
            // NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, locked, and
            // the lock of KEEP_CAPS.
            "securebits=Ok(239)",
            "make=ok",
            "chown=EPERM",
            "read closed=EACCES",
            "bind 80=EACCES",
            "kill=EPERM",
            "setgroups=EPERM",
            "groups=Ok(0)",
            "setgid=EPERM",
            "chroot=EPERM",
            "setuid=EPERM",
        ],
    );
    assert_says(
        &run(&root("again", &[])).0,
        &["then uid=0", "capabilities=[0, 0, 0, 0, 0, 0]"],
    );
}

#[test]
fn each_capability_allows_its_deed_and_no_other() {
    let deeds = [
        (Capability::Chown, "chown"),
        (Capability::DacOverride, "read closed"),
        (Capability::NetBindService, "bind 80"),
        (Capability::SetGid, "setgroups"),
        (Capability::SysChroot, "chroot"),
        (Capability::SetUid, "setuid"),
    ];
    for (capability, allowed) in deeds {
        let (lines, _) = run(&root("deeds", &[capability]));
        for (_, deed) in deeds {
            let ok = lines.contains(&format!("{deed}=ok"));
            assert_eq!(ok, deed == allowed, "{capability:?}: {lines:#?}");
        }
    }
    // Somebody else to be killed takes both of these.
    let mut capabilities = vec![Capability::SetUid, Capability::SetGid];
    let (lines, _) = run(&root("deeds", &capabilities));
    assert_says(&lines, &["kill=EPERM", "groups=Ok(2)", "setgid=ok"]);
    capabilities.push(Capability::Kill);
    let (lines, _) = run(&root("deeds", &capabilities));
    // An id beyond the range does not exist even for a root that may change.
    assert_says(&lines, &["kill=ok", "setuid 10=EINVAL", "setuid=ok"]);
}

#[test]
fn what_root_executes_keeps_the_capabilities_and_gains_none() {
    let (lines, _) = run(&root("again", &[Capability::SetUid, Capability::SetGid]));
    assert_says(
        &lines,
        &[
            "then uid=0",
            "capabilities=[192, 192, 0, 0, 0, 0]",
            "securebits=Ok(224)",
        ],
    );
}

#[test]
fn who_becomes_another_user_loses_every_capability_for_good() {
    let (lines, _) = run(&root(
        "become another",
        &[Capability::SetUid, Capability::Chown],
    ));
    assert_says(
        &lines,
        &[
            "keep capabilities=EPERM",
            "setuid=ok",
            "setuid back=EPERM",
            "capabilities=[0, 0, 0, 0, 0, 0]",
            "then uid=8",
            "capabilities=[0, 0, 0, 0, 0, 0]",
        ],
    );
}

#[test]
fn outside_the_bounding_set_is_what_was_given_and_no_privilege_can_be_gained() {
    let capabilities = [Capability::SetUid, Capability::SysChroot];
    let (child, mut output) = start(&root("sleep", &capabilities), vec![]);
    output.read_exact(&mut [0; 7]).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    for expected in [
        "Uid:\t300000\t300000\t300000\t300000",
        "NoNewPrivs:\t1",
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000040080",
        "CapEff:\t0000000000040080",
        "CapBnd:\t0000000000040080",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(status.contains(expected), "{expected} is not in:\n{status}");
    }
}

#[test]
fn root_with_capabilities_still_changes_neither_mounts_nor_namespaces() {
    let all = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Kill,
        Capability::SetGid,
        Capability::SetUid,
        Capability::NetBindService,
        Capability::SysChroot,
    ];
    let mut spec = root("deeds", &all);
    spec.argv.truncate(1);
    let (lines, _) = run(&spec);
    assert_says(
        &lines,
        &[
            "mount=EPERM",
            "remount=EPERM",
            "unshare net=EPERM",
            "write root=EROFS",
            "open /etc/passwd=ENOENT",
            "connect=EACCES",
            "bind=EACCES",
        ],
    );
}

#[test]
fn capabilities_are_refused_to_anyone_but_the_root_of_a_range() {
    let mut spec = root("deeds", &[Capability::SetUid]);
    spec.user = range(5);
    assert!(error(&spec).contains("run_as 0"), "{}", error(&spec));
    for (outside, count, run_as) in [(99_999, 10, 0), (u32::MAX - 5, 6, 0), (300_000, 5, 5)] {
        spec.user = User::Range {
            outside,
            count,
            run_as,
        };
        assert!(error(&spec).contains("user range"), "{}", error(&spec));
    }
}

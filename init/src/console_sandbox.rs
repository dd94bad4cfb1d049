//! The console's sandbox: what the supervisor enforces, and what is explained.

use sandbox::{
    Access, Cgroup, Dumpable, Entry, LoadError, Network, PathRule, Proc, Rlimits, Root, Spec, User,
    WriteExecute, console_policy,
};
use services::explain::{Descriptor, Given};

/// Everything the console is given. Its limits hold 32 connections of 8 KiB
/// requests on each port, half of them with TLS's buffers, several times over.
///
/// # Errors
/// When the policy in this program is wrong.
pub fn spec() -> Result<Spec, LoadError> {
    let program = |host: &str, path: &str, access| Entry {
        host: host.into(),
        path: path.into(),
        access,
    };
    let rule = |path: &str, access| PathRule {
        path: path.into(),
        access,
    };
    Ok(Spec {
        name: "console".into(),
        root: Root::Entries(vec![
            program("/usr/lib/projectx/console", "/console", Access::Execute),
            program(
                "/usr/share/projectx/console/nacl-fast.min.js",
                "/nacl-fast.min.js",
                Access::Read,
            ),
        ]),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec!["/console".into()],
        env: vec![],
        cgroup: Some(Cgroup {
            hierarchy: "/sys/fs/cgroup".into(),
            path: "services/console".into(),
            memory_max: 32 << 20,
            oom_group: true,
            pids_max: 8,
            cpu_max: None,
        }),
        user: User::One {
            inside: 1000,
            outside: 200_000,
        },
        capabilities: vec![],
        network: Network::default(),
        rlimits: Rlimits {
            open_files: 128,
            file_size: 0,
        },
        paths: vec![
            rule("/console", Access::Execute),
            rule("/nacl-fast.min.js", Access::Read),
        ],
        policy: console_policy()?,
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Refused,
    })
}

/// Where the console finds its link to the supervisor.
pub const LINK: i32 = 3;
/// Where the console finds the socket that listens on port 80.
pub const LISTENER: i32 = 4;
/// Where the console finds the socket that listens on port 443.
pub const TLS_LISTENER: i32 = 5;

/// What it holds.
pub fn given() -> Given {
    let held = |number, name: &str, leads: &str| Descriptor {
        number: Some(number),
        name: name.into(),
        leads: leads.into(),
    };
    let requests = "the supervisor, which answers the requests of control/src/messages.rs";
    Given {
        lives: "It lives as long as the box is on, and is started again when it dies.".into(),
        descriptors: vec![
            held(LINK, "control", requests),
            held(
                LISTENER,
                "page",
                "a socket that listens for connections from the home network, port 80",
            ),
            held(
                TLS_LISTENER,
                "page over TLS",
                "a socket that listens for connections from the home network, port 443",
            ),
        ],
        ..Given::default()
    }
}

//! What the kernel says about every process of the app while a stranger is
//! connected: its user, capabilities, filter and namespaces (proc_pid_status(5),
//! namespaces(7)), that it is not dumpable, and that nothing of the stranger's
//! sandboxes is left when he has gone.

use super::InsideArguments;
use super::internet::BOX;
use super::world::{World, wait_for_mail};
use crate::agent::Agent;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::Duration;

/// Where the app's cgroups are, as in `/proc/PID/cgroup`.
const GROUPS: &str = "0::/services/email/";
/// The first id of any service (services/src/ids.rs).
const FIRST_ID: u32 = 1_000_000;
/// The namespaces that no two services share.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
/// CAP_CHOWN, CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT: what app.yaml gives Dovecot.
const DOVECOT: u64 = 1 << 0 | 1 << 6 | 1 << 7 | 1 << 18;
/// What a connection has of its own; the number follows.
const OF_ONE_CONNECTION: [&str; 2] = ["smtp-in-", "gate-"];

/// One process of a service.
#[derive(Debug)]
struct Process {
    sandbox: String,
    pid: String,
    /// The lines of `/proc/PID/status`, by name.
    status: BTreeMap<String, String>,
    /// The identifier of each of [`NAMESPACES`].
    namespaces: Vec<String>,
    /// The owner of `/proc/PID`: root of the host for what is not dumpable.
    owner: String,
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    wait_for_mail(&mut machine)?;
    let before = sandboxes(&mut agent)?;

    let stranger = TcpStream::connect((BOX, 25))?;
    stranger.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut greeting = String::new();
    BufReader::new(&stranger).read_line(&mut greeting)?;
    ensure!(greeting.starts_with("220 "), "the greeting: {greeting:?}");

    let processes = processes(&mut agent)?;
    for process in &processes {
        is_confined(process).with_context(|| format!("{} {}", process.sandbox, process.pid))?;
    }
    let running: BTreeSet<&str> = processes.iter().map(|p| p.sandbox.as_str()).collect();
    let expected = [
        "smtp-in-",
        "gate-",
        "spamassassin-",
        "dovecot",
        "signer",
        "unbound",
    ];
    for name in expected {
        let there = running.iter().any(|sandbox| sandbox.starts_with(name));
        ensure!(there, "no process of {name} among {running:?}");
    }
    share_no_namespace(&mut agent, &processes)?;

    let of_the_stranger: Vec<&String> = processes
        .iter()
        .map(|process| &process.sandbox)
        .filter(|name| OF_ONE_CONNECTION.iter().any(|own| name.starts_with(own)))
        .filter(|name| !before.contains(*name))
        .collect();
    drop(stranger);
    machine.wait_until(
        "the end of the stranger's sandboxes",
        Duration::from_secs(60),
        |_| {
            let left = sandboxes(&mut agent).unwrap_or_default();
            let gone = of_the_stranger.iter().all(|name| !left.contains(*name));
            Ok(gone.then_some(()))
        },
    )?;
    Ok(())
}

/// The names of the app's cgroups.
fn sandboxes(agent: &mut Agent) -> Result<BTreeSet<String>> {
    let names = agent.ask_text(&["list", "/sys/fs/cgroup/services/email"])?;
    Ok(names
        .lines()
        .filter(|name| !name.contains('.'))
        .map(str::to_owned)
        .collect())
}

/// Every process in one of them.
fn processes(agent: &mut Agent) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for pid in agent.ask_text(&["list", "/proc"])?.lines() {
        if pid.parse::<u32>().is_err() {
            continue;
        }
        // A process that has ended meanwhile has no files any more.
        let Ok(group) = agent.ask_text(&["read", &format!("/proc/{pid}/cgroup")]) else {
            continue;
        };
        let Some(sandbox) = group.strip_prefix(GROUPS) else {
            continue;
        };
        let status = agent.ask_text(&["read", &format!("/proc/{pid}/status")])?;
        let status = status.lines().filter_map(|line| line.split_once(":\t"));
        let mut namespaces = Vec::new();
        for kind in NAMESPACES {
            namespaces.push(agent.ask_text(&["link", &format!("/proc/{pid}/ns/{kind}")])?);
        }
        found.push(Process {
            sandbox: sandbox.to_owned(),
            pid: pid.to_owned(),
            status: status.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            namespaces,
            owner: agent.ask_text(&["owner", &format!("/proc/{pid}")])?,
        });
    }
    Ok(found)
}

fn is_confined(process: &Process) -> Result<()> {
    let field = |name: &str| {
        let value = process.status.get(name).map(String::as_str);
        value.with_context(|| format!("no {name}"))
    };
    ensure!(field("Seccomp")? == "2", "Seccomp is {}", field("Seccomp")?);
    ensure!(
        field("NoNewPrivs")? == "1",
        "NoNewPrivs is {}",
        field("NoNewPrivs")?
    );
    for name in ["Uid", "Gid"] {
        let ids = field(name)?.split('\t').map(str::parse::<u32>);
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let own = ids.iter().all(|id| *id >= FIRST_ID);
        ensure!(own, "{name} is {ids:?}: an id of the host");
    }
    let most = match process.sandbox.as_str() {
        "dovecot" => DOVECOT,
        _ => 0,
    };
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let set = u64::from_str_radix(field(name)?, 16)?;
        ensure!(
            set & !most == 0,
            "{name} is {set:x}, and {most:x} was given"
        );
    }
    // proc(5): whoever is not dumpable has files in /proc that belong to root.
    ensure!(
        process.owner == "0",
        "it is dumpable: /proc/{} is {}'s",
        process.pid,
        process.owner
    );
    Ok(())
}

/// No service has a namespace with another, or with the host; and processes of
/// one sandbox are in one user, pid and network namespace.
fn share_no_namespace(agent: &mut Agent, processes: &[Process]) -> Result<()> {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for kind in NAMESPACES {
        let host = agent.ask_text(&["link", &format!("/proc/1/ns/{kind}")])?;
        owners.insert(host, "the host".into());
    }
    for process in processes {
        for namespace in &process.namespaces {
            let owner = owners.entry(namespace.clone());
            let owner = owner.or_insert_with(|| process.sandbox.clone());
            ensure!(
                *owner == process.sandbox,
                "{namespace} is shared by {} and {owner}",
                process.sandbox
            );
        }
    }
    Ok(())
}

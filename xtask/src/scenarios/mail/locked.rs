//! What the kernel says about every process of the app while a stranger is
//! connected to each of its ports: its user, capabilities, filter and namespaces
//! (proc_pid_status(5), namespaces(7)), that it is not dumpable, and that nothing
//! of the strangers' sandboxes is left when they have gone. Every cgroup has the
//! limits of the manifest (cgroup-v2.rst). So has that of the process which a
//! message is in while it is judged, and which is gone with its message.

use super::internet::{BOX, MAIL, STRANGER};
use super::letter::letter;
use super::senders::swaks;
use super::world::{World, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::bench::mail::{Route, smtp};
use crate::qemu::Machine;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use init::console_sandbox;
use manifest::{App, CapabilityKind, ChannelKind, Lifetime, Listen, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const FROM: &str = "ada@sender.example";
/// Where cgroups are.
const CGROUPS: &str = "/sys/fs/cgroup/services";
/// How long every process of a box may take to be looked at.
const LOOKING: Duration = Duration::from_secs(120);
/// What a child that waits for its message has run at the most, and what one
/// that judges is seen to have run, in microseconds of an emulated processor.
const JUDGING: u64 = 2_000_000;
/// Lines that make a message long enough to be judged for seconds.
const LINES: usize = 500;
/// Where the app's cgroups are, as in `/proc/PID/cgroup`.
const GROUPS: &str = "0::/services/email/";
/// The first id of any service (services/src/ids.rs).
const FIRST_ID: u32 = 1_000_000;
/// The namespaces that no two services share.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
/// How the cgroup of a relay begins; its channel follows (services/src/volumes.rs).
const RELAY: &str = "relay:";
/// And how much memory it may have (services/src/runtime/relay.rs).
const MEMORY_OF_A_RELAY: u64 = 8 << 20;

/// One process of a service.
#[derive(Debug)]
pub(super) struct Process {
    /// The name of its cgroup.
    pub(super) sandbox: String,
    /// Its number on the host.
    pub(super) pid: String,
    /// The lines of `/proc/PID/status`, by name.
    pub(super) status: BTreeMap<String, String>,
    /// Whether it executes its program: what lies ready for a connection does not
    /// yet, and is given its filter only then (sandbox/src/sealed.rs).
    at_work: bool,
    /// The identifier of each of [`NAMESPACES`].
    namespaces: Vec<String>,
    /// The owner of `/proc/PID/environ`: root of the host for what is not dumpable.
    /// Folders that everybody may read are the process's own all the same
    /// (`task_dump_owner` in the kernel's fs/proc/base.c).
    owner: String,
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    wait_for_mail(&mut machine)?;
    let app = app()?;
    lie_ready(&mut machine, &mut agent, &app, 0)?;

    let mut strangers = Vec::new();
    for (_, listen) in fronts(&app) {
        strangers.push(TcpStream::connect((BOX, listen.port))?);
    }
    lie_ready(&mut machine, &mut agent, &app, 1)?;
    let processes = at_work_for_each(&mut machine, &mut agent, &app)?;
    for process in &processes {
        let confined = is_confined(&app, process);
        confined.with_context(|| format!("{} {}", process.sandbox, process.pid))?;
    }
    let running = processes.iter();
    let running = running.filter_map(|process| whose(&app, &process.sandbox));
    let running: BTreeSet<String> = running.map(str::to_owned).collect();
    let all = all(&app);
    ensure!(running == all, "{running:?} run, and not {all:?}");
    share_no_namespace(&mut agent, &processes)?;
    have_their_limits(&mut agent, &app)?;

    let of_the_strangers = at_work(&app, &processes);
    drop(strangers);
    machine.wait_until(
        "the end of the strangers' sandboxes",
        Duration::from_secs(60),
        |_| {
            let left = sandboxes(&mut agent).unwrap_or_default();
            let gone = of_the_strangers.iter().all(|name| !left.contains(*name));
            Ok(gone.then_some(()))
        },
    )?;
    for service in app
        .services
        .iter()
        .filter(|service| is_of_a_moment(service))
    {
        of_a_moment(&mut machine, &mut agent, &app, service)
            .with_context(|| service.name.to_string())?;
    }
    a_message_is_alone(&world, &mut machine, &mut agent, &app)
}

/// A stranger from the internet gets a sandbox of a service that waits for nobody long,
/// and it is confined and has its limits. At home somebody else may have its port.
fn of_a_moment(
    machine: &mut Machine,
    agent: &mut Agent,
    app: &App,
    service: &Service,
) -> Result<()> {
    let listen = service.listen.first().context("it listens nowhere")?;
    let route = Route {
        from: STRANGER.address,
        helo: STRANGER.name,
        to: SocketAddrV4::new(BOX, listen.port),
        sender: "",
        recipient: "",
    };
    let stranger = smtp::connect(&route)?;
    let own = Some(service.name.as_str());
    let process = machine.wait_until("its process at work", LOOKING, |_| {
        for name in sandboxes(agent).unwrap_or_default() {
            if whose(app, &name) != own {
                continue;
            }
            let members = format!("{CGROUPS}/email/{name}/cgroup.procs");
            let pids = agent.ask_text(&["read", &members]).unwrap_or_default();
            for pid in pids.lines() {
                if let Ok(Some(process)) = process(agent, pid)
                    && process.at_work
                {
                    return Ok(Some(process));
                }
            }
        }
        Ok(None)
    })?;
    is_confined(app, &process)?;
    let expected = limits(service, service.limits.tasks, true);
    limits_are(agent, &format!("email/{}", process.sandbox), &expected)?;
    share_no_namespace(agent, &[process])?;
    drop(stranger);
    Ok(())
}

/// The ports at which a connection gets sandboxes of its own, which wait for a silent
/// stranger until all have been looked at.
fn fronts(app: &App) -> impl Iterator<Item = (&Service, &Listen)> {
    let fronts = app
        .services
        .iter()
        .filter(|service| is_per_connection(service) && !is_of_a_moment(service));
    fronts.flat_map(|service| service.listen.iter().map(move |listen| (service, listen)))
}

fn is_per_connection(service: &Service) -> bool {
    matches!(service.lifetime, Lifetime::PerConnection { .. })
}

/// The name of the service whose cgroup this is, or of the relay: its own.
fn whose<'a>(app: &'a App, sandbox: &'a str) -> Option<&'a str> {
    let of_service = |service: &&Service| {
        let rest = sandbox.strip_prefix(service.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let service = app.services.iter().find(of_service);
    let service = service.map(|service| service.name.as_str());
    service.or_else(|| relays(app).any(|name| name == sandbox).then_some(sandbox))
}

/// The names of the relays, one for each channel of that kind.
fn relays(app: &App) -> impl Iterator<Item = String> {
    let channels = app.services.iter().flat_map(|service| &service.provides);
    let relays = channels.filter(|channel| matches!(channel.kind, ChannelKind::Relay { .. }));
    relays.map(|channel| format!("{RELAY}{}", channel.name))
}

/// Whether it is made for what another service dials: then nobody outside can have one.
fn is_dialled_inside(service: &Service) -> bool {
    let mut channels = service.provides.iter();
    let passed = channels.any(|channel| matches!(channel.kind, ChannelKind::Passed { .. }));
    is_per_connection(service) && passed
}

/// Whether a stranger who says nothing has one for as long as he likes. What is made when
/// its user has something for it is looked at by services/tests/enforced.rs.
fn waits_for_the_silent(service: &Service) -> bool {
    !is_dialled_inside(service) && !is_of_a_moment(service) && !service.is_made_when_used()
}

/// Whether it does not wait long for a stranger who says nothing.
fn is_of_a_moment(service: &Service) -> bool {
    matches!(service.lifetime, Lifetime::PerConnection { deadline } if deadline < LOOKING)
}

/// All of whom there are sandboxes while each port has a connection.
fn all(app: &App) -> BTreeSet<String> {
    // What runs once has ended.
    let lasting = |service: &&Service| {
        let lasts = !matches!(service.lifetime, Lifetime::Once { .. });
        lasts && waits_for_the_silent(service)
    };
    let services = app.services.iter().filter(lasting);
    let services = services.map(|service| service.name.to_string());
    services.chain(relays(app)).collect()
}

/// Waits until every port has the sets of sandboxes that are to lie ready there
/// (`pool` in app.yaml) and one for each guest, and a moment more: one that is being
/// made has not left all of the host's namespaces.
fn lie_ready(machine: &mut Machine, agent: &mut Agent, app: &App, guests: usize) -> Result<()> {
    machine.wait_until("sandboxes that lie ready", Duration::from_secs(60), |_| {
        let names = sandboxes(agent).unwrap_or_default();
        let all_there = fronts(app).all(|(service, listen)| {
            let own = Some(service.name.as_str());
            let there = names.iter().filter(|name| whose(app, name) == own);
            there.count() == listen.pool as usize + guests
        });
        Ok(all_there.then_some(()))
    })?;
    thread::sleep(Duration::from_secs(3));
    Ok(())
}

/// All processes, once one sandbox of each per-connection service is at work, and no
/// second one.
fn at_work_for_each(machine: &mut Machine, agent: &mut Agent, app: &App) -> Result<Vec<Process>> {
    let all = app
        .services
        .iter()
        .filter(|service| is_per_connection(service) && waits_for_the_silent(service));
    let mut all: Vec<&str> = all.map(|service| service.name.as_str()).collect();
    all.sort_unstable();
    let found = machine.wait_until("a sandbox of each at work", LOOKING, |_| {
        let processes = processes(agent).unwrap_or_default();
        let at_work = at_work(app, &processes);
        let mut found: Vec<&str> = at_work.iter().filter_map(|name| whose(app, name)).collect();
        found.sort_unstable();
        Ok((found == all).then_some(processes))
    });
    Ok(found?)
}

/// The sandboxes of per-connection services that are at work.
fn at_work<'a>(app: &App, processes: &'a [Process]) -> BTreeSet<&'a str> {
    let working = processes.iter().filter(|process| process.at_work);
    let names = working.map(|process| process.sandbox.as_str());
    let of_a_connection = |name: &&str| {
        let service = whose(app, name).and_then(|name| app.service(name));
        service.is_some_and(is_per_connection)
    };
    names.filter(of_a_connection).collect()
}

/// Has a long message judged and looks meanwhile at the process that it is in: it
/// has a cgroup and namespaces of its own, and both are gone with the message.
fn a_message_is_alone(
    world: &World,
    machine: &mut Machine,
    agent: &mut Agent,
    app: &App,
) -> Result<()> {
    let mut long = letter(MAIL, FROM, ANNA.address, "A long day").bytes;
    for line in 0..LINES {
        let words = format!("The heron number {line} of this long day waits for the tide.\r\n");
        long.extend(words.into_bytes());
    }
    let name = thread::scope(|scope| -> Result<String> {
        let sent = scope.spawn(|| swaks(&world.internet, MAIL, FROM, ANNA.address, &long));
        let seen = judging(agent).and_then(|name| {
            is_the_message_s_own(agent, app, &name).with_context(|| name.clone())?;
            Ok(name)
        });
        let session = sent
            .join()
            .map_err(|_| anyhow::anyhow!("swaks panicked"))??;
        let verdict = session.verdict();
        ensure!(verdict == "250 2.0.0 Delivered", "{}", session.transcript);
        seen
    })?;
    machine.wait_until(
        "the end of the message's process",
        Duration::from_secs(20),
        |_| {
            let left = sandboxes(agent).unwrap_or_default();
            Ok((!left.contains(&name)).then_some(()))
        },
    )?;
    Ok(())
}

/// The cgroup of the child that is at work on a message.
fn judging(agent: &mut Agent) -> Result<String> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        for name in sandboxes(agent)? {
            if is_of_a_message(&name) && ran(agent, &name).is_some_and(|ran| ran >= JUDGING) {
                return Ok(name);
            }
        }
    }
    anyhow::bail!("no child of SpamAssassin was seen at work")
}

/// `spamassassin-GENERATION-NUMBER`; the zygote's name has no number.
fn is_of_a_message(name: &str) -> bool {
    name.starts_with("spamassassin-") && name.matches('-').count() == 2
}

/// How long the processes of a cgroup have run, in microseconds; `None` when it
/// is gone.
fn ran(agent: &mut Agent, name: &str) -> Option<u64> {
    let file = format!("{CGROUPS}/email/{name}/cpu.stat");
    let text = agent.ask_text(&["read", &file]).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "));
    line?.parse().ok()
}

fn is_the_message_s_own(agent: &mut Agent, app: &App, name: &str) -> Result<()> {
    let members = format!("{CGROUPS}/email/{name}/cgroup.procs");
    let pid = agent.ask_text(&["read", &members])?;
    ensure!(pid.parse::<u32>().is_ok(), "in it is not one: {pid:?}");
    let child = process(agent, &pid)?.context("it has ended too soon")?;
    ensure!(child.sandbox == name, "{pid} is in {}", child.sandbox);
    is_confined(app, &child)?;
    limits_are(agent, &format!("email/{name}"), &limits_of_a_message(app)?)?;

    // Of the zygote it has nothing, nor of the host or another message.
    let (zygote, _) = name.rsplit_once('-').context("no number")?;
    let others = processes(agent)?;
    ensure!(
        others.iter().any(|other| other.sandbox == zygote),
        "no process in {zygote}"
    );
    let mut taken: BTreeSet<&String> = BTreeSet::new();
    for other in others.iter().filter(|other| other.pid != pid) {
        taken.extend(&other.namespaces);
    }
    for (kind, namespace) in NAMESPACES.iter().zip(&child.namespaces) {
        let host = agent.ask_text(&["link", &format!("/proc/1/ns/{kind}")])?;
        ensure!(*namespace != host, "{namespace} is the host's");
        ensure!(!taken.contains(namespace), "{namespace} is another's too");
    }
    let listed = others.iter().find(|other| other.pid == pid);
    ensure!(
        listed.is_some_and(|listed| listed.namespaces == child.namespaces),
        "it was judged before it had been looked at: use a longer message"
    );
    Ok(())
}

/// The manifest of the image, which is that of the source tree.
pub(super) fn app() -> Result<App> {
    let path = workspace::root().join("apps/email/app.yaml");
    Ok(manifest::read("app.yaml", &std::fs::read_to_string(path)?)?)
}

/// Files of a cgroup, and what is in them.
type Limits = Vec<(&'static str, String)>;

/// What a service's manifest says, in the words of cgroup-v2.rst.
fn limits(service: &Service, tasks: u32, all_die_together: bool) -> Limits {
    let cpu = service.limits.cpu.map_or("max".into(), |share| {
        // Of each tenth of a second.
        (share.of_one_processor() * 1000).to_string()
    });
    vec![
        ("memory.max", service.limits.memory.bytes().to_string()),
        ("memory.swap.max", "0".into()),
        ("memory.oom.group", u8::from(all_die_together).to_string()),
        ("pids.max", tasks.to_string()),
        ("cpu.max", format!("{cpu} 100000")),
    ]
}

/// A child is one task with the memory and the time of its service.
fn limits_of_a_message(app: &App) -> Result<Limits> {
    let service = app.service("spamassassin").context("spamassassin")?;
    Ok(limits(service, 1, true))
}

/// A relay is one task, with buffers of a fixed size.
fn limits_of_a_relay() -> Limits {
    vec![
        ("memory.max", MEMORY_OF_A_RELAY.to_string()),
        ("memory.swap.max", "0".into()),
        ("memory.oom.group", "1".into()),
        ("pids.max", "1".into()),
        ("cpu.max", "max 100000".into()),
    ]
}

/// Every cgroup of the app and the console's have the limits that they should,
/// and the box has no swap besides.
fn have_their_limits(agent: &mut Agent, app: &App) -> Result<()> {
    let mut looked = BTreeSet::new();
    for name in sandboxes(agent)? {
        let owner = whose(app, &name).with_context(|| format!("{name} is of no service"))?;
        let expected = match app.service(owner) {
            None => limits_of_a_relay(),
            Some(_) if is_of_a_message(&name) => limits_of_a_message(app)?,
            Some(service) => {
                // A zygote outlives a child that takes too much.
                let zygote = matches!(service.lifetime, Lifetime::PerMessage { .. });
                limits(service, service.limits.tasks, !zygote)
            }
        };
        match limits_are(agent, &format!("email/{name}"), &expected) {
            // A connection of before has ended meanwhile.
            Err(_) if !sandboxes(agent)?.contains(&name) => continue,
            result => result?,
        }
        looked.insert(match is_of_a_message(&name) {
            true => "a message".to_owned(),
            false => owner.to_owned(),
        });
    }
    let mut all = all(app);
    all.insert("a message".into());
    ensure!(looked == all, "{looked:?}, and not {all:?}");

    let console = console_sandbox::spec()?;
    let console = console.cgroup.context("the console's cgroup")?;
    let expected = [
        ("memory.max", console.memory_max.to_string()),
        ("memory.swap.max", "0".into()),
        ("memory.oom.group", "1".into()),
        ("pids.max", console.pids_max.to_string()),
    ];
    limits_are(agent, "console", &expected)?;
    let swaps = agent.ask_text(&["read", "/proc/swaps"])?;
    ensure!(swaps.lines().count() == 1, "there is swap: {swaps}");
    Ok(())
}

/// The cgroup's files say exactly this.
fn limits_are(agent: &mut Agent, name: &str, expected: &[(&'static str, String)]) -> Result<()> {
    for (file, value) in expected {
        let path = format!("{CGROUPS}/{name}/{file}");
        let found = agent.ask_text(&["read", &path])?;
        ensure!(found == *value, "{path} is {found:?}, not {value:?}");
    }
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
pub(super) fn processes(agent: &mut Agent) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for pid in agent.ask_text(&["list", "/proc"])?.lines() {
        if pid.parse::<u32>().is_ok() {
            found.extend(process(agent, pid)?);
        }
    }
    Ok(found)
}

/// This process, if it is in one of them.
pub(super) fn process(agent: &mut Agent, pid: &str) -> Result<Option<Process>> {
    // A process that has ended meanwhile has no files any more.
    let path = format!("/proc/{pid}/cgroup");
    let Ok(group) = agent.ask_text(&["read", &path]) else {
        return Ok(None);
    };
    let Some(sandbox) = group.strip_prefix(GROUPS) else {
        return Ok(None);
    };
    match look_at(agent, pid, sandbox) {
        Err(_) if agent.ask_text(&["read", &path]).is_err() => Ok(None),
        looked => looked.map(Some),
    }
}

fn look_at(agent: &mut Agent, pid: &str, sandbox: &str) -> Result<Process> {
    let status = agent.ask_text(&["read", &format!("/proc/{pid}/status")])?;
    let status = status.lines().filter_map(|line| line.split_once(":\t"));
    let mut namespaces = Vec::new();
    for kind in NAMESPACES {
        namespaces.push(agent.ask_text(&["link", &format!("/proc/{pid}/ns/{kind}")])?);
    }
    Ok(Process {
        sandbox: sandbox.to_owned(),
        pid: pid.to_owned(),
        status: status.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        namespaces,
        owner: agent.ask_text(&["owner", &format!("/proc/{pid}/environ")])?,
        at_work: !agent
            .ask_text(&["link", &format!("/proc/{pid}/exe")])?
            .ends_with("/supervisor"),
    })
}

/// It has no id of the host and no power that it was not given, its calls are
/// filtered, and nobody can trace it.
pub(super) fn is_confined(app: &App, process: &Process) -> Result<()> {
    let field = |name: &str| {
        let value = process.status.get(name).map(String::as_str);
        value.with_context(|| format!("no {name}"))
    };
    if process.at_work {
        ensure!(field("Seccomp")? == "2", "Seccomp is {}", field("Seccomp")?);
    }
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
    let most = given(app, &process.sandbox);
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
        "it is dumpable: /proc/{}/environ is {}'s",
        process.pid,
        process.owner
    );
    Ok(())
}

/// The capabilities that app.yaml gives a sandbox, as bits (linux/capability.h).
fn given(app: &App, sandbox: &str) -> u64 {
    let service = whose(app, sandbox).and_then(|name| app.service(name));
    let all = service
        .into_iter()
        .flat_map(|service| &service.capabilities);
    let bit = |kind| match kind {
        CapabilityKind::Chown => 0,
        CapabilityKind::DacOverride => 1,
        CapabilityKind::Kill => 5,
        CapabilityKind::Setgid => 6,
        CapabilityKind::Setuid => 7,
        CapabilityKind::SysChroot => 18,
    };
    all.fold(0, |set, capability| set | 1 << bit(capability.kind))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cgroup_is_of_one_service_or_relay() {
        let app = app().unwrap();
        for (sandbox, expected) in [
            ("smtp-in-17", Some("smtp-in")),
            ("submission-3", Some("submission")),
            ("submissions-3", Some("submissions")),
            ("private-signer", Some("private-signer")),
            ("spamassassin-1-7", Some("spamassassin")),
            ("relay:names", Some("relay:names")),
            // Channels, but no relays.
            ("relay:dns", None),
            ("names", None),
        ] {
            assert_eq!(whose(&app, sandbox), expected, "{sandbox}");
        }
        let all = all(&app);
        assert!(all.contains("relay:lmtp-home") && !all.contains("imap-certificate"));
    }

    #[test]
    fn dovecot_and_postfix_have_powers_and_nobody_else() {
        let app = app().unwrap();
        let chown_setgid_setuid = 1 << 0 | 1 << 6 | 1 << 7;
        let sys_chroot = 1 << 18;
        for name in all(&app) {
            let expected = match name.as_str() {
                "dovecot" => chown_setgid_setuid | sys_chroot,
                "postfix" => chown_setgid_setuid,
                _ => 0,
            };
            assert_eq!(given(&app, &name), expected, "{name}");
        }
    }
}

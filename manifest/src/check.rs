//! From what stands in the file to what can be meant. Every fault is
//! collected, so that a person corrects the file once.

use super::connections;
use super::located::Lines;
use super::near::advice;
use super::raw;
use super::value::{self, Name, Percent, Size};
use super::{
    App, Argument, Capability, CapabilityKind, Channel, ChannelKind, Egress, Ids, Lifetime, Limits,
    Listen, Loopback, ManifestError, ManifestErrors, Mode, Protocol, Scratch, Server, Service,
    Volume, WriteExecute, Zone,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What the internet may be offered: mail, and static files over HTTPS.
const PUBLIC_PORTS: [u16; 2] = [25, 443];
/// A box has 1 GB.
const MEMORY: RangeInclusive<u64> = 1 << 20..=768 << 20;
const CAPABILITIES: [(&str, CapabilityKind); 6] = [
    ("CHOWN", CapabilityKind::Chown),
    ("DAC_OVERRIDE", CapabilityKind::DacOverride),
    ("KILL", CapabilityKind::Kill),
    ("SETGID", CapabilityKind::Setgid),
    ("SETUID", CapabilityKind::Setuid),
    ("SYS_CHROOT", CapabilityKind::SysChroot),
];

/// Collects faults.
pub(super) struct Faults<'a> {
    file: &'a str,
    lines: &'a Lines,
    found: Vec<ManifestError>,
}

impl Faults<'_> {
    pub(super) fn add(&mut self, field: &str, what: impl Into<String>) {
        self.found.push(ManifestError {
            file: self.file.to_owned(),
            line: self.lines.line(field),
            field: field.to_owned(),
            what: what.into(),
        });
    }

    /// Takes a value, or notes the fault.
    pub(super) fn take<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.add(field, what)).ok()
    }

    pub(super) fn name(&mut self, field: &str, text: &str) -> Option<Name> {
        self.take(field, Name::parse(text))
    }

    fn port(&mut self, field: &str, port: i64) -> Option<u16> {
        let checked = u16::try_from(port).ok().filter(|port| *port > 0);
        self.take(
            field,
            checked.ok_or_else(|| format!("{port} is not a port; write 1 to 65535")),
        )
    }

    pub(super) fn number(
        &mut self,
        field: &str,
        number: i64,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let checked = u32::try_from(number).ok().filter(|n| range.contains(n));
        let what = || {
            format!(
                "{number} is out of range; write {} to {}",
                range.start(),
                range.end()
            )
        };
        self.take(field, checked.ok_or_else(what))
    }

    fn size(&mut self, field: &str, text: &str, range: RangeInclusive<u64>) -> Option<Size> {
        let size = self.take(field, Size::parse(text))?;
        let what = || {
            format!(
                "{size} is out of range; write {} to {}",
                Size::of(*range.start()),
                Size::of(*range.end())
            )
        };
        let checked = range.contains(&size.bytes()).then_some(size);
        self.take(field, checked.ok_or_else(what))
    }
}

/// Checks everything.
pub fn app(raw: raw::App, file: &str, lines: &Lines) -> Result<App, ManifestErrors> {
    let mut faults = Faults {
        file,
        lines,
        found: Vec::new(),
    };
    let name = faults.name("app", &raw.app);
    if raw.services.is_empty() {
        faults.add("services", "is empty; an app has at least one service");
    }
    let mut services = Vec::new();
    let mut order: Vec<(String, raw::Service)> = raw.services.into_iter().collect();
    order.sort_by_key(|(name, _)| lines.line(&format!("services.{name}")));
    for (name, raw) in order {
        services.extend(service(&name, raw, &mut faults));
    }
    // Between services only when each is whole: a service that is left out for
    // a fault of its own would make the others look wrong.
    if faults.found.is_empty() {
        ports_are_of_one_service(&services, &mut faults);
        channels_have_two_ends(&services, &mut faults);
        connections::pairs_fit(&services, &mut faults);
        volumes_have_one_writer(&services, &mut faults);
        after_names_once_services(&services, &mut faults);
        nothing_waits_for_itself(&services, &mut faults);
    }
    match name {
        Some(name) if faults.found.is_empty() => Ok(App { name, services }),
        _ => {
            faults.found.sort_by_key(|fault| fault.line);
            Err(ManifestErrors(faults.found))
        }
    }
}

/// One service by itself; `None` after a fault was noted.
fn service(name: &str, raw: raw::Service, faults: &mut Faults<'_>) -> Option<Service> {
    let at = format!("services.{name}");
    let field = |key: &str| format!("{at}.{key}");
    fields_fit_the_lifetime(&raw, &field, faults);
    capabilities_fit_the_ids(&raw, &field, faults);

    // Root and policy are called like it, and would be told the same.
    let name_itself = faults.name(&at, name)?;
    let root = faults.name(&field("root"), raw.root.as_deref().unwrap_or(name));
    let run = arguments(&raw, &field("run"), faults);
    let programs = each(&raw.programs, &field("programs"), |item, at| {
        faults.take(at, value::path(item))
    });
    let lifetime = lifetime(&raw, &field("limits.deadline"), faults);
    let listen = each(&raw.listen, &field("listen"), |item, at| {
        listen(item, raw.lifetime, at, faults)
    });
    let provides = each(&raw.provides, &field("provides"), |item, at| {
        channel(item, raw.lifetime, raw.loopback, at, faults)
    });
    let egress = each(&raw.egress, &field("egress"), |item, at| {
        egress(item, at, faults)
    });
    let volumes = each(&raw.volumes, &field("volumes"), |item, at| {
        Some(Volume {
            name: faults.name(&format!("{at}.name"), &item.name)?,
            path: faults.take(&format!("{at}.path"), value::path(&item.path))?,
            mode: match item.mode {
                raw::Mode::Ro => Mode::ReadOnly,
                raw::Mode::Rw => Mode::ReadWrite,
            },
        })
    });
    let scratch = each(&raw.scratch, &field("scratch"), |item, at| {
        let range = 4 << 10..=*MEMORY.end();
        Some(Scratch {
            path: faults.take(&format!("{at}.path"), value::path(&item.path))?,
            size: faults.size(&format!("{at}.size"), &item.size.0, range)?,
        })
    });
    let after = each(&raw.after, &field("after"), |item, at| {
        faults.name(at, item)
    });
    let uses = each(&raw.uses, &field("uses"), |item, at| faults.name(at, item));
    let capabilities = each(&raw.capabilities, &field("capabilities"), |item, at| {
        capability(item, at, faults)
    });
    let limits = limits(&raw, &field("limits"), faults);
    let outcomes = connections::outcomes(&raw, &field("outcomes"), faults);
    let policy = policy(raw.policy, name, &field("policy"), faults);
    let environment = environment(raw.environment, &field("environment"), faults);

    let service = Service {
        name: name_itself,
        root: root?,
        run: run?,
        programs: programs?,
        lifetime: lifetime?,
        after: after?,
        listen: listen?,
        provides: provides?,
        uses: uses?,
        egress: egress?,
        volumes: volumes?,
        scratch: scratch?,
        capabilities: capabilities?,
        ids: match raw.ids {
            raw::Ids::One => Ids::One,
            raw::Ids::Range => Ids::Range,
        },
        policy: policy?,
        write_execute: match raw.write_execute {
            raw::WriteExecute::Refused => WriteExecute::Refused,
            raw::WriteExecute::Allowed => WriteExecute::Allowed,
        },
        loopback: match raw.loopback {
            raw::Loopback::Down => Loopback::Down,
            raw::Loopback::Up => Loopback::Up,
        },
        limits: limits?,
        outcomes: outcomes?,
        environment: environment?,
    };
    mounts_lie_apart(&service, &at, faults);
    nothing_stands_twice(&service, &at, faults);
    Some(service)
}

/// All items, or `None` when one has a fault; every item is looked at.
fn each<T, U>(
    items: &[T],
    field: &str,
    mut check: impl FnMut(&T, &str) -> Option<U>,
) -> Option<Vec<U>> {
    let checked: Vec<Option<U>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| check(item, &format!("{field}[{index}]")))
        .collect();
    checked.into_iter().collect()
}

fn arguments(raw: &raw::Service, at: &str, faults: &mut Faults<'_>) -> Option<Vec<Argument>> {
    let run = &raw.run;
    let Some(program) = run.first() else {
        faults.add(at, "is empty; write the program's path and its arguments");
        return None;
    };
    faults.take(&format!("{at}[0]"), value::path(&program.0))?;
    each(run, at, |word, at| match word.0.as_str() {
        "{hostname}" => Some(Argument::Hostname),
        "{sandbox}" | "{created}" if raw.lifetime != raw::Lifetime::PerConnection => {
            let what =
                "only a sandbox that is made for one connection has an id to tell; remove it";
            faults.add(at, what);
            None
        }
        "{sandbox}" => Some(Argument::Sandbox),
        "{created}" => Some(Argument::Created),
        text if text.contains(['{', '}', '\0']) => {
            let what = format!(
                "\"{text}\" is not an argument; of braces only {{hostname}}, {{sandbox}} and {{created}} are known"
            );
            faults.add(at, what);
            None
        }
        text => Some(Argument::Text(text.to_owned())),
    })
}

fn lifetime(raw: &raw::Service, at: &str, faults: &mut Faults<'_>) -> Option<Lifetime> {
    if raw.lifetime == raw::Lifetime::Daemon {
        if raw.limits.deadline.is_some() {
            faults.add(at, "a daemon has no deadline; remove it");
            return None;
        }
        return Some(Lifetime::Daemon);
    }
    let Some(text) = &raw.limits.deadline else {
        faults.add(
            at,
            "is missing; everything but a daemon needs one, like 10m",
        );
        return None;
    };
    let deadline = faults.take(at, value::duration(&text.0))?;
    Some(match raw.lifetime {
        raw::Lifetime::Daemon => Lifetime::Daemon,
        raw::Lifetime::PerConnection => Lifetime::PerConnection { deadline },
        raw::Lifetime::PerMessage => Lifetime::PerMessage { deadline },
        raw::Lifetime::Once => Lifetime::Once { deadline },
    })
}

fn fields_fit_the_lifetime(
    raw: &raw::Service,
    field: &dyn Fn(&str) -> String,
    faults: &mut Faults<'_>,
) {
    use raw::Lifetime::{Daemon, Once, PerConnection, PerMessage};
    let pairs = raw
        .provides
        .iter()
        .filter(|channel| channel.socket == Some(raw::Socket::Pair))
        .count();
    let when_used = raw
        .provides
        .iter()
        .any(|channel| channel.socket == Some(raw::Socket::PairWhenUsed));
    if when_used && (raw.provides.len() > 1 || !raw.uses.is_empty() || !raw.listen.is_empty()) {
        let what = "what is made when it is used has that one channel and no other, and no port: nothing else could wait for it";
        faults.add(&field("provides"), what);
    }
    match raw.lifetime {
        PerMessage => {
            if raw
                .volumes
                .iter()
                .any(|volume| volume.mode == raw::Mode::Rw)
            {
                let what =
                    "a per-message service writes no volume: nothing may outlive its message";
                faults.add(&field("volumes"), what);
            }
            if !raw.listen.is_empty() {
                let what = "a per-message service has no ports; it gets its message by a channel";
                faults.add(&field("listen"), what);
            }
            if pairs == 0 {
                let what = "a per-message service must provide a channel with \"socket: pair\"";
                faults.add(&field("provides"), what);
            }
        }
        PerConnection => {
            if raw
                .volumes
                .iter()
                .any(|volume| volume.mode == raw::Mode::Rw)
            {
                let what =
                    "a per-connection service writes no volume: nothing may outlive its connection";
                faults.add(&field("volumes"), what);
            }
            let passed = raw.provides.iter();
            let passed = passed
                .filter(|channel| channel.kind == raw::Kind::Passed)
                .count();
            if passed > 0 && passed + raw.listen.len() > 1 {
                let what = "a per-connection service is made for one connection; give it one port, or one channel of kind \"passed\"";
                faults.add(&field("provides"), what);
            }
            if raw.listen.is_empty() && pairs == 0 && passed == 0 && !when_used {
                let what = "a per-connection service needs \"listen\", or a channel with \"kind: passed\" or \"socket: pair\"";
                faults.add(&field("lifetime"), what);
            }
        }
        Once => {
            for (key, empty) in [
                ("listen", raw.listen.is_empty()),
                ("provides", raw.provides.is_empty()),
                ("uses", raw.uses.is_empty()),
            ] {
                if !empty {
                    let what = "a service that runs once speaks with nobody; remove it";
                    faults.add(&field(key), what);
                }
            }
        }
        Daemon => {}
    }
    if matches!(raw.lifetime, PerConnection | PerMessage) && !raw.egress.is_empty() {
        let what = "only a daemon may reach the internet; what handles a stranger's data may not";
        faults.add(&field("egress"), what);
    }
}

fn capabilities_fit_the_ids(
    raw: &raw::Service,
    field: &dyn Fn(&str) -> String,
    faults: &mut Faults<'_>,
) {
    if !raw.capabilities.is_empty() && raw.ids == raw::Ids::One {
        let what = "capabilities need \"ids: range\": with one id there is nothing to use them on";
        faults.add(&field("capabilities"), what);
    }
    if raw.ids == raw::Ids::Range && raw.lifetime != raw::Lifetime::Daemon {
        let what = "only a daemon can have a range of ids; write \"one\" or leave it out";
        faults.add(&field("ids"), what);
    }
}

fn listen(
    raw: &raw::Listen,
    lifetime: raw::Lifetime,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<Listen> {
    let port = faults.port(&format!("{at}.port"), raw.port)?;
    let zone = match raw.zone {
        raw::Zone::Public => Zone::Public,
        raw::Zone::Lan => Zone::Lan,
        raw::Zone::Overlay => Zone::Overlay,
    };
    if zone == Zone::Public && !PUBLIC_PORTS.contains(&port) {
        let what = format!("{port} is not for the internet; zone public has 25 and 443");
        faults.add(&format!("{at}.port"), what);
        return None;
    }
    let usual = match lifetime {
        raw::Lifetime::PerConnection => "connection",
        _ => "listener",
    };
    let to = raw.to.as_deref().unwrap_or(usual);
    Some(Listen {
        port,
        zone,
        to: faults.name(&format!("{at}.to"), to)?,
        full: connections::full(raw, lifetime, at, faults)?,
        pool: connections::pool(raw, lifetime, at, faults)?,
    })
}

fn channel(
    raw: &raw::Channel,
    lifetime: raw::Lifetime,
    loopback: raw::Loopback,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<Channel> {
    let name = faults.name(&format!("{at}.name"), &raw.name)?;
    let port = match raw.port {
        Some(port) => Some(faults.port(&format!("{at}.port"), port)?),
        None => None,
    };
    let daemon = lifetime == raw::Lifetime::Daemon;
    let wrong = |key: &str, what: &str, faults: &mut Faults<'_>| {
        faults.add(&format!("{at}.{key}"), what);
        None
    };
    let kind = match (raw.kind, port, raw.socket) {
        (raw::Kind::Connected, Some(port), None) => {
            if !daemon {
                return wrong(
                    "port",
                    "only a daemon listens on a port; write \"socket: pair\"",
                    faults,
                );
            }
            if loopback == raw::Loopback::Down {
                let what = "is dialled at 127.0.0.1 inside; write \"loopback: up\" for the service";
                return wrong("port", what, faults);
            }
            ChannelKind::Connected(Server::Port(port))
        }
        (raw::Kind::Connected, None, Some(raw::Socket::Listening)) if daemon => {
            ChannelKind::Connected(Server::Listening)
        }
        (raw::Kind::Connected, None, Some(raw::Socket::Listening)) => {
            return wrong(
                "socket",
                "only a daemon can be dialled; write \"socket: pair\"",
                faults,
            );
        }
        (raw::Kind::Connected, None, Some(raw::Socket::Pair)) if !daemon => {
            ChannelKind::Connected(Server::Pair)
        }
        (raw::Kind::Connected, None, Some(raw::Socket::Pair)) => {
            let what = "a daemon has no end for each user; write \"socket: listening\"";
            return wrong("socket", what, faults);
        }
        (raw::Kind::Connected, None, Some(raw::Socket::PairWhenUsed))
            if lifetime == raw::Lifetime::PerConnection =>
        {
            ChannelKind::Connected(Server::PairWhenUsed)
        }
        (raw::Kind::Connected, None, Some(raw::Socket::PairWhenUsed)) => {
            let what = "only what is made for one connection can be made when it is used; write \"socket: pair\" or \"socket: listening\"";
            return wrong("socket", what, faults);
        }
        (raw::Kind::Connected, ..) => {
            let what = "a connected channel has either \"port\" or \"socket\"";
            return wrong("kind", what, faults);
        }
        (_, _, Some(_)) => {
            return wrong(
                "socket",
                "is for connected channels only; write \"port\"",
                faults,
            );
        }
        (_, None, _) => return wrong("port", "is missing; this kind of channel needs one", faults),
        (raw::Kind::Passed, Some(port), _) if lifetime == raw::Lifetime::PerConnection => {
            ChannelKind::Passed { port }
        }
        (..) if !daemon => {
            return wrong(
                "kind",
                "only a daemon takes connections; write \"connected\"",
                faults,
            );
        }
        (raw::Kind::Listener, Some(port), _) => ChannelKind::Listener { port },
        (raw::Kind::Passed, Some(port), _) => ChannelKind::Passed { port },
        (raw::Kind::Relay, Some(port), _) => {
            if loopback == raw::Loopback::Down {
                let what = "is dialled at 127.0.0.1 inside; write \"loopback: up\" for the service";
                return wrong("port", what, faults);
            }
            ChannelKind::Relay { port }
        }
    };
    Some(Channel { name, kind })
}

fn egress(raw: &raw::Egress, at: &str, faults: &mut Faults<'_>) -> Option<Egress> {
    let port = faults.port(&format!("{at}.port"), raw.port)?;
    let field = format!("{at}.protocols");
    let twice = raw.protocols.len() == 2 && raw.protocols[0] == raw.protocols[1];
    if raw.protocols.is_empty() || raw.protocols.len() > 2 || twice {
        faults.add(&field, "write tcp, udp or both, each once");
        return None;
    }
    let protocols = raw.protocols.iter().map(|protocol| match protocol {
        raw::Protocol::Tcp => Protocol::Tcp,
        raw::Protocol::Udp => Protocol::Udp,
    });
    Some(Egress {
        port,
        protocols: protocols.collect(),
    })
}

fn capability(raw: &raw::Capability, at: &str, faults: &mut Faults<'_>) -> Option<Capability> {
    let known = CAPABILITIES.iter().find(|(name, _)| *name == raw.name);
    let Some((_, kind)) = known else {
        let names: Vec<&str> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
        let what = format!(
            "\"{}\" is not given to any service; {}",
            raw.name,
            advice(&raw.name, &names)
        );
        faults.add(&format!("{at}.name"), what);
        return None;
    };
    if raw.reason.trim().is_empty() {
        let what = "is empty; say what the service does with it";
        faults.add(&format!("{at}.reason"), what);
        return None;
    }
    Some(Capability {
        kind: *kind,
        reason: raw.reason.clone(),
    })
}

fn limits(service: &raw::Service, at: &str, faults: &mut Faults<'_>) -> Option<Limits> {
    let raw = &service.limits;
    let field = |key: &str| format!("{at}.{key}");
    let memory = faults.size(&field("memory"), &raw.memory.0, MEMORY);
    let tasks = faults.number(&field("tasks"), raw.tasks, 1..=512);
    let files = faults.number(&field("files"), raw.files, 8..=65_536);
    let file_size = faults.size(&field("file-size"), &raw.file_size.0, 0..=4 << 30);
    let connections = connections::limits(service, at, faults);
    let cpu = match &raw.cpu {
        Some(text) => Some(faults.take(&field("cpu"), Percent::parse(&text.0))?),
        None => None,
    };
    Some(Limits {
        memory: memory?,
        tasks: tasks?,
        files: files?,
        file_size: file_size?,
        cpu,
        connections: connections?,
    })
}

fn policy(raw: Option<String>, name: &str, at: &str, faults: &mut Faults<'_>) -> Option<String> {
    let policy = raw.unwrap_or_else(|| format!("{name}.seccomp"));
    let stem = policy.strip_suffix(".seccomp");
    if stem.is_some_and(|stem| Name::parse(stem).is_ok()) {
        return Some(policy);
    }
    let what = format!(
        "\"{policy}\" is not a policy; write the name of a file in policies/, like {name}.seccomp"
    );
    faults.add(at, what);
    None
}

fn environment(
    raw: BTreeMap<String, raw::Text>,
    at: &str,
    faults: &mut Faults<'_>,
) -> Option<Vec<(String, String)>> {
    let mut whole = true;
    for (name, value) in &raw {
        let field = format!("{at}.{name}");
        let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(good) || name.as_bytes()[0].is_ascii_digit() {
            faults.add(
                &field,
                "is not a variable; write A-Z, 0-9 and _, no digit first",
            );
        } else if ["LISTEN_", "LD_"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            faults.add(
                &field,
                "belongs to the supervisor (LISTEN_*) or the loader (LD_*); remove it",
            );
        } else if value.0.contains('\0') {
            faults.add(&field, "holds a NUL, which no environment can; remove it");
        } else {
            continue;
        }
        whole = false;
    }
    whole.then(|| {
        raw.into_iter()
            .map(|(name, value)| (name, value.0))
            .collect()
    })
}

/// Volumes and scratch at or below each other would hide one another, and
/// scratch counts as memory.
fn mounts_lie_apart(service: &Service, at: &str, faults: &mut Faults<'_>) {
    let mut mounts: Vec<(String, &PathBuf)> = Vec::new();
    for (index, volume) in service.volumes.iter().enumerate() {
        mounts.push((format!("{at}.volumes[{index}].path"), &volume.path));
    }
    for (index, scratch) in service.scratch.iter().enumerate() {
        mounts.push((format!("{at}.scratch[{index}].path"), &scratch.path));
    }
    for (index, (field, path)) in mounts.iter().enumerate() {
        let overlaps = |other: &Path| path.starts_with(other) || other.starts_with(path);
        if let Some((_, other)) = mounts[..index].iter().find(|(_, other)| overlaps(other)) {
            let what = format!(
                "{} and {} overlap; give each a folder of its own",
                other.display(),
                path.display()
            );
            faults.add(field, what);
        }
    }
    let scratch: u64 = service
        .scratch
        .iter()
        .map(|scratch| scratch.size.bytes())
        .sum();
    if scratch > service.limits.memory.bytes() {
        let what = format!(
            "all scratch together is {}, more than limits.memory, {}; it counts as memory",
            Size::of(scratch),
            service.limits.memory
        );
        faults.add(&format!("{at}.scratch"), what);
    }
}

/// Descriptors are found by their names, so each name is given once.
fn nothing_stands_twice(service: &Service, at: &str, faults: &mut Faults<'_>) {
    let listen = (service.listen.iter().enumerate())
        .map(|(index, listen)| (format!("{at}.listen[{index}].to"), &listen.to));
    let provides = (service.provides.iter().enumerate())
        .map(|(index, channel)| (format!("{at}.provides[{index}].name"), &channel.name));
    let uses = (service.uses.iter().enumerate())
        .map(|(index, name)| (format!("{at}.uses[{index}]"), name));
    let mut seen = BTreeSet::new();
    for (field, name) in listen.chain(provides).chain(uses) {
        if !seen.insert(name) {
            let what = format!("two descriptors of this service are called \"{name}\"; rename one");
            faults.add(&field, what);
        }
    }
    for (index, volume) in service.volumes.iter().enumerate() {
        if service.volumes[..index]
            .iter()
            .any(|other| other.name == volume.name)
        {
            let what = format!(
                "volume \"{}\" stands twice in this service; keep one",
                volume.name
            );
            faults.add(&format!("{at}.volumes[{index}].name"), what);
        }
    }
    for (index, capability) in service.capabilities.iter().enumerate() {
        let earlier = &service.capabilities[..index];
        if earlier.iter().any(|other| other.kind == capability.kind) {
            let what = "stands twice in this service; keep one";
            faults.add(&format!("{at}.capabilities[{index}].name"), what);
        }
    }
}

fn ports_are_of_one_service(services: &[Service], faults: &mut Faults<'_>) {
    let mut owners: BTreeMap<u16, &Name> = BTreeMap::new();
    for service in services {
        for (index, listen) in service.listen.iter().enumerate() {
            if let Some(owner) = owners.insert(listen.port, &service.name) {
                let what = format!(
                    "port {} is that of {owner} already; a port belongs to one zone and one service",
                    listen.port
                );
                faults.add(
                    &format!("services.{}.listen[{index}].port", service.name),
                    what,
                );
            }
        }
    }
}

fn channels_have_two_ends(services: &[Service], faults: &mut Faults<'_>) {
    let mut providers: BTreeMap<&Name, (&Service, &Channel)> = BTreeMap::new();
    for service in services {
        for (index, channel) in service.provides.iter().enumerate() {
            let field = format!("services.{}.provides[{index}]", service.name);
            if let Some((other, _)) = providers.insert(&channel.name, (service, channel)) {
                let what = format!(
                    "channel \"{}\" is provided by {} already; rename one",
                    channel.name, other.name
                );
                faults.add(&format!("{field}.name"), what);
            }
            if !services
                .iter()
                .any(|user| user.uses.contains(&channel.name))
            {
                let what = format!(
                    "no service uses channel \"{}\"; remove it, or add it to a \"uses\"",
                    channel.name
                );
                faults.add(&format!("{field}.name"), what);
            }
        }
    }
    let known: Vec<&str> = providers.keys().map(|name| name.as_str()).collect();
    let mut listened: BTreeMap<&Name, &Name> = BTreeMap::new();
    for service in services {
        // What it listens on itself stands there as well.
        let mut ports: BTreeMap<u16, &Name> = service
            .provides
            .iter()
            .filter_map(|channel| match channel.kind {
                ChannelKind::Connected(Server::Port(port)) | ChannelKind::Relay { port } => {
                    Some((port, &channel.name))
                }
                _ => None,
            })
            .collect();
        for (index, name) in service.uses.iter().enumerate() {
            let field = format!("services.{}.uses[{index}]", service.name);
            let Some((provider, channel)) = providers.get(name) else {
                let what = format!(
                    "no service provides channel \"{name}\"; {}",
                    advice(name.as_str(), &known)
                );
                faults.add(&field, what);
                continue;
            };
            let daemon = service.lifetime == Lifetime::Daemon;
            let provider = &provider.name;
            match channel.kind {
                ChannelKind::Connected(Server::Pair | Server::PairWhenUsed) if daemon => {
                    let what = format!(
                        "a daemon cannot use \"{name}\": {provider} lives no longer than one connection or message"
                    );
                    faults.add(&field, what);
                }
                ChannelKind::Connected(_) => {}
                ChannelKind::Listener { port }
                | ChannelKind::Passed { port }
                | ChannelKind::Relay { port } => {
                    if !daemon {
                        let what = format!(
                            "\"{name}\" is for daemons; what is made for one connection or message uses connected channels"
                        );
                        faults.add(&field, what);
                    } else if service.loopback == Loopback::Down {
                        let what = format!(
                            "\"{name}\" is reached at 127.0.0.1:{port}; write \"loopback: up\" for the service"
                        );
                        faults.add(&field, what);
                    }
                    let listener = matches!(channel.kind, ChannelKind::Listener { .. });
                    let earlier = listener.then(|| listened.insert(name, &service.name));
                    if let Some(other) = earlier.flatten() {
                        let what = format!(
                            "\"{name}\" is that of {other} already; a listener has one user, so give each a channel with a port of its own"
                        );
                        faults.add(&field, what);
                    }
                    if let Some(other) = ports.insert(port, name) {
                        let what = format!(
                            "\"{name}\" and \"{other}\" both have port {port} inside this service; change one"
                        );
                        faults.add(&field, what);
                    }
                }
            }
        }
    }
}

fn volumes_have_one_writer(services: &[Service], faults: &mut Faults<'_>) {
    let mut writers: BTreeMap<&Name, &Name> = BTreeMap::new();
    for service in services {
        for (index, volume) in service.volumes.iter().enumerate() {
            if volume.mode == Mode::ReadOnly {
                continue;
            }
            if let Some(other) = writers.insert(&volume.name, &service.name) {
                let what = format!(
                    "volume \"{}\" is written by {other} already; at most one service writes a volume",
                    volume.name
                );
                faults.add(
                    &format!("services.{}.volumes[{index}].mode", service.name),
                    what,
                );
            }
        }
    }
}

fn after_names_once_services(services: &[Service], faults: &mut Faults<'_>) {
    let known: Vec<&str> = services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in services {
        for (index, name) in service.after.iter().enumerate() {
            let what = match services.iter().find(|other| other.name == *name) {
                None => format!(
                    "there is no service \"{name}\"; {}",
                    advice(name.as_str(), &known)
                ),
                Some(other) if !matches!(other.lifetime, Lifetime::Once { .. }) => format!(
                    "\"{name}\" never ends; \"after\" waits only for services with \"lifetime: once\""
                ),
                Some(_) => continue,
            };
            faults.add(&format!("services.{}.after[{index}]", service.name), what);
        }
    }
}

/// A cycle leaves no service to start first. Who uses a connected channel waits
/// for its provider, and the provider of a listener for its user, in whose
/// network it is; with the other kinds nobody waits.
fn nothing_waits_for_itself(services: &[Service], faults: &mut Faults<'_>) {
    let mut waits: BTreeMap<&Name, Vec<&Name>> = services
        .iter()
        .map(|service| (&service.name, service.after.iter().collect()))
        .collect();
    for provider in services {
        for channel in &provider.provides {
            let users = services.iter();
            for user in users.filter(|user| user.uses.contains(&channel.name)) {
                let (first, second) = match channel.kind {
                    ChannelKind::Connected(_) => (&provider.name, &user.name),
                    ChannelKind::Listener { .. } => (&user.name, &provider.name),
                    ChannelKind::Passed { .. } | ChannelKind::Relay { .. } => continue,
                };
                waits.entry(second).or_default().push(first);
            }
        }
    }
    let mut told = BTreeSet::new();
    for service in services {
        let mut path = vec![&service.name];
        let Some(cycle) = find_cycle(&waits, &mut path) else {
            continue;
        };
        let members: BTreeSet<&Name> = cycle.iter().copied().collect();
        // Each member of a cycle finds it again.
        if !told.insert(members) {
            continue;
        }
        let words: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
        let what = format!(
            "waits for itself: {}; break the circle in \"after\" or \"uses\"",
            words.join(" → ")
        );
        faults.add(&format!("services.{}", service.name), what);
    }
}

/// A way from the first of `path` back to itself.
fn find_cycle<'a>(
    waits: &BTreeMap<&'a Name, Vec<&'a Name>>,
    path: &mut Vec<&'a Name>,
) -> Option<Vec<&'a Name>> {
    for next in waits.get(path.last()?)? {
        if *next == path[0] {
            let mut cycle = path.clone();
            cycle.push(next);
            return Some(cycle);
        }
        if !path.contains(next) {
            path.push(next);
            if let Some(cycle) = find_cycle(waits, path) {
                return Some(cycle);
            }
            path.pop();
        }
    }
    None
}

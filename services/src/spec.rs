//! One service's sandbox.

use crate::clock::rfc3339;
use crate::descriptors::{descriptors, environment};
use crate::ids::RANGE;
use manifest::{
    App, Argument, CapabilityKind, ChannelKind, Ids, Lifetime, Loopback, Mode, Protocol, Server,
    Service,
};
use sandbox::{
    Access, Capability, Cgroup, Connect, CpuLimit, Device, Dumpable, LoadError, Network, PathRule,
    PolicyError, Proc, Rlimits, Root, Scratch, Spec, Tcp, User, Volume, WriteExecute, policy,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The id of a service that has only one.
pub(crate) const ONE: u32 = 1000;
/// `cpu.max` is counted in periods of this many microseconds.
const PERIOD_US: u32 = 100_000;

/// Where a service runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// The mounted image of the app, `/run/apps/email` say.
    pub image: PathBuf,
    /// The folder of the app's volumes on the encrypted disk.
    pub volumes: PathBuf,
    /// What `{hostname}` in a manifest stands for.
    pub hostname: String,
    /// The host's id for id 0 of this service: 1,000,000 or more, with 65536 ids
    /// that no other service has.
    pub first_id: u32,
    /// Where cgroup v2 is mounted; `None` where the host has none.
    pub cgroups: Option<PathBuf>,
    /// Tells sandboxes of one service apart; empty for a daemon.
    pub instance: String,
}

/// Why a service can't be started as its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The policy's text, or what was compiled from it, could not be read.
    #[error("{}: not read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The policy's text is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// What was compiled from it can't be used.
    #[error(transparent)]
    Compiled(#[from] policy::CompiledError),
}

impl From<LoadError> for ServiceError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Text(error) => error.into(),
            LoadError::Compiled(error) => error.into(),
        }
    }
}

/// What the sandbox is to enforce for `service`.
///
/// # Errors
/// When the image has no such policy, or a wrong one, or what was compiled from it
/// for this machine is missing, broken or made of another text.
pub fn spec(app: &App, service: &Service, place: &Place) -> Result<Spec, ServiceError> {
    let policy = read_policy(&place.image, &service.policy)?;
    Ok(spec_with(app, service, place, policy))
}

/// The same with a policy that was read already, where there is no image.
pub fn spec_with(app: &App, service: &Service, place: &Place, policy: sandbox::Policy) -> Spec {
    let name = name(service, place);
    let range = service.ids == Ids::Range;
    let mut env = service.environment.clone();
    env.extend(environment(&descriptors(app, service)));
    Spec {
        root: Root::Directory(place.image.join("roots").join(service.root.as_str())),
        volumes: service
            .volumes
            .iter()
            .map(|volume| Volume {
                host: place.volumes.join(volume.name.as_str()),
                path: volume.path.clone(),
                writable: volume.mode == Mode::ReadWrite,
            })
            .collect(),
        scratch: service.scratch.iter().map(scratch).collect(),
        devices: vec![Device::Null, Device::Zero, Device::Random],
        // A program that has several processes of several users finds them there.
        proc: if range { Proc::OwnPids } else { Proc::Absent },
        argv: argv(service, place, &name),
        env,
        cgroup: place
            .cgroups
            .as_deref()
            .map(|hierarchy| cgroup(app, service, hierarchy, &name)),
        user: match service.ids {
            Ids::Range => User::Range {
                outside: place.first_id,
                count: RANGE,
                run_as: 0,
            },
            Ids::One => User::One {
                inside: ONE,
                outside: place.first_id + ONE,
            },
        },
        capabilities: service
            .capabilities
            .iter()
            .map(|capability| enforced(capability.kind))
            .collect(),
        network: network(app, service),
        rlimits: Rlimits {
            open_files: service.limits.files.into(),
            file_size: service.limits.file_size.bytes(),
        },
        paths: paths(service),
        policy,
        write_execute: match service.write_execute {
            manifest::WriteExecute::Refused => WriteExecute::Refused,
            manifest::WriteExecute::Allowed => WriteExecute::Allowed,
        },
        dumpable: Dumpable::Refused,
        name,
    }
}

/// The capability that stands for one of the manifest's.
pub(crate) fn enforced(kind: CapabilityKind) -> Capability {
    match kind {
        CapabilityKind::Chown => Capability::Chown,
        CapabilityKind::DacOverride => Capability::DacOverride,
        CapabilityKind::Kill => Capability::Kill,
        CapabilityKind::Setgid => Capability::SetGid,
        CapabilityKind::Setuid => Capability::SetUid,
        CapabilityKind::SysChroot => Capability::SysChroot,
    }
}

/// The root holds only this service's files, so all of it may be read; executed
/// are its program and what the manifest lists.
fn paths(service: &Service) -> Vec<PathRule> {
    let program = match service.run.first() {
        Some(Argument::Text(program)) => Some(PathBuf::from(program)),
        _ => None,
    };
    let executed = program.into_iter().chain(service.programs.iter().cloned());
    let executed = executed.map(|path| PathRule {
        path,
        access: Access::Execute,
    });
    let read = PathRule {
        path: "/".into(),
        access: Access::Read,
    };
    [read].into_iter().chain(executed).collect()
}

/// What the sandbox of another instance is to enforce: `base`, one of the same
/// service, with the names and times of this one.
pub(crate) fn of_instance(base: &Spec, service: &Service, place: &Place) -> Spec {
    let name = name(service, place);
    let mut spec = base.clone();
    spec.argv = argv(service, place, &name);
    if let Some(cgroup) = &mut spec.cgroup {
        cgroup.path.set_file_name(&name);
    }
    spec.name = name;
    spec
}

fn name(service: &Service, place: &Place) -> String {
    match place.instance.as_str() {
        "" => service.name.to_string(),
        instance => format!("{}-{instance}", service.name),
    }
}

fn argv(service: &Service, place: &Place, name: &str) -> Vec<String> {
    let words = service.run.iter().map(|argument| match argument {
        Argument::Text(text) => text.clone(),
        Argument::Hostname => place.hostname.clone(),
        Argument::Sandbox => name.to_owned(),
        Argument::Created => rfc3339(SystemTime::now()),
    });
    words.collect()
}

fn cgroup(app: &App, service: &Service, hierarchy: &Path, name: &str) -> Cgroup {
    Cgroup {
        hierarchy: hierarchy.to_owned(),
        path: Path::new("services").join(app.name.as_str()).join(name),
        memory_max: service.limits.memory.bytes(),
        // A zygote survives it when one of its children is killed for its memory.
        oom_group: !matches!(service.lifetime, Lifetime::PerMessage { .. }),
        pids_max: service.limits.tasks,
        cpu_max: service.limits.cpu.map(|share| CpuLimit {
            quota_us: share.of_one_processor() * (PERIOD_US / 100),
            period_us: PERIOD_US,
        }),
    }
}

/// The cgroup of a zygote's child: beside the zygote's own, with the same limits
/// but for its tasks, as a child is one.
pub(crate) fn message_cgroup(app: &App, service: &Service, hierarchy: &Path, name: &str) -> Cgroup {
    Cgroup {
        oom_group: true,
        pids_max: 1,
        ..cgroup(app, service, hierarchy, name)
    }
}

fn scratch(scratch: &manifest::Scratch) -> Scratch {
    let size = scratch.size.bytes();
    let shared = [Path::new("/tmp"), Path::new("/var/tmp")].contains(&scratch.path.as_path());
    Scratch {
        path: scratch.path.clone(),
        size,
        // A file of one page for each, and never so few that none is left.
        inodes: u32::try_from(size / 4096).unwrap_or(u32::MAX).max(64),
        mode: if shared { 0o1777 } else { 0o755 },
    }
}

/// The ports that a service listens on for others, and those that it dials.
fn network(app: &App, service: &Service) -> Network {
    let mut bind: Vec<u16> = service
        .provides
        .iter()
        .filter_map(|channel| match channel.kind {
            ChannelKind::Connected(Server::Port(port)) | ChannelKind::Relay { port } => Some(port),
            _ => None,
        })
        .collect();
    // One port may be dialled by a channel and by a relay.
    bind.sort_unstable();
    bind.dedup();
    let internet = service
        .egress
        .iter()
        .filter(|egress| egress.protocols.contains(&Protocol::Tcp))
        .map(|egress| egress.port);
    let channels = service.uses.iter().filter_map(|name| {
        match app.channel(name.as_str()).map(|(_, channel)| channel.kind) {
            Some(
                ChannelKind::Listener { port }
                | ChannelKind::Passed { port }
                | ChannelKind::Relay { port },
            ) => Some(port),
            _ => None,
        }
    });
    let mut connect: Vec<u16> = internet.chain(channels).collect();
    connect.sort_unstable();
    connect.dedup();
    Network {
        loopback: service.loopback == Loopback::Up,
        unprivileged_ports: bind.iter().any(|port| *port < 1024),
        tcp: Tcp {
            bind,
            connect: if connect.is_empty() {
                Connect::None
            } else {
                Connect::Ports(connect)
            },
        },
    }
}

fn read_policy(image: &Path, name: &str) -> Result<sandbox::Policy, ServiceError> {
    let text_path = image.join("policies").join(name);
    let failed = |path: &Path, source| ServiceError::Read {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(&text_path).map_err(|source| failed(&text_path, source))?;
    let path = text_path.with_extension(policy::COMPILED);
    let compiled = fs::read(&path).map_err(|source| failed(&path, source))?;
    let file = path.to_string_lossy();
    Ok(policy::load_compiled(name, &text, &file, &compiled)?)
}

//! What a service is given that is not in its spec: descriptors, reasons, a way
//! to the internet. From the manifest, by the same [`descriptors`] as it starts.

use crate::descriptors::{FIRST, descriptors};
use crate::spec::enforced;
use manifest::{App, Channel, ChannelKind, Lifetime, Protocol, Server, Service, Zone};
use sandbox::{Capability, Policy, PolicyError};
use std::path::{Path, PathBuf};

/// What comes to a sandbox beside its [`sandbox::Spec`].
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// How long one sandbox lives, in a sentence.
    pub lives: String,
    /// What it holds from its start.
    pub descriptors: Vec<Descriptor>,
    /// Ports of the internet that it reaches, with `tcp` or `udp`.
    pub egress: Vec<(u16, &'static str)>,
    /// What it needs capabilities for.
    pub reasons: Vec<(Capability, String)>,
    /// What lies below this folder of the host is on the encrypted disk.
    pub disk: PathBuf,
    /// Its children, one a message, where it is a zygote.
    pub child: Option<ChildOfMessage>,
}

/// A channel, at one end of which the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number inside; `None` for a service that listens on TCP itself.
    pub number: Option<i32>,
    /// Its name inside.
    pub name: String,
    /// Where it leads.
    pub leads: String,
}

/// What a zygote makes for a message.
#[derive(Debug, Clone)]
pub struct ChildOfMessage {
    /// The channels that it holds, and where they lead.
    pub channels: Vec<String>,
    /// Its own system calls, below the zygote's.
    pub policy: Policy,
}

impl Given {
    /// What `service` is given. `disk` is the folder of the app's volumes.
    ///
    /// # Errors
    /// When the policy of the zygotes' children is wrong, in this program.
    pub fn of(app: &App, service: &Service, disk: &Path) -> Result<Self, PolicyError> {
        let names = descriptors(app, service);
        let channels = channels(app, service);
        let per_message = matches!(service.lifetime, Lifetime::PerMessage { .. });
        let held = |(name, leads): &(String, String)| Descriptor {
            number: names
                .iter()
                .zip(FIRST..)
                .find(|(n, _)| *n == name)
                .map(|(_, at)| at),
            name: name.clone(),
            leads: leads.clone(),
        };
        let control = (
            names.first().map(ToString::to_string).unwrap_or_default(),
            "the supervisor asks it for children there".to_owned(),
        );
        let (descriptors, child) = if per_message {
            let child = ChildOfMessage {
                channels: channels
                    .iter()
                    .map(|(name, leads)| format!("{name}: {leads}"))
                    .collect(),
                policy: sandbox::policy::load_str(zygote::CHILD_POLICY_NAME, zygote::CHILD_POLICY)?,
            };
            (vec![held(&control)], Some(child))
        } else {
            (channels.iter().map(held).collect(), None)
        };
        Ok(Self {
            lives: lives(service),
            descriptors,
            egress: egress(service),
            reasons: service
                .capabilities
                .iter()
                .map(|c| (enforced(c.kind), c.reason.clone()))
                .collect(),
            disk: disk.to_owned(),
            child,
        })
    }
}

fn lives(service: &Service) -> String {
    let (what, deadline) = match service.lifetime {
        Lifetime::Daemon => {
            return "It lives as long as the app, and is started again when it dies.".into();
        }
        Lifetime::PerConnection { deadline } if service.is_made_when_used() => (
            "One is made for each connection that has something for it",
            deadline,
        ),
        Lifetime::PerConnection { deadline } => ("One is made for each connection", deadline),
        Lifetime::PerMessage { deadline } => (
            "It is loaded once, without mail; each message gets a child",
            deadline,
        ),
        Lifetime::Once { deadline } => ("It runs once, before others start", deadline),
    };
    let seconds = deadline.as_secs();
    format!("{what}, which is killed after {seconds} s at the latest.")
}

fn egress(service: &Service) -> Vec<(u16, &'static str)> {
    let ports = service.egress.iter().flat_map(|egress| {
        egress.protocols.iter().map(|protocol| match protocol {
            Protocol::Tcp => (egress.port, "tcp"),
            Protocol::Udp => (egress.port, "udp"),
        })
    });
    ports.collect()
}

/// Everything that the service is at one end of, and where it leads, in the
/// order of its descriptors.
fn channels(app: &App, service: &Service) -> Vec<(String, String)> {
    let listen = service.listen.iter().map(|listen| {
        let from = match listen.zone {
            Zone::Public => "the internet",
            Zone::Lan => "the home network",
            Zone::Overlay => "the owner's devices",
        };
        let what = match service.lifetime {
            Lifetime::PerConnection { .. } => "one connection from",
            _ => "a socket that listens for connections from",
        };
        (
            listen.to.to_string(),
            format!("{what} {from}, port {}", listen.port),
        )
    });
    let uses = service.uses.iter().filter_map(|name| {
        let (provider, channel) = app.channel(name.as_str())?;
        Some((
            name.to_string(),
            used(&provider.name.to_string(), channel.kind),
        ))
    });
    let provides = service.provides.iter().map(|channel| {
        let users = app
            .services
            .iter()
            .filter(|user| user.uses.contains(&channel.name));
        let users = super::words::list(users.map(|user| &user.name));
        (channel.name.to_string(), provided(&users, channel))
    });
    listen.chain(uses).chain(provides).collect()
}

fn used(provider: &str, kind: ChannelKind) -> String {
    match kind {
        ChannelKind::Connected(Server::Port(port)) => {
            format!("a connection to {provider}, dialled for it inside {provider}, port {port}")
        }
        ChannelKind::Connected(Server::Listening) => format!("a connection to {provider}"),
        ChannelKind::Connected(Server::Pair | Server::PairWhenUsed) => {
            format!("one end of a pair of sockets; {provider} has the other")
        }
        ChannelKind::Listener { port } | ChannelKind::Passed { port } => {
            format!("{provider} answers at 127.0.0.1:{port} inside it")
        }
        ChannelKind::Relay { port } => {
            format!("a relay at 127.0.0.1:{port} inside it carries bytes to {provider}")
        }
    }
}

fn provided(users: &str, channel: &Channel) -> String {
    match channel.kind {
        ChannelKind::Connected(Server::Port(port)) => {
            format!("{users} gets connections to its port {port}")
        }
        ChannelKind::Connected(Server::Listening) => {
            format!("a socket that listens for connections of {users}")
        }
        ChannelKind::Connected(Server::Pair | Server::PairWhenUsed) => {
            format!("one end of a pair of sockets; {users} has the other")
        }
        ChannelKind::Listener { port } => {
            format!("a socket that listens at 127.0.0.1:{port} inside {users}")
        }
        ChannelKind::Passed { port } => {
            format!("connections that {users} makes to 127.0.0.1:{port} are handed to it")
        }
        ChannelKind::Relay { port } => {
            format!("a relay carries bytes of {users} to its port {port}")
        }
    }
}

//! The manifest of an app, `app.yaml`: which services it has, what each may
//! see and say, and how much it may use.
//!
//! [`read`] takes YAML into raw types that refuse unknown keys, and those into
//! the checked types below, after which nothing is parsed again. Each error
//! names file, line, field and what is allowed:
//!
//! ```text
//! apps/email/app.yaml:12: services.smtp-in.limits.memory: "128X" is not a size; write a number with K, M or G
//! ```
//!
//! `apps/email/app.yaml` explains every key where it first stands.

mod check;
mod connections;
mod located;
mod near;
mod raw;
mod value;

pub use near::closest;
pub use value::{Name, Percent, Size};

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A checked app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name: that of its folder and of its image.
    pub name: Name,
    /// Its services, in the order of the file.
    pub services: Vec<Service>,
}

impl App {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.name.as_str() == name)
    }

    /// The provider of a channel, and the channel.
    pub fn channel(&self, name: &str) -> Option<(&Service, &Channel)> {
        self.services.iter().find_map(|service| {
            let mut channels = service.provides.iter();
            let channel = channels.find(|channel| channel.name.as_str() == name)?;
            Some((service, channel))
        })
    }
}

/// One program, in a sandbox of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Names it in the log and is its host name inside.
    pub name: Name,
    /// The folder below `/roots` in the app's image that is its file system.
    pub root: Name,
    /// The program, an absolute path inside the root, and its arguments.
    pub run: Vec<Argument>,
    /// Folders and files whose content may be executed besides the program: of
    /// its libraries, and of programs that it starts. All else is noexec.
    pub programs: Vec<PathBuf>,
    /// How long one sandbox of it lives.
    pub lifetime: Lifetime,
    /// Services with [`Lifetime::Once`] that must have ended well before.
    pub after: Vec<Name>,
    /// Ports of the box.
    pub listen: Vec<Listen>,
    /// Channels that it serves.
    pub provides: Vec<Channel>,
    /// Channels that it is given an end of, by name, in the order of its descriptors.
    pub uses: Vec<Name>,
    /// The internet's ports that it may reach; empty: no interface at all.
    pub egress: Vec<Egress>,
    /// Folders on the encrypted disk.
    pub volumes: Vec<Volume>,
    /// Folders in memory, empty at its start and gone at its end.
    pub scratch: Vec<Scratch>,
    /// Capabilities in its own user namespace.
    pub capabilities: Vec<Capability>,
    /// How many user ids exist inside.
    pub ids: Ids,
    /// The seccomp policy: a file below `/policies` in the app's image.
    pub policy: String,
    /// Whether memory may become executable after it was writable.
    pub write_execute: WriteExecute,
    /// Whether 127.0.0.1 works inside.
    pub loopback: Loopback,
    /// What it may use up.
    pub limits: Limits,
    /// What each exit code of a service that serves connections says of how the
    /// connection went. A code is all that it can tell: 8 bits, and none of the
    /// sender's words.
    pub outcomes: BTreeMap<u8, Name>,
    /// Its whole environment but for LISTEN_FDS and its companions.
    pub environment: Vec<(String, String)>,
}

impl Service {
    /// Whether its sandbox is made when its user has said something to it
    /// ([`Server::PairWhenUsed`]).
    pub fn is_made_when_used(&self) -> bool {
        let mut channels = self.provides.iter();
        channels.any(|channel| channel.kind == ChannelKind::Connected(Server::PairWhenUsed))
    }
}

/// A word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Said as it stands.
    Text(String),
    /// `{hostname}`: the name by which the box is known to other mail servers.
    Hostname,
    /// `{sandbox}`: the sandbox's own id, `smtp-in-17`; only what serves one
    /// connection has it.
    Sandbox,
    /// `{created}`: when that sandbox was made, RFC 3339 in UTC with milliseconds.
    Created,
}

/// A piece of what is said to a connection that finds no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Said as it stands.
    Text(String),
    /// `{hostname}`: the name by which the box is known to other mail servers.
    Hostname,
}

/// How long one sandbox of a service lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// From the app's start to its end; started again when it dies.
    Daemon,
    /// One sandbox a connection from outside, killed at the latest after the deadline.
    PerConnection {
        /// Counted from the connection.
        deadline: Duration,
    },
    /// Loaded once without any message; a child in a sandbox of its own for each message.
    PerMessage {
        /// Counted from the message.
        deadline: Duration,
    },
    /// Runs to its end before the services that name it in `after`.
    Once {
        /// Counted from its start.
        deadline: Duration,
    },
}

/// A port of the box. A per-connection service is given each accepted
/// connection, a daemon the listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The TCP port.
    pub port: u16,
    /// Who reaches it.
    pub zone: Zone,
    /// The descriptor's name inside (LISTEN_FDNAMES).
    pub to: Name,
    /// The line, without its end, for a connection that finds no place; empty:
    /// it is closed without a word.
    pub full: Vec<Piece>,
    /// How many sets of sandboxes are kept ready, each for one connection.
    pub pool: u32,
}

/// Who reaches a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// The internet.
    Public,
    /// The home network.
    Lan,
    /// The owner's devices.
    Overlay,
}

/// A channel that a service provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its name; also that of the descriptor at either end.
    pub name: Name,
    /// How its two ends come together.
    pub kind: ChannelKind,
}

/// How the two ends of a channel come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// The user gets a connected socket.
    Connected(Server),
    /// The supervisor binds 127.0.0.1:port inside the user's network
    /// namespace and gives the listening socket to the provider.
    Listener {
        /// In the user's namespace.
        port: u16,
    },
    /// The supervisor accepts on 127.0.0.1:port inside the user's namespace
    /// and hands each connection to the provider; a per-connection provider is
    /// made for it.
    Passed {
        /// In the user's namespace.
        port: u16,
    },
    /// A small program of ours carries bytes from 127.0.0.1:port inside the
    /// user's namespace to the same port in the provider's.
    Relay {
        /// In both namespaces.
        port: u16,
    },
}

/// What the provider of a connected channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It listens on 127.0.0.1:port in its own namespace; the supervisor dials there.
    Port(u16),
    /// It is given a listening Unix stream socket; the supervisor dials that.
    Listening,
    /// It is given the other end of a pair of Unix stream sockets.
    Pair,
    /// The same, and it is made when the user has said something, not before: most
    /// connections of the user have nothing for it.
    PairWhenUsed,
}

/// A port of the internet, never of the home network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The remote port.
    pub port: u16,
    /// TCP, UDP or both.
    pub protocols: Vec<Protocol>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// A folder on the encrypted disk. Services that name the same volume see the
/// same folder, and at most one of them writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name on the disk.
    pub name: Name,
    /// Where it appears inside.
    pub path: PathBuf,
    /// Whether the service may write.
    pub mode: Mode,
}

/// Whether a volume may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// A folder in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// Where it appears inside.
    pub path: PathBuf,
    /// How much it holds at most; it counts as the service's memory.
    pub size: Size,
}

/// A capability, held in the service's own user namespace only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which.
    pub kind: CapabilityKind,
    /// What it needs it for.
    pub reason: String,
}

/// The capabilities that a service can be given at all; capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityKind {
    /// CAP_CHOWN
    Chown,
    /// CAP_DAC_OVERRIDE
    DacOverride,
    /// CAP_KILL
    Kill,
    /// CAP_SETGID
    Setgid,
    /// CAP_SETUID
    Setuid,
    /// CAP_SYS_CHROOT
    SysChroot,
}

/// How many user ids exist inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// One, and it is not 0.
    One,
    /// 0 to 65535; the program starts as 0, which is nobody on the host.
    Range,
}

/// Whether memory may become executable after it was writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteExecute {
    /// Never.
    Refused,
    /// The program compiles at run time.
    Allowed,
}

/// Whether the loopback interface is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// No address at all.
    Down,
    /// 127.0.0.1 and ::1.
    Up,
}

/// What one sandbox may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the whole sandbox, in the cgroup.
    pub memory: Size,
    /// Processes and threads together.
    pub tasks: u32,
    /// Open files of one process.
    pub files: u32,
    /// The largest file that it may write.
    pub file_size: Size,
    /// Of one processor; `None`: as much as there is.
    pub cpu: Option<Percent>,
    /// Of the connections to one of its ports.
    pub connections: Connections,
}

/// How many connections a port has room for. One sender is an IPv4 address or a
/// /64 of IPv6, which is what one subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Served at once.
    pub at_once: u32,
    /// Of them, from one sender.
    pub from_one_address: u32,
    /// Connections that wait for a place, besides.
    pub waiting: u32,
    /// Of them, from one sender.
    pub waiting_from_one_address: u32,
}

impl Default for Connections {
    /// What a service has whose manifest says nothing: all may wait that a mail
    /// server opens at once to one other (Postfix: 20).
    fn default() -> Self {
        Self {
            at_once: 8,
            from_one_address: 4,
            waiting: 120,
            waiting_from_one_address: 28,
        }
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file, as given to [`read`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, like `services.smtp-in.listen[0].port`; empty: the whole file.
    pub field: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: ", self.file, self.line)?;
        if !self.field.is_empty() {
            write!(out, "{}: ", self.field)?;
        }
        out.write_str(&self.what)
    }
}

/// Everything that is wrong with a manifest, by line; one line each in print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestErrors(pub Vec<ManifestError>);

impl fmt::Display for ManifestErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{error}")?;
        }
        Ok(())
    }
}

/// Reads and checks a manifest. `file` is its name in messages.
///
/// # Errors
/// The first fault of the file's form, or all that the checks of its content find.
pub fn read(file: &str, text: &str) -> Result<App, ManifestErrors> {
    let one = |(line, field, what)| {
        ManifestErrors(vec![ManifestError {
            file: file.to_owned(),
            line,
            field,
            what,
        }])
    };
    let lines = located::Lines::of(text).map_err(one)?;
    let raw = raw::parse(text, &lines).map_err(one)?;
    check::app(raw, file, &lines)
}

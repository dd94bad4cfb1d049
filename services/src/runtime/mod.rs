//! A whole app at work: [`Running`].
//!
//! One thread keeps the app ([`keeper`]): it runs what runs once, starts the
//! daemons, loads the zygotes, and looks after them four times a second. While
//! all of them run and have answered, the app is ready. A port for strangers is
//! open while all that its service reaches answers ([`parts`]), so mail comes in
//! when only its way out is broken. It has a thread that accepts ([`door`]) and
//! one that makes sets of sandboxes before they are needed ([`pool`]), and every
//! connection has one that takes a set, waits for its end, destroys it
//! ([`visit`]) and writes a [`receipt`]. Who finds no place is told so
//! ([`farewell`]).
//! Nothing here reads what is said on a channel.
//!
//! What a service writes on its standard error goes to the [`Journal`], which
//! is told to keep it in memory: programs that handle mail may quote it.

mod backoff;
mod daemon;
mod door;
mod farewell;
mod inside;
mod journal;
mod keeper;
mod listener;
mod lives;
mod message;
mod once;
mod parts;
mod pool;
mod receipt;
mod relay;
mod sandboxes;
mod slots;
mod takers;
mod visit;
mod when_used;
mod zygotes;

pub use journal::Journal;
pub use lives::Lives;
pub use sandboxes::Sandboxes;

use crate::egress::{Egress, EgressError};
use crate::spec::{self, Place};
use crate::{ServiceError, VolumeError, volumes};
use daemon::Daemon;
use listener::Listeners;
use manifest::{App, Channel, ChannelKind, Lifetime, Protocol, Server, Service};
use parts::Parts;
use sandbox::{Proc, ReadyRoot, SandboxError, Sealed, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use takers::Takers;
use zygotes::Zygotes;

/// Where an app runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The mounted image of the app.
    pub image: PathBuf,
    /// Its folder on the encrypted disk, made if it is not there.
    pub volumes: PathBuf,
    /// A folder in memory, made if it is not there, only for root: sockets.
    pub sockets: PathBuf,
    /// What `{hostname}` stands for.
    pub hostname: String,
    /// Ports that the host serves itself, to the home network; where the app has one of
    /// them for the public, it gets those that come from elsewhere.
    pub shared_ports: Vec<crate::egress::Shared>,
    /// Where cgroup v2 is mounted; `None` where the host has none.
    pub cgroups: Option<PathBuf>,
    /// The relay's program; `None` where there is none, and then no app with a
    /// channel of kind `relay` runs.
    pub relay: Option<PathBuf>,
    /// How long zygotes and what lies ready for connections are used.
    pub lives: Lives,
}

/// Why an app, or a part of it, does not run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The manifest and the image do not fit.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The folders could not be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A sandbox could not be made.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The network's rules are not in force.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A zygote gave no child.
    #[error("{service}: {source}")]
    Zygote {
        /// The service.
        service: String,
        /// What the zygote said.
        source: zygote::client::ClientError,
    },
    /// A child for a message did not come into its cgroup.
    #[error("{service}: {source}")]
    Adopt {
        /// The child.
        service: String,
        /// What failed.
        source: sandbox::AdoptError,
    },
    /// A service that others need does not run now.
    #[error("{0}: does not run now")]
    Down(String),
    /// A service ended in another way than it should.
    #[error("{service}: {how}")]
    Ended {
        /// The service.
        service: String,
        /// Its exit, or that it took too long.
        how: String,
    },
    /// Something of the system's failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A kind of channel, or more egress, than this version runs.
    #[error("{0}")]
    Unsupported(String),
}

impl RuntimeError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// An app that runs until it is stopped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Makes the app's folders and begins to start it; [`Self::is_ready`] says
    /// when that is done.
    ///
    /// # Errors
    /// When the folders, the rules of the network or a socket can't be made.
    /// Trouble of a service is told to `journal`, and tried again.
    pub fn start(
        app: App,
        setting: Setting,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, RuntimeError> {
        relay::check(&app, setting.relay.as_deref())?;
        let first_ids = volumes::make(&app, &setting.volumes)?;
        let egress = egress_of(&app)?;
        let at_home: Vec<u16> = app
            .services
            .iter()
            .flat_map(|service| &service.listen)
            .filter(|listen| listen.zone != manifest::Zone::Public)
            .map(|listen| listen.port)
            .collect();
        let public: Vec<u16> = app
            .services
            .iter()
            .flat_map(|service| &service.listen)
            .filter(|listen| listen.zone == manifest::Zone::Public)
            .map(|listen| listen.port)
            .collect();
        let mut shared = setting.shared_ports.clone();
        shared.retain(|shared| public.contains(&shared.port));
        if !egress.is_empty() || !at_home.is_empty() || !shared.is_empty() {
            let all: Vec<Egress> = egress.values().cloned().collect();
            crate::egress::enforce(&all, &at_home, &shared)?;
        }
        let listening = listening_sockets(&app, &setting.sockets)?;
        let daemons = of_lifetime(&app, |lifetime| lifetime == Lifetime::Daemon)
            .map(|service| (service.name.to_string(), Mutex::new(Daemon::new(service))))
            .collect();
        let zygotes = of_lifetime(&app, |l| matches!(l, Lifetime::PerMessage { .. }))
            .map(|service| (service.name.to_string(), Zygotes::default()))
            .collect();
        let phase = Phase::Running {
            down: parts::all(&app),
        };
        let shared = Arc::new(Shared {
            app,
            setting,
            journal,
            first_ids,
            egress,
            listening,
            listeners: Listeners::default(),
            takers: Takers::default(),
            daemons,
            zygotes,
            specs: Mutex::default(),
            roots: Mutex::default(),
            numbers: AtomicU64::new(0),
            to_restart: Mutex::default(),
            phase: Mutex::new(phase),
            changed: Condvar::new(),
        });
        let kept = Arc::clone(&shared);
        let keeper = std::thread::Builder::new()
            .name(format!("{}-keeper", shared.app.name))
            .spawn(move || keeper::keep(&kept))
            .map_err(RuntimeError::io("a thread"))?;
        Ok(Self {
            shared,
            keeper: Some(keeper),
        })
    }

    /// Whether every part of it answers.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// The host's id for id 0 of a service.
    pub fn first_id(&self, service: &str) -> Option<u32> {
        self.shared.first_ids.get(service).copied()
    }

    /// The pid, on the host, of the program of a daemon that runs.
    pub fn daemon_pid(&self, service: &str) -> Option<nix::unistd::Pid> {
        lock(self.shared.daemons.get(service)?).pid()
    }

    /// Ends this daemon, as at the end of the app, and starts it again, in a new sandbox
    /// and without a pause: for one that reads its settings when it starts. Does not
    /// wait for it. One that does not run is not held up.
    pub fn restart(&self, daemon: &str) {
        lock(&self.shared.to_restart).insert(daemon.to_owned());
    }

    /// Says what its sandboxes may do, as long as it runs, and does not keep it.
    pub fn sandboxes(&self) -> Sandboxes {
        Sandboxes(Arc::downgrade(&self.shared))
    }

    /// Ends it: no connection is accepted any more, those at work are killed,
    /// daemons are asked to end and killed after 5 seconds.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stop();
        if let Some(keeper) = self.keeper.take() {
            // A panic of it has been reported on standard error.
            keeper.join().ok();
            for (path, _) in self.shared.listening.values() {
                // The next start removes one that is left.
                std::fs::remove_file(path).ok();
            }
        }
        // They hold on to the image.
        lock(&self.shared.roots).clear();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// How far the app is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Until it is told to end.
    Running {
        /// What does not answer (yet, or again); the app is ready without any.
        down: Parts,
    },
    /// It was told to end.
    Stopping,
}

impl Phase {
    /// Whether all of these parts answer.
    fn answers(&self, parts: &Parts) -> bool {
        matches!(self, Phase::Running { down } if down.is_disjoint(parts))
    }
}

/// What the threads of one app share.
#[derive(Debug)]
struct Shared {
    app: App,
    setting: Setting,
    journal: Arc<dyn Journal>,
    first_ids: BTreeMap<String, u32>,
    egress: BTreeMap<String, Egress>,
    /// The sockets of channels whose provider is given a listening one. They
    /// outlive the provider, so that a user waits while it starts anew.
    listening: BTreeMap<String, (PathBuf, UnixListener)>,
    listeners: Listeners,
    takers: Takers,
    daemons: BTreeMap<String, Mutex<Daemon>>,
    zygotes: BTreeMap<String, Zygotes>,
    /// The sandbox of each service, but for what differs between its instances:
    /// policies are read once, as the image does not change while it is mounted.
    specs: Mutex<BTreeMap<String, Arc<Spec>>>,
    /// The roots of services that are made for each connection, which differ in nothing.
    roots: Mutex<BTreeMap<String, Arc<ReadyRoot>>>,
    /// How many sets of sandboxes for a connection were made; each has a number.
    numbers: AtomicU64,
    /// Daemons that shall end and start again. Beside their own locks, which are held
    /// while one starts or ends.
    to_restart: Mutex<BTreeSet<String>>,
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Shared {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        lock(&self.phase)
    }

    fn is_stopping(&self) -> bool {
        *self.phase() == Phase::Stopping
    }

    fn is_ready(&self) -> bool {
        matches!(&*self.phase(), Phase::Running { down } if down.is_empty())
    }

    /// Says which parts do not answer now. An app that stops stays so.
    fn set_down(&self, down: Parts) {
        let mut now = self.phase();
        if *now != Phase::Stopping {
            *now = Phase::Running { down };
            self.changed.notify_all();
        }
    }

    fn stop(&self) {
        *self.phase() = Phase::Stopping;
        self.changed.notify_all();
    }

    /// Waits until the app is told to end, at most this long.
    fn wait_for_stop(&self, most: Duration) {
        drop(self.wait_while(most, |now| *now != Phase::Stopping));
    }

    /// Waits until all of these parts answer. `false` when the app stops, or they do
    /// not in time.
    fn wait_for(&self, parts: &Parts, most: Duration) -> bool {
        let waits = |now: &Phase| *now != Phase::Stopping && !now.answers(parts);
        self.wait_while(most, waits).answers(parts)
    }

    fn wait_while(&self, most: Duration, waits: impl Fn(&Phase) -> bool) -> MutexGuard<'_, Phase> {
        let guard = self.phase();
        let waited = self
            .changed
            .wait_timeout_while(guard, most, |now| waits(now));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The sandbox of one instance of `service`; empty for a daemon.
    fn spec(&self, service: &Service, instance: &str) -> Result<Spec, ServiceError> {
        let place = Place {
            image: self.setting.image.clone(),
            volumes: self.setting.volumes.clone(),
            hostname: self.setting.hostname.clone(),
            first_id: self.first_ids[service.name.as_str()],
            cgroups: self.setting.cgroups.clone(),
            instance: instance.to_owned(),
        };
        let known = lock(&self.specs).get(service.name.as_str()).cloned();
        let base = match known {
            Some(base) => base,
            None => {
                let base = Arc::new(spec::spec(&self.app, service, &place)?);
                lock(&self.specs).insert(service.name.to_string(), Arc::clone(&base));
                base
            }
        };
        Ok(spec::of_instance(&base, service, &place))
    }

    /// A sealed sandbox of `service`, in a root that lies ready if there can be one.
    fn seal(
        &self,
        service: &Service,
        instance: &str,
        targets: &[RawFd],
    ) -> Result<Sealed, RuntimeError> {
        let spec = self.spec(service, instance)?;
        if spec.proc != Proc::Absent {
            return Ok(sandbox::seal(&spec, targets)?);
        }
        let known = lock(&self.roots).get(service.name.as_str()).cloned();
        let root = match known {
            Some(root) if root.fits(&spec) => root,
            _ => {
                let root = Arc::new(ReadyRoot::make(&spec)?);
                lock(&self.roots).insert(service.name.to_string(), Arc::clone(&root));
                root
            }
        };
        Ok(root.seal(&spec, targets)?)
    }

    /// Whether this daemon shall start again, asked once.
    fn takes_restart(&self, daemon: &str) -> bool {
        lock(&self.to_restart).remove(daemon)
    }

    fn channel(&self, name: &str) -> Result<(&Service, &Channel), RuntimeError> {
        // The manifest's check has seen to it.
        self.app
            .channel(name)
            .ok_or_else(|| RuntimeError::Unsupported(format!("channel {name}: nobody provides it")))
    }
}

/// A panicking thread ends the supervisor (`panic = "abort"`), so a poisoned
/// lock is met in tests only, and then the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_lifetime(app: &App, wanted: impl Fn(Lifetime) -> bool) -> impl Iterator<Item = &Service> {
    app.services
        .iter()
        .filter(move |service| wanted(service.lifetime))
}

/// A link for every service that reaches the internet.
fn egress_of(app: &App) -> Result<BTreeMap<String, Egress>, RuntimeError> {
    let with_egress = app.services.iter().filter(|s| !s.egress.is_empty());
    with_egress
        .zip(0u8..)
        .map(|(service, link)| {
            if link >= crate::egress::MOST {
                let words = format!(
                    "{}: more than {} services with egress",
                    service.name,
                    crate::egress::MOST
                );
                return Err(RuntimeError::Unsupported(words));
            }
            let ports = |protocol: Protocol| {
                let with = service.egress.iter();
                let with = with.filter(|egress| egress.protocols.contains(&protocol));
                with.map(|egress| egress.port).collect()
            };
            let egress = Egress {
                link,
                tcp: ports(Protocol::Tcp),
                udp: ports(Protocol::Udp),
            };
            Ok((service.name.to_string(), egress))
        })
        .collect()
}

/// Binds the sockets of channels whose provider is given a listening one.
fn listening_sockets(
    app: &App,
    folder: &Path,
) -> Result<BTreeMap<String, (PathBuf, UnixListener)>, RuntimeError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(RuntimeError::io(folder.display().to_string()))?;
    let channels = app.services.iter().flat_map(|service| &service.provides);
    channels
        .filter(|channel| channel.kind == ChannelKind::Connected(Server::Listening))
        .map(|channel| {
            let path = folder.join(channel.name.as_str());
            // A supervisor that was killed has left its own.
            std::fs::remove_file(&path).ok();
            let listener =
                UnixListener::bind(&path).map_err(RuntimeError::io(path.display().to_string()))?;
            Ok((channel.name.to_string(), (path, listener)))
        })
        .collect()
}

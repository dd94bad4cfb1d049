//! One daemon of an app: started, watched, started again, dialled, stopped.

use super::backoff::Backoff;
use super::inside::{self, Inside};
use super::{RuntimeError, Shared, journal};
use crate::descriptors::{FIRST, descriptors};
use manifest::{ChannelKind, Server, Service};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;
use sandbox::{Child, Dialer};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a daemon may take to end when it is asked to.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// How long a daemon's full queue may hold who dials it.
const DIALLING: Duration = Duration::from_secs(5);

/// A daemon and what is known of it.
#[derive(Debug)]
pub(super) struct Daemon {
    name: String,
    /// Its ports of the box, by descriptor name. They stay open while it does
    /// not run, so that a connection waits and is not refused.
    listeners: Vec<(String, u16, Option<TcpListener>)>,
    /// The ports on which it serves channels inside.
    serves: Vec<u16>,
    child: Option<Child>,
    /// The ports of the channels that it uses, inside this child.
    inside: Inside,
    /// The `listener` channels that it provides, and which socket this child has.
    holds: Vec<(String, u64)>,
    /// Whether this child has answered once. Asking again and again would be
    /// work and log lines for it.
    answered: bool,
    started: Instant,
    backoff: Backoff,
}

impl Daemon {
    /// Describes it.
    pub(super) fn new(service: &Service) -> Self {
        let serves = service.provides.iter();
        let serves = serves.filter_map(|channel| match channel.kind {
            ChannelKind::Connected(Server::Port(port)) | ChannelKind::Relay { port } => Some(port),
            _ => None,
        });
        let listeners = service.listen.iter();
        Self {
            name: service.name.to_string(),
            listeners: listeners
                .map(|listen| (listen.to.to_string(), listen.port, None))
                .collect(),
            serves: serves.collect(),
            child: None,
            inside: Inside::default(),
            holds: Vec::new(),
            answered: false,
            started: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    /// Starts it if it does not run and its pause is over. Returns whether it
    /// runs and answers on every port of its channels.
    pub(super) fn keep_running(&mut self, shared: &Arc<Shared>) -> bool {
        // Asked in any case: one that starts now begins with what is set now.
        let restart = shared.takes_restart(&self.name);
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) if restart || self.holds_an_old_listener(shared) => self.end(shared),
                Ok(None) => {
                    self.answered = self.answered || self.answers();
                    return self.answered;
                }
                ended => {
                    let how = format!("{ended:?}");
                    self.end(shared);
                    self.failed(shared, &format!("ended ({how})"));
                }
            }
        }
        if !self.backoff.is_over() || self.waits_for_a_user(shared) {
            return false;
        }
        self.started = Instant::now();
        self.answered = false;
        match self.start(shared) {
            Ok(child) => self.child = Some(child),
            Err(error) => self.failed(shared, &format!("not started: {error}")),
        }
        false
    }

    /// Whether the user of a `listener` has a new sandbox, and so a new socket.
    fn holds_an_old_listener(&self, shared: &Shared) -> bool {
        self.holds.iter().any(|(channel, mine)| {
            let now = shared.listeners.number(channel);
            now.is_some_and(|now| now != *mine)
        })
    }

    /// Whether the user of a `listener` does not run, in whose network it is.
    fn waits_for_a_user(&self, shared: &Shared) -> bool {
        let provides = shared.app.service(&self.name).map(|own| &own.provides);
        provides.into_iter().flatten().any(|channel| {
            let listener = matches!(channel.kind, ChannelKind::Listener { .. });
            listener && shared.listeners.number(channel.name.as_str()).is_none()
        })
    }

    fn failed(&mut self, shared: &Shared, how: &str) {
        let pause = self.backoff.ended(self.started.elapsed());
        let name = &self.name;
        shared
            .journal
            .event(&format!("{name}: {how}; again in {pause:?}"));
    }

    fn start(&mut self, shared: &Arc<Shared>) -> Result<Child, RuntimeError> {
        self.holds.clear();
        let name = self.name.clone();
        let service = shared
            .app
            .service(&name)
            .ok_or_else(|| RuntimeError::Down(name.clone()))?;
        let mut fds: Vec<(OwnedFd, RawFd)> = Vec::new();
        let errors = journal::standard_error(&shared.journal, &name)?;
        fds.push((errors, 2));
        for (wanted, number) in descriptors(&shared.app, service).into_iter().zip(FIRST..) {
            fds.push((self.end_of(shared, wanted)?, number));
        }
        let spec = shared.spec(service, "")?;
        let egress = shared.egress.get(&name);
        let mut bound = Vec::new();
        let child = sandbox::spawn_prepared(&spec, fds, |pid| {
            bound = inside::bind(shared, service, pid)?;
            match egress {
                Some(egress) => crate::egress::connect(egress, pid).map_err(io::Error::other),
                None => Ok(()),
            }
        })?;
        self.inside = Inside::open(shared, bound)?;
        Ok(child)
    }

    /// The descriptor of this name.
    fn end_of(&mut self, shared: &Shared, wanted: &str) -> Result<OwnedFd, RuntimeError> {
        let what = || format!("{}: {wanted}", self.name);
        if let Some((_, port, listener)) = self.listeners.iter_mut().find(|(to, ..)| to == wanted) {
            let listener = match listener {
                Some(listener) => listener,
                // `[::]` takes IPv4 as well (ipv6(7), IPV6_V6ONLY is off).
                None => {
                    let bound = TcpListener::bind(("::", *port))
                        .map_err(RuntimeError::io(format!("port {port}")))?;
                    listener.insert(bound)
                }
            };
            let end = listener.try_clone();
            return end.map(Into::into).map_err(RuntimeError::io(what()));
        }
        let (provider, channel) = shared.channel(wanted)?;
        if provider.name.as_str() != self.name {
            return shared.dial_daemon(wanted);
        }
        match channel.kind {
            ChannelKind::Listener { .. } => {
                let (number, end) = shared.listeners.copy(wanted)?;
                self.holds.push((wanted.to_owned(), number));
                Ok(end)
            }
            ChannelKind::Passed { .. } => shared.takers.renew(wanted),
            _ => {
                let end = shared.listening[wanted].1.try_clone();
                end.map(Into::into).map_err(RuntimeError::io(what()))
            }
        }
    }

    fn answers(&self) -> bool {
        self.serves.iter().all(|port| self.dial(*port).is_ok())
    }

    fn dial(&self, port: u16) -> Result<TcpStream, RuntimeError> {
        self.dialer()?
            .connect_tcp(port)
            .map_err(RuntimeError::io(self.name.clone()))
    }

    /// What connects to its ports inside. Dialling may take seconds, in which
    /// nobody should hold the daemon.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn dialer(&self) -> Result<Dialer, RuntimeError> {
        match &self.child {
            Some(child) => child.dialer().map_err(RuntimeError::io(self.name.clone())),
            None => Err(RuntimeError::Down(self.name.clone())),
        }
    }

    /// Its pid on the host.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Child::pid)
    }

    /// Asks it to end (SIGTERM).
    pub(super) fn ask_to_end(&mut self) {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            // It has not been reaped, so the pid is still its own.
            kill(child.pid(), Signal::SIGTERM).ok();
        }
    }

    /// Ends it for good, at the latest at `end`; it has been asked.
    pub(super) fn stop(&mut self, shared: &Shared, end: Instant) {
        self.listeners.clear();
        self.end_until(shared, end);
    }

    /// Asks it to end, and makes it.
    fn end(&mut self, shared: &Shared) {
        self.ask_to_end();
        self.end_until(shared, Instant::now() + FAREWELL);
    }

    /// Waits until it has ended, then kills it; closes what was open inside.
    fn end_until(&mut self, shared: &Shared, end: Instant) {
        if let Some(mut child) = self.child.take() {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.inside.close(shared);
    }
}

impl Shared {
    /// The user's end of a channel that a daemon provides.
    pub(super) fn dial_daemon(&self, channel: &str) -> Result<OwnedFd, RuntimeError> {
        let (provider, found) = self.channel(channel)?;
        match found.kind {
            ChannelKind::Connected(Server::Port(port)) => {
                let name = provider.name.as_str();
                let daemon = self.daemons.get(name);
                let daemon = daemon.ok_or_else(|| RuntimeError::Down(name.to_owned()))?;
                let dialer = super::lock(daemon).dialer()?;
                let stream = dialer.connect_tcp(port).map_err(RuntimeError::io(name))?;
                Ok(stream.into())
            }
            ChannelKind::Connected(Server::Listening) => {
                let (path, _) = &self.listening[channel];
                let dialled = dial_unix(path, DIALLING);
                dialled.map_err(|errno| RuntimeError::io(channel)(errno.into()))
            }
            kind => Err(RuntimeError::Unsupported(format!(
                "{channel}: a channel of kind {kind:?} to a daemon"
            ))),
        }
    }
}

/// Connects to a Unix socket. Where the queue of the one that listens is full,
/// connect(2) waits for room: `most` at the most.
fn dial_unix(path: &Path, most: Duration) -> nix::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Unix, SockType::Stream);
    let made = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    let limit = |time| setsockopt(&made, sockopt::SendTimeout, &time);
    limit(TimeVal::milliseconds(most.as_millis() as i64))?;
    connect(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    // Its user sets its own.
    limit(TimeVal::milliseconds(0))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::sys::socket::{Backlog, bind, listen};

    #[test]
    fn who_dials_a_daemon_whose_queue_is_full_waits_for_a_time_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon");
        let hung = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        let hung = hung.unwrap();
        bind(hung.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&hung, Backlog::new(1).unwrap()).unwrap();
        let most = Duration::from_millis(200);
        let begun = Instant::now();
        let dialled: Vec<_> = (0..4).map(|_| dial_unix(&path, most)).collect();
        assert!(dialled[0].is_ok());
        assert_eq!(dialled[3].as_ref().unwrap_err(), &Errno::EAGAIN);
        let took = begun.elapsed();
        assert!((most..most * 20).contains(&took), "{took:?}");
    }
}

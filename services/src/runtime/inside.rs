//! The ports on 127.0.0.1 that the supervisor has inside a daemon's network
//! namespace: one for each channel over TCP that the daemon uses.
//!
//! All are bound before the daemon's program runs. A `listener` is then its
//! provider's; at a port of a `passed` or `relay` channel a thread accepts, and
//! hands over what comes, or makes a sandbox for it ([`door::inside`]). Nobody is
//! refused while a provider is away.

use super::{RuntimeError, Shared, door, lock, parts};
use manifest::{ChannelKind, Service};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a thread looks whether it is to end.
const LOOK: u16 = 200;
/// How long it waits when nobody takes a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound port, and the channel that it is for.
pub(super) type Bound = (String, ChannelKind, TcpListener);

/// Binds the ports of `user` in the namespace of `pid`, whose program does not
/// run yet.
///
/// # Errors
/// The system's, with the port.
pub(super) fn bind(shared: &Shared, user: &Service, pid: Pid) -> io::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for name in &user.uses {
        let (_, channel) = shared.channel(name.as_str()).map_err(io::Error::other)?;
        if let ChannelKind::Listener { port }
        | ChannelKind::Passed { port }
        | ChannelKind::Relay { port } = channel.kind
        {
            let listener = sandbox::bind_tcp_early(pid, port)?;
            bound.push((name.to_string(), channel.kind, listener));
        }
    }
    Ok(bound)
}

/// The ports inside one sandbox that runs.
#[derive(Debug, Default)]
pub(super) struct Inside {
    listeners: Vec<String>,
    doors: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Inside {
    /// Brings each port to its provider.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn open(shared: &Arc<Shared>, bound: Vec<Bound>) -> Result<Self, RuntimeError> {
        let mut inside = Self::default();
        for (channel, kind, listener) in bound {
            if let ChannelKind::Listener { .. } = kind {
                shared.listeners.put(&channel, listener);
                inside.listeners.push(channel);
                continue;
            }
            let opened = match shared.channel(&channel) {
                Ok((provider, found)) if parts::is_made_for_each(provider, found) => {
                    door::inside(shared, provider, &channel, listener)
                }
                _ => handing(shared, channel, listener),
            };
            match opened.map_err(RuntimeError::io("a thread")) {
                Ok(door) => inside.doors.push(door),
                Err(error) => {
                    inside.close(shared);
                    return Err(error);
                }
            }
        }
        Ok(inside)
    }

    /// Closes them: the sandbox is gone.
    pub(super) fn close(&mut self, shared: &Shared) {
        for channel in self.listeners.drain(..) {
            shared.listeners.remove(&channel);
        }
        for (closing, _) in &self.doors {
            closing.store(true, Ordering::Relaxed);
        }
        for (_, thread) in self.doors.drain(..) {
            thread.join().ok();
        }
    }
}

/// A thread that hands over what comes.
fn handing(
    shared: &Arc<Shared>,
    channel: String,
    listener: TcpListener,
) -> io::Result<(Arc<AtomicBool>, JoinHandle<()>)> {
    listener.set_nonblocking(true)?;
    let closing = Arc::new(AtomicBool::new(false));
    let (told, shared) = (Arc::clone(&closing), Arc::clone(shared));
    let thread = std::thread::Builder::new()
        .name("inside-port".into())
        .stack_size(128 << 10)
        .spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(LOOK)).ok();
                match listener.accept() {
                    Ok((connection, _)) => bring(&shared, &channel, &connection, &told),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        })?;
    Ok((closing, thread))
}

/// Brings a connection to whom it is for, however long that is away.
fn bring(shared: &Shared, channel: &str, connection: &TcpStream, closing: &AtomicBool) {
    let Some(far) = until(closing, || shared.far_end(channel).ok()) else {
        return;
    };
    let mut ends = vec![connection.as_fd()];
    ends.extend(far.as_ref().map(AsFd::as_fd));
    until(closing, || {
        shared.takers.offer(channel, &ends).then_some(())
    });
}

/// Tries until it succeeds; `None` when the port closes before.
fn until<T>(closing: &AtomicBool, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    while !closing.load(Ordering::Relaxed) {
        if let Some(done) = attempt() {
            return Some(done);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

impl Shared {
    /// The far end of a connection of a `relay` channel; `None` for one that is
    /// `passed`, as it has no other end.
    ///
    /// # Errors
    /// When the provider does not listen now.
    fn far_end(&self, channel: &str) -> Result<Option<TcpStream>, RuntimeError> {
        let (provider, found) = self.channel(channel)?;
        let ChannelKind::Relay { port } = found.kind else {
            return Ok(None);
        };
        let name = provider.name.as_str();
        let daemon = self.daemons.get(name);
        let daemon = daemon.ok_or_else(|| RuntimeError::Down(name.to_owned()))?;
        let dialer = lock(daemon).dialer()?;
        let dialled = dialer.connect_tcp(port);
        dialled.map(Some).map_err(RuntimeError::io(name))
    }
}

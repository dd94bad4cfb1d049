//! One connection from outside: its own sandbox of each per-connection service,
//! joined by the channels of the manifest, and none of them left behind.

use super::zygotes::MessageChild;
use super::{RuntimeError, Shared, journal, once};
use crate::descriptors::{FIRST, descriptors};
use manifest::{ChannelKind, Lifetime, Server, Service};
use sandbox::{Child, Exit};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the others may take to end after the service that spoke with the
/// stranger, before they are killed.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// How long a connection waits for a part that has just failed.
const RECOVERY: Duration = Duration::from_secs(60);

/// What is made for one connection. Dropping it kills and removes all of it.
#[derive(Debug, Default)]
struct Visit {
    /// The descriptors of services that are not started yet, by service and name.
    ends: BTreeMap<(String, String), OwnedFd>,
    children: Vec<(String, Child)>,
    messages: Vec<MessageChild>,
}

/// Makes the sandboxes for `connection`, which the service `name` gets as `to`,
/// waits for their end and destroys them.
///
/// # Errors
/// What of it could not be made, with the connection, to which nothing was said
/// yet; or, without it, how it ended otherwise than by itself.
pub(super) fn serve(
    shared: &Arc<Shared>,
    name: &str,
    to: &str,
    connection: TcpStream,
    number: u64,
) -> Result<(), (RuntimeError, Option<TcpStream>)> {
    // A copy: what could not be started has taken the other along.
    let copy = match connection.try_clone() {
        Ok(copy) => copy,
        Err(error) => return Err((RuntimeError::io(name)(error), Some(connection))),
    };
    match begin(shared, name, to, copy, number) {
        Ok((visit, deadline)) => {
            // Or the sender would wait for us when the front has ended.
            drop(connection);
            visit
                .finish(shared, deadline)
                .map_err(|error| (error, None))
        }
        Err(error) => Err((error, Some(connection))),
    }
}

/// Makes the sandboxes and starts them. Returns when they are to end.
fn begin(
    shared: &Arc<Shared>,
    name: &str,
    to: &str,
    connection: TcpStream,
    number: u64,
) -> Result<(Visit, Instant), RuntimeError> {
    let front = service(shared, name)?;
    let Lifetime::PerConnection { deadline } = front.lifetime else {
        return Err(RuntimeError::Unsupported(format!(
            "{name}: not per-connection"
        )));
    };
    let end = Instant::now() + deadline;
    let give_up = end.min(Instant::now() + RECOVERY);
    let mut visit = loop {
        // Something may have died since the last look; then it is started again.
        let left = give_up.saturating_duration_since(Instant::now());
        if !shared.wait_ready(left) {
            return Err(RuntimeError::Down(shared.app.name.to_string()));
        }
        match Visit::of(shared, front) {
            Ok(visit) => break visit,
            Err(error) if Instant::now() < give_up => {
                shared
                    .journal
                    .event(&format!("{name}-{number}: {error}; again"));
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(error) => return Err(error),
        }
    };
    visit.put(name, to, connection.into());
    visit.start(shared, front, number)?;
    Ok((visit, end))
}

impl Visit {
    /// All ends of all channels of `front` and of the services made with it.
    fn of(shared: &Arc<Shared>, front: &Service) -> Result<Self, RuntimeError> {
        let mut visit = Self::default();
        for member in members(shared, front)? {
            for channel in &member.uses {
                visit.join(shared, member, channel.as_str())?;
            }
        }
        Ok(visit)
    }

    fn put(&mut self, service: &str, name: &str, end: OwnedFd) {
        self.ends.insert((service.to_owned(), name.to_owned()), end);
    }

    /// Makes one channel that `user` uses.
    fn join(&mut self, shared: &Shared, user: &Service, name: &str) -> Result<(), RuntimeError> {
        let (provider, channel) = shared.channel(name)?;
        let end = match (channel.kind, provider.lifetime) {
            (ChannelKind::Connected(Server::Pair), Lifetime::PerConnection { .. }) => {
                let (ours, theirs) = UnixStream::pair().map_err(RuntimeError::io(name))?;
                self.put(provider.name.as_str(), name, theirs.into());
                ours.into()
            }
            (ChannelKind::Connected(Server::Pair), Lifetime::PerMessage { .. }) => {
                let zygotes = shared.zygotes.get(provider.name.as_str());
                let zygotes =
                    zygotes.ok_or_else(|| RuntimeError::Down(provider.name.to_string()))?;
                let (end, child) = zygotes.fork(provider)?;
                self.messages.push(child);
                end
            }
            _ => shared.dial_daemon(name)?,
        };
        self.put(user.name.as_str(), name, end);
        Ok(())
    }

    /// Starts the sandboxes, providers first.
    fn start(
        &mut self,
        shared: &Arc<Shared>,
        front: &Service,
        number: u64,
    ) -> Result<(), RuntimeError> {
        for member in members(shared, front)?.into_iter().rev() {
            let name = member.name.as_str();
            let instance = format!("{name}-{number}");
            let errors = journal::standard_error(&shared.journal, &instance)?;
            let mut fds: Vec<(OwnedFd, RawFd)> = vec![(errors, 2)];
            for (wanted, at) in descriptors(&shared.app, member).into_iter().zip(FIRST..) {
                let end = self.ends.remove(&(name.to_owned(), wanted.to_owned()));
                let end = end.ok_or_else(|| RuntimeError::Down(format!("{name}: {wanted}")))?;
                fds.push((end, at));
            }
            let child = sandbox::spawn(&shared.spec(member, &number.to_string())?, fds)?;
            self.children.push((instance, child));
        }
        Ok(())
    }

    /// Waits for the one that speaks with the stranger, then for the others.
    fn finish(mut self, shared: &Shared, mut end: Instant) -> Result<(), RuntimeError> {
        let mut odd = Vec::new();
        // The last one started is the front.
        while let Some((instance, mut child)) = self.children.pop() {
            match once::wait_or_stop(shared, &mut child, end)? {
                Some(Exit::Code(_)) => {}
                Some(exit) => odd.push(format!("{instance}: {exit:?}")),
                None if shared.is_stopping() => {}
                None => odd.push(format!("{instance}: took too long; killed")),
            }
            drop(child);
            // A scan that nobody waits for any more ends here.
            self.messages.clear();
            end = Instant::now() + AFTERWARDS;
        }
        match odd.is_empty() {
            true => Ok(()),
            false => Err(RuntimeError::Ended {
                service: shared.app.name.to_string(),
                how: odd.join(", "),
            }),
        }
    }
}

/// `front` and every per-connection service that it reaches, each before those
/// that it uses.
fn members<'a>(shared: &'a Shared, front: &'a Service) -> Result<Vec<&'a Service>, RuntimeError> {
    let mut found = vec![front];
    let mut next = 0;
    while let Some(member) = found.get(next).copied() {
        for channel in &member.uses {
            let (provider, _) = shared.channel(channel.as_str())?;
            let own = matches!(provider.lifetime, Lifetime::PerConnection { .. });
            if own && found.iter().all(|known| known.name != provider.name) {
                found.push(provider);
            }
        }
        next += 1;
    }
    Ok(found)
}

fn service<'a>(shared: &'a Shared, name: &str) -> Result<&'a Service, RuntimeError> {
    let found = shared.app.service(name);
    found.ok_or_else(|| RuntimeError::Down(name.to_owned()))
}

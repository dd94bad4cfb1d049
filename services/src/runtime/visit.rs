//! One connection from outside: its own sandbox of each per-connection service,
//! joined by the channels of the manifest, and none of them left behind.
//!
//! A [`Set`] is what there is of that before there is a connection: the children
//! for its message forked and in their cgroups, the pairs made, and each sandbox
//! sealed. What is dialled is added when it is used, and the connection last. A
//! set is used by value, so once. What few connections need is made when its user
//! has said something to it ([`when_used`](super::when_used)).

use super::message::MessageChild;
use super::receipt::{self, End, Receipt};
use super::when_used::{Made, Waiting};
use super::{RuntimeError, Shared, journal, once};
use crate::descriptors::{FIRST, descriptors};
use manifest::{Channel, ChannelKind, Lifetime, Server, Service};
use sandbox::{Child, Sealed};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// How long the others may take to end after the service that spoke with the
/// stranger, before they are killed.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// How often it is looked whether a message takes too long, or the app stops.
const LOOK: Duration = Duration::from_secs(1);

/// The ends of channels that are not given away yet, by service and name.
type Ends = BTreeMap<(String, String), OwnedFd>;

/// What is made for one connection, unused. Dropping it kills and removes all
/// of it.
#[derive(Debug)]
pub(super) struct Set {
    front: String,
    number: u64,
    made: Instant,
    created: SystemTime,
    ends: Ends,
    /// The service of each sandbox, providers first, the front last.
    members: Vec<(String, Sealed)>,
    messages: Vec<MessageChild>,
    waiting: Vec<Waiting>,
}

/// A set at work. Dropping it kills and removes all of it.
#[derive(Debug)]
pub(super) struct Visit {
    front: String,
    created: SystemTime,
    used: SystemTime,
    begun: Instant,
    /// Whose connection it is, if that could be told.
    peer: Option<IpAddr>,
    children: Vec<Child>,
    messages: Vec<MessageChild>,
    /// What is not made yet.
    waiting: Vec<Waiting>,
}

impl Set {
    /// Makes one for the service `front`.
    ///
    /// # Errors
    /// What of it could not be made.
    pub(super) fn make(shared: &Shared, front: &Service) -> Result<Self, RuntimeError> {
        let mut set = Self {
            front: front.name.to_string(),
            number: shared.numbers.fetch_add(1, Ordering::Relaxed) + 1,
            made: Instant::now(),
            created: SystemTime::now(),
            ends: Ends::new(),
            members: Vec::new(),
            messages: Vec::new(),
            waiting: Vec::new(),
        };
        let all = reached(shared, front)?;
        // First the pairs between members, some of which a child is handed.
        for user in &all {
            for name in &user.uses {
                set.pair(shared, user, name.as_str())?;
            }
        }
        for user in all.iter().filter(|user| is_member(user)) {
            for name in &user.uses {
                set.fork(shared, user, name.as_str())?;
            }
        }
        for member in all.into_iter().rev().filter(|member| is_member(member)) {
            if member.is_made_when_used() {
                let end = set.take(member, member.provides[0].name.as_str())?;
                set.waiting.push(Waiting::new(member, set.number, end));
                continue;
            }
            let sealed = seal(shared, member, set.number)?;
            set.members.push((member.name.to_string(), sealed));
        }
        for message in &mut set.messages {
            message.settle();
        }
        Ok(set)
    }

    /// How long ago it was made.
    pub(super) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// Whether its sandboxes are there, and the children of the zygotes that are
    /// asked now: an older one is to end, with its last child.
    pub(super) fn is_current(&self, shared: &Shared) -> bool {
        let mut members = self.members.iter();
        if members.any(|(_, sealed)| sealed.has_ended()) {
            return false;
        }
        self.messages.iter().all(|message| {
            let mut zygotes = shared.zygotes.values();
            let current = zygotes.any(|zygotes| zygotes.is_current(message.generation()));
            current && !message.has_ended()
        })
    }

    fn put(&mut self, service: &Service, name: &str, end: OwnedFd) {
        let key = (service.name.to_string(), name.to_owned());
        self.ends.insert(key, end);
    }

    /// Makes a channel that `user` uses, if it is one between two that are made
    /// for the same connection.
    fn pair(&mut self, shared: &Shared, user: &Service, name: &str) -> Result<(), RuntimeError> {
        let (provider, channel) = shared.channel(name)?;
        if is_pair(channel) && is_member(provider) {
            let (ours, theirs) = UnixStream::pair().map_err(RuntimeError::io(name))?;
            self.put(provider, name, theirs.into());
            self.put(user, name, ours.into());
        }
        Ok(())
    }

    /// Makes the child at the other end of a channel that `user` uses, if it is
    /// one to a per-message service.
    fn fork(&mut self, shared: &Shared, user: &Service, name: &str) -> Result<(), RuntimeError> {
        let (provider, channel) = shared.channel(name)?;
        if !is_pair(channel) || !matches!(provider.lifetime, Lifetime::PerMessage { .. }) {
            return Ok(());
        }
        let handed = provider
            .uses
            .iter()
            .map(|used| self.take(provider, used.as_str()));
        let handed = handed.collect::<Result<Vec<OwnedFd>, _>>()?;
        let borrowed: Vec<_> = handed.iter().map(AsFd::as_fd).collect();
        let zygotes = shared.zygotes.get(provider.name.as_str());
        let zygotes = zygotes.ok_or_else(|| RuntimeError::Down(provider.name.to_string()))?;
        let (end, child) = zygotes.fork(shared, provider, self.number, &borrowed)?;
        self.messages.push(child);
        self.put(user, name, end);
        Ok(())
    }

    fn take(&mut self, service: &Service, name: &str) -> Result<OwnedFd, RuntimeError> {
        let key = (service.name.to_string(), name.to_owned());
        let missing = || RuntimeError::Down(format!("{}: {name}", service.name));
        self.ends.remove(&key).ok_or_else(missing)
    }

    /// Starts it for `connection`, which the front gets as `to`. Nothing was said
    /// to the connection if this fails.
    ///
    /// # Errors
    /// What can't be dialled or started; the set is gone then.
    pub(super) fn start(
        mut self,
        shared: &Arc<Shared>,
        to: &str,
        connection: &TcpStream,
    ) -> Result<Visit, RuntimeError> {
        // First what may fail for a while.
        for (name, _) in &self.members {
            let member = service(shared, name)?;
            for channel in &member.uses {
                let key = (name.clone(), channel.to_string());
                if let Entry::Vacant(place) = self.ends.entry(key) {
                    place.insert(shared.dial_daemon(channel.as_str())?);
                }
            }
        }
        let front = service(shared, &self.front)?;
        // A copy: what can't be started takes it along.
        let copy = connection.try_clone().map_err(RuntimeError::io(to))?;
        self.put(front, to, copy.into());
        let mut visit = Visit {
            front: self.front.clone(),
            created: self.created,
            used: SystemTime::now(),
            begun: Instant::now(),
            peer: connection.peer_addr().ok().map(|peer| peer.ip()),
            children: Vec::new(),
            messages: std::mem::take(&mut self.messages),
            waiting: std::mem::take(&mut self.waiting),
        };
        for (name, sealed) in std::mem::take(&mut self.members) {
            let member = service(shared, &name)?;
            let wanted = descriptors(&shared.app, member);
            let ends = wanted.into_iter().map(|wanted| self.take(member, wanted));
            let ends = ends.collect::<Result<Vec<OwnedFd>, _>>()?;
            visit.children.push(unseal(shared, sealed, ends)?);
        }
        Ok(visit)
    }
}

impl Visit {
    /// Waits for the one that speaks with the stranger, at most until `end`, then
    /// for the others; destroys all of it and writes the receipt.
    ///
    /// # Errors
    /// How it ended otherwise than by itself.
    pub(super) fn finish(mut self, shared: &Shared, end: Instant) -> Result<(), RuntimeError> {
        let (mut until, mut ends, mut odd) = (end, Vec::new(), Vec::new());
        // The last one started is the front.
        while let Some(mut child) = self.children.pop() {
            let name = child.name().to_owned();
            let how = self.wait(shared, &mut child, until)?;
            match how {
                End::Exit(sandbox::Exit::Code(_)) | End::Killed => {}
                End::TooLong => odd.push(format!("{name}: took too long; killed")),
                End::Exit(exit) => odd.push(format!("{name}: {exit:?}")),
                End::Itself => {}
            }
            odd.extend(child.destroy().err().map(|error| error.to_string()));
            ends.push((name, how));
            // A scan that nobody waits for any more ends here.
            for message in self.messages.drain(..) {
                match message.finish() {
                    Ok(end) => ends.push(end),
                    Err(words) => odd.push(words),
                }
            }
            until = Instant::now() + AFTERWARDS;
        }
        let front = service(shared, &self.front)?;
        let receipt = Receipt {
            created: self.created,
            used: self.used,
            destroyed: SystemTime::now(),
            served: self.begun.elapsed(),
            outcome: receipt::outcome(front, ends[0].1),
            ends,
        };
        if let Some(peer) = self.peer {
            let peer = peer.to_canonical();
            shared.journal.served(&self.front, peer, &receipt.outcome);
        }
        shared.journal.receipt(&receipt.to_string());
        match odd.is_empty() {
            true => Ok(()),
            false => Err(RuntimeError::Ended {
                service: shared.app.name.to_string(),
                how: odd.join(", "),
            }),
        }
    }

    /// What is made now is waited for last of all.
    fn make_what_is_used(&mut self, shared: &Shared) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.make(shared) {
                Ok(Made::NotYet(waiting)) => self.waiting.push(waiting),
                Ok(Made::Now(child)) => self.children.insert(0, child),
                Ok(Made::Never) => {}
                Err(error) => shared.journal.event(&error.to_string()),
            }
        }
    }

    /// Waits for the end of `child`, at most until `end`, and looks after the
    /// messages meanwhile.
    fn wait(
        &mut self,
        shared: &Shared,
        child: &mut Child,
        end: Instant,
    ) -> Result<End, RuntimeError> {
        loop {
            let look = end.min(Instant::now() + LOOK);
            let used: Vec<_> = self.waiting.iter().map(AsFd::as_fd).collect();
            let exit = once::wait_beside(child, &used, look)?;
            // Also of what has ended: it may have said something just before.
            self.make_what_is_used(shared);
            if let Some(exit) = exit {
                return Ok(End::Exit(exit));
            }
            if shared.is_stopping() {
                return Ok(End::Killed);
            }
            if Instant::now() >= end {
                return Ok(End::TooLong);
            }
            for words in self.messages.iter_mut().filter_map(MessageChild::look) {
                shared.journal.event(&words);
            }
        }
    }
}

/// Whether each connection has a sandbox of its own of it.
fn is_member(service: &Service) -> bool {
    matches!(service.lifetime, Lifetime::PerConnection { .. })
}

fn is_pair(channel: &Channel) -> bool {
    matches!(
        channel.kind,
        ChannelKind::Connected(Server::Pair | Server::PairWhenUsed)
    )
}

/// A sealed sandbox of `service` for the connection of this number.
pub(super) fn seal(
    shared: &Shared,
    service: &Service,
    number: u64,
) -> Result<Sealed, RuntimeError> {
    let count = descriptors(&shared.app, service).len();
    let numbers = (FIRST..).take(count);
    let targets: Vec<RawFd> = [2].into_iter().chain(numbers).collect();
    shared.seal(service, &number.to_string(), &targets)
}

/// Starts it with `ends`, in the order of its descriptors.
pub(super) fn unseal(
    shared: &Shared,
    sealed: Sealed,
    ends: Vec<OwnedFd>,
) -> Result<Child, RuntimeError> {
    let errors = journal::standard_error(&shared.journal, sealed.name())?;
    let fds = [(errors, 2)]
        .into_iter()
        .chain(ends.into_iter().zip(FIRST..));
    Ok(sealed.start(fds.collect())?)
}

/// `front` and every service that is made for the same connection, or for its
/// message, each before those that it uses.
fn reached<'a>(shared: &'a Shared, front: &'a Service) -> Result<Vec<&'a Service>, RuntimeError> {
    let mut found = vec![front];
    let mut next = 0;
    while let Some(user) = found.get(next).copied() {
        for channel in &user.uses {
            let (provider, channel) = shared.channel(channel.as_str())?;
            if is_pair(channel) && found.iter().all(|known| known.name != provider.name) {
                found.push(provider);
            }
        }
        next += 1;
    }
    Ok(found)
}

/// The service of this name.
pub(super) fn service<'a>(shared: &'a Shared, name: &str) -> Result<&'a Service, RuntimeError> {
    let found = shared.app.service(name);
    found.ok_or_else(|| RuntimeError::Down(name.to_owned()))
}

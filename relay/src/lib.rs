//! The relay: carries bytes between two sockets, for channels of kind `relay`.
//!
//! The supervisor accepts on 127.0.0.1:port in the user's network namespace,
//! dials the same port in the provider's, and hands both sockets over
//! ([`channels::handed`]) as descriptor [`CONTROL`]. The relay copies in both
//! directions until both have ended; an end that says it is done is passed on
//! while the other direction goes on. It opens nothing itself, and looks at no
//! byte. [`MOST`] connections are carried at once; the next wait untaken.
//!
//! One thread with poll(2). A connection needs two buffers and never more: what
//! the one side does not take is not read from the other.

mod connection;

use channels::handed::{Handed, HandedError};
use connection::Connection;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

/// The name of its one descriptor: where it is handed the two ends of each
/// connection, the user's first.
pub const CONTROL: &str = "control";
/// Connections at once.
pub const MOST: usize = 32;
/// Descriptors that it needs at most: standard ones, the control socket, two a
/// connection.
pub const DESCRIPTORS: u64 = 4 + 2 * MOST as u64;
/// Its seccomp policy, for [`POLICY_NAME`] in messages.
pub const POLICY: &str = include_str!("../relay.seccomp");
/// What [`POLICY`] is compiled to.
pub const COMPILED_POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/relay.bpf"));
/// Where [`POLICY`] stands.
pub const POLICY_NAME: &str = "relay/relay.seccomp";

/// Why it stopped; all its connections are closed then.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A packet on the control socket was wrong.
    #[error("control: {0}")]
    Handed(#[from] HandedError),
    /// The system refused to wait.
    #[error("poll: {0}")]
    Poll(Errno),
}

/// Carries until the control socket has ended and the last connection as well.
///
/// # Errors
/// A connection that fails is closed, and is none. See [`RelayError`].
pub fn run(control: Handed<2>) -> Result<(), RelayError> {
    let mut control = Some(control);
    let mut connections: Vec<Connection> = Vec::new();
    while control.is_some() || !connections.is_empty() {
        let (is_offered, ready) = wait(control.as_ref(), &connections)?;
        for index in ready {
            connections[index].carry();
        }
        connections.retain(|connection| !connection.is_over());
        if !is_offered {
            continue;
        }
        match control.as_ref().map(Handed::receive).transpose()?.flatten() {
            Some(ends) => connections.extend(Connection::between(ends)),
            None => control = None,
        }
    }
    Ok(())
}

/// Waits for work: whether there is a new connection and a place for it, and
/// which of the others can go on.
fn wait(
    control: Option<&Handed<2>>,
    connections: &[Connection],
) -> Result<(bool, Vec<usize>), RelayError> {
    let control = control.filter(|_| connections.len() < MOST);
    let mut fds = Vec::new();
    let mut whose = Vec::new();
    for (index, connection) in connections.iter().enumerate() {
        for fd in connection.waits_for() {
            fds.push(fd);
            whose.push(index);
        }
    }
    fds.extend(control.map(|control| PollFd::new(control.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok((false, Vec::new())),
        Err(errno) => return Err(RelayError::Poll(errno)),
    }
    let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
    let is_offered = control.is_some() && fds.last().is_some_and(is_ready);
    let mut ready: Vec<usize> = whose
        .into_iter()
        .zip(&fds)
        .filter(|(_, fd)| is_ready(fd))
        .map(|(index, _)| index)
        .collect();
    ready.dedup();
    Ok((is_offered, ready))
}

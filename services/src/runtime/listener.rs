//! Channels of kind `listener`: a socket that is bound inside the user's network
//! namespace and that the provider listens on.
//!
//! The socket belongs to the user's sandbox: it comes and goes with it, and its
//! provider, which holds a copy, is started again with each new one. While only
//! the provider is away, connections wait in the socket's queue.

use super::{RuntimeError, lock};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

/// The sockets of all such channels, by the channel's name.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: u64,
    open: BTreeMap<String, (u64, TcpListener)>,
}

impl Listeners {
    /// The channel's user has a new sandbox with this socket.
    pub(super) fn put(&self, channel: &str, listener: TcpListener) {
        let mut state = lock(&self.state);
        state.made += 1;
        let made = state.made;
        state.open.insert(channel.to_owned(), (made, listener));
    }

    /// The user's sandbox is gone.
    pub(super) fn remove(&self, channel: &str) {
        lock(&self.state).open.remove(channel);
    }

    /// Which socket it is now, counted from the app's start.
    pub(super) fn number(&self, channel: &str) -> Option<u64> {
        let state = lock(&self.state);
        state.open.get(channel).map(|(number, _)| *number)
    }

    /// A copy for the provider, and its number.
    ///
    /// # Errors
    /// When the user does not run, or the system refuses.
    pub(super) fn copy(&self, channel: &str) -> Result<(u64, OwnedFd), RuntimeError> {
        let state = lock(&self.state);
        let waits = || RuntimeError::Down(format!("the user of {channel}"));
        let (number, listener) = state.open.get(channel).ok_or_else(waits)?;
        let copy = listener.try_clone().map_err(RuntimeError::io(channel))?;
        Ok((*number, copy.into()))
    }
}

//! Who takes the connections that the supervisor has accepted inside a user's
//! namespace: the provider of a `passed` channel, the program of a `relay`.
//!
//! A taker that is away loses nothing: its next self gets what comes then.

use super::{RuntimeError, lock};
use channels::handed;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

/// The supervisor's ends, by the channel's name.
#[derive(Debug, Default)]
pub(super) struct Takers {
    ends: Mutex<BTreeMap<String, OwnedFd>>,
}

impl Takers {
    /// The end for a taker that is about to start, in the place of its last self.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn renew(&self, channel: &str) -> Result<OwnedFd, RuntimeError> {
        let failed = |errno: Errno| RuntimeError::io(channel)(errno.into());
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let pair = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC);
        let (ours, theirs) = pair.map_err(failed)?;
        // The least that there is, a few packets: what its taker does not take
        // waits in the kernel's queue of the port, not here.
        setsockopt(&ours, sockopt::SndBuf, &1).map_err(failed)?;
        lock(&self.ends).insert(channel.to_owned(), ours);
        Ok(theirs)
    }

    /// Hands copies of `ends` over. `false` when the taker is away or busy.
    pub(super) fn offer(&self, channel: &str, ends: &[BorrowedFd<'_>]) -> bool {
        let sockets = lock(&self.ends);
        let socket = sockets.get(channel);
        socket.is_some_and(|socket| handed::send(socket.as_fd(), ends).is_ok())
    }
}

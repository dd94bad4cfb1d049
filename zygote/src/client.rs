//! The supervisor's side: waits until the zygote is loaded, asks for children.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::protocol::{CHILD, ERROR, FORK, MOST_BYTES, MOST_HANDED, READY};
use crate::sys;

/// A zygote, seen through its control socket. Dropping it ends the zygote and
/// all of its children.
#[derive(Debug)]
pub struct Zygote {
    control: OwnedFd,
}

/// Why the zygote gave no child. After any but [`ClientError::Refused`] and
/// [`ClientError::TooMany`], it is to be replaced.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It ended: its log has the reason.
    #[error("the zygote ended; its log says why")]
    Ended,
    /// Nothing came in time.
    #[error("the zygote said nothing for {0:?}; replace it")]
    Silent(Duration),
    /// It runs, and can't make a child now.
    #[error("the zygote refused: {0}")]
    Refused(String),
    /// More than a child can be given; it was not asked.
    #[error("{0} descriptors for one child, but at most {MOST_HANDED} can be handed over")]
    TooMany(usize),
    /// It said what the protocol does not have.
    #[error("the zygote answered {0:?} with {1} descriptors, which means nothing; replace it")]
    Unexpected(String, usize),
    /// The control socket failed.
    #[error("the zygote's control socket: {0}")]
    Socket(#[from] Errno),
}

impl Zygote {
    /// Takes the supervisor's end of a pair of `SOCK_SEQPACKET` Unix sockets;
    /// the zygote has the other, as the descriptor named
    /// [`CONTROL`](crate::protocol::CONTROL).
    pub fn from_socket(control: OwnedFd) -> Zygote {
        Zygote { control }
    }

    /// Waits until the rules are loaded: a second on a PC, 25 in an emulator.
    ///
    /// # Errors
    /// The zygote ended, or was silent for `most`.
    pub fn wait_ready(&mut self, most: Duration) -> Result<(), ClientError> {
        match self.receive(most)? {
            (text, fds) if text == [READY] && fds.is_empty() => Ok(()),
            answer => Err(unexpected(answer)),
        }
    }

    /// Asks for a child and waits for it: milliseconds. Returns its socket, a
    /// connected Unix stream, and its pidfd, which is readable (poll) once it
    /// has ended; `pidfd_send_signal` kills it. Its exit status is the
    /// zygote's. It ends by itself when the socket closes before a whole
    /// message came; a deadline is the caller's to keep.
    ///
    /// The child has `handed`, at most [`MOST_HANDED`], at
    /// [`FIRST_HANDED`](crate::protocol::FIRST_HANDED) and the numbers after it,
    /// in this order. The zygote keeps no copy; the caller may close its own.
    ///
    /// # Errors
    /// As for [`Zygote::wait_ready`], when the kernel gives no child, and when
    /// there are too many descriptors.
    pub fn fork(
        &mut self,
        handed: &[BorrowedFd],
        most: Duration,
    ) -> Result<(OwnedFd, OwnedFd), ClientError> {
        if handed.len() > MOST_HANDED {
            return Err(ClientError::TooMany(handed.len()));
        }
        let numbers: Vec<_> = handed.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let along = if numbers.is_empty() { &[][..] } else { &rights };
        let packet = [IoSlice::new(&[FORK])];
        let control = self.control.as_raw_fd();
        match sendmsg::<()>(control, &packet, along, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ClientError::Ended),
            Err(e) => return Err(e.into()),
        }
        let (text, fds) = self.receive(most)?;
        match (text.split_first(), <[OwnedFd; 2]>::try_from(fds)) {
            (Some((&CHILD, [])), Ok([socket, pidfd])) => Ok((socket, pidfd)),
            (Some((&ERROR, why)), Err(fds)) if fds.is_empty() => {
                Err(ClientError::Refused(printable(why)))
            }
            (_, Ok(fds)) => Err(unexpected((text, fds.into()))),
            (_, Err(fds)) => Err(unexpected((text, fds))),
        }
    }

    /// One packet with what came along.
    fn receive(&self, most: Duration) -> Result<(Vec<u8>, Vec<OwnedFd>), ClientError> {
        let end = Instant::now() + most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be a busy loop.
            let wait = PollTimeout::try_from(left + Duration::from_millis(1));
            let mut fds = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, wait.unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => return Err(ClientError::Silent(most)),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => break,
                Err(e) => return Err(e.into()),
            }
        }
        let mut bytes = [0; MOST_BYTES];
        let mut space = nix::cmsg_space!([i32; 2]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let control = self.control.as_raw_fd();
        let message = recvmsg::<()>(control, &mut slices, Some(&mut space), flags);
        let message = match message {
            Err(Errno::ECONNRESET) => return Err(ClientError::Ended),
            result => result?,
        };
        let mut fds = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                fds.extend(numbers.into_iter().map(sys::owned));
            }
        }
        let length = message.bytes;
        if length == 0 && fds.is_empty() {
            return Err(ClientError::Ended);
        }
        Ok((bytes[..length].to_vec(), fds))
    }
}

impl AsFd for Zygote {
    /// The control socket, to poll: it is readable when the zygote has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

fn unexpected((text, fds): (Vec<u8>, Vec<OwnedFd>)) -> ClientError {
    ClientError::Unexpected(printable(&text), fds.len())
}

fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

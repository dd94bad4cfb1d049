//! Connections that the supervisor accepts and hands over: the provider's end
//! of a channel of kind `passed`, and the control socket of the relay.
//!
//! The provider holds a Unix socket of type `SOCK_SEQPACKET`. Each packet is one
//! byte, [`MARK`], with a fixed number of descriptors (unix(7), SCM_RIGHTS): one
//! connection, or the two ends that the relay joins. The provider says nothing.

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockType, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

mod sys;

/// The byte of a packet; a packet without any would look like the end.
pub const MARK: u8 = b'c';
/// The most descriptors of a packet.
const MOST: usize = 2;

/// Why nothing was handed over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandedError {
    /// The descriptor is not a socket of packets.
    #[error("the descriptor is not a SOCK_SEQPACKET socket")]
    Kind,
    /// A packet is not as the supervisor makes them, or this process has no
    /// number left for a descriptor of it (RLIMIT_NOFILE).
    #[error("a packet without its byte or its {0} descriptors")]
    Packet(usize),
    /// The system refused.
    #[error("receiving a connection: {0}")]
    System(#[from] Errno),
}

/// Where packets of `N` descriptors (1 or 2) arrive.
#[derive(Debug)]
pub struct Handed<const N: usize> {
    socket: OwnedFd,
}

impl<const N: usize> Handed<N> {
    /// Takes the descriptor that the supervisor has passed.
    ///
    /// # Errors
    /// When it is not a socket of packets.
    pub fn from_socket(socket: OwnedFd) -> Result<Self, HandedError> {
        const { assert!(N >= 1 && N <= MOST) };
        match getsockopt(&socket, sockopt::SockType) {
            Ok(SockType::SeqPacket) => Ok(Self { socket }),
            _ => Err(HandedError::Kind),
        }
    }

    /// Waits for the next packet, and owns what it brings, close-on-exec.
    /// `None` when the supervisor hands over nothing any more.
    ///
    /// # Errors
    /// When the packet is not whole; what came of it is closed.
    pub fn receive(&self) -> Result<Option<[OwnedFd; N]>, HandedError> {
        let mut byte = [0];
        let mut space = nix::cmsg_space!([RawFd; MOST]);
        let mut slices = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            let number = self.socket.as_raw_fd();
            match recvmsg::<()>(number, &mut slices, Some(&mut space), flags) {
                Err(Errno::EINTR) => {}
                // The other end was closed with packets of nobody's in it.
                Err(Errno::ECONNRESET) => return Ok(None),
                other => break other?,
            }
        };
        let mut ends = Vec::new();
        // An error would mean that the space is too small, and then nothing came.
        for part in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                ends.extend(numbers.into_iter().map(sys::own));
            }
        }
        let length = message.bytes;
        if length == 0 && ends.is_empty() {
            return Ok(None);
        }
        let whole = length == 1 && byte == [MARK];
        match ends.try_into() {
            Ok(ends) if whole => Ok(Some(ends)),
            _ => Err(HandedError::Packet(N)),
        }
    }
}

impl<const N: usize> AsFd for Handed<N> {
    /// To poll: readable when a packet is there, or the end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The supervisor's side: hands over copies of `ends`, without waiting.
///
/// # Errors
/// EAGAIN when the provider has not taken the earlier ones, EPIPE or ECONNRESET
/// when it is gone.
pub fn send(socket: BorrowedFd<'_>, ends: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let numbers: Vec<RawFd> = ends.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let bytes = [IoSlice::new(&[MARK])];
    sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, flags, None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, socketpair};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn a_connection_that_is_handed_over_works_and_then_comes_the_end() {
        let (ours, theirs) = pair(SockType::SeqPacket);
        let handed = Handed::<1>::from_socket(theirs).unwrap();
        let (mut stranger, connection) = UnixStream::pair().unwrap();
        send(ours.as_fd(), &[connection.as_fd()]).unwrap();
        drop(connection);
        let [got] = handed.receive().unwrap().unwrap();
        stranger.write_all(b"hello").unwrap();
        drop(ours);
        let mut text = [0; 5];
        UnixStream::from(got).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        assert_eq!(
            stranger.read(&mut text).unwrap(),
            0,
            "one copy is left over"
        );
        assert!(handed.receive().unwrap().is_none());
    }

    #[test]
    fn a_packet_of_another_shape_is_refused_and_closed() {
        let (ours, theirs) = pair(SockType::SeqPacket);
        let handed = Handed::<1>::from_socket(theirs).unwrap();
        let (mut left, right) = UnixStream::pair().unwrap();
        send(ours.as_fd(), &[right.as_fd(), right.as_fd()]).unwrap();
        send(ours.as_fd(), &[]).unwrap();
        drop(right);
        assert_eq!(handed.receive().unwrap_err(), HandedError::Packet(1));
        assert_eq!(handed.receive().unwrap_err(), HandedError::Packet(1));
        assert_eq!(left.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn who_is_gone_or_takes_nothing_is_an_error_and_not_waited_for() {
        let (ours, theirs) = pair(SockType::SeqPacket);
        let all = (0..10_000).find_map(|_| send(ours.as_fd(), &[ours.as_fd()]).err());
        assert_eq!(all, Some(Errno::EAGAIN));
        drop(theirs);
        let gone = send(ours.as_fd(), &[ours.as_fd()]).unwrap_err();
        assert!(matches!(gone, Errno::EPIPE | Errno::ECONNRESET), "{gone}");
    }

    #[test]
    fn a_stream_is_not_taken_for_a_socket_of_packets() {
        let (_ours, theirs) = pair(SockType::Stream);
        let error = Handed::<1>::from_socket(theirs).unwrap_err();
        assert_eq!(error, HandedError::Kind);
    }
}

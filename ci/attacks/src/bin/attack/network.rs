//! Addresses of every family, and sockets that are a power by themselves.

use crate::{HOST, Outcome};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, UnixAddr, connect,
    recv, send, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

fn made(family: AddressFamily, kind: SockType) -> Result<OwnedFd, Errno> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, None)
}

fn connected(address: &str, kind: SockType) -> Result<OwnedFd, Errno> {
    let address: SocketAddr = address.parse().map_err(|_| Errno::EINVAL)?;
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = made(family, kind)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// Connects to somebody who listens.
pub(crate) fn tcp(address: &str) -> Outcome {
    connected(address, SockType::Stream).map(drop)
}

/// Asks somebody who answers everything.
pub(crate) fn udp(address: &str) -> Outcome {
    let socket = connected(address, SockType::Datagram)?;
    send(socket.as_raw_fd(), b"hello", MsgFlags::empty())?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(300))?;
    recv(socket.as_raw_fd(), &mut [0; 8], MsgFlags::empty()).map(drop)
}

/// Connects to a Unix socket without a path: unix(7).
pub(crate) fn unix_abstract(name: &str) -> Outcome {
    let socket = made(AddressFamily::Unix, SockType::Stream)?;
    connect(
        socket.as_raw_fd(),
        &UnixAddr::new_abstract(name.as_bytes())?,
    )
}

/// Connects to a Unix socket of the host's.
pub(crate) fn unix_path(path: &str) -> Outcome {
    let socket = made(AddressFamily::Unix, SockType::Stream)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ENOENT) => {
            let path = format!("{HOST}{path}");
            connect(socket.as_raw_fd(), &UnixAddr::new(path.as_str())?)
        }
        result => result,
    }
}

/// Any IP packet: raw(7).
pub(crate) fn raw() -> Outcome {
    let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
    socket(AddressFamily::Inet, SockType::Raw, flags, protocol).map(drop)
}

/// Any frame: packet(7).
pub(crate) fn packet() -> Outcome {
    made(AddressFamily::Packet, SockType::Raw).map(drop)
}

/// The kernel's news about devices: netlink(7). Not `NETLINK_ROUTE`, which the
/// resolver may have.
pub(crate) fn netlink() -> Outcome {
    let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkKObjectUEvent);
    socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).map(drop)
}

/// The kernel's ciphers: Documentation/crypto/userspace-if.rst.
pub(crate) fn crypto() -> Outcome {
    asked(made(AddressFamily::Alg, SockType::SeqPacket))
}

/// The machine that this one may be a guest of: vsock(7).
pub(crate) fn vsock() -> Outcome {
    asked(made(AddressFamily::Vsock, SockType::Stream))
}

/// A kernel that has no such family was asked for it.
fn asked(made: Result<OwnedFd, Errno>) -> Outcome {
    match made {
        Ok(_) | Err(Errno::EAFNOSUPPORT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

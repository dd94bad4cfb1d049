//! A sandbox's own network, and the way of its parent into it.
//!
//! A network namespace begins empty. The sandbox may have its loopback, and
//! its parent may put an interface there ([`crate::spawn_prepared`]). Which
//! TCP ports it may then use is Landlock's; UDP is not, so that is a matter of
//! what interfaces and system calls it has.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
    sockopt::IpFreebind,
};
use nix::unistd::Pid;

use crate::spec::SpecError;

/// What a sandbox has of a network; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Whether `lo` is up, with 127.0.0.1 and ::1 of the sandbox's own.
    pub loopback: bool,
    /// Whether ports below 1024 take no capability in its own namespace
    /// (`ip_unprivileged_port_start`).
    pub unprivileged_ports: bool,
    /// The TCP ports that Landlock lets it use.
    pub tcp: Tcp,
}

/// Which TCP ports may be used, on any address; by default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tcp {
    /// Ports to bind. 0 stands for ports that the kernel chooses.
    pub bind: Vec<u16>,
    /// Ports to connect to.
    pub connect: Connect,
}

/// Ports that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connect {
    /// No port.
    #[default]
    None,
    /// These, none of them 0.
    Ports(Vec<u16>),
    /// Any port.
    Any,
}

pub(crate) fn check(network: &Network) -> Result<(), SpecError> {
    match &network.tcp.connect {
        Connect::Ports(ports) if ports.contains(&0) => Err(SpecError::ConnectPort),
        _ => Ok(()),
    }
}

/// Lets everyone in the network namespace of `process` bind low ports.
pub(crate) fn unprivileged_ports(process: BorrowedFd<'_>) -> io::Result<()> {
    // Below /proc/sys/net a thread finds what belongs to its own namespace.
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    inside(process, || fs::write(file, "0"))
}

/// Dials 127.0.0.1 inside. A full queue would keep the caller waiting, so this
/// tries for 5 s.
pub(crate) fn connect_tcp(process: BorrowedFd<'_>, port: u16) -> io::Result<TcpStream> {
    let timeout = Duration::from_secs(5);
    inside(process, || {
        TcpStream::connect_timeout(&local(port), timeout)
    })
}

/// Listens on 127.0.0.1 inside.
pub(crate) fn bind_tcp(process: BorrowedFd<'_>, port: u16) -> io::Result<TcpListener> {
    inside(process, || TcpListener::bind(local(port)))
}

/// Listens on 127.0.0.1 in the network namespace of a child that is still being
/// made: the time is that of `prepare` in [`crate::spawn_prepared`], whose pid
/// this is. So the port is there before the program runs, and its first
/// connection is not refused. The listener is close-on-exec.
///
/// # Errors
/// The system's, with the port.
pub fn bind_tcp_early(pid: Pid, port: u16) -> io::Result<TcpListener> {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net"))?;
    let made = inside(namespace.as_fd(), || {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        // The child brings its loopback up a moment later, and until then no
        // address is its own: ip(7), IP_FREEBIND.
        setsockopt(&socket, IpFreebind, &true)?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port))?;
        // As std does.
        listen(&socket, Backlog::new(128)?)?;
        Ok(TcpListener::from(socket))
    });
    made.map_err(|e| io::Error::new(e.kind(), format!("bind 127.0.0.1:{port} inside: {e}")))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Runs `work` on a thread of its own that enters the network namespace of
/// `process` (a pidfd) and ends there: a socket belongs for good to the
/// namespace that it was made in, and no other thread ever moves.
fn inside<T: Send>(
    process: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("in-sandbox-net".into());
        let running = thread.spawn_scoped(scope, || {
            setns(process, CloneFlags::CLONE_NEWNET)?;
            work()
        })?;
        let panicked = |_| Err(io::Error::other("the thread in the namespace panicked"));
        running.join().unwrap_or_else(panicked)
    })
}

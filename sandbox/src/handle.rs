//! A running sandbox: killed, reaped and cleaned away through its pidfd.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::cgroup::{CgroupError, Group};
use crate::network;
use crate::sys;

/// A running sandbox. Dropping it kills the program, reaps it and removes its
/// cgroup.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: Pid,
    pidfd: OwnedFd,
    group: Option<Group>,
    exit: Option<Exit>,
}

/// Dials into the network of a sandbox, which may have ended.
#[derive(Debug)]
pub struct Dialer {
    name: String,
    pidfd: OwnedFd,
}

impl Dialer {
    /// As [`Child::connect_tcp`].
    pub fn connect_tcp(&self, port: u16) -> io::Result<TcpStream> {
        network::connect_tcp(self.pidfd.as_fd(), port)
            .map_err(|error| net_error(&self.name, "connect to", port, &error))
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// Killed by this signal; 31 (SIGSYS) is a call that the policy lacks.
    Signal(i32),
}

fn net_error(name: &str, what: &str, port: u16, error: &io::Error) -> io::Error {
    let text = format!("sandbox {name}: {what} 127.0.0.1:{port} inside: {error}");
    io::Error::new(error.kind(), text)
}

/// Kills the process of a pidfd (SIGKILL), of this program's or another's
/// sandbox. Succeeds when it has ended already; does not wait.
pub fn kill_process(pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
    match sys::pidfd_kill(pidfd) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

impl Child {
    pub(crate) fn new(name: &str, pid: Pid, pidfd: OwnedFd, group: Option<Group>) -> Child {
        Child {
            name: name.to_owned(),
            pid,
            pidfd,
            group,
            exit: None,
        }
    }

    /// The spec's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid in the caller's namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable (poll) once the program has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills the program, and with it all of its pid namespace. Does not wait.
    /// Succeeds when it has ended already.
    pub fn kill(&self) -> Result<(), Errno> {
        kill_process(self.pidfd.as_fd())
    }

    /// Connects to 127.0.0.1 inside the sandbox's network namespace. The
    /// stream is close-on-exec and can be passed to another sandbox.
    pub fn connect_tcp(&self, port: u16) -> io::Result<TcpStream> {
        let failed = |e| net_error(&self.name, "connect to", port, &e);
        network::connect_tcp(self.pidfd.as_fd(), port).map_err(failed)
    }

    /// What dials into this sandbox without holding the child itself.
    pub fn dialer(&self) -> io::Result<Dialer> {
        Ok(Dialer {
            name: self.name.clone(),
            pidfd: self.pidfd.try_clone()?,
        })
    }

    /// Listens on 127.0.0.1 inside the sandbox's network namespace, where
    /// Landlock does not bind the caller. The listener is close-on-exec.
    pub fn bind_tcp(&self, port: u16) -> io::Result<TcpListener> {
        let failed = |e| net_error(&self.name, "bind", port, &e);
        network::bind_tcp(self.pidfd.as_fd(), port).map_err(failed)
    }

    /// Waits until the program has ended and reaps it.
    pub fn wait(&mut self) -> Result<Exit, Errno> {
        loop {
            match self.wait_with(WaitPidFlag::WEXITED) {
                Ok(Some(exit)) => return Ok(exit),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Reaps the program if it has ended; `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, Errno> {
        self.wait_with(WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
    }

    /// Kills, reaps, and removes the cgroup; what dropping does, with the error.
    pub fn destroy(mut self) -> Result<Exit, CgroupError> {
        let exit = self.end();
        if let Some(group) = &mut self.group {
            group.remove()?;
        }
        Ok(exit.unwrap_or(Exit::Signal(libc::SIGKILL)))
    }

    fn wait_with(&mut self, flags: WaitPidFlag) -> Result<Option<Exit>, Errno> {
        if self.exit.is_none() {
            self.exit = match waitid(Id::PIDFd(self.pidfd.as_fd()), flags)? {
                WaitStatus::Exited(_, code) => Some(Exit::Code(code)),
                WaitStatus::Signaled(_, signal, _) => Some(Exit::Signal(signal as i32)),
                _ => None,
            };
        }
        Ok(self.exit)
    }

    fn end(&mut self) -> Result<Exit, Errno> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        self.kill()?;
        self.wait()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // ECHILD would mean that somebody else reaped it: nothing is left to do.
        let _ = self.end();
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> i32 {
        self.pidfd.as_raw_fd()
    }
}

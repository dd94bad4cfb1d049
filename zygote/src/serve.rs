//! The zygote's loop: answers the control socket and reaps its children.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    send, sendmsg, socketpair,
};
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::child::{self, Step};
use crate::filter::Filter;
use crate::huge_pages::HugePages;
use crate::protocol::{CHILD, CONTROL, ERROR, FORK, MOST_CHILDREN, MOST_HANDED, READY};
use crate::sys::{self, Forked};
use crate::weak;

/// The first number of a passed descriptor: sd_listen_fds(3).
const FIRST: i32 = 3;

/// Why the zygote ends. Every one but [`ServeError::Closed`] is a fault.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the control socket was closed")]
    Closed,
    #[error(
        "no descriptor named {CONTROL:?}: LISTEN_FDS must be 1 and LISTEN_FDNAMES {CONTROL:?}, not {0:?}"
    )]
    NotPassed(String),
    #[error(
        "descriptor 0 is not /dev/null, and a child would keep it; start the zygote with nothing there"
    )]
    NotNull,
    #[error("the control socket: {0}; is it a Unix socket of packets (SOCK_SEQPACKET)?")]
    Control(Errno),
    #[error("a pipe to find its huge pages with: {0}")]
    HugePages(Errno),
}

/// Serves until the control socket closes and then ends the process. Returns in
/// a locked-down child only.
pub(crate) fn serve() {
    let result = Zygote::new().and_then(Zygote::run);
    match result {
        Ok(()) => {}
        // Every child is in this pid namespace, and dies with it.
        Err(ServeError::Closed) => sys::exit(0),
        Err(error) => {
            eprintln!("zygote: {error}");
            sys::exit(1)
        }
    }
}

/// What the supervisor wants.
enum Command {
    /// A child that has these.
    Fork(Vec<OwnedFd>),
    /// Nothing that there is.
    Refused,
    /// Nothing any more.
    Closed,
}

struct Zygote {
    control: OwnedFd,
    filter: Filter,
    huge_pages: HugePages,
    children: Vec<(Pid, OwnedFd)>,
}

impl Zygote {
    fn new() -> Result<Self, ServeError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let names = variable("LISTEN_FDNAMES");
        if variable("LISTEN_FDS") != "1" || names != CONTROL {
            return Err(ServeError::NotPassed(names));
        }
        if !stdin_is_null() {
            return Err(ServeError::NotNull);
        }
        Ok(Zygote {
            control: sys::owned(FIRST),
            filter: Filter::of_children(),
            huge_pages: HugePages::find().map_err(ServeError::HugePages)?,
            children: Vec::new(),
        })
    }

    fn run(mut self) -> Result<(), ServeError> {
        self.say(&[READY])?;
        loop {
            if !self.wait()? {
                continue;
            }
            let handed = match self.command() {
                Ok(Command::Closed) | Err(Errno::ECONNRESET) => return Err(ServeError::Closed),
                Ok(Command::Fork(handed)) => handed,
                Ok(Command::Refused) => {
                    self.refuse("an unknown command; the only one is F")?;
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(ServeError::Control(e)),
            };
            match self.fork() {
                Ok(Some(socket)) => {
                    let locked = child::lock(socket, handed, &self.filter, &self.huge_pages);
                    // Its descriptors are closed, or another's by now.
                    std::mem::forget(self);
                    match locked {
                        Ok(()) => return Ok(()),
                        Err(step) => sys::exit(step.code()),
                    }
                }
                // Here what was handed over is closed.
                Ok(None) => {}
                Err(Errno::EPIPE) => return Err(ServeError::Closed),
                Err(error) => self.refuse(&format!("no child: {error}"))?,
            }
        }
    }

    /// Waits for a command; `false` when it was only a child that ended.
    fn wait(&mut self) -> Result<bool, ServeError> {
        let pidfds = self.children.iter().map(|(_, pidfd)| pidfd.as_fd());
        let mut fds: Vec<PollFd> = [self.control.as_fd()]
            .into_iter()
            .chain(pidfds)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(ServeError::Control(e)),
        }
        let command = fds[0].any() == Some(true);
        self.children.retain(|(pid, pidfd)| !ended(*pid, pidfd));
        Ok(command)
    }

    /// One packet, with what came along.
    fn command(&self) -> Result<Command, Errno> {
        let mut bytes = [0; 2];
        let mut space = nix::cmsg_space!([i32; MOST_HANDED]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let control = self.control.as_raw_fd();
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(control, &mut slices, Some(&mut space), flags)?;
        let mut handed = Vec::new();
        // When more came than there is space for (ENOBUFS), those that did come
        // have numbers that nobody knows: the zygote ends, and they with it.
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                handed.extend(numbers.into_iter().map(sys::owned));
            }
        }
        let length = message.bytes;
        Ok(match &bytes[..length] {
            [] if handed.is_empty() => Command::Closed,
            [FORK] => Command::Fork(handed),
            _ => Command::Refused,
        })
    }

    /// Makes a child and hands it over. In the child: its socket.
    fn fork(&mut self) -> Result<Option<OwnedFd>, Errno> {
        if self.children.len() >= MOST_CHILDREN {
            return Err(Errno::EAGAIN);
        }
        let (theirs, ours) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let mut namespaces = match weak::namespaces() {
            true => {
                CloneFlags::CLONE_NEWUSER
                    | CloneFlags::CLONE_NEWPID
                    | CloneFlags::CLONE_NEWNS
                    | CloneFlags::CLONE_NEWNET
                    | CloneFlags::CLONE_NEWIPC
                    | CloneFlags::CLONE_NEWUTS
                    | CloneFlags::CLONE_NEWCGROUP
            }
            false => CloneFlags::empty(),
        };
        for (name, flag) in [
            ("pid", CloneFlags::CLONE_NEWPID),
            ("net", CloneFlags::CLONE_NEWNET),
            ("ipc", CloneFlags::CLONE_NEWIPC),
        ] {
            if !weak::namespace(name) {
                namespaces.remove(flag);
            }
        }
        let (pid, pidfd) = match sys::clone3(namespaces.bits() as u64)? {
            Forked::Child => return Ok(Some(ours)),
            Forked::Parent(pid, pidfd) => (pid, pidfd),
        };
        let both = [theirs.as_raw_fd(), pidfd.as_raw_fd()];
        // Kept before it is sent, so that it is reaped whatever happens; if it
        // can't be sent, the child ends by the end of its socket.
        self.children.push((pid, pidfd));
        sendmsg::<()>(
            self.control.as_raw_fd(),
            &[IoSlice::new(&[CHILD])],
            &[ControlMessage::ScmRights(&both)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(None)
    }

    fn refuse(&self, why: &str) -> Result<(), ServeError> {
        let mut packet = vec![ERROR];
        packet.extend(why.as_bytes());
        self.say(&packet)
    }

    fn say(&self, packet: &[u8]) -> Result<(), ServeError> {
        match send(self.control.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(ServeError::Closed),
            Err(e) => Err(ServeError::Control(e)),
        }
    }
}

/// Reaps a child if it has ended, and says so if it did not end well.
fn ended(pid: Pid, pidfd: &OwnedFd) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => return false,
        Ok(WaitStatus::Exited(_, 0)) => {}
        Ok(WaitStatus::Exited(_, code)) => match Step::of_code(code) {
            Some(step) => eprintln!("zygote: child {pid}: step {step:?} failed; it read nothing"),
            None => eprintln!("zygote: child {pid} gave no answer (exit code {code})"),
        },
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            let why = match signal {
                Signal::SIGSYS => "a system call that its policy lacks",
                Signal::SIGKILL => "its deadline, or a limit",
                _ => "a fault; replace the zygote",
            };
            eprintln!("zygote: child {pid} was killed by {signal}: {why}");
        }
        Ok(_) => return false,
        Err(error) => eprintln!("zygote: child {pid} can't be waited for: {error}"),
    }
    true
}

/// Whether descriptor 0 is `/dev/null`.
fn stdin_is_null() -> bool {
    fstat(std::io::stdin()).is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR
            && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    })
}

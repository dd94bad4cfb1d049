//! A sandbox that lacks nothing but its descriptors and its program.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Pid, read};

use crate::child::Plan;
use crate::error::SandboxError;
use crate::handle::Child;
use crate::root::ReadableCopy;
use crate::spawn::START;
use crate::spec::{Spec, SpecError};
use crate::step::{Report, Step};

/// A sandbox that waits for its descriptors, from [`crate::seal`]. Dropping it
/// kills and reaps it and removes its cgroup.
#[derive(Debug)]
pub struct Sealed {
    child: Child,
    /// Closed, it ends the child.
    socket: OwnedFd,
    report: OwnedFd,
    /// In ascending order.
    declared: Vec<RawFd>,
    words: Words,
    /// Until the child has mounted it.
    copy: Option<ReadableCopy>,
    created: Instant,
    said_so: bool,
}

impl Sealed {
    /// Of a child that was told to seal itself in.
    pub(crate) fn new(
        child: Child,
        socket: OwnedFd,
        report: OwnedFd,
        declared: Vec<RawFd>,
        words: Words,
        copy: Option<ReadableCopy>,
    ) -> Self {
        Self {
            child,
            socket,
            report,
            declared,
            words,
            copy,
            created: Instant::now(),
            said_so: false,
        }
    }

    /// The spec's name.
    pub fn name(&self) -> &str {
        self.child.name()
    }

    /// The pid in the caller's namespace.
    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    /// When it was made.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// Whether it has ended already: killed, for want of memory say.
    pub fn has_ended(&self) -> bool {
        // After its first report it makes no other while it waits.
        let mut report = [PollFd::new(self.report.as_fd(), PollFlags::POLLIN)];
        poll(&mut report, PollTimeout::ZERO) != Ok(0)
    }

    /// Gives it its descriptors, which must have exactly the declared numbers,
    /// and runs the program; the rest is as for [`crate::spawn`]. If that fails,
    /// nothing of the sandbox is left.
    pub fn start(self, fds: Vec<(OwnedFd, RawFd)>) -> Result<Child, SandboxError> {
        self.start_within(START, fds)
    }

    pub(crate) fn start_within(
        mut self,
        limit: Duration,
        fds: Vec<(OwnedFd, RawFd)>,
    ) -> Result<Child, SandboxError> {
        let end = Instant::now() + limit;
        let mut given: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
        given.sort_unstable();
        if given != self.declared {
            return Err(SandboxError::Spec {
                sandbox: self.name().to_owned(),
                source: SpecError::Given {
                    declared: self.declared,
                    given,
                },
            });
        }
        let fds = with_standard(fds).map_err(|e| self.failed("descriptors", e))?;
        let sent = send(&self.socket, &fds);
        // Here they would keep a peer waiting for its end.
        drop(fds);
        match sent {
            // It ended; perhaps it reported why.
            Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(e) => return Err(self.failed("send descriptors", e.into())),
        }
        while let Some(report) = self.read(end, limit)? {
            if report != Report::SEALED {
                return Err(self.reported(report));
            }
            self.said_so = true;
        }
        if let Err(e) = sent {
            return Err(self.failed("send descriptors", e.into()));
        }
        match self.said_so {
            true => Ok(self.child),
            false => Err(self.failed("start", io::Error::other(SILENT))),
        }
    }

    /// Waits until the child says that it is sealed.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<(), SandboxError> {
        match self.read(Instant::now() + limit, limit)? {
            Some(Report::SEALED) => {
                self.said_so = true;
                self.copy = None;
                self.created = Instant::now();
                Ok(())
            }
            Some(report) => Err(self.reported(report)),
            None => Err(self.failed("start", io::Error::other(SILENT))),
        }
    }

    /// The next report, or `None` once the child has none to make any more: it
    /// has executed its program, or ended.
    fn read(&self, end: Instant, limit: Duration) -> Result<Option<Report>, SandboxError> {
        read_report(&self.report, end, limit).map_err(|e| self.failed("start", e))
    }

    fn reported(&self, report: Report) -> SandboxError {
        let source = io::Error::from_raw_os_error(report.errno);
        self.failed(&self.words.describe(report), source)
    }

    fn failed(&self, step: &str, source: io::Error) -> SandboxError {
        SandboxError::Step {
            sandbox: self.name().to_owned(),
            step: step.to_owned(),
            source,
        }
    }
}

/// A child that was killed before its program ran.
const SILENT: &str = "the child ended without a report";

/// With `/dev/null` for what is missing of 0, 1 and 2; sorted by target.
fn with_standard(mut fds: Vec<(OwnedFd, RawFd)>) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    for standard in 0..3 {
        if fds.iter().all(|(_, target)| *target != standard) {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            fds.push((null.into(), standard));
        }
    }
    fds.sort_by_key(|(_, target)| *target);
    Ok(fds)
}

/// Sends all of them in one packet, in this order.
fn send(socket: &OwnedFd, fds: &[(OwnedFd, RawFd)]) -> Result<(), Errno> {
    let numbers: Vec<RawFd> = fds.iter().map(|(fd, _)| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let socket = socket.as_raw_fd();
    sendmsg::<()>(socket, &[IoSlice::new(&[1])], &rights, flags, None).map(drop)
}

fn read_report(pipe: &OwnedFd, end: Instant, limit: Duration) -> io::Result<Option<Report>> {
    // Each is written at once, and so small that it is read at once.
    let mut bytes = [0; Report::SIZE];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent spinning.
        let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => {
                let text = format!("the program did not run within {limit:?}; killed");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Ok(_) => {
                return match read(pipe, &mut bytes)? {
                    0 => Ok(None),
                    Report::SIZE => Ok(Some(Report::from_bytes(bytes))),
                    _ => Err(io::Error::other("a broken report")),
                };
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// What each report of a child is about.
#[derive(Debug)]
pub(crate) struct Words {
    mounts: Vec<String>,
    rules: Vec<String>,
    targets: Vec<RawFd>,
    program: String,
}

impl Words {
    pub(crate) fn new(spec: &Spec, plan: &Plan) -> Self {
        let text = |s: &CString| s.to_string_lossy().into_owned();
        Self {
            mounts: plan.root.mounts.iter().map(|m| text(&m.path)).collect(),
            rules: plan.rules.iter().map(|r| text(&r.path)).collect(),
            targets: plan.targets.clone(),
            program: spec.argv.first().cloned().unwrap_or_default(),
        }
    }

    /// Names a report's step with what it was about.
    fn describe(&self, report: Report) -> String {
        let Some((step, name)) = Step::of(report.step) else {
            return format!("unknown ({})", report.step);
        };
        let index = usize::from(report.index);
        let about = match step {
            Step::AttachMount => self.mounts.get(index).map(|path| format!("/{path}")),
            Step::LandlockRule => self.rules.get(index).cloned(),
            Step::Descriptor => self.targets.get(index).map(ToString::to_string),
            Step::UnreadableProgram | Step::Execve => Some(self.program.clone()),
            _ => None,
        };
        match about {
            Some(about) => format!("{name} {about}"),
            None => name.to_owned(),
        }
    }
}

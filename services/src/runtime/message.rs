//! A child of a zygote, for one message: its cgroup, its deadline, its end.
//!
//! The deadline counts from the message, and the supervisor sees no message: it
//! sees that the child has run again after it had settled to wait for one. The
//! kernel counts that (proc_pid_stat(5), proc_pid_status(5)), so the child can't
//! hide it, and has no work before that it could do.

use super::receipt::End;
use super::zygotes::Generation;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use sandbox::Adopted;
use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a new child may take to wait for its message; it gives up its
/// rights first. One that takes longer is taken to be in use already.
const SETTLING: Duration = Duration::from_secs(2);

/// The first pause between two looks at it, each of which costs the kernel about as much
/// as making it: every further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// How long it may take to end after its user has: it answers, or finds its
/// socket closed, and ends.
const LEAVING: u16 = 250;

/// A child for one message. Dropping it kills it and removes its cgroup.
#[derive(Debug)]
pub(super) struct MessageChild {
    name: String,
    child: Adopted,
    deadline: Duration,
    settled: Option<Activity>,
    used: Option<Instant>,
    too_long: bool,
    generation: Arc<Generation>,
}

/// What a process has done so far, as far as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Activity {
    /// It waits for something (`S`).
    sleeps: bool,
    /// Times that it was given a processor anew.
    switches: u64,
    /// Clock ticks that it has run.
    ticks: u64,
}

impl Activity {
    fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // PID (NAME) STATE …; fields 14 and 15 are utime and stime.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let sleeps = fields.next()? == "S";
        let mut fields = fields.skip(10);
        let mut tick = || fields.next()?.parse::<u64>().ok();
        let ticks = tick()? + tick()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let counts = status.lines().filter_map(|line| {
            let (name, count) = line.split_once(':')?;
            let count = name.ends_with("_ctxt_switches").then_some(count)?;
            count.trim().parse::<u64>().ok()
        });
        Some(Self {
            sleeps,
            switches: counts.sum(),
            ticks,
        })
    }
}

impl MessageChild {
    /// A new child, in its cgroup already, whose message may take `deadline`.
    pub(super) fn new(
        name: String,
        child: Adopted,
        deadline: Duration,
        generation: Arc<Generation>,
    ) -> Self {
        Self {
            name,
            child,
            deadline,
            settled: None,
            used: None,
            too_long: false,
            generation,
        }
    }

    /// The zygote that it is from.
    pub(super) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.child.has_ended()
    }

    /// Waits until it waits for its message. To be called before anybody has the
    /// other end.
    pub(super) fn settle(&mut self) {
        let end = Instant::now() + SETTLING;
        let (mut last, mut pause) = (None, FIRST_PAUSE);
        while Instant::now() < end && !self.has_ended() {
            let now = self.activity();
            if now.is_some_and(|now| now.sleeps) && now == last {
                self.settled = now;
                return;
            }
            last = now;
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.used = Some(Instant::now());
    }

    /// Kills it when its deadline is over. To be called about once a second.
    /// Returns what to say then.
    pub(super) fn look(&mut self) -> Option<String> {
        if self.used.is_none() && self.activity() != self.settled {
            self.used = Some(Instant::now());
        }
        let over = self.used.is_some_and(|at| at.elapsed() >= self.deadline);
        if !over || self.too_long || self.has_ended() {
            return None;
        }
        self.too_long = true;
        // It can't fail: the child is there.
        self.child.kill().ok();
        Some(format!(
            "{}: took longer than {:?}; killed",
            self.name, self.deadline
        ))
    }

    /// Kills it if it does not end by itself and removes its cgroup.
    ///
    /// # Errors
    /// When the cgroup is left, with what to say.
    pub(super) fn finish(self) -> Result<(String, End), String> {
        let mut fds = [PollFd::new(self.child.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(LEAVING)).ok();
        let end = match (self.too_long, self.has_ended()) {
            (true, _) => End::TooLong,
            (false, true) => End::Itself,
            (false, false) => End::Killed,
        };
        match self.child.destroy() {
            Ok(()) => Ok((self.name, end)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    fn activity(&self) -> Option<Activity> {
        let pid = self.child.number().ok()??;
        Activity::of(pid)
    }
}

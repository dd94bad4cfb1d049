//! A process that somebody else cloned (the child of a zygote), put into a
//! cgroup of its own before it gets anything to work on.
//!
//! A pidfd names the process, but `cgroup.procs` takes a number (cgroup-v2.rst,
//! "Threads and Processes"). The number comes from the pidfd (pidfd_open(2),
//! proc_pid_fdinfo(5)); it is the process's own for as long as that was not
//! reaped, so a pidfd that says "alive" after the move proves that no other
//! process was moved. Whatever fails kills the process: without its cgroup it
//! gets no work.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::cgroup::{Cgroup, CgroupError, Group};
use crate::handle::kill_process;

/// How long a killed process may take to end.
const DYING: Duration = Duration::from_secs(2);

/// A process in a cgroup of its own. Dropping it kills the process and removes
/// the cgroup. Reaping it is its parent's matter.
#[derive(Debug)]
pub struct Adopted {
    pidfd: OwnedFd,
    group: Option<Group>,
}

/// Why a process was not put into its cgroup; it has been killed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The cgroup could not be made, or did not take the process.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The process ended before it was in its cgroup.
    #[error("the process ended before it was in its cgroup")]
    Ended,
    /// Its number could not be read.
    #[error("the number of a process: {0}")]
    Number(#[source] io::Error),
}

impl Adopted {
    /// Puts the process of `pidfd` into a new cgroup; into none where there is
    /// no `cgroup`.
    ///
    /// # Errors
    /// Any step's; the process has been killed.
    pub fn new(pidfd: OwnedFd, cgroup: Option<&Cgroup>) -> Result<Self, AdoptError> {
        let mut adopted = Self { pidfd, group: None };
        if let Some(cgroup) = cgroup {
            // Dropped on the way, it kills.
            let group = Group::create(cgroup)?;
            adopted.enter(group)?;
        }
        Ok(adopted)
    }

    fn enter(&mut self, mut group: Group) -> Result<(), AdoptError> {
        let pid = self.number()?.ok_or(AdoptError::Ended)?;
        group.admit(pid)?;
        if self.has_ended() {
            // The number may be another's by now: nothing in there is killed.
            group.abandon()?;
            return Err(AdoptError::Ended);
        }
        self.group = Some(group);
        Ok(())
    }

    /// Its number in this namespace; `None` once it was reaped.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn number(&self) -> Result<Option<Pid>, AdoptError> {
        let path = format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd());
        let text = fs::read_to_string(path).map_err(AdoptError::Number)?;
        let mut lines = text.lines();
        let number = lines.find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
        // -1: it was reaped; 0: it is not in this namespace.
        Ok(number.filter(|number| *number > 0).map(Pid::from_raw))
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Kills it. Does not wait. Succeeds when it has ended already.
    ///
    /// # Errors
    /// The kernel's.
    pub fn kill(&self) -> Result<(), Errno> {
        kill_process(self.pidfd.as_fd())
    }

    /// Kills it, waits for its end and removes the cgroup; what dropping does,
    /// with the error.
    ///
    /// # Errors
    /// When the cgroup could not be removed.
    pub fn destroy(mut self) -> Result<(), CgroupError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), CgroupError> {
        self.kill().ok();
        self.wait(DYING);
        self.group.as_mut().map_or(Ok(()), Group::remove)
    }

    /// Whether it has ended, or ends in this time.
    fn wait(&self, most: Duration) -> bool {
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, most).is_ok_and(|ready| ready > 0)
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        // Whoever wants to know calls destroy.
        self.end().ok();
    }
}

impl AsFd for Adopted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::hierarchy;
    use crate::handle::{Child, Exit};
    use crate::sys;
    use std::path::PathBuf;

    /// A process that waits for its end, and a pidfd of it.
    fn process() -> (Child, OwnedFd) {
        let (pid, pidfd) = sys::clone3(0, None, || {
            loop {
                nix::unistd::pause();
            }
        })
        .unwrap();
        let copy = pidfd.try_clone().unwrap();
        (Child::new("test", pid, pidfd, None), copy)
    }

    /// A cgroup without limits, which needs no controller.
    fn group(name: &str) -> (PathBuf, Group) {
        let dir = hierarchy().join(format!("adopted-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        (dir.clone(), Group::at(dir))
    }

    #[test]
    fn a_process_is_moved_into_its_cgroup_and_both_go_together() {
        let (mut child, pidfd) = process();
        let (dir, group) = group("moved");
        let mut adopted = Adopted { pidfd, group: None };
        assert_eq!(adopted.number().unwrap(), Some(child.pid()));
        adopted.enter(group).unwrap();
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(members, format!("{}\n", child.pid()));
        assert!(!adopted.has_ended());
        adopted.destroy().unwrap();
        assert!(!dir.exists());
        assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn a_process_that_its_cgroup_does_not_take_is_killed() {
        let (mut child, pidfd) = process();
        let (dir, group) = group("refused");
        fs::remove_dir(&dir).unwrap();
        let mut adopted = Adopted { pidfd, group: None };
        let error = adopted.enter(group).unwrap_err();
        assert!(matches!(error, AdoptError::Cgroup(_)), "{error}");
        drop(adopted);
        assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));

        // This machine's hierarchy may lack the controllers; so does this one.
        let (mut child, pidfd) = process();
        let cgroup = Cgroup {
            hierarchy: "/nowhere".into(),
            path: "services/test".into(),
            memory_max: 1 << 20,
            oom_group: true,
            pids_max: 1,
            cpu_max: None,
        };
        Adopted::new(pidfd, Some(&cgroup)).unwrap_err();
        assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    }

    #[test]
    fn a_process_that_has_ended_is_not_taken_for_another_with_its_number() {
        // Reaped: there is no number.
        let (mut child, pidfd) = process();
        child.kill().unwrap();
        child.wait().unwrap();
        let (dir, gone) = group("reaped");
        let mut adopted = Adopted { pidfd, group: None };
        assert_eq!(adopted.number().unwrap(), None);
        let error = adopted.enter(gone).unwrap_err();
        assert!(matches!(error, AdoptError::Ended), "{error}");
        assert!(!dir.exists());

        // A stranger in the cgroup of one that has ended lives on.
        let (mut stranger, _) = process();
        let (dir, mut left) = group("stranger");
        left.admit(stranger.pid()).unwrap();
        left.abandon().unwrap_err();
        drop(left);
        assert_eq!(stranger.try_wait().unwrap(), None);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        fs::remove_dir(dir).unwrap();
    }
}

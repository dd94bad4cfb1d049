//! Whoever ended: PID 1 inherits every orphan and must reap it.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How a process ended, in words without a process id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub pid: Pid,
    /// `code 1` or `SIGKILL`.
    pub how: String,
    /// The exit code, if it was not a signal.
    pub code: Option<i32>,
}

/// Reaps everyone who has ended. Also says whether any child is left.
pub fn reap() -> (Vec<Ended>, bool) {
    let mut ended = Vec::new();
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                ended.push(Ended {
                    pid,
                    how: format!("code {code}"),
                    code: Some(code),
                });
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                ended.push(Ended {
                    pid,
                    how: signal.as_str().to_owned(),
                    code: None,
                });
            }
            Ok(WaitStatus::StillAlive) => return (ended, true),
            Ok(_) | Err(Errno::EINTR) => {}
            // ECHILD: nobody is left.
            Err(_) => return (ended, false),
        }
    }
}

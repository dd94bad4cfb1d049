//! One long-running Debian daemon of the host: started, watched, started
//! again with a growing pause, stopped.

use crate::ear::Ear;
use crate::log;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A daemon that ran this long starts anew without a pause.
const SETTLED: Duration = Duration::from_secs(60);

/// A daemon and what is known of it.
pub struct Daemon {
    name: &'static str,
    command: Vec<String>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    /// Whether the box wants to know what it says.
    heard_out: bool,
    ear: Option<Ear>,
}

impl Daemon {
    /// Describes a daemon; [`Self::keep_running`] starts it. `command` is the
    /// program's path and its arguments and must stay in the foreground.
    pub fn new(name: &'static str, command: &[&str]) -> Self {
        Self {
            name,
            command: command.iter().map(ToString::to_string).collect(),
            child: None,
            started: Instant::now(),
            pause: Duration::ZERO,
            heard_out: false,
            ear: None,
        }
    }

    /// The same for a daemon of which the box wants to know what it says: see
    /// [`Self::heard`].
    pub fn heard_out(name: &'static str, command: &[&str]) -> Self {
        Self {
            heard_out: true,
            ..Self::new(name, command)
        }
    }

    /// The lines that it has said since the last call; none of one that nobody hears out.
    pub fn heard(&mut self) -> Vec<String> {
        self.ear.as_mut().map(Ear::lines).unwrap_or_default()
    }

    /// Starts it if it does not run and its pause is over.
    pub fn keep_running(&mut self) {
        if let Some(child) = &mut self.child {
            let Ok(Some(status)) = child.try_wait() else {
                return;
            };
            self.child = None;
            let ran = self.started.elapsed();
            self.pause = next_pause(self.pause, ran);
            log::line(&format!(
                "{}: ended ({status}); again in {:?}",
                self.name, self.pause
            ));
            self.started = Instant::now();
        }
        if self.started.elapsed() < self.pause {
            return;
        }
        self.started = Instant::now();
        // Logs go to the kernel's ring, which ends with the power: the host's
        // daemons see no mail, and nothing here may reach the card.
        let sink = || {
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/kmsg")
                .map_or_else(|_| Stdio::null(), Stdio::from)
        };
        let errors = match self.heard_out.then(Ear::new) {
            Some(Ok((ear, errors))) => {
                self.ear = Some(ear);
                errors.into()
            }
            Some(Err(error)) => {
                log::line(&format!("{}: not heard: {error}", self.name));
                sink()
            }
            None => sink(),
        };
        match Command::new(&self.command[0])
            .args(&self.command[1..])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(sink())
            .stderr(errors)
            .spawn()
        {
            Ok(child) => {
                enter_cgroup(self.name, child.id());
                log::line(&format!("{}: started", self.name));
                self.child = Some(child);
            }
            Err(error) => {
                self.pause = next_pause(self.pause, Duration::ZERO);
                log::line(&format!("{}: not started: {error}", self.name));
            }
        }
    }

    /// Asks it to end, and makes it end after 3 seconds.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        kill(pid, Signal::SIGTERM).ok();
        let asked = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(3) {
                child.kill().ok();
                child.wait().ok();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        log::line(&format!("{}: stopped", self.name));
    }
}

/// Puts a process into `/sys/fs/cgroup/services/NAME`, which PID 1 kills as a
/// whole when the supervisor dies.
fn enter_cgroup(name: &str, pid: u32) {
    let group = format!("/sys/fs/cgroup/services/{name}");
    let entered = fs::create_dir_all(&group)
        .and_then(|()| fs::write(format!("{group}/cgroup.procs"), pid.to_string()));
    if let Err(error) = entered {
        log::line(&format!("{name}: no cgroup: {error}"));
    }
}

fn next_pause(last: Duration, ran: Duration) -> Duration {
    if ran >= SETTLED {
        return Duration::ZERO;
    }
    (last * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_fails_at_once_is_started_ever_less_often() {
        let mut pause = Duration::ZERO;
        let pauses: Vec<u64> = (0..7)
            .map(|_| {
                pause = next_pause(pause, Duration::from_secs(1));
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(next_pause(pause, SETTLED), Duration::ZERO);
    }
}

//! Whether the supervisor counts as alive, from the times of its messages.
//!
//! The supervisor says [`control::pid1::HEALTHY`] every 2 seconds. PID 1 feeds
//! the watchdog only while it does; so a supervisor that hangs resets the box.
//! Times are durations since any fixed moment on a clock that never steps.

use std::time::Duration;

/// How long a started supervisor may take until its first message.
pub const GRACE: Duration = Duration::from_secs(60);
/// How old the last message may be.
pub const SILENCE: Duration = Duration::from_secs(10);
/// Without a watchdog nothing else resets the box: after so long a silence
/// PID 1 does it.
pub const EMERGENCY_AFTER: Duration = Duration::from_secs(30);

/// What PID 1 does about the watchdog now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well: feed the watchdog.
    Feed,
    /// Silent: do not feed it, wait for the reset or for a message.
    Starve,
    /// Silent for so long that a watchdog would have acted.
    Emergency,
}

/// One life of the supervisor.
#[derive(Debug, Clone, Copy)]
pub struct Health {
    started: Duration,
    last: Option<Duration>,
}

impl Health {
    /// A supervisor that was started at `now`.
    pub const fn started(now: Duration) -> Self {
        Self {
            started: now,
            last: None,
        }
    }

    /// It said that it is healthy. True the first time.
    pub fn said_healthy(&mut self, now: Duration) -> bool {
        self.last.replace(now).is_none()
    }

    /// What to do at `now`.
    pub fn verdict(&self, now: Duration, has_watchdog: bool) -> Verdict {
        let (since, allowed) = match self.last {
            Some(last) => (last, SILENCE),
            None => (self.started, GRACE),
        };
        let silent = now.saturating_sub(since);
        if silent <= allowed {
            Verdict::Feed
        } else if !has_watchdog && silent > allowed.max(EMERGENCY_AFTER) {
            Verdict::Emergency
        } else {
            Verdict::Starve
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Emergency, Feed, Starve};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_new_supervisor_has_sixty_seconds_for_its_first_word() {
        let health = Health::started(at(100));
        assert_eq!(health.verdict(at(160), true), Feed);
        assert_eq!(health.verdict(at(161), true), Starve);
        assert_eq!(health.verdict(at(161), false), Emergency);
    }

    #[test]
    fn ten_seconds_of_silence_starve_the_watchdog() {
        let mut health = Health::started(at(0));
        assert!(health.said_healthy(at(5)));
        assert!(!health.said_healthy(at(7)));
        assert_eq!(health.verdict(at(17), true), Feed);
        assert_eq!(health.verdict(at(18), true), Starve);
        assert_eq!(health.verdict(at(1000), true), Starve);
    }

    #[test]
    fn without_a_watchdog_thirty_seconds_of_silence_are_an_emergency() {
        let mut health = Health::started(at(0));
        health.said_healthy(at(0));
        assert_eq!(health.verdict(at(30), false), Starve);
        assert_eq!(health.verdict(at(31), false), Emergency);
    }

    #[test]
    fn a_supervisor_that_speaks_again_is_fed_again() {
        let mut health = Health::started(at(0));
        health.said_healthy(at(0));
        assert_eq!(health.verdict(at(20), true), Starve);
        health.said_healthy(at(21));
        assert_eq!(health.verdict(at(22), true), Feed);
    }
}

//! When something that ended is started again: after 1, 2, 4 … 30 seconds, and
//! at once if it had run for a minute.

use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_secs(60);

/// The pauses of one service.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pause: Duration,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Whether it may be started now.
    pub(super) fn is_over(&self) -> bool {
        self.not_before.is_none_or(|at| Instant::now() >= at)
    }

    /// It ended after running for `ran`. Returns the pause that begins.
    pub(super) fn ended(&mut self, ran: Duration) -> Duration {
        self.pause = if ran >= SETTLED {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(Duration::from_secs(1), LONGEST)
        };
        self.not_before = Some(Instant::now() + self.pause);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_at_once_is_started_ever_less_often() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_over());
        let pauses: Vec<u64> = (0..7)
            .map(|_| backoff.ended(Duration::from_secs(1)).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert!(!backoff.is_over());
        assert_eq!(backoff.ended(SETTLED), Duration::ZERO);
        assert!(backoff.is_over());
    }
}

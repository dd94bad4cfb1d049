//! The growing delay between wrong passphrases.
//!
//! Kept in memory: whoever can cut the power can also take the card away and
//! try on a computer of his own, where only Argon2id slows him. From the page a
//! box with wrong attempts can't be restarted.
//!
//! The wait is one for all askers, so it is short enough that a stranger who
//! keeps trying does not keep the owner out for long.

use std::time::{Duration, Instant};

/// The longest wait, in seconds.
const LONGEST: u64 = 60;

/// How many wrong ones came in a row, and when the next may come.
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: u32,
    not_before: Option<Instant>,
}

impl Attempts {
    /// Seconds until the next try is looked at; 0 is at once.
    pub fn wait(&self, now: Instant) -> u64 {
        self.not_before
            .map(|at| at.saturating_duration_since(now))
            // Rounded up: a page that waits this long must not be early.
            .map_or(0, |left| {
                left.as_secs() + u64::from(left.subsec_nanos() > 0)
            })
    }

    /// Notes a wrong passphrase: the first two cost 1 second, then 2, 4, 8 …
    /// up to a minute.
    pub fn wrong(&mut self, now: Instant) {
        let seconds = 1u64
            .checked_shl(self.wrong.saturating_sub(1))
            .unwrap_or(LONGEST);
        self.wrong = self.wrong.saturating_add(1).min(32);
        self.not_before = Some(now + Duration::from_secs(seconds.min(LONGEST)));
    }

    /// Whether no wrong one came since power-on or the last right one.
    pub fn is_fresh(&self) -> bool {
        self.wrong == 0
    }

    /// Notes the right one.
    pub fn right(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_a_minute_and_ends_with_the_right_one() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        assert_eq!(attempts.wait(now), 0);
        let waits: Vec<u64> = (0..40)
            .map(|_| {
                attempts.wrong(now);
                attempts.wait(now)
            })
            .collect();
        assert_eq!(&waits[..8], &[1, 1, 2, 4, 8, 16, 32, 60]);
        assert!(waits[8..].iter().all(|w| *w == LONGEST), "{waits:?}");
        assert!(!attempts.is_fresh());
        attempts.right();
        assert!(attempts.is_fresh());
        assert_eq!(attempts.wait(now), 0);
    }

    #[test]
    fn a_wait_that_has_passed_is_over() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        attempts.wrong(now);
        assert_eq!(attempts.wait(now + Duration::from_millis(500)), 1);
        assert_eq!(attempts.wait(now + Duration::from_secs(1)), 0);
    }
}

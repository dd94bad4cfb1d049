//! When a dead supervisor starts again, and when that is given up.
//!
//! 1, 2, 4 … 30 seconds, counted over the deaths of the last five minutes, so
//! a supervisor that ran well for that long starts at 1 again. Eleven deaths
//! in five minutes are an emergency: a reboot may help, an endless loop won't.

use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(5 * 60);
const MOST_DEATHS: usize = 10;
const LONGEST: Duration = Duration::from_secs(30);

/// What to do after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start again after this long.
    After(Duration),
    /// Too many deaths.
    GiveUp,
}

/// The deaths of the last five minutes.
#[derive(Debug, Default)]
pub struct Deaths {
    times: VecDeque<Duration>,
}

impl Deaths {
    /// Records a death at `now` (any fixed zero, a clock that never steps).
    pub fn another(&mut self, now: Duration) -> Next {
        self.times.retain(|&time| now.saturating_sub(time) < WINDOW);
        self.times.push_back(now);
        if self.times.len() > MOST_DEATHS {
            return Next::GiveUp;
        }
        let doublings = u32::try_from(self.times.len() - 1)
            .unwrap_or(u32::MAX)
            .min(5);
        Next::After(Duration::from_secs(1 << doublings).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_thirty_seconds_and_the_eleventh_death_ends_it() {
        let mut deaths = Deaths::default();
        let pauses: Vec<Next> = (0..11)
            .map(|i| deaths.another(Duration::from_secs(i)))
            .collect();
        let expected: Vec<Next> = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
            .map(|seconds| Next::After(Duration::from_secs(seconds)))
            .into_iter()
            .chain([Next::GiveUp])
            .collect();
        assert_eq!(pauses, expected);
    }

    #[test]
    fn five_good_minutes_forgive_a_death() {
        let mut deaths = Deaths::default();
        deaths.another(Duration::ZERO);
        assert_eq!(
            deaths.another(Duration::from_secs(299)),
            Next::After(Duration::from_secs(2))
        );
        assert_eq!(
            deaths.another(Duration::from_secs(599)),
            Next::After(Duration::from_secs(1))
        );
    }
}

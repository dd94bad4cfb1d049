//! The growing delay between wrong passphrases.
//!
//! It outlives a supervisor that dies, in a file in memory ([`FILE`]), and a key
//! counts there as a wrong one before it is tried: whoever makes the supervisor
//! stumble over it has had one more wrong attempt. A file that can't be read
//! means the longest wait. It does not outlive the power: whoever can cut that can
//! also take the card away and try on a computer of his own, where only Argon2id
//! slows him. From the page a box with wrong attempts can't be restarted.
//!
//! The wait is one for all askers, so it is short enough that a stranger who
//! keeps trying does not keep the owner out for long.

use crate::log;
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Where it is kept: in a tmpfs, where only root writes.
pub const FILE: &str = "/run/projectx/attempts";
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// More in a row make no difference.
const MOST: u32 = 32;

/// How many wrong ones came in a row, and when the next may come. Times are those
/// of [`now`].
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: u32,
    not_before: Duration,
    file: Option<PathBuf>,
}

/// The time since power-on, which a new supervisor goes on with
/// (`CLOCK_BOOTTIME`, `clock_gettime(2)`). A kernel without it does not exist;
/// 0 would only make waits longer.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

impl Attempts {
    /// Goes on from what an earlier supervisor wrote into `file`. Without a file it
    /// is the first since power-on.
    pub fn kept_in(file: PathBuf, now: Duration) -> Self {
        let (wrong, not_before) = match fs::read_to_string(&file) {
            Ok(text) => read(&text).unwrap_or_else(|| {
                log::line(&format!("{}: damaged", file.display()));
                (MOST, now + LONGEST)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, Duration::ZERO),
            Err(error) => {
                log::line(&format!("{}: cannot be read: {error}", file.display()));
                (MOST, now + LONGEST)
            }
        };
        Self {
            wrong: wrong.min(MOST),
            not_before: not_before.min(now + LONGEST),
            file: Some(file),
        }
    }

    /// Seconds until the next try is looked at; 0 is at once.
    pub fn wait(&self, now: Duration) -> u64 {
        let left = self.not_before.saturating_sub(now);
        // Rounded up: a page that waits this long must not be early.
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }

    /// A key is about to be tried: until its outcome is told, it is kept as a wrong
    /// one, for the next supervisor.
    pub fn trying(&self, now: Duration) {
        self.one_more(now).keep();
    }

    /// The try had no outcome: a tool failed.
    pub fn nothing(&self) {
        self.keep();
    }

    /// Notes a wrong passphrase: the first two cost 1 second, then 2, 4, 8 …
    /// up to a minute.
    pub fn wrong(&mut self, now: Duration) {
        *self = self.one_more(now);
        self.keep();
    }

    /// Whether no wrong one came since power-on or the last right one.
    pub fn is_fresh(&self) -> bool {
        self.wrong == 0
    }

    /// Notes the right one.
    pub fn right(&mut self) {
        (self.wrong, self.not_before) = (0, Duration::ZERO);
        self.keep();
    }

    fn one_more(&self, now: Duration) -> Self {
        let seconds = 1u64.checked_shl(self.wrong.saturating_sub(1));
        let wait = seconds.map_or(LONGEST, Duration::from_secs).min(LONGEST);
        Self {
            wrong: self.wrong.saturating_add(1).min(MOST),
            not_before: now + wait,
            file: self.file.clone(),
        }
    }

    /// A write that is cut off leaves an empty file, which means the longest wait.
    fn keep(&self) {
        let Some(file) = &self.file else { return };
        let text = format!("{} {}\n", self.wrong, self.not_before.as_millis());
        if let Err(error) = fs::write(file, text) {
            log::line(&format!("{}: not written: {error}", file.display()));
        }
    }
}

/// How many wrong ones, and until when to wait, from milliseconds. The line end
/// shows that it is whole.
fn read(text: &str) -> Option<(u32, Duration)> {
    let (wrong, until) = text.strip_suffix('\n')?.split_once(' ')?;
    Some((
        wrong.parse().ok()?,
        Duration::from_millis(until.parse().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn the_wait_grows_to_a_minute_and_ends_with_the_right_one() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.wait(NOW), 0);
        let waits: Vec<u64> = (0..40)
            .map(|_| {
                attempts.wrong(NOW);
                attempts.wait(NOW)
            })
            .collect();
        assert_eq!(&waits[..8], &[1, 1, 2, 4, 8, 16, 32, 60]);
        assert!(waits[8..].iter().all(|w| *w == 60), "{waits:?}");
        assert!(!attempts.is_fresh());
        attempts.right();
        assert!(attempts.is_fresh());
        assert_eq!(attempts.wait(NOW), 0);
    }

    #[test]
    fn a_wait_that_has_passed_is_over() {
        let mut attempts = Attempts::default();
        attempts.wrong(NOW);
        assert_eq!(attempts.wait(NOW + Duration::from_millis(500)), 1);
        assert_eq!(attempts.wait(NOW + Duration::from_secs(1)), 0);
    }

    fn in_folder() -> (tempfile::TempDir, impl Fn() -> Attempts) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attempts");
        (folder, move || Attempts::kept_in(file.clone(), NOW))
    }

    #[test]
    fn the_next_supervisor_goes_on_with_the_waits() {
        let (_folder, supervisor) = in_folder();
        let mut first = supervisor();
        assert!(first.is_fresh());
        for _ in 0..5 {
            first.wrong(NOW);
        }
        let mut second = supervisor();
        assert_eq!(second.wait(NOW), 8);
        assert!(!second.is_fresh());
        second.wrong(NOW);
        assert_eq!(supervisor().wait(NOW), 16);
        second.right();
        assert!(supervisor().is_fresh());
        assert_eq!(supervisor().wait(NOW), 0);
    }

    #[test]
    fn a_try_that_kills_the_supervisor_was_a_wrong_one() {
        let (_folder, supervisor) = in_folder();
        let mut first = supervisor();
        for _ in 0..4 {
            first.wrong(NOW);
        }
        first.trying(NOW);
        assert_eq!(first.wait(NOW), 4);
        assert_eq!(supervisor().wait(NOW), 8);
        first.nothing();
        assert_eq!(supervisor().wait(NOW), 4);
    }

    #[test]
    fn a_file_that_cannot_be_read_means_the_longest_wait() {
        let (folder, supervisor) = in_folder();
        let file = folder.path().join("attempts");
        for damaged in ["", "3", "3 900", "x 1\n", "3 -1\n", "3 1 \n"] {
            fs::write(&file, damaged).unwrap();
            let attempts = supervisor();
            assert_eq!(attempts.wait(NOW), 60, "{damaged:?}");
            assert!(!attempts.is_fresh());
        }
        // A number that no supervisor wrote keeps nobody out for ever.
        fs::write(&file, "4000000000 99999999999\n").unwrap();
        assert_eq!(supervisor().wait(NOW), 60);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(supervisor().wait(NOW), 60);
    }
}

//! Browsers that have proved the passphrase. In memory only: a supervisor that
//! starts again knows none.

use control::Secret;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a proof counts, from the proof on; use does not lengthen it.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// One for each of a household's phones; the oldest goes first.
const AT_MOST: usize = 8;
/// Shortest and longest secret, in bytes of text: 32 random bytes as base64.
const SECRET: std::ops::RangeInclusive<usize> = 44..=128;

/// The sessions, oldest first.
#[derive(Debug, Default)]
pub struct Sessions(VecDeque<(Secret, Instant)>);

impl Sessions {
    /// Begins a session; the caller has checked the passphrase. False when its
    /// secret is too short to be one, or too long.
    pub fn begin(&mut self, secret: Secret, now: Instant) -> bool {
        if !SECRET.contains(&secret.expose().len()) {
            return false;
        }
        self.0.retain(|(known, _)| !same(known, &secret));
        if self.0.len() >= AT_MOST {
            self.0.pop_front();
        }
        self.0.push_back((secret, now));
        true
    }

    /// Whether this session has begun and is young enough.
    pub fn holds(&mut self, secret: &Secret, now: Instant) -> bool {
        self.0
            .retain(|(_, begun)| now.saturating_duration_since(*begun) < LIFETIME);
        self.0
            .iter()
            .fold(false, |found, (known, _)| found | same(known, secret))
    }
}

/// Compares without telling by time how much of it was right.
fn same(a: &Secret, b: &Secret) -> bool {
    let (a, b) = (a.expose().as_bytes(), b.expose().as_bytes());
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (x, y)| seen | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: usize) -> Secret {
        Secret::new(format!("{number:044}"))
    }

    #[test]
    fn a_session_holds_for_15_minutes_and_using_it_does_not_lengthen_it() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        assert!(!sessions.holds(&secret(1), now));
        assert!(sessions.begin(secret(1), now));
        let late = now + LIFETIME - Duration::from_secs(1);
        assert!(sessions.holds(&secret(1), late));
        assert!(!sessions.holds(&secret(2), late));
        assert!(!sessions.holds(&secret(1), now + LIFETIME));
        assert!(!sessions.holds(&secret(1), now), "it was forgotten");
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_none() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for text in [String::new(), "x".repeat(43), "x".repeat(129)] {
            assert!(!sessions.begin(Secret::new(text.clone()), now));
            assert!(!sessions.holds(&Secret::new(text), now));
        }
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..=AT_MOST {
            assert!(sessions.begin(secret(number), now));
        }
        assert_eq!(sessions.0.len(), AT_MOST);
        assert!(!sessions.holds(&secret(0), now));
        assert!((1..=AT_MOST).all(|number| sessions.holds(&secret(number), now)));
    }
}

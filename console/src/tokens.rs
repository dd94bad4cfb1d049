//! One-time form tokens: a post is looked at only when it carries a token
//! that a page of ours received in the last 15 minutes and has not used.
//!
//! A page of another site cannot read ours, so it cannot have a token. The
//! table is bounded; whoever floods it with page loads pushes the oldest
//! tokens out, and their owners are asked to reload.

use base64::{Engine, engine::general_purpose::STANDARD};
use control::Secret;
use crypto_box::aead::{OsRng, rand_core::RngCore};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How many unused tokens are kept; the oldest goes first.
pub const AT_MOST: usize = 256;

/// The unused tokens, oldest first.
#[derive(Default)]
pub struct Tokens(VecDeque<([u8; 32], Instant)>);

impl Tokens {
    /// Makes a token and remembers it. The text is base64, 44 characters.
    pub fn issue(&mut self, now: Instant) -> String {
        let mut token = [0; 32];
        OsRng.fill_bytes(&mut token);
        if self.0.len() >= AT_MOST {
            self.0.pop_front();
        }
        self.0.push_back((token, now));
        STANDARD.encode(token)
    }

    /// True when the token was issued, unused and young enough. It is used
    /// up by asking.
    pub fn take(&mut self, token: &str, now: Instant) -> bool {
        let Ok(token) = STANDARD.decode(token) else {
            return false;
        };
        self.0
            .retain(|(_, issued)| now.saturating_duration_since(*issued) < LIFETIME);
        match self.0.iter().position(|(known, _)| same(known, &token)) {
            Some(place) => self.0.remove(place).is_some(),
            None => false,
        }
    }
}

/// 32 random bytes as base64: the secret of a browser's session about people, for a
/// browser that can make none.
pub fn session() -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *bytes);
    Secret::new(STANDARD.encode(*bytes))
}

/// Two different numbers from 1 to `last`, which is at most 255, drawn by lot.
pub fn two_of(last: u8) -> [u8; 2] {
    let mut draw = [0; 2];
    OsRng.fill_bytes(&mut draw);
    let [first, step] = draw;
    let first = first % last;
    [first + 1, (first + 1 + step % (last - 1)) % last + 1]
}

/// Compares without stopping at the first difference.
fn same(a: &[u8; 32], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_once() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.issue(now);
        assert!(tokens.take(&token, now));
        assert!(!tokens.take(&token, now));
    }

    #[test]
    fn a_token_is_too_old_after_15_minutes() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let (early, late) = (tokens.issue(now), tokens.issue(now));
        assert!(tokens.take(&early, now + LIFETIME - Duration::from_secs(1)));
        assert!(!tokens.take(&late, now + LIFETIME));
    }

    #[test]
    fn the_oldest_token_makes_room_and_the_table_stays_bounded() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        let first = tokens.issue(now);
        let second = tokens.issue(now);
        for _ in 0..AT_MOST - 1 {
            tokens.issue(now);
        }
        assert_eq!(tokens.0.len(), AT_MOST);
        assert!(!tokens.take(&first, now));
        assert!(tokens.take(&second, now));
    }

    #[test]
    fn two_words_of_the_paper_are_two_different_ones() {
        for _ in 0..1000 {
            let [one, two] = two_of(12);
            assert!(one != two && (1..=12).contains(&one) && (1..=12).contains(&two));
        }
        assert_ne!(session(), session());
        assert_eq!(session().expose().len(), 44);
    }

    #[test]
    fn a_text_that_was_never_issued_is_no_token() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        tokens.issue(now);
        for text in ["", "AAAA", "%", &STANDARD.encode([0; 32])] {
            assert!(!tokens.take(text, now), "{text:?}");
        }
    }
}

//! Writes `wifi-result.txt` to the card when there is something new to say.
//!
//! An outcome is told once it has held for a while, and only if the file does not say it
//! already: a box that joins the same network with the same address writes nothing.

use crate::card_writer::{self, CARD};
use crate::log;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "wifi-result.txt";
/// How long an outcome must have held.
const HOLDS_FOR: Duration = Duration::from_secs(5);
/// A network that comes and goes must not wear out the card.
const MOST_WRITES: u32 = 20;

/// What was told.
#[derive(Debug, Default)]
pub struct ResultFile {
    /// The words that are waiting to be told, or have been, and since when they hold.
    words: Option<(String, Instant)>,
    is_told: bool,
    writes: u32,
}

impl ResultFile {
    /// Whether an earlier start has left one.
    pub fn exists() -> bool {
        Path::new(CARD).join(NAME).exists()
    }

    /// Takes what there is to say now; `None` while that is open.
    pub fn tell(&mut self, words: Option<String>) {
        if let Some(words) = self.due(words, Instant::now()) {
            self.write(&words);
        }
    }

    /// The words that have held long enough and are not told.
    fn due(&mut self, words: Option<String>, now: Instant) -> Option<String> {
        // While it is open the old words stay true enough.
        let words = words?;
        match &self.words {
            Some((before, since)) if *before == words => {
                let holds = now.duration_since(*since) >= HOLDS_FOR;
                if !holds || self.is_told || self.writes >= MOST_WRITES {
                    return None;
                }
                self.is_told = true;
                Some(words)
            }
            _ => {
                self.words = Some((words, now));
                self.is_told = false;
                None
            }
        }
    }

    fn write(&mut self, words: &str) {
        if fs::read(Path::new(CARD).join(NAME)).is_ok_and(|old| old == words.as_bytes()) {
            return;
        }
        self.writes += 1;
        match card_writer::while_writable(|card| card_writer::put(card, NAME, words.as_bytes())) {
            Ok(()) => log::line("wifi-result.txt: written"),
            Err(error) => log::line(&format!("wifi-result.txt: not written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_once_when_they_have_held() {
        let mut file = ResultFile::default();
        let start = Instant::now();
        let mut at = |seconds, words: Option<&str>| {
            file.due(
                words.map(str::to_owned),
                start + Duration::from_secs(seconds),
            )
        };
        assert_eq!(at(0, Some("joined")), None);
        assert_eq!(at(4, Some("joined")), None);
        assert_eq!(at(5, Some("joined")).as_deref(), Some("joined"));
        assert_eq!(at(60, Some("joined")), None);
        // A short absence is not worth a write.
        assert_eq!(at(61, None), None);
        assert_eq!(at(62, Some("joined")), None);
        assert_eq!(at(63, Some("refused")), None);
        assert_eq!(at(64, Some("joined")), None);
        assert_eq!(at(65, Some("refused")), None);
        assert_eq!(at(70, Some("refused")).as_deref(), Some("refused"));
    }

    #[test]
    fn a_network_that_comes_and_goes_does_not_wear_out_the_card() {
        let mut file = ResultFile {
            writes: MOST_WRITES,
            ..ResultFile::default()
        };
        let start = Instant::now();
        for seconds in 0..20 {
            let at = start + Duration::from_secs(seconds);
            assert_eq!(file.due(Some("joined".into()), at), None);
        }
    }
}

//! The recovery key: 128 random bits as twelve English words (BIP-39), the last
//! of which carries a checksum of 4 bits. So a mistyped key is told from a wrong
//! one before anything is tried.
//!
//! The key slot of the disk holds the words themselves, small and with one
//! blank between two: whoever has the paper and a computer with `cryptsetup`
//! can open the card there as well.

use crate::secret::Secret;
use bip39::{Language, Mnemonic};

/// How many words a key has.
pub const WORDS: usize = 12;

/// A recovery key in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryKey(Secret);

/// Why a text is no recovery key. Nothing of it is quoted: what was mistyped is
/// a secret as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Typo {
    /// Too few words or too many.
    #[error("The recovery key has 12 words; these are {0}.")]
    Count(usize),
    /// A word is not in the list; counted from 1.
    #[error("Word {0} is not one that a recovery key can have. Look at its letters again.")]
    Unknown(usize),
    /// All are in the list, but they do not belong together.
    #[error(
        "One of the words is wrong, or two changed places. Compare each with your paper again."
    )]
    Checksum,
}

impl RecoveryKey {
    /// The key of these 16 random bytes.
    ///
    /// # Errors
    /// When the word list can't make one of them, which cannot happen.
    pub fn from_random(bytes: &[u8; 16]) -> Result<Self, Typo> {
        let key = Mnemonic::from_entropy(bytes).map_err(|_| Typo::Checksum)?;
        Ok(Self::spelt(&key))
    }

    /// Reads what somebody typed: capitals, numbers before the words, commas and
    /// line ends mean nothing.
    ///
    /// # Errors
    /// Which word is wrong, as far as that can be told.
    pub fn parse(text: &str) -> Result<Self, Typo> {
        let text = Secret::new(text.to_ascii_lowercase());
        let words: Vec<&str> = text
            .expose()
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        if words.len() != WORDS {
            return Err(Typo::Count(words.len()));
        }
        let list = Language::English.word_list();
        if let Some(place) = words.iter().position(|word| !list.contains(word)) {
            return Err(Typo::Unknown(place + 1));
        }
        let spelt = Secret::new(words.join(" "));
        Mnemonic::parse_in_normalized(Language::English, spelt.expose())
            .map(|_| Self(spelt))
            .map_err(|_| Typo::Checksum)
    }

    /// Twelve words with a blank between two: what is shown and what the key
    /// slot holds.
    pub fn words(&self) -> &Secret {
        &self.0
    }

    fn spelt(key: &Mnemonic) -> Self {
        // Room at once: a text that grows leaves copies behind.
        let mut text = String::with_capacity(WORDS * 9);
        for word in key.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        Self(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From BIP-39's own test vectors.
    const VECTORS: [([u8; 16], &str); 3] = [
        (
            [0x00; 16],
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
             abandon about",
        ),
        (
            [0x7f; 16],
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
        ),
        (
            [0xff; 16],
            "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong",
        ),
    ];

    #[test]
    fn random_bytes_become_the_words_of_the_standard_and_are_read_back() {
        for (bytes, words) in VECTORS {
            let key = RecoveryKey::from_random(&bytes).unwrap();
            assert_eq!(key.words().expose(), words);
            assert_eq!(RecoveryKey::parse(words).unwrap(), key);
        }
    }

    #[test]
    fn the_key_is_read_as_people_copy_it() {
        let key = RecoveryKey::parse(VECTORS[1].1).unwrap();
        for text in [
            "Legal Winner Thank Year Wave Sausage\r\nWorth Useful Legal Winner Thank Yellow ",
            "1. legal 2. winner 3. thank 4. year 5. wave 6. sausage\n7. worth 8. useful 9. legal \
             10. winner 11. thank 12. yellow",
            "legal,winner,thank,year,wave,sausage,worth,useful,legal,winner,thank,yellow",
        ] {
            assert_eq!(RecoveryKey::parse(text).unwrap(), key, "{text}");
        }
    }

    #[test]
    fn a_typo_is_told_and_never_quoted() {
        let with = |at: usize, word: &str| {
            let mut words: Vec<&str> = VECTORS[1].1.split(' ').collect();
            words[at] = word;
            words.join(" ")
        };
        for (text, typo) in [
            (String::new(), Typo::Count(0)),
            ("legal winner".into(), Typo::Count(2)),
            (format!("{} zoo", VECTORS[1].1), Typo::Count(13)),
            (with(5, "sausages"), Typo::Unknown(6)),
            (with(0, "größe"), Typo::Unknown(1)),
            (with(3, "zoo"), Typo::Checksum),
        ] {
            assert_eq!(RecoveryKey::parse(&text).unwrap_err(), typo, "{text}");
            assert!(!typo.to_string().contains("sausages"));
        }
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        let shown = format!("{:?}", RecoveryKey::parse(VECTORS[1].1));
        assert!(!shown.contains("sausage"), "{shown}");
    }
}

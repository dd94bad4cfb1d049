//! Damage of the card that the box has noticed.

use serde::{Deserialize, Serialize};

/// What is damaged, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// The encrypted disk takes no changes any more.
    ReadOnly,
    /// The card did not store what the box wrote.
    Writing,
    /// The card could not be read in a place.
    Reading,
    /// The file system in the encrypted disk contradicts itself.
    FileSystem,
    /// A block of the system image is not what was signed (dm-verity).
    System,
    /// The same of an app's image, or of an update of its rules.
    App,
}

impl DamageKind {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::ReadOnly,
        Self::Writing,
        Self::Reading,
        Self::FileSystem,
        Self::System,
        Self::App,
    ];

    /// A word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Writing => "writing",
            Self::Reading => "reading",
            Self::FileSystem => "file-system",
            Self::System => "system",
            Self::App => "app",
        }
    }

    /// The kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One kind of damage, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// What is damaged.
    pub kind: DamageKind,
    /// How often it was noticed, at least: the kernel leaves out some of many.
    pub count: u64,
    /// The day of the last time in UTC by the box's clock, `2026-11-25` say.
    pub last: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_listed_in_their_order_with_words_of_their_own() {
        assert!(DamageKind::ALL.is_sorted());
        for kind in DamageKind::ALL {
            assert_eq!(DamageKind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(DamageKind::from_word("fine"), None);
    }
}

//! What the page shows, as one word.

use control::{Disk, Status};
use serde::{Deserialize, Serialize};

/// The faces of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A passphrase can be set.
    Unclaimed,
    /// No passphrase is set, and the time to do so has passed.
    TooLate,
    /// The passphrase is needed.
    Locked,
    /// A passphrase is being tried or the disk is being made.
    Working,
    /// The disk's header is damaged, and the recovery key is needed.
    Damaged,
    /// The disk is open.
    Open,
    /// The disk is missing or cannot be read.
    Missing,
}

impl State {
    /// The face for what the supervisor said.
    pub fn of(status: &Status) -> Self {
        match status.disk {
            Disk::Unclaimed if status.claimable => Self::Unclaimed,
            Disk::Unclaimed => Self::TooLate,
            Disk::Locked => Self::Locked,
            Disk::Working => Self::Working,
            Disk::Damaged => Self::Damaged,
            Disk::Open => Self::Open,
            Disk::Missing => Self::Missing,
        }
    }

    /// The word in `data-state` and in `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unclaimed => "unclaimed",
            Self::TooLate => "too-late",
            Self::Locked => "locked",
            Self::Working => "working",
            Self::Damaged => "damaged",
            Self::Open => "open",
            Self::Missing => "missing",
        }
    }
}

/// The body of `GET /status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which face the page shows now.
    pub state: State,
    /// Seconds until a further passphrase is looked at.
    pub retry_after: u64,
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn the_word_in_the_page_is_the_word_in_the_json() {
        use State::*;
        for state in [Unclaimed, TooLate, Locked, Working, Damaged, Open, Missing] {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.word()));
        }
    }
}

//! What the service has found, in a file that is there whole or not at all.

use crate::judge::State;
use crate::record::Record;
use crate::untrusted::{self, printable};
use outbound::FileError;
use outbound::file;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in the volume `records-found`.
pub const FILE: &str = "found.json";
/// The largest file that is read, in bytes.
const MOST: u64 = 4 << 20;
/// What is shown of another's record at the most: values, and bytes of each.
const SHOWN: (usize, usize) = (3, 120);

/// What one round of questions has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Found {
    /// When it ended, in seconds since 1970 by the box's clock.
    pub checked: u64,
    /// As in [`crate::Wanted::asked`].
    pub asked: u64,
    /// The records that were wanted then.
    pub records: Vec<One>,
}

/// What was found of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct One {
    /// The record.
    pub record: Record,
    /// How it was found.
    pub state: State,
    /// What is there instead.
    pub found: Vec<String>,
    /// For how many seconds all rounds have found it there; counted by the time that the
    /// service ran, never by a clock that may have been wrong.
    pub held: u64,
}

impl Found {
    /// What was found of this record, exactly as it is wanted now.
    pub fn of(&self, record: &Record) -> Option<&One> {
        self.records.iter().find(|one| one.record == *record)
    }

    /// The file in `folder`, as the supervisor reads it; `None` where there is none yet.
    /// Nothing in it can be more than short and printable.
    ///
    /// # Errors
    /// When it is no such file; the words can be shown.
    pub fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join(FILE);
        let wrong = |why: String| format!("{}: {}", path.display(), printable(&why, 200));
        let Some(text) = untrusted::read(&path, MOST).map_err(|error| wrong(error.to_string()))?
        else {
            return Ok(None);
        };
        let read: Result<Self, _> = serde_json::from_slice(&text);
        let mut found = read.map_err(|error| wrong(error.to_string()))?;
        let (most, longest) = SHOWN;
        for one in &mut found.records {
            one.found.truncate(most);
            for value in &mut one.found {
                *value = printable(value, longest);
            }
        }
        Ok(Some(found))
    }

    /// Makes it the file in `folder`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, folder: &Path) -> Result<(), FileError> {
        file::write(&folder.join(FILE), self, 0o644, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Purpose;

    fn one(found: &[&str]) -> One {
        One {
            record: Record {
                purpose: Purpose::Spf,
                name: "a.example".into(),
                value: "v=spf1 mx -all".into(),
            },
            state: State::Different,
            found: found.iter().map(|value| (*value).to_owned()).collect(),
            held: 0,
        }
    }

    #[test]
    fn what_a_taken_over_service_writes_is_short_and_printable_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Found::read(folder.path()), Ok(None));
        let long = "y".repeat(5000);
        let found = Found {
            checked: 7,
            asked: 1,
            records: vec![one(&["\u{7}\u{1b}]0;x", &long, "3", "4", "5"])],
        };
        found.keep(folder.path()).unwrap();
        let read = Found::read(folder.path()).unwrap().unwrap();
        let short = "y".repeat(120);
        assert_eq!(read.records, [one(&["??]0;x", &short, "3"])]);
        assert!(read.of(&read.records[0].record).is_some());
        let path = folder.path().join(FILE);
        std::fs::write(&path, "{\"\\u001b[31m\":1}").unwrap();
        let words = Found::read(folder.path()).unwrap_err();
        assert!(words.contains("unknown field"), "{words}");
        assert!(!words.contains('\u{1b}'), "{words:?}");
    }

    #[test]
    fn another_value_of_the_same_name_was_not_looked_for() {
        let found = Found {
            records: vec![one(&[])],
            ..Found::default()
        };
        let mut record = found.records[0].record.clone();
        record.value.push('x');
        assert_eq!(found.of(&record), None);
    }
}

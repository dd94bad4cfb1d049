//! What was noticed: a count and a last time for each kind of damage, as lines
//! `KIND COUNT SECONDS` behind a line `card ID`. Kept in the encrypted disk, so that
//! a restart does not hide it. One of another card is not taken over.

use control::{Damage, DamageKind};
use services::clock::rfc3339;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use whole_file::WholeFile;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    count: u64,
    /// Seconds since 1970.
    last: u64,
}

/// Damage by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record(BTreeMap<DamageKind, Entry>);

impl Record {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often this kind was noticed.
    pub fn count(&self, kind: DamageKind) -> u64 {
        self.0.get(&kind).map_or(0, |entry| entry.count)
    }

    /// Counts damage that was noticed now, in seconds since 1970.
    pub fn note(&mut self, kind: DamageKind, count: u64, now: u64) {
        let entry = self.0.entry(kind).or_insert(Entry { count: 0, last: 0 });
        entry.count = entry.count.saturating_add(count);
        entry.last = entry.last.max(now);
    }

    /// Both together.
    pub fn and(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (kind, entry) in &other.0 {
            sum.note(*kind, entry.count, entry.last);
        }
        sum
    }

    /// As the page shows it.
    pub fn shown(&self) -> Vec<Damage> {
        let day = |seconds| {
            // Further away than a calendar goes is what a damaged file says.
            let time = UNIX_EPOCH + Duration::from_secs(u64::min(seconds, 1 << 36));
            rfc3339(time).chars().take_while(|c| *c != 'T').collect()
        };
        let entries = self.0.iter();
        entries
            .map(|(&kind, entry)| Damage {
                kind,
                count: entry.count,
                last: day(entry.last),
            })
            .collect()
    }

    /// The lines.
    pub fn lines(&self) -> String {
        let entries = self.0.iter();
        entries
            .map(|(kind, entry)| format!("{} {} {}\n", kind.word(), entry.count, entry.last))
            .collect()
    }

    /// Reads one of [`Record::lines`] into it. Other lines mean nothing.
    pub fn take_line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let kind = words.next().and_then(DamageKind::from_word);
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        if let (Some(kind), Some(count), Some(last)) = (kind, number(), number()) {
            self.note(kind, count, last);
        }
    }

    /// Reads what was kept of this card.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn read(path: &Path, card: &str) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut record = Self::default();
        let mut lines = text.lines();
        if lines.next() == Some(&format!("card {card}")) {
            lines.for_each(|line| record.take_line(line));
        }
        Ok(record)
    }

    /// Keeps it, and returns when it is on the card.
    ///
    /// # Errors
    /// The disk is full, read-only or fails.
    pub fn keep(&self, path: &Path, card: &str) -> io::Result<()> {
        let text = format!("card {card}\n{}", self.lines());
        WholeFile::at(path, 0o600).write(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const DAY: u64 = 1_795_564_800;

    fn some() -> Record {
        let mut record = Record::default();
        record.note(DamageKind::App, 1, DAY);
        record.note(DamageKind::Reading, 2, DAY + 90_000);
        record.note(DamageKind::Reading, 1, DAY);
        record
    }

    #[test]
    fn counts_add_up_and_the_last_time_is_the_latest() {
        let both = some().and(&some());
        assert_eq!(both.count(DamageKind::Reading), 6);
        let shown = both.shown();
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[0].kind, DamageKind::Reading);
        assert_eq!(shown[0].last, "2026-11-26");
        assert_eq!((shown[1].count, shown[1].last.as_str()), (2, "2026-11-25"));
    }

    #[test]
    fn it_is_kept_for_root_alone_and_read_back_on_the_same_card_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damage");
        assert!(Record::read(&path, "1b53").unwrap().is_empty());
        some().keep(&path, "1b53").unwrap();
        some().and(&some()).keep(&path, "1b53").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Record::read(&path, "1b53").unwrap(), some().and(&some()));
        assert!(Record::read(&path, "other").unwrap().is_empty());
    }

    #[test]
    fn no_bytes_in_the_file_make_it_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damage");
        let most = u64::MAX;
        let text = format!("card -\nreading {most} {most}\nreading 1\n\napp x 3\nfine 1 1\n");
        fs::write(&path, text).unwrap();
        let record = Record::read(&path, "-").unwrap();
        let twice = record.and(&record);
        assert_eq!(twice.count(DamageKind::Reading), u64::MAX);
        assert_eq!(twice.shown().len(), 1);
        fs::write(&path, b"\xff\xfe").unwrap();
        Record::read(&path, "-").unwrap_err();
    }
}

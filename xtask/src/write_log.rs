//! Every write to a box's card, as QEMU's `blklogwrites` keeps it, and the card
//! as it may be after a power cut: what was flushed is there, of what came
//! after the last flush each sector may be lost.
//!
//! Source: Linux, "dm-log-writes" and `drivers/md/dm-log-writes.c`: a super
//! block in the first sector, then for each entry one sector with sector,
//! number of sectors, flags and length as little-endian numbers of 64 bits,
//! and the data.

use anyhow::{Context, Result, ensure};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const SECTOR: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
/// Force unit access: on the medium when the write is done.
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// A log, read into memory.
#[derive(Debug)]
pub struct WriteLog {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sector: u64,
    flags: u64,
    /// Where its data is in the log, and how long, in bytes.
    data: usize,
    length: usize,
}

/// What became of the sectors that were written after the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// There.
    pub kept: u64,
    /// Not there.
    pub lost: u64,
}

impl WriteLog {
    /// Reads a log, also one whose QEMU was killed: it ends before the first entry that is
    /// not whole. Errors when the file is no such log.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Self::parse(bytes).with_context(|| path.display().to_string())
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        // The super block is written with the first flush.
        ensure!(
            matches!(number(&bytes, 0), None | Some(0 | MAGIC)),
            "no log of writes"
        );
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while let (Some(sector), Some(count), Some(flags)) = (
            number(&bytes, at),
            number(&bytes, at + 8),
            number(&bytes, at + 16),
        ) {
            // A place that was reserved and not filled.
            if count == 0 && flags == 0 {
                break;
            }
            let has_data = flags & DISCARD == 0;
            let length = usize::try_from(count)? * SECTOR;
            let length = if has_data { length } else { 0 };
            let data = at + SECTOR;
            if data + length > bytes.len() {
                break;
            }
            entries.push(Entry {
                sector,
                flags,
                data,
                length,
            });
            at = data + length;
        }
        Ok(Self { bytes, entries })
    }

    /// How many writes and flushes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Brings `card`, a copy of what it was before all writes, to a power cut before entry
    /// `end`. `keeps` is asked for each sector in doubt.
    pub fn replay(&self, card: &Path, end: usize, mut keeps: impl FnMut() -> bool) -> Result<Fate> {
        let entries = self.entries.get(..end).unwrap_or(&self.entries);
        let flushed = entries.iter().rposition(|entry| entry.flags & FLUSH != 0);
        let file = OpenOptions::new()
            .write(true)
            .open(card)
            .with_context(|| card.display().to_string())?;
        let mut fate = Fate { kept: 0, lost: 0 };
        for (index, entry) in entries.iter().enumerate() {
            let data = &self.bytes[entry.data..entry.data + entry.length];
            let at = entry.sector * SECTOR as u64;
            if flushed.is_some_and(|flushed| index <= flushed) || entry.flags & FUA != 0 {
                file.write_all_at(data, at)?;
                continue;
            }
            for (sector, data) in (0u64..).zip(data.chunks(SECTOR)) {
                if keeps() {
                    file.write_all_at(data, at + sector * SECTOR as u64)?;
                    fate.kept += 1;
                } else {
                    fate.lost += 1;
                }
            }
        }
        Ok(fate)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let number = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let header = |numbers: &[u64]| {
            let mut sector: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            sector.resize(SECTOR, 0);
            sector
        };
        let mut bytes = header(&[MAGIC, 1, 0, 512]);
        for (sector, flags, data) in entries {
            bytes.extend(header(&[*sector, (data.len() / SECTOR) as u64, *flags, 0]));
            bytes.extend(*data);
        }
        bytes
    }

    fn after(entries: &[(u64, u64, &[u8])], end: usize, keeps: bool) -> (Vec<u8>, Fate) {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        fs::write(&card, [0; 4 * SECTOR]).unwrap();
        let log = WriteLog::parse(log(entries)).unwrap();
        let fate = log.replay(&card, end, || keeps).unwrap();
        let card = fs::read(card).unwrap();
        (card.chunks(SECTOR).map(|sector| sector[0]).collect(), fate)
    }

    #[test]
    fn what_was_flushed_is_there_and_what_came_after_is_in_doubt() {
        let (one, two, three) = ([1; SECTOR], [2; 2 * SECTOR], [3; SECTOR]);
        let entries: [(u64, u64, &[u8]); 4] = [
            (0, 0, &one),
            (0, FLUSH, &[]),
            (1, 0, &two),
            (3, FUA, &three),
        ];
        let (lost, kept) = (Fate { kept: 0, lost: 2 }, Fate { kept: 2, lost: 0 });
        assert_eq!(after(&entries, 4, false), (vec![1, 0, 0, 3], lost));
        assert_eq!(after(&entries, 4, true), (vec![1, 2, 2, 3], kept));
        assert_eq!(after(&entries, 3, false).0, [1, 0, 0, 0]);
        assert_eq!(after(&entries, 1, false).0, [0, 0, 0, 0]);
    }

    #[test]
    fn a_log_that_ends_in_the_middle_ends_before_that_entry() {
        let whole = log(&[(0, 0, &[1; SECTOR]), (1, 0, &[2; SECTOR])]);
        for (length, entries) in [(whole.len(), 2), (whole.len() - 1, 1), (2000, 1), (600, 0)] {
            let log = WriteLog::parse(whole[..length].to_vec()).unwrap();
            assert_eq!(log.len(), entries, "{length}");
        }
        let mut reserved = whole.clone();
        reserved.extend([0; 4 * SECTOR]);
        assert_eq!(WriteLog::parse(reserved).unwrap().len(), 2);
        assert_eq!(WriteLog::parse(Vec::new()).unwrap().len(), 0);
        WriteLog::parse(vec![7; 600]).unwrap_err();
    }
}

//! Whether the disk may hold somebody's data, as the card's partition table says it:
//! by the type of partition 2, LUKS (e8) or Linux (83).
//!
//! It stands far from the disk's own headers, so a disk that lost them is not taken for
//! a new one. One sector is written whole or not at all, and only when that changes: by
//! a claim and a factory reset.

use card::mbr::{Entry, KIND_LINUX, KIND_LUKS, Mbr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Whether it says that the disk may hold data.
///
/// # Errors
/// It can't be read, or has no second partition.
pub(super) fn says_in_use(card: &Path) -> io::Result<bool> {
    Ok(read(&File::open(card)?)?.1.kind == KIND_LUKS)
}

/// Writes that down, if it says something else.
///
/// # Errors
/// As in [`says_in_use`], or the card does not take it.
pub(super) fn set_in_use(card: &Path, in_use: bool) -> io::Result<()> {
    let kind = if in_use { KIND_LUKS } else { KIND_LINUX };
    let (mut table, second) = read(&File::open(card)?)?;
    if second.kind == kind {
        return Ok(());
    }
    table.set(1, Entry { kind, ..second });
    let file = OpenOptions::new().write(true).open(card)?;
    file.write_all_at(table.sector(), 0)?;
    file.sync_all()
}

fn read(card: &File) -> io::Result<(Mbr, Entry)> {
    let mut sector = [0; 512];
    card.read_exact_at(&mut sector, 0)?;
    let table = Mbr::parse(sector).map_err(io::Error::other)?;
    let second = table
        .entry(1)
        .ok_or_else(|| io::Error::other("it has no second partition"))?;
    Ok((table, second))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Sector 0 with two partitions, the second of this type.
    pub(in super::super) fn sector(kind: u8) -> [u8; 512] {
        let mut sector = [7; 512];
        sector[446..510].fill(0);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut table = Mbr::parse(sector).unwrap();
        for (index, kind) in [(0, 0x0c), (1, kind)] {
            let entry = Entry {
                bootable: index == 0,
                kind,
                start: 8192,
                sectors: 4096,
            };
            table.set(index, entry);
        }
        *table.sector()
    }

    #[test]
    fn only_the_type_of_the_second_partition_changes() {
        let card = tempfile::NamedTempFile::new().unwrap();
        let path = card.path();
        std::fs::write(path, sector(0x83)).unwrap();
        assert!(!says_in_use(path).unwrap());
        set_in_use(path, true).unwrap();
        assert!(says_in_use(path).unwrap());
        assert_eq!(std::fs::read(path).unwrap(), sector(0xe8));
        set_in_use(path, false).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), sector(0x83));
    }

    #[test]
    fn a_card_without_a_table_or_partition_says_nothing() {
        let card = tempfile::NamedTempFile::new().unwrap();
        let mut no_second = sector(0x83);
        no_second[462..478].fill(0);
        for sector in [[0; 512], no_second] {
            std::fs::write(card.path(), sector).unwrap();
            assert!(says_in_use(card.path()).is_err());
            assert!(set_in_use(card.path(), true).is_err());
            assert_eq!(std::fs::read(card.path()).unwrap(), sector);
        }
    }
}

//! The partition table in sector 0: four entries of 16 bytes at byte 446.
//!
//! Only the entries that are set change; boot code, disk id and the other entries stay
//! as they were, so one 512-byte write replaces the table. Limits: primary partitions
//! only, the CHS fields are written as "too large for CHS" (FE FF FF), which every system
//! since the 1990s answers by using the sector numbers.
//!
//! Source: UEFI Specification 2.10, section 5.2.1.

use thiserror::Error;

/// FAT32 with CHS addressing.
pub const KIND_FAT32_CHS: u8 = 0x0b;
/// FAT32 with sector numbers, which formatters use today.
pub const KIND_FAT32: u8 = 0x0c;
/// Linux data; our second partition while it holds nothing.
pub const KIND_LINUX: u8 = 0x83;
/// LUKS; our second partition from the moment that it may hold somebody's data.
pub const KIND_LUKS: u8 = 0xe8;
const KIND_GPT: u8 = 0xee;
const TABLE: usize = 446;

/// One partition; all numbers are 512-byte sectors of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Marked active (0x80).
    pub bootable: bool,
    /// The type byte, for example [`KIND_FAT32`].
    pub kind: u8,
    /// First sector.
    pub start: u32,
    /// Number of sectors.
    pub sectors: u32,
}

impl Entry {
    /// The first sector behind this partition.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.sectors)
    }
}

/// Why sector 0 holds no table that we can use.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MbrError {
    /// No 55 AA at the end of the sector.
    #[error(
        "sector 0 of the card holds no partition table; format the card as FAT32 (MBR) with Raspberry Pi Imager and copy the files again"
    )]
    NoTable,
    /// A protective entry of type EE.
    #[error(
        "the card has a GPT partition table, which a Raspberry Pi 3 cannot start from; format the card as FAT32 (MBR) with Raspberry Pi Imager and copy the files again"
    )]
    Gpt,
    /// A file system starts in sector 0.
    #[error(
        "the card has no partitions: its file system starts in sector 0; format the card as FAT32 with Raspberry Pi Imager, which makes a partition, and copy the files again"
    )]
    Superfloppy,
}

/// Sector 0, kept whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mbr {
    sector: [u8; 512],
}

impl Mbr {
    /// Takes sector 0 of a disk. Errors with [`MbrError`] if it is no MBR table.
    pub fn parse(sector: [u8; 512]) -> Result<Self, MbrError> {
        if sector[510..] != [0x55, 0xaa] {
            return Err(MbrError::NoTable);
        }
        let jumps = matches!(sector[0], 0xeb | 0xe9);
        if jumps
            && (&sector[54..57] == b"FAT"
                || &sector[82..87] == b"FAT32"
                || &sector[3..11] == b"EXFAT   "
                || &sector[3..11] == b"NTFS    ")
        {
            return Err(MbrError::Superfloppy);
        }
        let table = Mbr { sector };
        if (0..4).any(|i| table.sector[TABLE + 16 * i + 4] == KIND_GPT) {
            return Err(MbrError::Gpt);
        }
        Ok(table)
    }

    /// Partition `index` (0 to 3), or `None` if that entry is empty.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<Entry> {
        let at = TABLE + 16 * index;
        let raw = self.sector[..510].get(at..at + 16)?;
        let number =
            |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let entry = Entry {
            bootable: raw[0] == 0x80,
            kind: raw[4],
            start: number(8),
            sectors: number(12),
        };
        (entry.kind != 0 && entry.sectors != 0).then_some(entry)
    }

    /// Replaces partition `index` (0 to 3) in memory; see [`Mbr::sector`].
    ///
    /// # Panics
    /// If `index` is above 3, which is a bug of the caller.
    pub fn set(&mut self, index: usize, entry: Entry) {
        assert!(index < 4, "an MBR has four entries");
        let raw = &mut self.sector[TABLE + 16 * index..][..16];
        raw[0] = if entry.bootable { 0x80 } else { 0 };
        raw[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        raw[4] = entry.kind;
        raw[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        raw[8..12].copy_from_slice(&entry.start.to_le_bytes());
        raw[12..].copy_from_slice(&entry.sectors.to_le_bytes());
    }

    /// The 512 bytes to write to sector 0.
    #[must_use]
    pub fn sector(&self) -> &[u8; 512] {
        &self.sector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> [u8; 512] {
        let mut sector = [0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn setting_an_entry_keeps_boot_code_disk_id_and_the_other_entries() {
        let mut before = empty();
        before[..440].fill(0xab);
        before[440..446].copy_from_slice(b"DISKID");
        before[TABLE + 48..TABLE + 64].fill(7);
        let mut table = Mbr::parse(before).unwrap();
        let entry = Entry {
            bootable: true,
            kind: KIND_FAT32,
            start: 8192,
            sectors: 99,
        };
        table.set(0, entry);
        assert_eq!(table.entry(0), Some(entry));
        assert_eq!(table.entry(1), None);
        assert_eq!(table.sector()[..446], before[..446]);
        assert_eq!(table.sector()[462..], before[462..]);
    }

    #[test]
    fn a_gpt_a_superfloppy_and_an_empty_sector_are_refused_each_in_its_words() {
        assert_eq!(Mbr::parse([0; 512]), Err(MbrError::NoTable));
        let mut gpt = empty();
        gpt[TABLE + 4] = KIND_GPT;
        let words = Mbr::parse(gpt).unwrap_err().to_string();
        assert!(words.contains("GPT"), "{words}");
        let mut floppy = empty();
        floppy[0] = 0xeb;
        floppy[82..87].copy_from_slice(b"FAT32");
        let words = Mbr::parse(floppy).unwrap_err().to_string();
        assert!(words.contains("no partitions"), "{words}");
    }
}

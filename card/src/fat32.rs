//! A FAT32 file system's boot sector, its FSInfo sector and its allocation table.
//!
//! Limits: FAT32 only, 512-byte sectors, the FATs mirrored (as every formatter makes
//! them). All numbers are sectors from the start of the partition unless they say bytes.
//!
//! Source: Microsoft, "FAT32 File System Specification" 1.03 (fatgen103), sections
//! "Boot Sector and BPB", "FAT Data Structure" and "FAT32 FSInfo Sector Structure".

use crate::disk::{Disk, SECTOR};
use std::io;
use thiserror::Error;

/// Fewer clusters than this are FAT16 by the specification, whatever the labels say.
pub const MIN_CLUSTERS: u32 = 65_525;
/// The largest value of a FAT entry that links to a cluster is below this.
pub const BAD_CLUSTER: u32 = 0x0fff_fff7;
/// Entries from here on end a chain.
pub const END_OF_CHAIN: u32 = 0x0fff_fff8;
const ENTRY: u32 = 0x0fff_ffff;

/// Why a partition holds no FAT32 that we can work on.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FatError {
    /// Another file system, or none.
    #[error(
        "partition 1 of the card holds {found}, not FAT32; format the card as FAT32 with Raspberry Pi Imager and copy the files again"
    )]
    NotFat32 {
        /// What was found, in words.
        found: &'static str,
    },
    /// The boot sector contradicts itself or the FAT.
    #[error(
        "the boot sector of partition 1 says {field} = {value}, which cannot be; format the card as FAT32 with Raspberry Pi Imager and copy the files again"
    )]
    Field {
        /// Which field, in words.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// What the boot sector says, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Sectors in a cluster, a power of two up to 128.
    pub sectors_per_cluster: u32,
    /// Sectors before the first FAT.
    pub reserved: u32,
    /// Copies of the FAT.
    pub fats: u32,
    /// Sectors in one FAT.
    pub fat_sectors: u32,
    /// Sectors of the whole file system.
    pub total: u32,
    /// First cluster of the root directory.
    pub root: u32,
    /// Sector of FSInfo, if there is one.
    pub fsinfo: Option<u32>,
    /// Sector of the backup boot sector, if there is one.
    pub backup: Option<u32>,
}

impl Geometry {
    /// Checks the boot sector of a partition. Errors with what is wrong, in words.
    pub fn parse(boot: &[u8; 512]) -> Result<Self, FatError> {
        let byte = |at: usize| u32::from(boot[at]);
        let short = |at: usize| u32::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long =
            |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let other = |found| Err(FatError::NotFat32 { found });
        let bad = |field, value: u32| {
            Err(FatError::Field {
                field,
                value: value.into(),
            })
        };

        if &boot[3..11] == b"EXFAT   " {
            return other("exFAT");
        }
        if &boot[3..11] == b"NTFS    " {
            return other("NTFS");
        }
        if boot[510..] != [0x55, 0xaa] || !matches!(boot[0], 0xeb | 0xe9) {
            return other("no FAT file system");
        }
        if short(11) != 512 {
            return bad("bytes per sector", short(11));
        }
        if short(22) != 0 || short(17) != 0 || short(19) != 0 {
            return other("FAT12 or FAT16");
        }
        let geometry = Geometry {
            sectors_per_cluster: byte(13),
            reserved: short(14),
            fats: byte(16),
            fat_sectors: long(36),
            total: long(32),
            root: long(44) & ENTRY,
            fsinfo: Some(short(48)).filter(|&s| s != 0 && s < short(14)),
            backup: Some(short(50)).filter(|&s| s != 0 && s < short(14)),
        };
        if !geometry.sectors_per_cluster.is_power_of_two() || geometry.sectors_per_cluster > 128 {
            return bad("sectors per cluster", geometry.sectors_per_cluster);
        }
        if geometry.reserved == 0 {
            return bad("reserved sectors", 0);
        }
        if !(1..=2).contains(&geometry.fats) {
            return bad("number of FATs", geometry.fats);
        }
        // A FAT of 2^21 sectors holds 2^28 entries, more than FAT32 can number.
        if !(1..=1 << 21).contains(&geometry.fat_sectors) {
            return bad("sectors per FAT", geometry.fat_sectors);
        }
        if boot[40] & 0x80 != 0 {
            return bad("extended flags (FATs not mirrored)", short(40));
        }
        if geometry.data_start() >= u64::from(geometry.total) {
            return bad("total sectors", geometry.total);
        }
        if geometry.clusters() + 2 > geometry.fat_sectors * 128 {
            return bad("sectors per FAT", geometry.fat_sectors);
        }
        if !geometry.holds(geometry.root) {
            return bad("root directory cluster", geometry.root);
        }
        Ok(geometry)
    }

    /// The sector where cluster 2, the first one, lies.
    #[must_use]
    pub fn data_start(&self) -> u64 {
        u64::from(self.reserved) + u64::from(self.fats) * u64::from(self.fat_sectors)
    }

    /// Number of clusters; they are numbered from 2.
    #[must_use]
    pub fn clusters(&self) -> u32 {
        self.clusters_in(self.total)
    }

    /// Number of clusters if the file system had `total` sectors.
    #[must_use]
    pub fn clusters_in(&self, total: u32) -> u32 {
        let data = u64::from(total).saturating_sub(self.data_start());
        // Below 2^32 because `total` is.
        u32::try_from(data / u64::from(self.sectors_per_cluster)).unwrap_or(u32::MAX)
    }

    /// Sectors that a file system with this FAT and `clusters` clusters needs.
    #[must_use]
    pub fn sectors_for(&self, clusters: u64) -> u64 {
        self.data_start() + clusters * u64::from(self.sectors_per_cluster)
    }

    /// Whether `cluster` is one of this file system's.
    #[must_use]
    pub fn holds(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters()
    }

    /// Size of a cluster in bytes.
    #[must_use]
    pub fn cluster_bytes(&self) -> usize {
        self.sectors_per_cluster as usize * 512
    }

    /// First sector of `cluster`.
    #[must_use]
    pub fn cluster_sector(&self, cluster: u32) -> u64 {
        self.data_start() + u64::from(cluster - 2) * u64::from(self.sectors_per_cluster)
    }
}

/// Puts a new size and root directory into a boot sector, leaving all else.
pub fn set_size_and_root(boot: &mut [u8; 512], total: u32, root: u32) {
    boot[32..36].copy_from_slice(&total.to_le_bytes());
    boot[44..48].copy_from_slice(&root.to_le_bytes());
}

/// Says in an FSInfo sector that free count and next free cluster are unknown. Returns
/// false, and changes nothing, if the sector is no FSInfo.
pub fn forget_free_count(fsinfo: &mut [u8; 512]) -> bool {
    let valid =
        &fsinfo[..4] == b"RRaA" && &fsinfo[484..488] == b"rrAa" && fsinfo[510..] == [0x55, 0xaa];
    if valid {
        fsinfo[488..496].fill(0xff);
    }
    valid
}

/// Adds to the free count of an FSInfo sector. Returns false, and changes nothing, if the
/// sector is no FSInfo or the count is unknown.
pub(crate) fn count_free(fsinfo: &mut [u8; 512], more: i64) -> bool {
    let mut valid = *fsinfo;
    let count = u32::from_le_bytes([fsinfo[488], fsinfo[489], fsinfo[490], fsinfo[491]]);
    let changed = i64::from(count) + more;
    match u32::try_from(changed) {
        Ok(changed) if count != u32::MAX && forget_free_count(&mut valid) => {
            fsinfo[488..492].copy_from_slice(&changed.to_le_bytes());
            true
        }
        _ => false,
    }
}

/// A FAT in memory, whole: 4 bytes a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fat {
    /// With the four reserved top bits, which must survive.
    raw: Vec<u32>,
}

impl Fat {
    /// Reads FAT `copy` (0 or 1) of the file system at sector `start` of the disk.
    pub(crate) fn read(
        disk: &mut impl Disk,
        start: u64,
        geometry: &Geometry,
        copy: u32,
    ) -> io::Result<Self> {
        let mut raw = Vec::with_capacity(geometry.fat_sectors as usize * 128);
        let mut chunk = vec![0; 1 << 20];
        let mut at = fat_offset(start, geometry, copy);
        let end = at + u64::from(geometry.fat_sectors) * SECTOR;
        while at < end {
            let part = &mut chunk[..usize::try_from((end - at).min(1 << 20)).unwrap_or(1 << 20)];
            disk.read_at(at, part)?;
            raw.extend(part.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)));
            at += part.len() as u64;
        }
        Ok(Fat { raw })
    }

    /// The entry of `cluster`, 28 bits; a cluster outside the FAT reads as bad.
    pub(crate) fn get(&self, cluster: u32) -> u32 {
        self.raw
            .get(cluster as usize)
            .map_or(BAD_CLUSTER, |v| v & ENTRY)
    }

    /// Changes the entry of `cluster` in memory and returns the FAT sector it is in.
    pub(crate) fn set(&mut self, cluster: u32, value: u32) -> u32 {
        if let Some(entry) = self.raw.get_mut(cluster as usize) {
            *entry = (*entry & !ENTRY) | (value & ENTRY);
        }
        cluster / 128
    }

    /// Sectors in which `other` differs from this FAT.
    pub(crate) fn differing_sectors(&self, other: &Fat) -> Vec<u32> {
        let pairs = self.raw.chunks(128).zip(other.raw.chunks(128));
        (0u32..)
            .zip(pairs)
            .filter(|(_, (a, b))| a != b)
            .map(|(i, _)| i)
            .collect()
    }

    /// Writes the given sectors (ascending) to FAT `copy`, neighbours in one write.
    pub(crate) fn write_sectors(
        &self,
        disk: &mut impl Disk,
        start: u64,
        geometry: &Geometry,
        copy: u32,
        sectors: &[u32],
    ) -> io::Result<()> {
        for run in sectors.chunk_by(|a, b| a + 1 == *b) {
            for part in run.chunks(2048) {
                let entries = &self.raw[part[0] as usize * 128..][..part.len() * 128];
                let bytes: Vec<u8> = entries.iter().flat_map(|v| v.to_le_bytes()).collect();
                disk.write_at(
                    fat_offset(start, geometry, copy) + u64::from(part[0]) * SECTOR,
                    &bytes,
                )?;
            }
        }
        Ok(())
    }
}

/// Byte offset on the disk of FAT `copy`.
fn fat_offset(start: u64, geometry: &Geometry, copy: u32) -> u64 {
    (start + u64::from(geometry.reserved) + u64::from(copy) * u64::from(geometry.fat_sectors))
        * SECTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 KiB clusters, 1 GiB.
    fn boot() -> [u8; 512] {
        let mut boot = [0; 512];
        boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
        boot[11..17].copy_from_slice(&[0, 2, 8, 32, 0, 2]);
        boot[32..36].copy_from_slice(&2_097_152u32.to_le_bytes());
        boot[36..40].copy_from_slice(&2048u32.to_le_bytes());
        boot[44..52].copy_from_slice(&[2, 0, 0, 0, 1, 0, 6, 0]);
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        boot
    }

    #[test]
    fn a_boot_sector_is_read_as_the_specification_says() {
        let geometry = Geometry::parse(&boot()).unwrap();
        assert_eq!(geometry.data_start(), 32 + 2 * 2048);
        assert_eq!(geometry.clusters(), (2_097_152 - 4128) / 8);
        assert_eq!((geometry.fsinfo, geometry.backup), (Some(1), Some(6)));
        assert_eq!(geometry.cluster_sector(3), 4128 + 8);
    }

    #[test]
    fn other_file_systems_are_named_in_the_refusal() {
        let with = |at: usize, bytes: &[u8]| {
            let mut sector = boot();
            sector[at..at + bytes.len()].copy_from_slice(bytes);
            Geometry::parse(&sector).unwrap_err().to_string()
        };
        assert!(with(3, b"EXFAT   ").contains("holds exFAT, not FAT32"));
        assert!(with(3, b"NTFS    ").contains("holds NTFS"));
        assert!(with(22, &[9, 0]).contains("FAT12 or FAT16"));
        assert!(with(11, &[0, 16]).contains("bytes per sector = 4096"));
        assert!(with(13, &[3]).contains("sectors per cluster = 3"));
        assert!(with(36, &[1, 0, 0, 0]).contains("sectors per FAT = 1"));
        assert!(with(44, &[1]).contains("root directory cluster = 1"));
        assert!(with(510, &[0]).contains("no FAT file system"));
    }

    #[test]
    fn no_boot_sector_makes_the_parser_panic() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut sector = boot();
            for _ in 0..4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                sector[(state >> 33) as usize % 64] = (state >> 50) as u8;
            }
            let _ = Geometry::parse(&sector);
        }
    }
}

//! First boot: the FAT32 that fills the card shrinks, and partition 2 gets the rest.
//!
//! This runs in the initramfs, before anything is mounted: a mounted vfat writes its
//! cached boot sector back and would undo the change. The order, with a flush after each:
//! clusters behind the cut moved (see `relocate`), backup boot sector and FSInfo, boot
//! sector, the start of the future partition 2 wiped, then both partition entries in one
//! write of sector 0. After a power cut anywhere, [`prepare`] does the step again: the
//! plan is computed from what is on the card, and the size depends only on the card and
//! on what its directories reach, so a second run aims at the same cut.
//!
//! | On the card                                        | What happens                     |
//! | -------------------------------------------------- | -------------------------------- |
//! | one FAT32 partition that fills it                  | it shrinks, partition 2 is added |
//! | one small FAT32 partition, free space behind       | partition 2 is added             |
//! | FAT32 smaller than its partition, no partition 2   | an interrupted run: finished     |
//! | both, the second encrypted or still empty          | nothing                          |
//! | these, but the FAT32 claims more than partition 1  | the FAT32 is cut to fit          |
//! | anything else                                      | refused, in words                |
//!
//! Limits: MBR, 512-byte sectors, FAT32 in entry 1. Clusters that no directory reaches are
//! freed by a shrink, as `fsck.vfat` would. A FAT that contradicts itself is refused.

use crate::disk::{Disk, SECTOR};
use crate::fat32::{Fat, FatError, Geometry, MIN_CLUSTERS, forget_free_count, set_size_and_root};
use crate::mbr::{Entry, KIND_FAT32, KIND_FAT32_CHS, KIND_LINUX, KIND_LUKS, Mbr, MbrError};
use crate::relocate::Moves;
use crate::tree::{TreeError, walk};
use std::io;
use thiserror::Error;

/// Sectors in a MiB, to which partitions are aligned.
const MIB: u64 = 2048;
/// The FAT32 keeps at least this many sectors: 1 GiB.
const LEAST_FAT: u64 = 1024 * MIB;
/// Partition 2 gets at least this many sectors: 512 MiB.
const LEAST_DATA: u64 = 512 * MIB;
/// Some clusters above the limit, because not all tools count alike.
const LEAST_CLUSTERS: u64 = MIN_CLUSTERS as u64 + 16;
/// A shrunk file system keeps a quarter of what is used as free space.
const SPARE_DIVISOR: u64 = 4;
/// What is wiped at the start of a new partition 2, in bytes: there file systems, and LUKS2
/// with metadata of the usual size, keep what identifies them.
const WIPE: usize = 1 << 20;
/// Where a second LUKS2 header may be, one place for each metadata size, in bytes (LUKS2
/// On-Disk Format Specification, 2.1).
const SECOND_HEADERS: [u64; 9] = [
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];
/// Where the key slots start behind two headers of the usual size, in bytes.
const KEY_SLOTS: usize = 0x8000;
const READ_DATA: &str = "read the start of partition 2";
/// A sector of random bytes has 221 different ones, give or take 5 (one standard
/// deviation); a superblock has far fewer.
const RANDOM_SECTOR: usize = 180;

/// Why the card was left as it is, or (for [`CardError::Io`]) where the work stopped.
#[derive(Debug, Error)]
pub enum CardError {
    /// A read, write or flush failed. Trying again continues the work.
    #[error(
        "cannot {what} on the card: {source}; switch the box off and on to try again, and replace the card if this comes back"
    )]
    Io {
        /// What was being done, in words.
        what: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The card takes no writes; the first one was refused.
    #[error(
        "the card is write-protected: push the switch of its adapter away from \"lock\"; if there is none, the card is worn out: use another one"
    )]
    WriteProtected,
    /// Sector 0 is no table that we can use.
    #[error(transparent)]
    Table(#[from] MbrError),
    /// Entry 1 is empty or of another type.
    #[error(
        "the first partition of the card is {found}, not FAT32; format the card as FAT32 with Raspberry Pi Imager and copy the files again"
    )]
    FirstPartition {
        /// What the entry says, in words.
        found: String,
    },
    /// Partition 1 holds no FAT32.
    #[error(transparent)]
    Fat(#[from] FatError),
    /// The directories or the FAT contradict themselves.
    #[error("{0}")]
    Damaged(TreeError),
    /// The partition or file system ends behind the end of the card.
    #[error(
        "partition 1 needs {needed} MiB but the card has {card} MiB: the copy was cut short or the card is smaller than it claims; use another card"
    )]
    BeyondCard {
        /// Where the file system ends.
        needed: u64,
        /// Size of the card.
        card: u64,
    },
    /// Not enough would be left for partition 2.
    #[error(
        "the card has {card} MiB; its files and start area need {fat} MiB and the data at least {data} MiB more; use a larger card, or delete files that do not belong to the box"
    )]
    TooSmall {
        /// Size of the card.
        card: u64,
        /// What partition 1 needs.
        fat: u64,
        /// What partition 2 needs.
        data: u64,
    },
    /// The smallest FAT32 with such clusters leaves no room.
    #[error(
        "the card has {card} MiB and is formatted with clusters of {cluster} KiB, with which FAT32 cannot be smaller than {fat} MiB; format it again with an allocation unit size of 16 KiB and copy the files again, or use a larger card"
    )]
    ClustersTooLarge {
        /// Size of the card in MiB.
        card: u64,
        /// Size of a cluster in KiB.
        cluster: u32,
        /// Smallest FAT32 in MiB.
        fat: u64,
    },
    /// A partition that we did not make.
    #[error(
        "the card has a partition {number} that this box did not make ({found}), and it may hold data; save what you need, then format the whole card with Raspberry Pi Imager and copy the files again"
    )]
    FurtherPartition {
        /// 2 to 4.
        number: usize,
        /// What it is, in words.
        found: String,
    },
    /// Files of partition 1 lie where partition 2 is.
    #[error(
        "files on partition 1 of the card lie where its partition 2 starts, so one of them is overwritten; save what you need, then format the whole card and copy the files again"
    )]
    FilesInData,
}

/// What [`prepare`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both partitions were there and fit; nothing was written.
    AlreadyDone,
    /// The FAT32 shrank (or an interrupted shrink was finished), partition 2 was added.
    Shrunk {
        /// Size of partition 1 now, in MiB.
        boot_mib: u64,
        /// Size of partition 2, in MiB.
        data_mib: u64,
        /// Clusters that had to move.
        moved: usize,
    },
    /// Partition 2 was added behind partition 1, which stays as it was.
    PartitionAdded,
    /// Both partitions were there, but the FAT32 claimed more than its partition and was
    /// cut to fit.
    Repaired,
}

/// What is to be written. It describes the disk as [`plan`] read it, so nothing may write
/// to the disk between [`plan`] and [`apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    outcome: Outcome,
    file_system: Option<FileSystemPlan>,
    /// Byte offset of the area to wipe.
    wipe: Option<u64>,
    table: Option<Mbr>,
}

/// The part of a plan inside partition 1.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileSystemPlan {
    start: u64,
    geometry: Geometry,
    /// Sectors of the file system afterwards.
    total: u32,
    moves: Moves,
}

impl Plan {
    /// What [`apply`] will have done.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Makes the card ready: [`plan`] and [`apply`]. Nothing of the disk may be mounted; the
/// caller then has the kernel read the partition table again unless the outcome is
/// [`Outcome::AlreadyDone`]. Errors with [`CardError`]; only [`CardError::Io`] can come
/// after something was written.
pub fn prepare(disk: &mut impl Disk) -> Result<Outcome, CardError> {
    let plan = plan(disk)?;
    apply(disk, &plan)?;
    Ok(plan.outcome)
}

/// Reads the card and decides; writes nothing. Errors with every refusal of
/// [`CardError`].
pub fn plan(disk: &mut impl Disk) -> Result<Plan, CardError> {
    // A partition entry cannot reach further than 2 TiB.
    let card = (disk.len().map_err(io_error("find the size"))? / SECTOR).min(u32::MAX.into());
    let table = Mbr::parse(read_sector(disk, 0, "read the partition table")?)?;
    let first = first_partition(&table)?;
    for number in 3..=4 {
        if let Some(entry) = table.entry(number - 1) {
            return Err(further(number, entry.kind));
        }
    }
    let start = u64::from(first.start);
    if start >= card {
        return Err(beyond(first.end(), card));
    }
    let geometry = Geometry::parse(&read_sector(disk, start, "read partition 1")?)?;
    match table.entry(1) {
        Some(second) => plan_with_data(disk, card, first, second, geometry),
        None => plan_without_data(disk, card, table, first, geometry),
    }
}

/// Carries out a plan made by [`plan`] on the same disk. Errors only with
/// [`CardError::Io`]; a new [`plan`] then continues from there.
pub fn apply(disk: &mut impl Disk, plan: &Plan) -> Result<(), CardError> {
    if let Some(file_system) = &plan.file_system {
        let FileSystemPlan {
            start,
            geometry,
            moves,
            ..
        } = file_system;
        moves
            .apply(disk, *start, geometry)
            .map_err(io_error("move files"))?;
        file_system
            .resize(disk)
            .map_err(io_error("shrink partition 1"))?;
    }
    if let Some(offset) = plan.wipe {
        let wiped = disk
            .write_at(offset, &vec![0; WIPE])
            .and_then(|()| disk.flush());
        wiped.map_err(io_error("clear the start of partition 2"))?;
    }
    if let Some(table) = &plan.table {
        let written = disk.write_at(0, table.sector()).and_then(|()| disk.flush());
        written.map_err(io_error("write the partition table"))?;
    }
    Ok(())
}

/// Partition 2 exists: check that it is ours and that the FAT32 keeps off it.
fn plan_with_data(
    disk: &mut impl Disk,
    card: u64,
    first: Entry,
    second: Entry,
    geometry: Geometry,
) -> Result<Plan, CardError> {
    if !matches!(second.kind, KIND_LINUX | KIND_LUKS) {
        return Err(further(2, second.kind));
    }
    if u64::from(second.start) < first.end() {
        return Err(CardError::FurtherPartition {
            number: 2,
            found: "it overlaps partition 1".to_owned(),
        });
    }
    if geometry.total <= first.sectors {
        refuse_foreign_data(disk, second, card)?;
        return Ok(Plan {
            outcome: Outcome::AlreadyDone,
            file_system: None,
            wipe: None,
            table: None,
        });
    }
    let start = first.start.into();
    let (fat, second_fat, tree) = scan(disk, start, &geometry)?;
    let cut = geometry.clusters_in(first.sectors) + 2;
    let beyond = tree.reached.iter().skip(cut as usize).any(|r| *r);
    let moves = Moves::plan(&geometry, fat, second_fat.as_ref(), tree, cut);
    let moves = moves.filter(|_| !beyond).ok_or(CardError::FilesInData)?;
    // Only now, because what looks foreign may be those files.
    refuse_foreign_data(disk, second, card)?;
    Ok(Plan {
        outcome: Outcome::Repaired,
        file_system: Some(FileSystemPlan {
            start,
            geometry,
            total: first.sectors,
            moves,
        }),
        wipe: None,
        table: None,
    })
}

/// No partition 2 yet: shrink, or only add it.
fn plan_without_data(
    disk: &mut impl Disk,
    card: u64,
    table: Mbr,
    first: Entry,
    geometry: Geometry,
) -> Result<Plan, CardError> {
    let start = u64::from(first.start);
    let total = u64::from(geometry.total);
    if start + total > card {
        return Err(beyond(start + total, card));
    }
    let occupied = u64::from(first.sectors).clamp(total, card - start);

    let behind = card.saturating_sub(align(start + occupied));
    if behind >= LEAST_DATA && behind >= occupied {
        let data = align(start + occupied);
        return Ok(Plan {
            outcome: Outcome::PartitionAdded,
            file_system: None,
            wipe: wipe(disk, data, start + occupied, card)?,
            table: Some(with_partitions(table, first, occupied, data, card)),
        });
    }

    let (fat, second_fat, tree) = scan(disk, start, &geometry)?;
    let used = u64::from(tree.used);
    let clusters = used + used / SPARE_DIVISOR + u64::from(tree.bad);
    let for_files = align(start + geometry.sectors_for(clusters).max(LEAST_FAT)) - start;
    let for_fat32 = align(start + geometry.sectors_for(LEAST_CLUSTERS)) - start;
    let goal = for_files.max(for_fat32);

    // A file system already below the goal stays: the image was made so, or an earlier
    // run got this far.
    let new_total = total.min(goal);
    let data = align(start + new_total);
    if data + LEAST_DATA > card {
        let mib = |sectors: u64| sectors.div_ceil(MIB);
        return Err(if for_fat32 > for_files {
            CardError::ClustersTooLarge {
                card: card / MIB,
                cluster: geometry.sectors_per_cluster / 2,
                fat: mib(for_fat32),
            }
        } else {
            CardError::TooSmall {
                card: card / MIB,
                fat: mib(start + new_total),
                data: mib(LEAST_DATA),
            }
        });
    }
    let new_total_u32 = u32::try_from(new_total).unwrap_or(geometry.total);
    let file_system = if new_total < total {
        let cut = geometry.clusters_in(new_total_u32) + 2;
        let moves = Moves::plan(&geometry, fat, second_fat.as_ref(), tree, cut);
        Some(FileSystemPlan {
            start,
            geometry,
            total: new_total_u32,
            // Cannot be: the goal has room for what is used and a quarter more.
            moves: moves.ok_or(CardError::FilesInData)?,
        })
    } else {
        None
    };
    Ok(Plan {
        outcome: Outcome::Shrunk {
            boot_mib: (data - start) / MIB,
            data_mib: (card - data) / MIB,
            moved: file_system.as_ref().map_or(0, |f| f.moves.len()),
        },
        file_system,
        wipe: wipe(disk, data, start + occupied, card)?,
        table: Some(with_partitions(table, first, data - start, data, card)),
    })
}

impl FileSystemPlan {
    /// Writes the new size: backups first, so that the boot sector decides.
    fn resize(&self, disk: &mut impl Disk) -> io::Result<()> {
        let at = |sector: u32| (self.start + u64::from(sector)) * SECTOR;
        let mut boot = [0; 512];
        disk.read_at(at(0), &mut boot)?;
        set_size_and_root(&mut boot, self.total, self.moves.root(&self.geometry));
        if let Some(backup) = self.geometry.backup {
            disk.write_at(at(backup), &boot)?;
        }
        if let Some(fsinfo) = self.geometry.fsinfo {
            // The backup boot sector is followed by a backup of FSInfo.
            let copy = self
                .geometry
                .backup
                .map(|b| b + fsinfo)
                .filter(|s| *s < self.geometry.reserved);
            for sector in [Some(fsinfo), copy].into_iter().flatten() {
                let mut info = [0; 512];
                disk.read_at(at(sector), &mut info)?;
                if forget_free_count(&mut info) {
                    disk.write_at(at(sector), &info)?;
                }
            }
        }
        disk.flush()?;
        disk.write_at(at(0), &boot)?;
        disk.flush()
    }
}

/// Reads the FATs and walks the directories.
fn scan(
    disk: &mut impl Disk,
    start: u64,
    geometry: &Geometry,
) -> Result<(Fat, Option<Fat>, crate::tree::Tree), CardError> {
    let fat = Fat::read(disk, start, geometry, 0).map_err(io_error("read the FAT"))?;
    let second = if geometry.fats > 1 {
        Some(Fat::read(disk, start, geometry, 1).map_err(io_error("read the second FAT"))?)
    } else {
        None
    };
    let tree = walk(disk, start, geometry, &fat).map_err(|e| match e {
        TreeError::Io(source) => io_error("read a directory")(source),
        damaged @ TreeError::Damaged { .. } => CardError::Damaged(damaged),
    })?;
    Ok((fat, second, tree))
}

/// Entry 1, if its type is FAT32.
fn first_partition(table: &Mbr) -> Result<Entry, CardError> {
    let found = match table.entry(0) {
        Some(entry) if matches!(entry.kind, KIND_FAT32 | KIND_FAT32_CHS) && entry.start > 0 => {
            return Ok(entry);
        }
        Some(entry) if entry.kind == 0x07 => "exFAT or NTFS".to_owned(),
        Some(entry) => format!("of type {:02x}", entry.kind),
        None => "missing".to_owned(),
    };
    Err(CardError::FirstPartition { found })
}

/// The byte offset to wipe for a new partition 2 at sector `data`, if any; partition 1 with
/// its FAT32 ended at sector `occupied_end` so far.
///
/// What was inside the FAT32 that the owner formatted is wiped: an old LUKS header there
/// would only make the box ask for a forgotten passphrase. The space behind may hold the
/// owner's data from before the card was flashed again; what is encrypted there is theirs
/// to keep or to erase, and only anything else is wiped.
fn wipe(
    disk: &mut impl Disk,
    data: u64,
    occupied_end: u64,
    card: u64,
) -> Result<Option<u64>, CardError> {
    let keep = data >= occupied_end && luks_header(disk, data, card)?.is_some();
    Ok((!keep).then_some(data * SECTOR))
}

/// The first LUKS header between two sectors, as its offset in bytes from the first.
fn luks_header(disk: &mut impl Disk, start: u64, end: u64) -> Result<Option<u64>, CardError> {
    let second = SECOND_HEADERS.map(|offset| (offset, b"SKUL\xba\xbe"));
    for (offset, magic) in std::iter::once((0, b"LUKS\xba\xbe")).chain(second) {
        let sector = start + offset / SECTOR;
        if sector < end && read_sector(disk, sector, READ_DATA)?.starts_with(magic) {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

/// Refuses an existing partition 2 unless it is encrypted or empty, because claiming the
/// box formats it. One that the table calls encrypted is: the box itself wrote that down,
/// and claims it for nobody, also when its header is damaged.
fn refuse_foreign_data(disk: &mut impl Disk, second: Entry, card: u64) -> Result<(), CardError> {
    let refused = |found: &str| {
        Err(CardError::FurtherPartition {
            number: 2,
            found: found.to_owned(),
        })
    };
    let (start, end) = (u64::from(second.start), second.end().min(card));
    if start >= end {
        return refused("it starts behind the end of the card");
    }
    let header = luks_header(disk, start, end)?;
    if header == Some(0) || second.kind == KIND_LUKS {
        return Ok(());
    }
    let mut bytes = vec![0; ((end - start) * SECTOR).min(WIPE as u64) as usize];
    disk.read_at(start * SECTOR, &mut bytes)
        .map_err(io_error(READ_DATA))?;
    // The second header may be left from before the file system was made.
    if bytes.get(1024 + 56..1024 + 58) == Some(&[0x53, 0xef]) {
        return refused("an ext4 file system, as of another Linux system");
    }
    if header.is_none() && !is_unused(&bytes) {
        return refused("it is neither encrypted nor empty");
    }
    Ok(())
}

/// Whether the start of partition 2 is as we made it, or as `cryptsetup luksFormat` leaves
/// it without power: it writes zeros first, then random bytes over the key slots, and only
/// then the headers.
///
/// Source: `LUKS2_wipe_header_areas` in cryptsetup's `lib/luks2/luks2_json_format.c`.
fn is_unused(bytes: &[u8]) -> bool {
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let random = |sector: &[u8]| {
        let mut seen = [false; 256];
        sector
            .iter()
            .for_each(|byte| seen[usize::from(*byte)] = true);
        seen.iter().filter(|seen| **seen).count() >= RANDOM_SECTOR
    };
    let (headers, key_slots) = bytes.split_at(KEY_SLOTS.min(bytes.len()));
    zero(headers)
        && key_slots
            .chunks(SECTOR as usize)
            .all(|sector| zero(sector) || random(sector))
}

/// The table with partition 1 resized and partition 2 from `data` to the end of the card.
fn with_partitions(mut table: Mbr, first: Entry, sectors: u64, data: u64, card: u64) -> Mbr {
    // All are at most `card`, which `plan` keeps within 32 bits.
    let number = |sectors: u64| u32::try_from(sectors).unwrap_or(u32::MAX);
    table.set(
        0,
        Entry {
            sectors: number(sectors),
            ..first
        },
    );
    table.set(
        1,
        Entry {
            bootable: false,
            kind: KIND_LINUX,
            start: number(data),
            sectors: number(card - data),
        },
    );
    table
}

/// The next MiB boundary of the disk.
fn align(sector: u64) -> u64 {
    sector.next_multiple_of(MIB)
}

fn further(number: usize, kind: u8) -> CardError {
    CardError::FurtherPartition {
        number,
        found: format!("type {kind:02x}"),
    }
}

fn beyond(end: u64, card: u64) -> CardError {
    CardError::BeyondCard {
        needed: end.div_ceil(MIB),
        card: card / MIB,
    }
}

fn read_sector(
    disk: &mut impl Disk,
    sector: u64,
    what: &'static str,
) -> Result<[u8; 512], CardError> {
    let mut bytes = [0; 512];
    disk.read_at(sector * SECTOR, &mut bytes)
        .map_err(io_error(what))?;
    Ok(bytes)
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> CardError {
    move |source| match source.kind() {
        // The kernel's EROFS, EACCES and EPERM for a disk that is read-only.
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            CardError::WriteProtected
        }
        _ => CardError::Io { what, source },
    }
}

//! A card as a user makes it: a fresh FAT32 card with the ZIP's files on it, or
//! the ZIP's image written raw.
//!
//! The card is a sparse file that starts as SD cards come and as Raspberry Pi
//! Imager leaves them: an MBR with one partition of type 0x0c from sector 8192
//! to the end, FAT32, label BOOT. `mkfs.vfat` and mtools do the work, for the
//! build host may have neither loop devices nor vfat. Sizes are powers of two
//! because QEMU's SD controller takes no others.
//!
//! Also here: the checks that a test makes on a card that no box is using.
//! They read the partition table by themselves, so that they cannot share a
//! mistake with the code under test.

use crate::tool::{Tool, ToolError, tool};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// First sector of the boot partition.
const FIRST_SECTOR: u32 = 8192;
const SECTOR: u64 = 512;
/// The size of a card when nobody says otherwise, in bytes.
pub const DEFAULT_SIZE: u64 = 4 << 30;

/// Why a card could not be made or examined.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ZIP is damaged.
    #[error("{}: not a readable ZIP ({source}); build it again with `cargo xtask image`", path.display())]
    Zip {
        /// The ZIP.
        path: PathBuf,
        /// What is wrong with it.
        source: zip::result::ZipError,
    },
    /// The size is no power of two, or is beyond what an MBR can say.
    #[error("a card of {0} bytes: QEMU takes powers of two only; use 4294967296, say")]
    Size(u64),
    /// The card has no partition of that number.
    #[error("{}: no partition {number} in the MBR", card.display())]
    NoPartition {
        /// The card.
        card: PathBuf,
        /// Counted from 1.
        number: usize,
    },
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// How somebody's computer formatted a card, and what was on it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The size in bytes; a power of two.
    pub size: u64,
    /// Sectors in a cluster; `None` for what `mkfs.vfat` proposes.
    pub sectors_per_cluster: Option<u32>,
    /// How far into the partition the files begin, in MiB: as on a card whose
    /// start was in use when they came.
    pub files_from_mib: u32,
}

impl Layout {
    /// A fresh card of that size.
    pub fn of_size(size: u64) -> Self {
        Self {
            size,
            sectors_per_cluster: None,
            files_from_mib: 0,
        }
    }
}

/// A partition as the MBR gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The type byte; 0x0c is FAT32, 0x83 is Linux, 0xe8 is LUKS.
    pub kind: u8,
    /// First sector.
    pub start: u32,
    /// Number of sectors.
    pub sectors: u32,
}

/// Makes the card `card` of `size` bytes with the files of `zip` on it, and
/// then `extra` (path on the card, contents), which replaces files of the ZIP.
/// The card appears by rename, so an interrupted run leaves none.
pub fn make(zip: &Path, card: &Path, size: u64, extra: &[(&str, &[u8])]) -> Result<(), CardError> {
    make_laid_out(zip, card, Layout::of_size(size), extra)
}

/// The same on a card that was formatted otherwise.
pub fn make_laid_out(
    zip: &Path,
    card: &Path,
    layout: Layout,
    extra: &[(&str, &[u8])],
) -> Result<(), CardError> {
    let files = tempfile::tempdir().map_err(at(Path::new("temporary directory")))?;
    unpack(zip, files.path())?;
    for (name, contents) in extra {
        let path = files.path().join(name);
        fs::write(&path, contents).map_err(at(&path))?;
    }
    let part = card.with_extension("part");
    make_empty(&part, layout)?;
    if layout.files_from_mib > 0 {
        files_come_behind(&part, layout)?;
    }
    copy_onto(&part, files.path())?;
    fs::rename(&part, card).map_err(at(card))
}

/// Writes the one image in `zip` raw onto a card of `size` bytes, as Raspberry
/// Pi Imager does, and then `extra` into its file system as [`make`] does.
pub fn flash(zip: &Path, card: &Path, size: u64, extra: &[(&str, &[u8])]) -> Result<(), CardError> {
    let folder = card.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let unpacked = tempfile::tempdir_in(folder).map_err(at(folder))?;
    // -S: an image is mostly zeros, which stay holes.
    tool("bsdtar", "libarchive-tools")
        .args(["-x", "-S", "-f"])
        .arg(zip)
        .arg("-C")
        .arg(unpacked.path())
        .run()?;
    let image = names_in(unpacked.path())?;
    let image = image.first().ok_or(CardError::Size(0))?;
    OpenOptions::new()
        .write(true)
        .open(image)
        .and_then(|file| file.set_len(size))
        .map_err(at(image))?;
    let files = tempfile::tempdir().map_err(at(Path::new("temporary directory")))?;
    for (name, contents) in extra {
        let path = files.path().join(name);
        let folder = path.parent().unwrap_or(files.path());
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, contents))
            .map_err(at(&path))?;
    }
    if !extra.is_empty() {
        copy_onto(image, files.path())?;
    }
    fs::rename(image, card).map_err(at(card))
}

/// Compares the files of the boot partition with the ZIP's and `extra`. Files
/// that are only on the card (the box writes some) don't matter. Returns the
/// name of the first file that is not the same or not there.
pub fn first_changed_file(
    zip: &Path,
    card: &Path,
    extra: &[(&str, &[u8])],
) -> Result<Option<String>, CardError> {
    let read = tempfile::tempdir().map_err(at(Path::new("temporary directory")))?;
    let zipped = tempfile::tempdir().map_err(at(Path::new("temporary directory")))?;
    mtool("mcopy", card)
        .args(["-s", "-n", "::/*"])
        .arg(read.path())
        .run()?;
    unpack(zip, zipped.path())?;
    for (name, contents) in extra {
        let path = zipped.path().join(name);
        fs::write(&path, contents).map_err(at(&path))?;
    }
    let mut folders = vec![zipped.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in names_in(&folder)? {
            let name = path.strip_prefix(zipped.path()).unwrap_or(&path);
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).map_err(at(&path))?
                != fs::read(read.path().join(name)).unwrap_or_default()
            {
                return Ok(Some(name.display().to_string()));
            }
        }
    }
    Ok(None)
}

/// The first sector on the card of a file of the boot partition.
pub fn first_sector_of(card: &Path, name: &str) -> Result<u64, CardError> {
    let shown = mtool("mshowfat", card).arg(format!("::/{name}")).output()?;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    // Such as `::/README.TXT <12-34>`.
    let cluster = shown.split_once('<').map_or("", |(_, clusters)| clusters);
    let digits = cluster.split(|c: char| !c.is_ascii_digit()).next();
    let missing = || CardError::Io {
        path: card.join(name),
        source: io::Error::other(format!("mshowfat said {shown:?}")),
    };
    let cluster: u64 = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(missing)?;
    let boot = partition(card, 1)?;
    let sector: [u8; 512] = first_bytes(card, boot)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
    let fat = short(36) | short(38) << 16;
    let data = short(14) + u64::from(sector[16]) * fat;
    Ok(u64::from(boot.start) + data + (cluster - 2) * u64::from(sector[13]))
}

fn unpack(zip: &Path, folder: &Path) -> Result<(), CardError> {
    let opened = File::open(zip).map_err(at(zip))?;
    zip::ZipArchive::new(opened)
        .and_then(|mut archive| archive.extract(folder))
        .map_err(|source| CardError::Zip {
            path: zip.to_owned(),
            source,
        })
}

/// What is in a folder, in order.
fn names_in(folder: &Path) -> Result<Vec<PathBuf>, CardError> {
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    let names: io::Result<Vec<PathBuf>> = entries.map(|e| Ok(e?.path())).collect();
    let mut names = names.map_err(at(folder))?;
    names.sort();
    Ok(names)
}

/// Copies what is in `files` onto a card, over what has the same name.
fn copy_onto(card: &Path, files: &Path) -> Result<(), CardError> {
    mtool("mcopy", card)
        .args(["-s", "-m", "-o"])
        .args(names_in(files)?)
        .arg("::/")
        .run()?;
    Ok(())
}

/// Has the next files written so far into the partition: FSInfo's "next free
/// cluster" (fatgen103, "FAT32 FSInfo Sector Structure"), which mtools heeds.
fn files_come_behind(card: &Path, layout: Layout) -> Result<(), CardError> {
    let boot = partition(card, 1)?;
    let sectors_per_cluster = u32::from(first_bytes::<16>(card, boot)?[13]);
    let cluster = layout.files_from_mib * 2048 / sectors_per_cluster.max(1);
    let next_free = (u64::from(boot.start) + 1) * SECTOR + 492;
    OpenOptions::new()
        .write(true)
        .open(card)
        .and_then(|file| file.write_all_at(&cluster.to_le_bytes(), next_free))
        .map_err(at(card))
}

/// A USB stick as they are sold: MBR, FAT32, and somebody's file.
pub fn make_stick(stick: &Path, files: &[(&str, &[u8])]) -> Result<(), CardError> {
    make_empty(stick, Layout::of_size(64 << 20))?;
    for (name, bytes) in files {
        put_file(stick, name, bytes)?;
    }
    Ok(())
}

/// The names in the root of the boot partition, or of a stick, in order.
pub fn root_names(card: &Path) -> Result<Vec<String>, CardError> {
    let listed = mtool("mdir", card).args(["-b", "::/"]).output()?;
    let mut names: Vec<String> = String::from_utf8_lossy(&listed)
        .lines()
        .map(|line| line.trim_start_matches("::/").to_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// An empty card: MBR and FAT32, no files.
fn make_empty(card: &Path, layout: Layout) -> Result<(), CardError> {
    let size = layout.size;
    let sectors = u32::try_from(size / SECTOR).map_err(|_| CardError::Size(size))?;
    if !size.is_power_of_two() || sectors <= FIRST_SECTOR {
        return Err(CardError::Size(size));
    }
    if let Some(directory) = card.parent() {
        fs::create_dir_all(directory).map_err(at(directory))?;
    }
    let file = File::create(card).map_err(at(card))?;
    let mbr = mbr_of_one_partition(sectors - FIRST_SECTOR);
    file.set_len(size)
        .and_then(|()| file.write_all_at(&mbr, 0))
        .map_err(at(card))?;
    tool("mkfs.vfat", "dosfstools")
        .args([
            "-F",
            "32",
            "-n",
            "BOOT",
            "--offset",
            &FIRST_SECTOR.to_string(),
        ])
        .args(
            layout
                .sectors_per_cluster
                .map(|sectors| format!("-s{sectors}")),
        )
        .arg(card)
        .arg(((size / SECTOR - u64::from(FIRST_SECTOR)) / 2).to_string())
        .run()?;
    Ok(())
}

/// The first sector of a card with one FAT32 partition. The old cylinder
/// fields say "beyond what we can count", as they do on any card of today.
fn mbr_of_one_partition(sectors: u32) -> [u8; SECTOR as usize] {
    let mut mbr = [0; SECTOR as usize];
    mbr[440..444].copy_from_slice(&0x7072_6f6a_u32.to_le_bytes());
    let entry = &mut mbr[446..462];
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = 0x0c;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&FIRST_SECTOR.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

/// Sector 0: the partition table.
pub fn first_sector(card: &Path) -> Result<[u8; SECTOR as usize], CardError> {
    let mut sector = [0; SECTOR as usize];
    File::open(card)
        .and_then(|file| file.read_exact_at(&mut sector, 0))
        .map_err(at(card))?;
    Ok(sector)
}

/// Partition `number` (from 1) of a card.
pub fn partition(card: &Path, number: usize) -> Result<Partition, CardError> {
    let mbr = first_sector(card)?;
    let missing = || CardError::NoPartition {
        card: card.to_owned(),
        number,
    };
    let from = 446 + (number - 1) * 16;
    let entry = mbr
        .get(from..from + 16)
        .filter(|_| mbr[510..] == [0x55, 0xaa]);
    let entry = entry.ok_or_else(missing)?;
    let word =
        |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
    let found = Partition {
        kind: entry[4],
        start: word(8),
        sectors: word(12),
    };
    if found.kind == 0 || found.sectors == 0 {
        return Err(missing());
    }
    Ok(found)
}

/// Lets `fsck.vfat -n` judge the boot partition. Any complaint is an error.
pub fn check_fat(card: &Path) -> Result<(), CardError> {
    let boot = partition(card, 1)?;
    let copy = tempfile::NamedTempFile::new().map_err(at(Path::new("temporary file")))?;
    let mut target = copy.as_file();
    target
        .set_len(u64::from(boot.sectors) * SECTOR)
        .map_err(at(copy.path()))?;
    each_chunk(card, boot, |offset, bytes| {
        if !is_zero(bytes) {
            target
                .seek(SeekFrom::Start(offset))
                .and_then(|_| target.write_all(bytes))?;
        }
        Ok(true)
    })?;
    tool("fsck.vfat", "dosfstools")
        .arg("-n")
        .arg(copy.path())
        .run()?;
    Ok(())
}

/// Where in the partition, in bytes, `needle` first stands in the clear.
pub fn find_bytes(card: &Path, part: Partition, needle: &[u8]) -> Result<Option<u64>, CardError> {
    let finder = memchr::memmem::Finder::new(needle);
    let no_zero_in_needle = !needle.contains(&0);
    let mut tail = Vec::new();
    let mut found = None;
    each_chunk(card, part, |offset, bytes| {
        // Most of a card is zeros; a text cannot reach over them.
        if no_zero_in_needle && is_zero(bytes) {
            tail.clear();
            return Ok(true);
        }
        // What ends one chunk may go on in the next.
        let begins = offset - tail.len() as u64;
        tail.extend_from_slice(bytes);
        found = finder.find(&tail).map(|at| begins + at as u64);
        tail.drain(..tail.len().saturating_sub(needle.len() - 1));
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// The first bytes of a partition.
pub fn first_bytes<const N: usize>(card: &Path, part: Partition) -> Result<[u8; N], CardError> {
    let mut bytes = [0; N];
    File::open(card)
        .and_then(|file| file.read_exact_at(&mut bytes, u64::from(part.start) * SECTOR))
        .map_err(at(card))?;
    Ok(bytes)
}

/// Hands a partition to `look` a chunk at a time (offset within the
/// partition, bytes) until that says `false`.
fn each_chunk(
    card: &Path,
    part: Partition,
    mut look: impl FnMut(u64, &[u8]) -> io::Result<bool>,
) -> Result<(), CardError> {
    let mut read = || {
        let mut file = OpenOptions::new().read(true).open(card)?;
        file.seek(SeekFrom::Start(u64::from(part.start) * SECTOR))?;
        let mut chunk = vec![0; 1 << 20];
        let mut offset = 0;
        let mut left = u64::from(part.sectors) * SECTOR;
        while left > 0 {
            let bytes = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.read_exact(&mut chunk[..bytes])?;
            if !look(offset, &chunk[..bytes])? {
                break;
            }
            offset += bytes as u64;
            left -= bytes as u64;
        }
        Ok(())
    };
    read().map_err(at(card))
}

/// Whether all bytes are zero; compared in bulk, since cards are large and this
/// program is usually built without optimisation.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    ZEROS.get(..bytes.len()).is_some_and(|zeros| zeros == bytes)
}

/// Reads one file of the boot partition.
pub fn read_file(card: &Path, name: &str) -> Result<Vec<u8>, CardError> {
    Ok(mtool("mtype", card).arg(format!("::/{name}")).output()?)
}

/// Puts a file into the root of the boot partition, over one of the same name.
pub fn put_file(card: &Path, name: &str, bytes: &[u8]) -> Result<(), CardError> {
    let folder = tempfile::tempdir().map_err(at(card))?;
    let file = folder.path().join(name);
    fs::write(&file, bytes).map_err(at(&file))?;
    copy_onto(card, folder.path())
}

/// Writes over the start of a partition.
pub fn overwrite_start(card: &Path, part: Partition, bytes: &[u8]) -> Result<(), CardError> {
    OpenOptions::new()
        .write(true)
        .open(card)
        .and_then(|file| file.write_all_at(bytes, u64::from(part.start) * SECTOR))
        .map_err(at(card))
}

/// A tool of mtools, pointed at the boot partition of a card.
fn mtool(name: &str, card: &Path) -> Tool {
    let mut image = card.as_os_str().to_owned();
    image.push(format!("@@{}", u64::from(FIRST_SECTOR) * SECTOR));
    tool(name, "mtools")
        .env("MTOOLS_SKIP_CHECK", "1")
        .arg("-i")
        .arg(image)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CardError + '_ {
    move |source| CardError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ZIP with one text file and one in a folder, and a card made of it.
    fn small_card(directory: &Path) -> PathBuf {
        let zip = directory.join("card.zip");
        let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [("README.txt", "for people"), ("a/initrd", "from the zip")] {
            writer.start_file(name, options).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let card = directory.join("card.img");
        make(&zip, &card, 128 << 20, &[("a/initrd", b"replaced")]).unwrap();
        card
    }

    #[test]
    fn a_card_has_one_clean_fat_partition_with_the_zips_files() {
        let directory = tempfile::tempdir().unwrap();
        let card = small_card(directory.path());
        let boot = partition(&card, 1).unwrap();
        assert_eq!(
            boot,
            Partition {
                kind: 0x0c,
                start: 8192,
                sectors: (128 << 11) - 8192
            }
        );
        assert!(matches!(
            partition(&card, 2),
            Err(CardError::NoPartition { number: 2, .. })
        ));
        check_fat(&card).unwrap();
        assert_eq!(read_file(&card, "README.txt").unwrap(), b"for people");
        assert_eq!(read_file(&card, "a/initrd").unwrap(), b"replaced");
    }

    #[test]
    fn the_checker_sees_a_damaged_fat() {
        let directory = tempfile::tempdir().unwrap();
        let card = small_card(directory.path());
        let first_fat = (8192 + 32) * SECTOR;
        let file = OpenOptions::new().write(true).open(&card).unwrap();
        file.write_all_at(&[0x41; 64], first_fat).unwrap();
        assert!(check_fat(&card).is_err());
    }

    #[test]
    fn bytes_are_found_across_a_chunk_border_and_not_outside_the_partition() {
        let directory = tempfile::tempdir().unwrap();
        let card = small_card(directory.path());
        let boot = partition(&card, 1).unwrap();
        let offset = 7 * (1 << 20) - 5;
        let file = OpenOptions::new().write(true).open(&card).unwrap();
        file.write_all_at(b"a known sentence", 8192 * SECTOR + offset)
            .unwrap();
        file.write_all_at(b"before it", 100).unwrap();
        assert_eq!(
            find_bytes(&card, boot, b"a known sentence").unwrap(),
            Some(offset)
        );
        assert_eq!(find_bytes(&card, boot, b"before it").unwrap(), None);
    }

    #[test]
    fn a_size_that_qemu_would_refuse_is_refused_with_words() {
        let directory = tempfile::tempdir().unwrap();
        let error =
            make_empty(&directory.path().join("card"), Layout::of_size(3 << 30)).unwrap_err();
        assert!(error.to_string().contains("powers of two"), "{error}");
    }
}

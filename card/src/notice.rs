//! `problem.txt`: why the box refused the card, on the card itself, for an owner without
//! a screen at the box.
//!
//! It is written only where that is safe: the FAT32 is whole, both FATs are equal, nothing
//! else lies over it, and there are free clusters and a free entry in the root directory.
//! Written are its clusters, their FAT entries, the free count and, last, one directory
//! entry; all else on the card stays as it is. A power cut before the last leaves
//! clusters that nothing reaches, which a later shrink frees. A file of that name that we
//! did not write is left alone.
//!
//! A FAT32 with fewer clusters than the specification asks for (a small card with large
//! clusters) gets it, too: whatever could read the files on it goes by the layout, as Linux
//! and fsck.vfat do. What goes by the number of clusters, as mtools does, takes it for a
//! FAT16 without a root directory and reads nothing there, before or after. A real FAT12 or
//! FAT16 gets no text, only the screen: its table has entries of another size and its root
//! directory a place of its own, and a second writer of file systems, for cards that are
//! only refused, would be more to get wrong than it helps.
//!
//! Source: fatgen103, "FAT Directory Structure"; bits 3 and 4 of byte 12 are Windows NT's
//! "show the name in small letters".

use crate::disk::{Disk, SECTOR};
use crate::fat32::{END_OF_CHAIN, Fat, Geometry, count_free};
use crate::mbr::Mbr;
use crate::shrink::CardError;
use crate::tree::{Directory, EntryKind, Tree, entry_kind, first_cluster, walk};
use std::io;

/// What the file is called.
pub const FILE: &str = "problem.txt";
const SHORT_NAME: &[u8; 11] = b"PROBLEM TXT";
const SMALL_LETTERS: u8 = 0x18;
const ARCHIVE: u8 = 0x20;
/// 1 January 1980: the box does not know the time yet.
const FIRST_DAY: [u8; 2] = [0x21, 0];
/// By this line we know our own file.
const HEADING: &str = "This card cannot be used as it is.";
const ON_THE_CARD: &str = "Nothing else on the card was changed. The box removes this text once \
     it has made the card ready; you may delete it, too.";
const NOT_ON_THE_CARD: &str = "Nothing on the card was changed.";
/// Columns, for the narrowest screen that shows it.
const WIDTH: usize = 72;

/// What the screen says about a card that was refused; `left` is what [`leave`] returned.
/// Lines of at most 72 letters, each ended by LF.
#[must_use]
pub fn on_screen(error: &CardError, left: bool) -> String {
    let end = if left {
        format!("Nothing on the card was changed; {FILE} on it says the same as here.")
    } else {
        NOT_ON_THE_CARD.to_owned()
    };
    page(error, &end, "\n")
}

/// What the file says. Lines end with CR and LF, for every editor.
#[must_use]
pub fn in_the_file(error: &CardError) -> String {
    page(error, ON_THE_CARD, "\r\n")
}

/// Writes [`in_the_file`] onto the card, unless it is there already. Returns whether it is
/// there now; false means that there is no safe place for it and nothing was written.
/// Nothing of the disk may be mounted. Errors when a read or write fails.
pub fn leave(disk: &mut impl Disk, error: &CardError) -> io::Result<bool> {
    let harmless = matches!(
        error,
        CardError::TooSmall { .. }
            | CardError::ClustersTooLarge { .. }
            | CardError::FurtherPartition { .. }
    );
    if !harmless {
        return Ok(false);
    }
    let Some(mut volume) = Volume::open(disk)? else {
        return Ok(false);
    };
    let text = in_the_file(error).into_bytes();
    let old = match volume.find(disk)? {
        Found::Ours(_, content) if content == text => return Ok(true),
        Found::Ours(place, _) => Some(place),
        Found::SomebodyElses => return Ok(false),
        Found::Nothing => None,
    };
    let Some(place) = old.or(volume.free_entry(disk)?) else {
        return Ok(false);
    };
    let Some(clusters) = volume.free_clusters(text.len()) else {
        return Ok(false);
    };
    for (&cluster, part) in clusters.iter().zip(text.chunks(volume.cluster_bytes())) {
        let mut content = vec![0; volume.cluster_bytes()];
        content[..part.len()].copy_from_slice(part);
        disk.write_at(volume.offset(cluster), &content)?;
    }
    disk.flush()?;
    let next = clusters.iter().skip(1).copied().chain([END_OF_CHAIN | 7]);
    let entries = clusters.iter().copied().zip(next).collect::<Vec<_>>();
    volume.set_fat(disk, &entries)?;
    volume.write_entry(disk, place, &entry(clusters[0], text.len()))?;
    if let Some(old) = old {
        volume.free_chain(disk, old)?;
    }
    Ok(true)
}

/// Takes our file off the card, if it is there. Returns whether something was written.
/// Nothing of the disk may be mounted. Errors when a read or write fails.
pub fn remove(disk: &mut impl Disk) -> io::Result<bool> {
    let Some(mut volume) = Volume::open(disk)? else {
        return Ok(false);
    };
    let Found::Ours(place, _) = volume.find(disk)? else {
        return Ok(false);
    };
    let mut deleted = place.entry;
    deleted[0] = 0xe5;
    volume.write_entry(disk, place, &deleted)?;
    volume.free_chain(disk, place)?;
    Ok(true)
}

/// The heading, the reason as a sentence, and `end`.
fn page(error: &CardError, end: &str, line_end: &str) -> String {
    let reason = error.to_string();
    let mut letters = reason.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    let reason = format!("{}{}.", first.unwrap_or_default(), letters.as_str());
    let mut text = String::new();
    for (number, paragraph) in [HEADING, &reason, end].into_iter().enumerate() {
        if number > 0 {
            text.push_str(line_end);
        }
        let mut column = 0;
        for word in paragraph.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                text.push_str(line_end);
                column = 0;
            }
            if column > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += length;
        }
        text.push_str(line_end);
    }
    text
}

/// A directory entry in the root directory.
#[derive(Debug, Clone, Copy)]
struct Place {
    cluster: u32,
    /// In bytes from the start of the cluster.
    at: usize,
    /// What is there now.
    entry: [u8; 32],
}

enum Found {
    Nothing,
    SomebodyElses,
    /// Where, and what it says.
    Ours(Place, Vec<u8>),
}

/// A FAT32 that can take a file.
struct Volume {
    start: u64,
    geometry: Geometry,
    fat: Fat,
    tree: Tree,
}

impl Volume {
    /// Reads partition 1; `None` if it is no FAT32 that one may write to.
    fn open(disk: &mut impl Disk) -> io::Result<Option<Self>> {
        let card = disk.len()? / SECTOR;
        let mut sector = [0; 512];
        disk.read_at(0, &mut sector)?;
        let Ok(table) = Mbr::parse(sector) else {
            return Ok(None);
        };
        let Some(first) = table.entry(0).filter(|e| u64::from(e.start) < card) else {
            return Ok(None);
        };
        let start = u64::from(first.start);
        disk.read_at(start * SECTOR, &mut sector)?;
        let Ok(geometry) = Geometry::parse(&sector) else {
            return Ok(None);
        };
        let end = start + u64::from(geometry.total);
        let apart = (1..4)
            .filter_map(|index| table.entry(index))
            .all(|other| u64::from(other.start) >= end || other.end() <= start);
        if !apart || end > card || geometry.total > first.sectors {
            return Ok(None);
        }
        let fat = Fat::read(disk, start, &geometry, 0)?;
        if geometry.fats > 1 && Fat::read(disk, start, &geometry, 1)? != fat {
            return Ok(None);
        }
        let Ok(tree) = walk(disk, start, &geometry, &fat) else {
            return Ok(None);
        };
        Ok(Some(Volume {
            start,
            geometry,
            fat,
            tree,
        }))
    }

    fn cluster_bytes(&self) -> usize {
        self.geometry.cluster_bytes()
    }

    fn offset(&self, cluster: u32) -> u64 {
        (self.start + self.geometry.cluster_sector(cluster)) * SECTOR
    }

    /// Every entry of the root directory, also behind its end.
    fn root(&self, disk: &mut impl Disk) -> io::Result<Vec<Place>> {
        let root = self.tree.directories.iter().find(|d| d.is_root);
        let clusters: &[u32] = root.map_or(&[], |Directory { clusters, .. }| clusters);
        let mut places = Vec::new();
        for &cluster in clusters {
            let mut content = vec![0; self.cluster_bytes()];
            disk.read_at(self.offset(cluster), &mut content)?;
            let entries = content.as_chunks::<32>().0.iter().enumerate();
            places.extend(entries.map(|(number, entry)| Place {
                cluster,
                at: number * 32,
                entry: *entry,
            }));
        }
        Ok(places)
    }

    /// Looks for the file.
    fn find(&self, disk: &mut impl Disk) -> io::Result<Found> {
        for place in self.root(disk)? {
            match entry_kind(&place.entry) {
                EntryKind::End => break,
                EntryKind::File if &place.entry[..11] == SHORT_NAME => {
                    let content = self.content(disk, place)?;
                    return Ok(if content.starts_with(HEADING.as_bytes()) {
                        Found::Ours(place, content)
                    } else {
                        Found::SomebodyElses
                    });
                }
                EntryKind::Directory if &place.entry[..11] == SHORT_NAME => {
                    return Ok(Found::SomebodyElses);
                }
                _ => {}
            }
        }
        Ok(Found::Nothing)
    }

    /// The first bytes of a file: of 16 clusters at most, which ours never exceeds.
    fn content(&self, disk: &mut impl Disk, place: Place) -> io::Result<Vec<u8>> {
        let size = &place.entry[28..];
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        let mut content = Vec::new();
        for cluster in self.chain(place).into_iter().take(16) {
            let mut part = vec![0; self.cluster_bytes()];
            disk.read_at(self.offset(cluster), &mut part)?;
            content.extend(part);
        }
        content.truncate(size);
        Ok(content)
    }

    /// The clusters of a file; the walk has seen that the chain is whole.
    fn chain(&self, place: Place) -> Vec<u32> {
        let next = |cluster: &u32| Some(self.fat.get(*cluster));
        let first = Some(first_cluster(&place.entry));
        std::iter::successors(first, next)
            .take_while(|cluster| self.geometry.holds(*cluster))
            .collect()
    }

    /// An entry of the root directory that no file uses.
    fn free_entry(&self, disk: &mut impl Disk) -> io::Result<Option<Place>> {
        let places = self.root(disk)?;
        let free = places
            .iter()
            .position(|place| matches!(place.entry[0], 0 | 0xe5));
        Ok(free.and_then(|index| {
            // What follows the end of a directory must stay behind its end.
            let next = places.get(index + 1);
            let ends = places[index].entry[0] == 0;
            let stays = !ends || next.is_none_or(|next| next.entry[0] == 0);
            stays.then_some(places[index])
        }))
    }

    /// Free clusters for so many bytes.
    fn free_clusters(&self, bytes: usize) -> Option<Vec<u32>> {
        let count = bytes.div_ceil(self.cluster_bytes());
        let free: Vec<u32> = (2..self.geometry.clusters() + 2)
            .filter(|cluster| self.fat.get(*cluster) == 0)
            .take(count)
            .collect();
        (free.len() == count).then_some(free)
    }

    /// Changes entries of every FAT and the free count with them.
    fn set_fat(&mut self, disk: &mut impl Disk, entries: &[(u32, u32)]) -> io::Result<()> {
        let mut sectors = Vec::new();
        let mut taken = 0;
        for &(cluster, value) in entries {
            taken += i64::from(value != 0) - i64::from(self.fat.get(cluster) != 0);
            sectors.push(self.fat.set(cluster, value));
        }
        sectors.sort_unstable();
        sectors.dedup();
        for copy in 0..self.geometry.fats {
            self.fat
                .write_sectors(disk, self.start, &self.geometry, copy, &sectors)?;
        }
        if let Some(fsinfo) = self.geometry.fsinfo {
            let at = (self.start + u64::from(fsinfo)) * SECTOR;
            let mut info = [0; 512];
            disk.read_at(at, &mut info)?;
            if count_free(&mut info, -taken) {
                disk.write_at(at, &info)?;
            }
        }
        disk.flush()
    }

    fn write_entry(&self, disk: &mut impl Disk, place: Place, entry: &[u8; 32]) -> io::Result<()> {
        let at = self.offset(place.cluster) + (place.at / 512 * 512) as u64;
        let mut sector = [0; 512];
        disk.read_at(at, &mut sector)?;
        sector[place.at % 512..][..32].copy_from_slice(entry);
        disk.write_at(at, &sector)?;
        disk.flush()
    }

    /// Frees the clusters that an entry named before it was changed.
    fn free_chain(&mut self, disk: &mut impl Disk, old: Place) -> io::Result<()> {
        let entries: Vec<_> = self.chain(old).into_iter().map(|c| (c, 0)).collect();
        self.set_fat(disk, &entries)
    }
}

/// The directory entry of a file of so many bytes.
fn entry(first: u32, bytes: usize) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(SHORT_NAME);
    entry[11] = ARCHIVE;
    entry[12] = SMALL_LETTERS;
    for date in [16, 18, 24] {
        entry[date..date + 2].copy_from_slice(&FIRST_DAY);
    }
    let first = first.to_le_bytes();
    entry[20..22].copy_from_slice(&first[2..]);
    entry[26..28].copy_from_slice(&first[..2]);
    entry[28..].copy_from_slice(&u32::try_from(bytes).unwrap_or(0).to_le_bytes());
    entry
}

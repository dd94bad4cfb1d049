//! Moves the clusters behind a cut to free ones before it, safe against power cuts.
//!
//! Four phases, each flushed before the next; within a phase the writes may land in any
//! order, sector by sector:
//!
//! 1. The second FAT is made equal to the first, and clusters that no directory reaches
//!    are freed: leftovers of an earlier, interrupted run or of a card pulled too early.
//! 2. The content of each cluster to move is copied to a free one (directories with their
//!    entries already pointing at the new places), and only then do the new clusters get
//!    FAT entries. No directory reaches them yet.
//! 3. Each pointer from before the cut to behind it is switched to the copy: a FAT link, a
//!    directory entry, the root directory in the boot sector. Old and new hold the same,
//!    so any mixture of switched and unswitched pointers reads right.
//! 4. The old clusters, now unreached, are freed.
//!
//! Whatever was done when the power fails, a new run starts from phase 1 and ends the same.
//! The "." and ".." of moved directories cannot be switched together with the entry in the
//! parent; the next run sets them from the tree and so does not depend on what they say.

use crate::disk::{Disk, SECTOR};
use crate::fat32::{BAD_CLUSTER, Fat, Geometry, set_size_and_root};
use crate::tree::{Directory, EntryKind, Tree, entry_kind, first_cluster};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The most bytes copied in one write.
const COPY: usize = 1 << 20;

/// What is to move, computed before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moves {
    fat: Fat,
    /// The first cluster that is to go.
    cut: u32,
    /// FAT sectors in which the second FAT differs from the first.
    unequal: Vec<u32>,
    lost: Vec<u32>,
    /// Old cluster to new cluster.
    places: BTreeMap<u32, u32>,
    directories: Vec<Directory>,
}

impl Moves {
    /// Plans for a file system that is to keep the clusters below `cut`. `None` if the
    /// free clusters below it do not suffice.
    pub(crate) fn plan(
        geometry: &Geometry,
        fat: Fat,
        second: Option<&Fat>,
        tree: Tree,
        cut: u32,
    ) -> Option<Self> {
        let mut lost = Vec::new();
        let mut free = Vec::new();
        let mut behind = Vec::new();
        for cluster in 2..geometry.clusters() + 2 {
            let entry = fat.get(cluster);
            match (tree.reached[cluster as usize], entry) {
                (true, _) if cluster >= cut => behind.push(cluster),
                (true, _) | (_, BAD_CLUSTER) => {}
                (false, _) => {
                    if entry != 0 {
                        lost.push(cluster);
                    }
                    if cluster < cut && free.len() < tree.used as usize {
                        free.push(cluster);
                    }
                }
            }
        }
        if behind.len() > free.len() {
            return None;
        }
        Some(Moves {
            unequal: second.map_or_else(Vec::new, |second| fat.differing_sectors(second)),
            fat,
            cut,
            lost,
            places: behind.into_iter().zip(free).collect(),
            directories: tree.directories,
        })
    }

    /// How many clusters move.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where the root directory will be.
    pub(crate) fn root(&self, geometry: &Geometry) -> u32 {
        self.place(geometry.root)
    }

    /// Does all four phases on the file system at sector `start` of the disk.
    pub(crate) fn apply(
        &self,
        disk: &mut impl Disk,
        start: u64,
        geometry: &Geometry,
    ) -> io::Result<()> {
        let mut fat = self.fat.clone();

        if geometry.fats > 1 && !self.unequal.is_empty() {
            fat.write_sectors(disk, start, geometry, 1, &self.unequal)?;
        }
        disk.flush()?;
        write_entries(
            disk,
            start,
            geometry,
            &mut fat,
            self.lost.iter().map(|&c| (c, 0)),
        )?;

        self.copy(disk, start, geometry)?;
        let tails: Vec<_> = self
            .places
            .iter()
            .map(|(&old, &new)| (new, self.place(fat.get(old))))
            .collect();
        write_entries(disk, start, geometry, &mut fat, tails.into_iter())?;

        for directory in &self.directories {
            for (index, &cluster) in directory
                .clusters
                .iter()
                .enumerate()
                .filter(|(_, c)| **c < self.cut)
            {
                let offset = (start + geometry.cluster_sector(cluster)) * SECTOR;
                let mut before = vec![0; geometry.cluster_bytes()];
                disk.read_at(offset, &mut before)?;
                let mut after = before.clone();
                self.rewrite(directory, index, &mut after);
                for (i, (old, new)) in before.chunks(512).zip(after.chunks(512)).enumerate() {
                    if old != new {
                        disk.write_at(offset + i as u64 * SECTOR, new)?;
                    }
                }
            }
        }
        // Only links from kept clusters: the old chains stay whole until phase 4.
        let links: Vec<_> = (2..self.cut)
            .map(|c| (c, fat.get(c)))
            .filter(|(_, next)| *next >= self.cut && self.places.contains_key(next))
            .map(|(c, next)| (c, self.place(next)))
            .collect();
        write_entries(disk, start, geometry, &mut fat, links.into_iter())?;
        if self.root(geometry) != geometry.root {
            self.switch_root(disk, start, geometry)?;
        }

        write_entries(
            disk,
            start,
            geometry,
            &mut fat,
            self.places.keys().map(|&c| (c, 0)),
        )
    }

    /// The new place of `cluster`, or itself if it stays (or is no cluster).
    fn place(&self, cluster: u32) -> u32 {
        self.places.get(&cluster).copied().unwrap_or(cluster)
    }

    /// Copies all clusters that move, neighbours together, and flushes.
    fn copy(&self, disk: &mut impl Disk, start: u64, geometry: &Geometry) -> io::Result<()> {
        let size = geometry.cluster_bytes();
        let pairs: Vec<(u32, u32)> = self.places.iter().map(|(&old, &new)| (old, new)).collect();
        let at = |cluster| (start + geometry.cluster_sector(cluster)) * SECTOR;
        for run in pairs.chunk_by(|a, b| a.0 + 1 == b.0 && a.1 + 1 == b.1) {
            for part in run.chunks(COPY / size) {
                let mut data = vec![0; part.len() * size];
                disk.read_at(at(part[0].0), &mut data)?;
                disk.write_at(at(part[0].1), &data)?;
            }
        }
        // Directories are few; their copies are simply written again with new pointers.
        for directory in &self.directories {
            for (index, &old) in directory.clusters.iter().enumerate() {
                if let Some(&new) = self.places.get(&old) {
                    let mut data = vec![0; size];
                    disk.read_at(at(old), &mut data)?;
                    self.rewrite(directory, index, &mut data);
                    disk.write_at(at(new), &data)?;
                }
            }
        }
        disk.flush()
    }

    /// Points the entries of a directory's cluster number `index` at the new places.
    fn rewrite(&self, directory: &Directory, index: usize, data: &mut [u8]) {
        let first = directory.clusters[0];
        for entry in data.chunks_exact_mut(32) {
            let target = match entry_kind(entry) {
                EntryKind::End => return,
                EntryKind::Skip => continue,
                EntryKind::Dot | EntryKind::DotDot if directory.is_root || index > 0 => continue,
                EntryKind::Dot => self.place(first),
                EntryKind::DotDot => self.place(directory.parent),
                EntryKind::File | EntryKind::Directory => self.place(first_cluster(entry)),
            };
            if target != first_cluster(entry) {
                let bytes = target.to_le_bytes();
                entry[26..28].copy_from_slice(&bytes[..2]);
                entry[20..22].copy_from_slice(&bytes[2..]);
            }
        }
    }

    /// Puts the new root directory into the backup boot sector and then the boot sector.
    fn switch_root(&self, disk: &mut impl Disk, start: u64, geometry: &Geometry) -> io::Result<()> {
        let mut boot = [0; 512];
        disk.read_at(start * SECTOR, &mut boot)?;
        set_size_and_root(&mut boot, geometry.total, self.root(geometry));
        if let Some(backup) = geometry.backup {
            disk.write_at((start + u64::from(backup)) * SECTOR, &boot)?;
            disk.flush()?;
        }
        disk.write_at(start * SECTOR, &boot)?;
        disk.flush()
    }
}

/// Changes FAT entries in memory and in every FAT, the first FAT first, and flushes.
fn write_entries(
    disk: &mut impl Disk,
    start: u64,
    geometry: &Geometry,
    fat: &mut Fat,
    entries: impl Iterator<Item = (u32, u32)>,
) -> io::Result<()> {
    let sectors: BTreeSet<u32> = entries
        .map(|(cluster, value)| fat.set(cluster, value))
        .collect();
    let sectors: Vec<u32> = sectors.into_iter().collect();
    if sectors.is_empty() {
        return disk.flush();
    }
    for copy in 0..geometry.fats {
        fat.write_sectors(disk, start, geometry, copy, &sectors)?;
        disk.flush()?;
    }
    Ok(())
}

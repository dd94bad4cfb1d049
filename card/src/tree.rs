//! Which clusters the directories reach.
//!
//! The walk follows every directory and every file of a FAT32, so that a shrink knows
//! what must move and what is left over from a broken-off write. It reads; it changes
//! nothing, and it stops at the first contradiction, because moving clusters of a damaged
//! file system could make the damage worse.

use crate::disk::{Disk, SECTOR};
use crate::fat32::{BAD_CLUSTER, END_OF_CHAIN, Fat, Geometry};
use std::io;
use thiserror::Error;

/// Why the walk stopped.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A read failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A chain leaves the file system or meets another.
    #[error(
        "the FAT32 on partition 1 is damaged: {path} {fault} (cluster {cluster}); check the card on a computer, or format it as FAT32 and copy the files again"
    )]
    Damaged {
        /// The file or directory, as its short name.
        path: String,
        /// What is wrong, in words.
        fault: &'static str,
        /// Where.
        cluster: u32,
    },
}

/// A directory: its clusters in order and its parent's first cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) clusters: Vec<u32>,
    /// 0 if the parent is the root, as ".." says it.
    pub(crate) parent: u32,
    pub(crate) is_root: bool,
}

/// The result of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) directories: Vec<Directory>,
    /// By cluster number: does a directory reach it?
    pub(crate) reached: Vec<bool>,
    /// Clusters reached.
    pub(crate) used: u32,
    /// Clusters marked as bad.
    pub(crate) bad: u32,
}

/// A 32-byte directory entry that names a file or directory (not a deleted one, a long
/// name or the label).
pub(crate) fn first_cluster(entry: &[u8]) -> u32 {
    let word = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    (word(20) << 16 | word(26)) & 0x0fff_ffff
}

/// What an entry is; `End` means that no further entry of the directory counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    End,
    Skip,
    Dot,
    DotDot,
    File,
    Directory,
}

/// Classifies a 32-byte directory entry.
pub(crate) fn entry_kind(entry: &[u8]) -> EntryKind {
    match (entry[0], entry[11]) {
        (0, _) => EntryKind::End,
        (0xe5, _) => EntryKind::Skip,
        // A long-name part has the label bit set, too.
        (_, attributes) if attributes & 0x08 != 0 => EntryKind::Skip,
        _ if &entry[..11] == b".          " => EntryKind::Dot,
        _ if &entry[..11] == b"..         " => EntryKind::DotDot,
        (_, attributes) if attributes & 0x10 != 0 => EntryKind::Directory,
        _ => EntryKind::File,
    }
}

/// Walks the file system at sector `start` of the disk.
pub(crate) fn walk(
    disk: &mut impl Disk,
    start: u64,
    geometry: &Geometry,
    fat: &Fat,
) -> Result<Tree, TreeError> {
    let mut tree = Tree {
        directories: Vec::new(),
        reached: vec![false; geometry.clusters() as usize + 2],
        used: 0,
        bad: 0,
    };
    for cluster in 2..geometry.clusters() + 2 {
        tree.bad += u32::from(fat.get(cluster) == BAD_CLUSTER);
    }
    let root = follow(&mut tree, geometry, fat, geometry.root, "/")?;
    let mut waiting = vec![(root, 0, String::new())];
    let mut buffer = vec![0; geometry.cluster_bytes()];
    while let Some((clusters, parent, path)) = waiting.pop() {
        let is_root = path.is_empty();
        let own = if is_root { 0 } else { clusters[0] };
        'entries: for &cluster in &clusters {
            disk.read_at(
                (start + geometry.cluster_sector(cluster)) * SECTOR,
                &mut buffer,
            )?;
            for entry in buffer.chunks_exact(32) {
                let kind = entry_kind(entry);
                let first = first_cluster(entry);
                match kind {
                    EntryKind::End => break 'entries,
                    // An empty file has no cluster.
                    EntryKind::File | EntryKind::Directory if first != 0 => {
                        let path = format!("{path}/{}", short_name(entry));
                        let chain = follow(&mut tree, geometry, fat, first, &path)?;
                        if kind == EntryKind::Directory {
                            waiting.push((chain, own, path));
                        }
                    }
                    _ => {}
                }
            }
        }
        tree.directories.push(Directory {
            clusters,
            parent,
            is_root,
        });
    }
    Ok(tree)
}

/// Follows a chain from `first`, marking it as reached.
fn follow(
    tree: &mut Tree,
    geometry: &Geometry,
    fat: &Fat,
    first: u32,
    path: &str,
) -> Result<Vec<u32>, TreeError> {
    let mut chain = Vec::new();
    let mut cluster = first;
    loop {
        let damaged = |fault| {
            Err(TreeError::Damaged {
                path: path.to_owned(),
                fault,
                cluster,
            })
        };
        if !geometry.holds(cluster) {
            return damaged("continues outside the file system");
        }
        if std::mem::replace(&mut tree.reached[cluster as usize], true) {
            return damaged("shares a cluster with another file, or loops");
        }
        tree.used += 1;
        chain.push(cluster);
        match fat.get(cluster) {
            END_OF_CHAIN.. => return Ok(chain),
            0 => return damaged("continues in a cluster marked as free"),
            BAD_CLUSTER => return damaged("continues in a cluster marked as bad"),
            next => cluster = next,
        }
    }
}

/// `NAME.EXT` with anything but printable ASCII as `?`.
fn short_name(entry: &[u8]) -> String {
    let text = |bytes: &[u8]| -> String {
        let printable = |b: &u8| {
            if b.is_ascii_graphic() {
                char::from(*b)
            } else {
                '?'
            }
        };
        bytes.trim_ascii_end().iter().map(printable).collect()
    };
    match (text(&entry[..8]), text(&entry[8..11])) {
        (name, extension) if extension.is_empty() => name,
        (name, extension) => format!("{name}.{extension}"),
    }
}

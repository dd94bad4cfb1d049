//! The backup of the disk's LUKS2 header on the card, which only the confirmed
//! recovery key opens (`docs/decisions/header-backup.md`).
//!
//! A header is little, is written to at each change of a key, and without it all of the
//! disk is lost. The backup is an image as `cryptsetup luksHeaderBackup` makes it, in
//! which every other key slot was removed and everything but the one slot's key material
//! is zeros: an old passphrase must not open the disk for ever through an old copy.
//! It is made in memory and goes to the card only when that was checked.

use super::keys::{Try, cryptsetup_open, kill, metadata, read_slots, remove_token};
use super::{CRYPTSETUP, Disk, DiskError, run};
use crate::card_writer::{self, CARD};
use control::RecoveryKey;
use serde_json::Value;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Its name on the card.
pub const NAME: &str = "header-backup.img";
/// Where it is made, in memory.
const WORKSHOP: &str = "/run/projectx/header";
/// No header that the box makes is as long, in bytes.
const LONGEST: u64 = 32 << 20;
/// Before the JSON text of each of the two headers, in bytes (LUKS2 On-Disk Format
/// Specification, 2.1).
const BINARY_HEADER: u64 = 4096;

impl Disk {
    /// Puts a backup on the card, if the owner has a recovery key and the card has no
    /// backup that it opens. `key`, when it is known, is tried on it before. Whether
    /// something was written.
    ///
    /// # Errors
    /// The card then has the backup before, or none.
    pub fn keep_header_backup(&self, key: Option<&RecoveryKey>) -> Result<bool, DiskError> {
        let (card, workshop) = (Path::new(CARD), Path::new(WORKSHOP));
        keep(self.device()?, key, card, workshop, |name, bytes| {
            card_writer::while_writable(|card| match bytes {
                Some(bytes) => card_writer::overwrite(card, name, bytes),
                None => card_writer::wipe(&card.join(name)),
            })
        })
    }

    /// Takes every backup off the card and writes over its sectors.
    ///
    /// # Errors
    /// A backup may still be there.
    pub fn remove_header_backup() -> io::Result<()> {
        if names()
            .iter()
            .all(|name| !Path::new(CARD).join(name).exists())
        {
            return Ok(());
        }
        card_writer::while_writable(|card| {
            names()
                .iter()
                .try_for_each(|name| card_writer::wipe(&card.join(name)))
        })
    }

    /// Writes the card's backup over the header, if `key` opens it. A damaged header is
    /// replaced by any such backup, another only by one of the same disk.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when there is a backup and the key does not open
    /// it, [`DiskError::NoBackup`] when there is none. Nothing was written then.
    pub fn restore_header(&self, key: &RecoveryKey) -> Result<(), DiskError> {
        let bytes = find(key, Path::new(CARD), Path::new(WORKSHOP), |bytes| {
            self.is_damaged() || self.uuid().is_some_and(|uuid| uuid == *uuid_in(bytes))
        })?;
        write(Path::new(self.device()?), &bytes).map_err(DiskError::Backup)?;
        self.look_again();
        Ok(())
    }

    fn uuid(&self) -> Option<Vec<u8>> {
        let mut start = vec![0; 512];
        let file = File::open(self.device.as_deref()?).ok()?;
        file.read_exact_at(&mut start, 0).ok()?;
        Some(uuid_in(&start).to_vec())
    }
}

/// Where a LUKS2 header has its UUID (On-Disk Format Specification, 2.1).
fn uuid_in(header: &[u8]) -> &[u8] {
    header.get(168..208).unwrap_or_default()
}

/// The backup, and its copy while it is overwritten (`card_writer::overwrite`).
fn names() -> [String; 2] {
    [
        NAME.to_owned(),
        format!("{NAME}{}", wifi_txt::files::IN_WORK),
    ]
}

/// As [`Disk::keep_header_backup`]; `change` writes or, without bytes, removes a file.
fn keep(
    device: &str,
    key: Option<&RecoveryKey>,
    card: &Path,
    workshop: &Path,
    change: impl Fn(&str, Option<&[u8]>) -> io::Result<()>,
) -> Result<bool, DiskError> {
    let Some(slot) = read_slots(device)?.confirmed.first().copied() else {
        return Ok(false);
    };
    let [name, copy] = names();
    if is_backup_of(&card.join(&name), device, slot) {
        if card.join(&copy).exists() {
            change(&copy, None).map_err(DiskError::Backup)?;
        }
        return Ok(false);
    }
    let bytes = make(device, slot, key, workshop)?;
    change(&name, Some(&bytes)).map_err(DiskError::Backup)?;
    Ok(true)
}

/// The header with one key slot.
fn make(
    device: &str,
    slot: u32,
    key: Option<&RecoveryKey>,
    workshop: &Path,
) -> Result<Vec<u8>, DiskError> {
    let file = Workshop::open(workshop).map_err(DiskError::Backup)?;
    let path = file.path();
    let arguments = ["luksHeaderBackup", device, "--header-backup-file", &path];
    run(CRYPTSETUP, &arguments, None)?;
    for other in read_slots(&path)?.active {
        if other != slot {
            kill(&path, other)?;
        }
    }
    let layout = Layout::read(&metadata(&path)?, slot)?;
    for token in layout.foreign_tokens {
        remove_token(&path, token)?;
    }
    let mut bytes = fs::read(&path).map_err(DiskError::Backup)?;
    for unused in [
        layout.headers..layout.material.start,
        layout.material.end..bytes.len(),
    ] {
        let unused = bytes.get_mut(unused).ok_or_else(not_as_expected)?;
        unused.fill(0);
    }
    file.write(&bytes).map_err(DiskError::Backup)?;
    if read_slots(&path)?.active != [slot] || bytes.len() != layout.length {
        return Err(not_as_expected());
    }
    if let Some(key) = key {
        cryptsetup_open(&path, key.words(), None, Try::Test).map_err(|_| not_as_expected())?;
    }
    Ok(bytes)
}

/// The card's backup that `key` opens and that `may_replace` takes.
fn find(
    key: &RecoveryKey,
    card: &Path,
    workshop: &Path,
    may_replace: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, DiskError> {
    let mut why = DiskError::NoBackup;
    for name in names() {
        let Ok(bytes) = read_file(&card.join(name)) else {
            continue;
        };
        let file = Workshop::open(workshop).map_err(DiskError::Backup)?;
        file.write(&bytes).map_err(DiskError::Backup)?;
        let Ok(slots) = read_slots(&file.path()) else {
            continue;
        };
        let [slot] = slots.active[..] else { continue };
        let layout = metadata(&file.path()).and_then(|found| Layout::read(&found, slot));
        // A header that reaches into the data is none of this disk's.
        if !layout.is_ok_and(|layout| layout.length == bytes.len()) || !may_replace(&bytes) {
            continue;
        }
        match cryptsetup_open(&file.path(), key.words(), None, Try::Test) {
            Ok(_) => return Ok(bytes),
            Err(DiskError::WrongPassphrase) => why = DiskError::WrongPassphrase,
            Err(_) => {}
        }
    }
    Err(why)
}

/// The key's material first: after a cut in the middle the header is still a damaged
/// one, and not a good one whose slots open nothing.
fn write(device: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two headers of the size that the first one names (2.1).
    let size = bytes.get(8..16).and_then(|size| size.try_into().ok());
    let size = size.map(u64::from_be_bytes).unwrap_or_default();
    let headers = usize::try_from(size.saturating_mul(2)).unwrap_or(usize::MAX);
    let (first, rest) = bytes
        .split_at_checked(headers)
        .ok_or_else(|| io::Error::other("it is too short"))?;
    let file = OpenOptions::new().write(true).open(device)?;
    file.write_all_at(rest, first.len() as u64)?;
    file.sync_all()?;
    file.write_all_at(first, 0)?;
    file.sync_all()
}

/// Whether the file is what [`make`] would make now.
fn is_backup_of(file: &Path, device: &str, slot: u32) -> bool {
    let same = || -> Option<bool> {
        let (ours, theirs) = (metadata(device).ok()?, metadata(file.to_str()?).ok()?);
        let name = slot.to_string();
        let layout = Layout::read(&ours, slot).ok()?;
        // What a volume key is recognised by; it also lists the slots.
        let digest = |of: &Value| {
            [
                of["digests"]["0"]["salt"].clone(),
                of["digests"]["0"]["digest"].clone(),
            ]
        };
        let material = |path: &str| {
            let mut bytes = vec![0; layout.material.len()];
            let file = File::open(path).ok()?;
            file.read_exact_at(&mut bytes, layout.material.start as u64)
                .ok()?;
            Some(bytes)
        };
        Some(
            theirs["keyslots"].as_object()?.len() == 1
                && theirs["keyslots"][&name] == ours["keyslots"][&name]
                && theirs["segments"] == ours["segments"]
                && digest(&theirs) == digest(&ours)
                && fs::metadata(file).ok()?.len() == layout.length as u64
                && material(file.to_str()?)? == material(device)?,
        )
    };
    same().unwrap_or(false)
}

/// Where things are, in bytes from the start.
struct Layout {
    /// Where both headers end.
    headers: usize,
    /// The key material of the one slot.
    material: Range<usize>,
    /// Where the key slots end and the data begins.
    length: usize,
    /// Tokens that do not speak of this slot.
    foreign_tokens: Vec<u32>,
}

impl Layout {
    /// From the JSON text (3.1, 3.2, 3.3, 3.6: numbers are strings).
    fn read(metadata: &Value, slot: u32) -> Result<Self, DiskError> {
        let read = || {
            let number = |value: &Value| value.as_str()?.parse::<u64>().ok();
            let length = |value: u64| usize::try_from(value).ok();
            let config = &metadata["config"];
            let headers = 2 * (number(&config["json_size"])? + BINARY_HEADER);
            let end = headers + number(&config["keyslots_size"])?;
            let area = &metadata["keyslots"][slot.to_string()]["area"];
            let (start, size) = (number(&area["offset"])?, number(&area["size"])?);
            let good = headers <= start && start.checked_add(size)? <= end && end <= LONGEST;
            let data = number(&metadata["segments"]["0"]["offset"])?;
            let name = slot.to_string();
            let is_foreign = |token: &Value| {
                let slots = token["keyslots"].as_array();
                !slots.is_some_and(|slots| slots.iter().any(|of| of == name.as_str()))
            };
            let foreign = metadata["tokens"].as_object()?.iter();
            let foreign = foreign.filter(|(_, token)| is_foreign(token));
            (good && data == end).then_some(Self {
                headers: length(headers)?,
                material: length(start)?..length(start + size)?,
                length: length(end)?,
                foreign_tokens: foreign.filter_map(|(id, _)| id.parse().ok()).collect(),
            })
        };
        read().ok_or_else(not_as_expected)
    }
}

fn not_as_expected() -> DiskError {
    DiskError::Backup(io::Error::other("the header is not as the box makes it"))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A folder in memory for one header, gone at the end.
struct Workshop(PathBuf);

impl Workshop {
    fn open(folder: &Path) -> io::Result<Self> {
        fs::remove_dir_all(folder).ok();
        DirBuilder::new().mode(0o700).create(folder)?;
        Ok(Self(folder.to_owned()))
    }

    fn path(&self) -> String {
        self.0.join("header").to_string_lossy().into_owned()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        fs::remove_file(self.path()).ok();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path())?;
        io::Write::write_all(&mut file, bytes)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // In memory: it is gone with the power in any case.
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests;

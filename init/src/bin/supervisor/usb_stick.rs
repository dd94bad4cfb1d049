//! A USB stick that carries the disk's key in a file of its FAT.
//!
//! The kernel reads the stick's partition table and its file system, and whoever holds
//! the box may plug in what he likes. So the drivers are loaded only when the owner turned
//! this on, only vfat is mounted, read-only but for the moment of a write, and never for
//! longer than one file takes. The stick is never formatted, and nothing else on it is
//! read or changed.

use control::Secret;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MOUNT_POINT: &str = "/run/projectx/stick";
/// USB sticks, as SCSI disks. The first is QEMU's USB controller; a Pi's is there already.
const DRIVERS: [&str; 4] = ["xhci_pci", "usb_storage", "uas", "sd_mod"];
/// How long a stick takes from its driver to its partitions (usb-storage waits a second).
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// How long a stick may show no FAT, as the kernel shows a disk before it has read its
/// partitions, and a partition before its node is in `/dev`.
const READABLE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The key: 256 bits in hexadecimal digits.
const DIGITS: usize = 64;

/// Why a stick could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StickError {
    /// None is plugged in.
    #[error(
        "The box sees no USB stick. Plug one in, wait ten seconds, and try again. If it sits in \
         a hub, plug it into the box itself"
    )]
    None,
    /// Which one is meant?
    #[error("There is more than one USB stick in the box. Leave only the one for the key")]
    Several,
    /// No FAT on it that the kernel mounts.
    #[error(
        "The box cannot read this USB stick: it needs the format FAT32, also called MS-DOS. \
         Take another stick, or format it so at a computer; that deletes what is on it"
    )]
    NoFat,
    /// The key's file could not be written or read back.
    #[error(
        "The box could not write onto the USB stick ({0}). Is there a lock switch on it, or is \
         it full? Nothing else on it was changed"
    )]
    File(io::Error),
}

/// Loads the drivers of sticks, for as long as the box runs.
pub fn load_drivers() {
    for driver in DRIVERS {
        // A box without such a controller has no use for its driver.
        Command::new("/usr/sbin/modprobe")
            .args(["-q", driver])
            .env_clear()
            .status()
            .ok();
    }
}

/// The kernel's names of the sticks, `sda` say, which are disks on a USB controller.
pub fn names() -> Vec<String> {
    names_in(Path::new("/sys/block"))
}

fn names_in(folder: &Path) -> Vec<String> {
    let is_stick = |name: &String| {
        let device = fs::canonicalize(folder.join(name));
        let on_usb = device.is_ok_and(|path| path.to_string_lossy().contains("/usb"));
        // A card reader without a card has no size.
        let size = fs::read_to_string(folder.join(name).join("size")).unwrap_or_default();
        name.starts_with("sd") && on_usb && size.trim() != "0"
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(is_stick)
        .collect();
    names.sort();
    names
}

/// Waits for the one stick that is in the box.
///
/// # Errors
/// None came within 10 seconds, or there are several.
pub fn wait_for_one() -> Result<String, StickError> {
    let end = Instant::now() + APPEARS_WITHIN;
    loop {
        let mut names = names();
        match (names.len(), names.pop()) {
            (1, Some(name)) => return Ok(name),
            (0, _) if Instant::now() < end => std::thread::sleep(Duration::from_millis(200)),
            (0, _) => return Err(StickError::None),
            _ => return Err(StickError::Several),
        }
    }
}

/// The name of the key's file: it says which disk it belongs to (`3F2A-91C4`), so that
/// one stick can serve two boxes.
pub fn file_name(code: &str) -> String {
    let digits: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("projectx-key-{}.key", digits.to_ascii_lowercase())
}

/// A new key, from the kernel's random numbers.
///
/// # Errors
/// The kernel gave none.
pub fn random_key() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; DIGITS / 2];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(DIGITS);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    bytes.fill(0);
    Ok(Secret::new(text))
}

/// Writes the key onto the stick and reads it back.
///
/// # Errors
/// It has no FAT, or does not take the file.
pub fn write_key(stick: &str, file: &str, key: &Secret) -> Result<(), StickError> {
    let writable = MsFlags::MS_SYNCHRONOUS;
    mounted(stick, writable, |folder| put(&folder.join(file), key))?.map_err(StickError::File)?;
    // Through a mount of its own: from the stick, not from memory.
    match read_key(stick, file)? {
        Some(read) if read == *key => Ok(()),
        _ => Err(StickError::File(io::Error::other("it came back otherwise"))),
    }
}

/// The key in this file of the stick, if it is there and has the form of one.
///
/// # Errors
/// The stick has no FAT.
pub fn read_key(stick: &str, file: &str) -> Result<Option<Secret>, StickError> {
    mounted(stick, MsFlags::MS_RDONLY, |folder| get(&folder.join(file)))
}

/// Takes the file off the stick and writes over it before.
///
/// # Errors
/// It is still there.
pub fn remove_key(stick: &str, file: &str) -> Result<(), StickError> {
    if read_key(stick, file)?.is_none() {
        return Ok(());
    }
    mounted(stick, MsFlags::MS_SYNCHRONOUS, |folder| {
        let path = folder.join(file);
        let mut old = OpenOptions::new().write(true).open(&path)?;
        old.write_all(&[b'0'; DIGITS])?;
        old.sync_all()?;
        fs::remove_file(path)
    })?
    .map_err(StickError::File)
}

fn put(path: &Path, key: &Secret) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(key.expose().as_bytes())?;
    file.sync_all()
}

/// Whatever is in the file, no more of it is read than a key has.
fn get(path: &Path) -> Option<Secret> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let mut text = String::with_capacity(2 * DIGITS);
    let file = File::open(path).ok()?;
    file.take(DIGITS as u64 + 2)
        .read_to_string(&mut text)
        .ok()?;
    let text = Secret::new(text);
    // An editor may have added a line end.
    let key = text.expose().trim_end();
    let good = key.len() == DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| Secret::new(key.to_owned()))
}

/// Runs `work` in the folder of the stick's first FAT.
fn mounted<T>(stick: &str, flags: MsFlags, work: impl FnOnce(&Path) -> T) -> Result<T, StickError> {
    let folder = Path::new(MOUNT_POINT);
    fs::create_dir_all(folder).map_err(StickError::File)?;
    // What a supervisor that died may have left.
    umount2(folder, MntFlags::MNT_DETACH).ok();
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let vfat = Some("vfat");
    let is_mounted =
        |device: &PathBuf| mount(Some(device), folder, vfat, flags, Some("umask=0077")).is_ok();
    first_fat(
        Instant::now() + READABLE_WITHIN,
        LOOK_AGAIN,
        || partitions(Path::new("/sys/block"), stick),
        is_mounted,
    )
    .ok_or(StickError::NoFat)?;
    let done = work(folder);
    umount2(folder, MntFlags::MNT_DETACH).map_err(|error| StickError::File(error.into()))?;
    Ok(done)
}

/// The first of the nodes that can be mounted, which are looked for anew until `end`.
fn first_fat(
    end: Instant,
    pause: Duration,
    nodes: impl Fn() -> Vec<PathBuf>,
    is_mounted: impl Fn(&PathBuf) -> bool,
) -> Option<PathBuf> {
    loop {
        let fat = nodes().into_iter().find(&is_mounted);
        if fat.is_some() || Instant::now() >= end {
            return fat;
        }
        std::thread::sleep(pause);
    }
}

/// The nodes that may hold a file system: the partitions, or the whole stick.
fn partitions(folder: &Path, stick: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(stick))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(stick))
        .collect();
    names.sort();
    if names.is_empty() {
        names.push(stick.to_owned());
    }
    names
        .iter()
        .map(|name| Path::new("/dev").join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_disks_on_usb_with_something_in_them_are_sticks() {
        let root = tempfile::tempdir().unwrap();
        let block = root.path().join("block");
        fs::create_dir(&block).unwrap();
        for (name, device, size) in [
            (
                "sda",
                "soc/3f980000.usb/usb1/1-1/host0/block/sda",
                "131072\n",
            ),
            ("sdb", "soc/usb1/1-2/host1/block/sdb", "0\n"),
            ("sdc", "pci0000/ata1/block/sdc", "9\n"),
            ("vda", "pci0000/usb1/block/vda", "9\n"),
        ] {
            let device = root.path().join(device);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("size"), size).unwrap();
            symlink(&device, block.join(name)).unwrap();
        }
        assert_eq!(names_in(&block), ["sda"]);
        let nodes = |name: &str| partitions(&block, name);
        assert_eq!(nodes("sda"), [PathBuf::from("/dev/sda")]);
        for part in ["sda2", "sda1"] {
            fs::create_dir(block.join("sda").join(part)).unwrap();
        }
        assert_eq!(nodes("sda"), ["/dev/sda1", "/dev/sda2"].map(PathBuf::from));
    }

    #[test]
    fn a_stick_whose_partitions_come_late_is_waited_for() {
        let looks = std::cell::Cell::new(0);
        // First the disk alone, then the partition without a node, then all of it.
        let nodes = || {
            looks.set(looks.get() + 1);
            let name = if looks.get() == 1 { "sda" } else { "sda1" };
            vec![Path::new("/dev").join(name)]
        };
        let is_mounted = |node: &PathBuf| node.ends_with("sda1") && looks.get() > 2;
        let end = Instant::now() + Duration::from_secs(60);
        let fat = first_fat(end, Duration::ZERO, nodes, is_mounted);
        assert_eq!((fat, looks.get()), (Some("/dev/sda1".into()), 3));
        let none = first_fat(Instant::now(), Duration::ZERO, nodes, |_| false);
        assert_eq!((none, looks.get()), (None, 4));
    }

    #[test]
    fn a_key_is_64_digits_and_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name("3F2A-91C4"));
        assert!(path.ends_with("projectx-key-3f2a91c4.key"));
        let key = random_key().unwrap();
        assert_ne!(random_key().unwrap(), key);
        assert_eq!(key.expose().len(), DIGITS);
        put(&path, &key).unwrap();
        assert_eq!(get(&path), Some(key.clone()));
        fs::write(&path, format!("{}\r\n", key.expose())).unwrap();
        assert_eq!(get(&path), Some(key));
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(get(&path), None);
        let digits = "0123456789abcdef".repeat(4);
        let longer = format!("{digits}0");
        let endless = digits.repeat(100_000);
        for text in [
            "",
            &digits[1..],
            &longer,
            &endless,
            &digits.replace('a', "g"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(get(&path), None);
        }
        fs::write(&path, [0xff; DIGITS]).unwrap();
        assert_eq!(get(&path), None);
        // FAT has none, another kernel module might.
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("real"), &digits).unwrap();
        symlink(folder.path().join("real"), &path).unwrap();
        assert_eq!(get(&path), None);
    }
}

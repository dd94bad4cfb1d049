//! The encrypted disk: LUKS2 on the card's second partition, ext4 inside,
//! mounted at `/data`. `cryptsetup` does the cryptography; passphrases and keys
//! reach it over its standard input and pipes only.
//!
//! A disk in the making carries the label [`IN_THE_MAKING`]. It gets its final
//! label when its file system stands, and is mounted only then. So a power cut
//! in between, however long Argon2id takes, leaves a disk that holds nothing and
//! may be claimed again; and nothing that may hold data is ever made anew. That it
//! may, the card's partition table says as well (`table.rs`): a disk whose header is
//! damaged is told from a new one, and gets its header back from the card
//! (`header_backup.rs`).

mod check;
pub mod header_backup;
mod keys;
mod stick_key;
mod table;

use crate::log;
use control::{RecoveryKey, Secret};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// Label of a disk whose file system is not finished.
const IN_THE_MAKING: &str = "projectx-new";
/// Label of a disk that may hold the owner's data.
const FINISHED: &str = "projectx-data";
const CRYPTSETUP: &str = "/usr/sbin/cryptsetup";
const MAPPER: &str = "/dev/mapper/data";
const MAPPER_NAME: &str = "data";
/// Where the opened disk is mounted.
pub const MOUNT_POINT: &str = "/data";
/// `cryptsetup`'s exit code for "no key available with this passphrase".
const NO_PERMISSION: i32 = 2;

/// Adiantum, since the Pi 3 has no AES instructions (cryptsetup(8)). Sectors as small as the
/// card's own: of a larger one that the power cut has written in part nothing can be read
/// (docs/decisions/torn-writes.md).
const FORMAT: [&str; 12] = [
    "--batch-mode",
    "luksFormat",
    "--type=luks2",
    "--cipher=xchacha12,aes-adiantum-plain64",
    "--key-size=256",
    "--sector-size=512",
    keys::QUICK[0],
    keys::QUICK[1],
    "--key-slot=2",
    "--label",
    IN_THE_MAKING,
    "--key-file=-",
];

/// No discard, since the card must not learn which blocks are free
/// (`docs/decisions/discard.md`). The tables of inodes are written by the kernel
/// afterwards (lazily, mke2fs(8)): once 1/64 of the disk, and a claim that does not wait
/// for it; the journal is written at once.
const MAKE_EXT4: [&str; 11] = [
    "-q",
    "-F",
    "-t",
    "ext4",
    "-m",
    "1",
    "-L",
    "data",
    "-E",
    "nodiscard,lazy_itable_init=1,lazy_journal_init=0",
    MAPPER,
];
/// Of ext4. After an error nothing is written any more, which the page shows.
const OPTIONS: &str = "errors=remount-ro,nodiscard";

/// Why the disk could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no second partition.
    #[error("the card has no second partition; see the messages of the first boot")]
    Missing,
    /// The passphrase opens no key slot.
    #[error("this passphrase does not open the disk")]
    WrongPassphrase,
    /// A tool could not be started.
    #[error("{tool}: not started: {source}")]
    Start {
        /// Its path.
        tool: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A tool failed.
    #[error("{tool}: failed ({status}): {words}")]
    Tool {
        /// Its path.
        tool: &'static str,
        /// Exit status in words.
        status: String,
        /// Its last line on standard error.
        words: String,
    },
    /// The file system could not be mounted.
    #[error("/data: not mounted: {0}")]
    Mount(nix::Error),
    /// The card's partition table could not be read or written.
    #[error("the card's partition table: {0}")]
    Table(io::Error),
    /// The backup of the header could not be made, read or written.
    #[error("the backup of the disk's header: {0}")]
    Backup(io::Error),
    /// The header is damaged, and the card has no backup that could take its place.
    #[error("the card has no good backup of the disk's header")]
    NoBackup,
}

/// The second partition.
#[derive(Debug, Default)]
pub struct Disk {
    device: Option<String>,
    /// The card that it is on, which has the partition table.
    card: Option<String>,
    /// Whether its header is damaged; `None` is not known yet.
    damaged: Mutex<Option<bool>>,
}

impl Disk {
    /// Finds it by what the initramfs wrote down in `/run/projectx/card`.
    pub fn find() -> Self {
        let text = std::fs::read_to_string("/run/projectx/card").unwrap_or_default();
        let named = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name).map(str::to_string))
                .filter(|device| Path::new(device).exists())
        };
        Self {
            device: named("data="),
            card: named("disk="),
            damaged: Mutex::default(),
        }
    }

    /// Whether it may hold somebody's data: any LUKS header, the first or a
    /// second one, without the label of a disk in the making; or none at all where
    /// the partition table says that there was one.
    ///
    /// # Errors
    /// When the device can't be read: it must then not be taken for a new one.
    pub fn is_claimed(&self) -> io::Result<bool> {
        let device = self.device.as_ref().ok_or(io::ErrorKind::NotFound)?;
        match header_on(&File::open(device)?)? {
            Header::Finished => Ok(true),
            Header::InTheMaking => Ok(false),
            Header::None => match &self.card {
                Some(card) => table::says_in_use(Path::new(card)),
                None => Ok(false),
            },
        }
    }

    /// Whether it may hold somebody's data and no copy of its header is good any
    /// more (cryptsetup-isLuks(8)). Looked at once, and again when that may have changed.
    pub fn is_damaged(&self) -> bool {
        let mut known = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        *known.get_or_insert_with(|| {
            let Some(device) = &self.device else {
                return false;
            };
            if !self.is_claimed().is_ok_and(|claimed| claimed) {
                return false;
            }
            match run(CRYPTSETUP, &["isLuks", "--type=luks2", device], None) {
                Ok(_) => false,
                Err(DiskError::Start { tool, source }) => {
                    log::line(&format!("{tool}: not started: {source}"));
                    false
                }
                Err(_) => {
                    log::line("disk: its header is damaged");
                    true
                }
            }
        })
    }

    /// What is known of the header has changed.
    fn look_again(&self) {
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes down in the partition table whether it may hold data.
    fn set_in_use(&self, in_use: bool) -> Result<(), DiskError> {
        match &self.card {
            Some(card) => table::set_in_use(Path::new(card), in_use).map_err(DiskError::Table),
            None => Ok(()),
        }
    }

    /// Whether it is open and mounted, also when an earlier supervisor did it.
    pub fn is_open(&self) -> bool {
        std::fs::read_to_string("/proc/self/mounts")
            .unwrap_or_default()
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(MOUNT_POINT))
    }

    /// Makes the encrypted disk with `passphrase` and its first recovery key, and
    /// opens it. Whatever the partition held is lost; the caller has checked that
    /// it is unclaimed.
    pub fn claim(&self, passphrase: &Secret, recovery: &RecoveryKey) -> Result<(), DiskError> {
        let device = self.device.as_deref().ok_or(DiskError::Missing)?;
        let mut arguments = FORMAT.to_vec();
        arguments.push(device);
        close_mapper();
        // First: a cut while the headers are wiped must not look like a damaged disk.
        self.set_in_use(false)?;
        self.look_again();
        // With the recovery key first: it needs no slow function, so the passphrase's is
        // gone through once and not for each of these steps.
        run(CRYPTSETUP, &arguments, Some(recovery.words()))?;
        self.first_passphrase(recovery, passphrase)?;
        self.map_first(recovery)?;
        make_file_system()
            .and_then(|()| self.set_in_use(true))
            .and_then(|()| finish(device))
            .and_then(|()| mount_data())
            .inspect_err(|_| close_mapper())
    }

    /// Opens it with a passphrase or a recovery key, and mounts it.
    pub fn open(&self, key: &Secret) -> Result<(), DiskError> {
        if self.is_open() {
            return Ok(());
        }
        self.map(key)?;
        // As on a card that was flashed again; the next start tries again.
        if let Err(error) = self.set_in_use(true) {
            log::line(&format!("disk: {error}"));
        }
        check::before_mount(Path::new(MAPPER));
        mount_data().inspect_err(|_| close_mapper())
    }

    /// Unmounts and closes it; the key leaves the kernel.
    pub fn close(&self) {
        if self.is_open() && umount2(MOUNT_POINT, MntFlags::empty()).is_err() {
            // Somebody still holds a file: PID 1 ends all processes and tries again.
            return;
        }
        close_mapper();
    }
}

/// Where LUKS2 may keep its headers: the first, and the second for each
/// metadata size that it allows (LUKS2 On-Disk Format Specification, 2.1).
const HEADERS: [u64; 10] = [
    0, 0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// What kind of header there is, of the two or more places for one.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    None,
    InTheMaking,
    Finished,
}

fn header_on(device: &File) -> io::Result<Header> {
    let mut found = Header::None;
    for offset in HEADERS {
        let mut start = [0; 72];
        device.read_exact_at(&mut start, offset)?;
        let magic: &[u8] = if offset == 0 {
            b"LUKS\xba\xbe"
        } else {
            b"SKUL\xba\xbe"
        };
        if !start.starts_with(magic) {
            continue;
        }
        let label = start[24..]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        if label != IN_THE_MAKING.as_bytes() {
            return Ok(Header::Finished);
        }
        found = Header::InTheMaking;
    }
    Ok(found)
}

fn make_file_system() -> Result<(), DiskError> {
    run("/usr/sbin/mke2fs", &MAKE_EXT4, None)?;
    nix::unistd::sync();
    Ok(())
}

fn finish(device: &str) -> Result<(), DiskError> {
    run(CRYPTSETUP, &["config", "--label", FINISHED, device], None).map(drop)
}

fn mount_data() -> Result<(), DiskError> {
    mount_ext4(Path::new(MAPPER), MOUNT_POINT, MsFlags::empty()).map_err(DiskError::Mount)
}

fn mount_ext4(device: &Path, place: &str, more: MsFlags) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    mount(
        Some(device),
        place,
        Some("ext4"),
        flags | more,
        Some(OPTIONS),
    )
}

fn close_mapper() {
    if Path::new(MAPPER).exists() {
        run(CRYPTSETUP, &["close", MAPPER_NAME], None).ok();
    }
}

/// Runs a tool to its end, with `input` on its standard input, no environment
/// and its messages kept for the error.
fn run(
    tool: &'static str,
    arguments: &[&str],
    input: Option<&Secret>,
) -> Result<Output, DiskError> {
    let start = |source| DiskError::Start { tool, source };
    let mut child = Command::new(tool)
        .args(arguments)
        .env_clear()
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let (Some(secret), Some(mut stdin)) = (input, child.stdin.take()) {
        // Argon2id takes 256 MiB, also beside running services: when memory
        // ends, this tool ends and can be tried again (proc_pid_oom_score_adj(5)).
        std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000").ok();
        // A tool that ended early breaks the pipe; its exit status says why.
        stdin.write_all(secret.expose().as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(start)?;
    if output.status.success() {
        return Ok(output);
    }
    if input.is_some() && output.status.code() == Some(NO_PERMISSION) {
        return Err(DiskError::WrongPassphrase);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let words = errors
        .lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("no message");
    Err(DiskError::Tool {
        tool,
        status: output.status.to_string(),
        words: words.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with headers of these labels at these offsets.
    fn disk(headers: &[(u64, &[u8], &str)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 << 20).unwrap();
        for (offset, magic, label) in headers {
            file.write_all_at(magic, *offset).unwrap();
            file.write_all_at(label.as_bytes(), offset + 24).unwrap();
        }
        file
    }

    const FIRST: &[u8] = b"LUKS\xba\xbe";
    const SECOND: &[u8] = b"SKUL\xba\xbe";

    #[test]
    fn a_blank_disk_and_one_in_the_making_may_be_claimed() {
        let making = [(0, FIRST, IN_THE_MAKING), (0x4000, SECOND, IN_THE_MAKING)];
        assert_eq!(header_on(&disk(&[])).unwrap(), Header::None);
        for headers in [&making[..1], &making[..]] {
            assert_eq!(
                header_on(&disk(headers)).unwrap(),
                Header::InTheMaking,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn whatever_may_hold_data_is_claimed() {
        for headers in [
            &[(0, FIRST, FINISHED), (0x4000, SECOND, FINISHED)][..],
            // The first header is lost, or the power went between the two.
            &[(0x4000, SECOND, FINISHED)],
            &[(0, FIRST, FINISHED), (0x4000, SECOND, IN_THE_MAKING)],
            // Somebody else's, with larger metadata.
            &[(0x40_0000, SECOND, "")],
        ] {
            assert_eq!(
                header_on(&disk(headers)).unwrap(),
                Header::Finished,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_disk_that_cannot_be_read_is_not_taken_for_a_new_one() {
        let short = tempfile::tempfile().unwrap();
        short.set_len(0x5000).unwrap();
        assert!(header_on(&short).is_err());
        assert!(Disk::default().is_claimed().is_err());
    }

    #[test]
    fn a_disk_in_use_without_any_header_is_claimed_and_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (device, card) = (path("disk"), path("card"));
        File::create(&device).unwrap().set_len(16 << 20).unwrap();
        std::fs::write(&card, table::tests::sector(0x83)).unwrap();
        let disk = Disk {
            device: Some(device.clone()),
            card: Some(card.clone()),
            ..Disk::default()
        };
        assert!(!disk.is_claimed().unwrap() && !disk.is_damaged());
        disk.set_in_use(true).unwrap();
        disk.look_again();
        assert!(disk.is_claimed().unwrap() && disk.is_damaged());
        // A header in the making is what a cut while claiming or a reset leaves.
        let file = File::options().write(true).open(&device).unwrap();
        file.write_all_at(FIRST, 0).unwrap();
        file.write_all_at(IN_THE_MAKING.as_bytes(), 24).unwrap();
        disk.look_again();
        assert!(!disk.is_claimed().unwrap() && !disk.is_damaged());
        // A table that can't be read proves nothing.
        file.write_all_at(&[0; 72], 0).unwrap();
        std::fs::write(&card, [0; 512]).unwrap();
        assert!(disk.is_claimed().is_err());
    }
}

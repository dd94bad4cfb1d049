//! The encrypted disk: LUKS2 on the card's second partition, ext4 inside,
//! mounted at `/data`. `cryptsetup` does the cryptography; the passphrase
//! reaches it over its standard input only.
//!
//! A disk in the making carries the label [`IN_THE_MAKING`]. It gets its final
//! label after the file system stands, so a power cut in between leaves a disk
//! that is known to hold nothing and is made anew inside, never a disk that
//! opens and cannot be mounted.

use control::Secret;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Label of a disk whose file system is not finished.
const IN_THE_MAKING: &str = "projectx-new";
/// Label of a disk that may hold the owner's data.
const FINISHED: &str = "projectx-data";
const MAPPER: &str = "/dev/mapper/data";
const MAPPER_NAME: &str = "data";
/// Where the opened disk is mounted.
pub const MOUNT_POINT: &str = "/data";
/// `cryptsetup`'s exit code for "no key available with this passphrase".
const NO_PERMISSION: i32 = 2;

/// Argon2id with 256 MiB and 4 passes: what a Pi with 1 GB can always open.
/// Adiantum, since the Pi 3 has no AES instructions (cryptsetup(8)).
const FORMAT: [&str; 13] = [
    "--batch-mode",
    "luksFormat",
    "--type=luks2",
    "--cipher=xchacha12,aes-adiantum-plain64",
    "--key-size=256",
    "--sector-size=4096",
    "--pbkdf=argon2id",
    "--pbkdf-memory=262144",
    "--pbkdf-force-iterations=4",
    "--pbkdf-parallel=1",
    "--label",
    IN_THE_MAKING,
    "--key-file=-",
];

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
}

/// The second partition.
#[derive(Debug)]
pub struct Disk {
    device: Option<String>,
}

impl Disk {
    /// Finds it by what the initramfs wrote down in `/run/projectx/card`.
    pub fn find() -> Self {
        let device = std::fs::read_to_string("/run/projectx/card")
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix("data=").map(str::to_string))
            .filter(|device| Path::new(device).exists());
        Self { device }
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.device.is_some()
    }

    /// Whether somebody has set a passphrase. A damaged first header does not
    /// make it look new: `cryptsetup` also knows the second one.
    pub fn is_claimed(&self) -> bool {
        self.device
            .as_ref()
            .is_some_and(|device| run("/usr/sbin/cryptsetup", &["isLuks", device], None).is_ok())
    }

    /// Whether it is open and mounted, also when an earlier supervisor did it.
    pub fn is_open(&self) -> bool {
        std::fs::read_to_string("/proc/self/mounts")
            .unwrap_or_default()
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(MOUNT_POINT))
    }

    /// Makes the encrypted disk with `passphrase` and opens it. Whatever the
    /// partition held is lost; the caller has checked that it is unclaimed.
    pub fn claim(&self, passphrase: &Secret) -> Result<(), DiskError> {
        let device = self.device.as_deref().ok_or(DiskError::Missing)?;
        let mut arguments = FORMAT.to_vec();
        arguments.push(device);
        run("/usr/sbin/cryptsetup", &arguments, Some(passphrase))?;
        self.open(passphrase)
    }

    /// Opens and mounts it.
    pub fn open(&self, passphrase: &Secret) -> Result<(), DiskError> {
        let device = self.device.as_deref().ok_or(DiskError::Missing)?;
        if self.is_open() {
            return Ok(());
        }
        if !Path::new(MAPPER).exists() {
            run(
                "/usr/sbin/cryptsetup",
                &["open", "--tries=1", "--key-file=-", device, MAPPER_NAME],
                Some(passphrase),
            )?;
        }
        self.make_file_system_if_new(device)
            .and_then(|()| self.mount())
            .inspect_err(|_| close_mapper())
    }

    /// Unmounts and closes it; the key leaves the kernel.
    pub fn close(&self) {
        if self.is_open() && umount2(MOUNT_POINT, MntFlags::empty()).is_err() {
            // Somebody still holds a file: PID 1 ends all processes and tries again.
            return;
        }
        close_mapper();
    }

    fn make_file_system_if_new(&self, device: &str) -> Result<(), DiskError> {
        let dump = run("/usr/sbin/cryptsetup", &["luksDump", device], None)?;
        let text = String::from_utf8_lossy(&dump.stdout);
        let label = text
            .lines()
            .find_map(|line| line.strip_prefix("Label:"))
            .unwrap_or("")
            .trim();
        if label != IN_THE_MAKING {
            return Ok(());
        }
        run(
            "/usr/sbin/mke2fs",
            &["-q", "-F", "-t", "ext4", "-m", "1", "-L", "data", MAPPER],
            None,
        )?;
        nix::unistd::sync();
        run(
            "/usr/sbin/cryptsetup",
            &["config", "--label", FINISHED, device],
            None,
        )?;
        Ok(())
    }

    fn mount(&self) -> Result<(), DiskError> {
        let flags =
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
        mount(
            Some(MAPPER),
            MOUNT_POINT,
            Some("ext4"),
            flags,
            Some("errors=remount-ro"),
        )
        .map_err(DiskError::Mount)
    }
}

fn close_mapper() {
    run("/usr/sbin/cryptsetup", &["close", MAPPER_NAME], None).ok();
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

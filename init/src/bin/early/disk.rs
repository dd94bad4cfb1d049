//! The card as the kernel's disk: waiting for it, its partitions, its mount.

use card::notice;
use card::shrink::{self, CardError, Outcome};
use init::sys;
use nix::mount::{MsFlags, mount};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The Pi's card slot and QEMU's virtio disk, as `/sys/block` calls them, with
/// what stands between the disk's name and a partition's number.
const DISKS: [(&str, &str); 2] = [("mmcblk0", "p"), ("vda", "")];
const APPEARS_WITHIN: Duration = Duration::from_secs(10);
/// Where the card's first partition is mounted, read-only.
pub const CARD: &str = "/run/card";
const RECORD: &str = "/run/projectx/card";

/// Why the card is not there or not mounted. Each may pass at the next start.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No disk.
    #[error("no card: neither mmcblk0 nor vda appeared within 10 s; is the card in its slot?")]
    Missing,
    /// The card gave an error while it was prepared.
    #[error(transparent)]
    Card(CardError),
    /// A file or device gave an error.
    #[error("{path}: {doing} failed: {source}")]
    Io {
        /// Which.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What became of the card's partitions.
pub enum Prepared {
    /// They are as they should be.
    AlreadyDone,
    /// The second was made now; a line for the console.
    Changed(String),
    /// They cannot be made; words for the owner.
    Refused(String),
}

/// The disk that holds the card's file system.
pub struct Disk {
    name: &'static str,
    between: &'static str,
}

impl Disk {
    /// Waits until the disk is there with a size and a node.
    ///
    /// # Errors
    /// [`DiskError::Missing`] after 10 seconds.
    pub fn wait_for() -> Result<Self, DiskError> {
        let deadline = Instant::now() + APPEARS_WITHIN;
        loop {
            for (name, between) in DISKS {
                let size =
                    fs::read_to_string(format!("/sys/block/{name}/size")).unwrap_or_default();
                let size = size.trim().parse::<u64>().unwrap_or(0);
                if size > 0 && Path::new("/dev").join(name).exists() {
                    return Ok(Self { name, between });
                }
            }
            if Instant::now() > deadline {
                return Err(DiskError::Missing);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    fn partition(&self, number: u8) -> String {
        format!("/dev/{}{}{number}", self.name, self.between)
    }

    /// Shrinks the card's file system and adds the second partition, unless
    /// both exist and fit; then lets the kernel read the table again. On a
    /// prepared card this reads a few sectors and writes nothing.
    ///
    /// # Errors
    /// The disk could not be opened, or the kernel kept the old table.
    pub fn prepare(&self) -> Result<Prepared, DiskError> {
        let path = self.path();
        let io = |doing, source| DiskError::Io {
            path: path.clone(),
            doing,
            source,
        };
        let mut disk = OpenOptions::new()
            .read(true)
            // A locked card may not even be opened so, and is to be refused with words.
            .write(!self.is_locked())
            .open(&path)
            .map_err(|error| io("opening", error))?;
        let outcome = match self.shrink(&mut disk) {
            Ok(outcome) => outcome,
            // The step is done again at the next start, which may go better.
            Err(error @ CardError::Io { .. }) => return Err(DiskError::Card(error)),
            Err(error) => {
                // What can't be left on the card is on the screen all the same.
                let left = !self.is_locked() && notice::leave(&mut disk, &error).unwrap_or(false);
                return Ok(Prepared::Refused(notice::on_screen(&error, left)));
            }
        };
        let what = match outcome {
            Outcome::AlreadyDone => return Ok(Prepared::AlreadyDone),
            Outcome::PartitionAdded => "partition 2 added",
            Outcome::Shrunk { .. } => "card shrunk, partition 2 added",
            Outcome::Repaired => "the card's file system cut to fit its partition",
        };
        disk.sync_all().map_err(|error| io("writing back", error))?;
        sys::reread_partitions(&disk).map_err(|error| io("BLKRRPART", error.into()))?;
        Ok(Prepared::Changed(what.to_owned()))
    }

    /// The step itself: refuses a locked card, takes an earlier refusal's
    /// words off the card, shrinks.
    fn shrink(&self, disk: &mut fs::File) -> Result<Outcome, CardError> {
        let plan = shrink::plan(disk)?;
        // Also a card that is ready: nothing could be stored on it.
        if self.is_locked() {
            return Err(CardError::WriteProtected);
        }
        if plan.outcome() == Outcome::AlreadyDone {
            return Ok(Outcome::AlreadyDone);
        }
        // A text that stays because a read failed only explains what was.
        let plan = match notice::remove(disk) {
            Ok(false) | Err(_) => plan,
            Ok(true) => shrink::plan(disk)?,
        };
        shrink::apply(disk, &plan)?;
        Ok(plan.outcome())
    }

    /// Whether the kernel found the card's switch on "lock".
    fn is_locked(&self) -> bool {
        fs::read_to_string(format!("/sys/block/{}/ro", self.name))
            .is_ok_and(|text| text.trim() == "1")
    }

    /// Mounts partition 1 read-only at [`CARD`].
    ///
    /// # Errors
    /// The kernel refused.
    pub fn mount_card(&self) -> Result<(), DiskError> {
        let partition = self.partition(1);
        let io = |doing, source| DiskError::Io {
            path: partition.clone(),
            doing,
            source,
        };
        fs::create_dir_all(CARD).map_err(|error| io("making /run/card", error))?;
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some(partition.as_str()),
            CARD,
            Some("vfat"),
            flags,
            Some("umask=0077"),
        )
        .map_err(|error| io("mounting as vfat", error.into()))
    }

    /// Tells the supervisor which disk this is.
    ///
    /// # Errors
    /// /run is full or not there.
    pub fn record(&self) -> Result<(), DiskError> {
        let text = format!(
            "disk={}\nboot={}\ndata={}\n",
            self.path(),
            self.partition(1),
            self.partition(2)
        );
        fs::create_dir_all("/run/projectx")
            .and_then(|()| fs::write(RECORD, text))
            .map_err(|source| DiskError::Io {
                path: RECORD.to_owned(),
                doing: "writing",
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_names_them() {
        let [card, virtual_disk] = DISKS.map(|(name, between)| Disk { name, between }.partition(2));
        assert_eq!(
            (card.as_str(), virtual_disk.as_str()),
            ("/dev/mmcblk0p2", "/dev/vda2")
        );
    }
}

//! Notices that the card is failing, from where the kernel tells it, and remembers it:
//! [`kernel_log`] (errors of the whole disk, dm-verity, ext4), [`verified`] (dm-verity's
//! own state) and [`file_system`] (ext4's counters, and whether it takes writes).
//!
//! An SD card has no counter of its own wear that the kernel could read; what it
//! corrects by itself is not seen here. The page shows what is found (`control::Damage`).

mod file_system;
mod kernel_log;
mod record;
mod verified;

use crate::disk::{Disk, MOUNT_POINT};
use crate::log;
use control::{Damage, DamageKind};
use kernel_log::{KernelLog, Said, meaning};
use record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// In the encrypted disk.
const KEPT: &str = "/data/system/damage";
/// In memory: what of this start is not in there yet, for a supervisor that is
/// started again.
const OF_THIS_START: &str = "/run/projectx/damage";
/// The first lines of the kernel that are put into our log, for each kind.
const MOST_QUOTED: u64 = 5;

/// What [`before_check`] found.
static EARLIER_ERRORS: AtomicU64 = AtomicU64::new(0);

/// Reads how many errors ext4 has counted on a device that is not mounted, before
/// e2fsck sets the counter back. [`Watch::look`] takes them.
pub fn before_check(device: &Path) {
    match file_system::errors_in_super_block(device) {
        Ok(errors) => drop(EARLIER_ERRORS.fetch_max(errors, Ordering::Relaxed)),
        Err(error) => log::line(&format!("{}: {error}", device.display())),
    }
}

/// What was found in this start.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Not in the encrypted disk yet.
    new: Record,
    /// The number of the first record of the kernel's log that was not looked at.
    log_from: u64,
    /// ext4's counter.
    file_system_errors: u64,
    /// What is noticed once a start: images by name, and that the disk is read-only.
    once: BTreeSet<String>,
}

/// Looks for damage.
#[derive(Debug)]
pub struct Watch {
    /// The whole disk as the kernel names it, `mmcblk0` say.
    disk: String,
    /// What the card says that it is (its CID register); `-` if it says nothing.
    card: String,
    kernel_log: KernelLog,
    found: Found,
    /// How many lines of the kernel were quoted.
    quoted: BTreeMap<DamageKind, u64>,
    /// What was in the encrypted disk; `None` while that is closed.
    kept: Option<Record>,
}

impl Watch {
    /// Begins, or goes on where an earlier supervisor was.
    pub fn begin() -> Self {
        let disk = whole_disk(&fs::read_to_string("/run/projectx/card").unwrap_or_default());
        let card = fs::read_to_string(format!("/sys/block/{disk}/device/cid"));
        let card = card.unwrap_or_else(|_| "-".into()).trim().to_owned();
        let found = Found::parse(&fs::read_to_string(OF_THIS_START).unwrap_or_default());
        Self {
            kernel_log: KernelLog::open(found.log_from),
            disk,
            card,
            found,
            quoted: BTreeMap::new(),
            kept: None,
        }
    }

    /// Looks once. Returns whether a kind was found that was not known before, which is
    /// worth a write.
    pub fn look(&mut self, disk: &Disk) -> bool {
        let is_open = disk.is_open();
        if is_open && self.kept.is_none() {
            let kept = Record::read(Path::new(KEPT), &self.card);
            let kept = kept.inspect_err(|error| log::line(&format!("{KEPT}: not read: {error}")));
            self.kept = Some(kept.unwrap_or_default());
        }
        let before = self.all();
        // First: it counts, where the others only say that there is something.
        self.read_kernel_log();
        for name in verified::corrupted() {
            self.note_once(verified::kind(Some(&name)), &name);
        }
        if is_open {
            self.look_at_file_system(EARLIER_ERRORS.swap(0, Ordering::Relaxed));
        }
        let now = self.all();
        if now != before {
            self.remember_in_memory();
        }
        let is_new = |kind: &DamageKind| before.count(*kind) == 0 && now.count(*kind) > 0;
        DamageKind::ALL.iter().any(is_new)
    }

    /// All that is known now, for the page.
    pub fn shown(&self) -> Vec<Damage> {
        self.all().shown()
    }

    /// Writes what is new to the encrypted disk, if that is open.
    pub fn keep(&mut self, disk: &Disk) {
        if !disk.is_open() || self.found.new.is_empty() {
            return;
        }
        let all = self.all();
        let kept =
            fs::create_dir_all("/data/system").and_then(|()| all.keep(Path::new(KEPT), &self.card));
        match kept {
            Ok(()) => {
                self.kept = Some(all);
                self.found.new = Record::default();
                self.remember_in_memory();
            }
            Err(error) => log::line(&format!("{KEPT}: not written: {error}")),
        }
    }

    fn all(&self) -> Record {
        let kept = self.kept.clone().unwrap_or_default();
        kept.and(&self.found.new)
    }

    fn read_kernel_log(&mut self) {
        for record in self.kernel_log.news() {
            let Some(kind) = meaning(&record.text).and_then(|said| self.kind(said)) else {
                continue;
            };
            let quoted = self.quoted.entry(kind).or_default();
            *quoted += 1;
            if *quoted <= MOST_QUOTED {
                log::line(&format!("kernel: {}", record.text));
            }
            self.note(kind, 1);
            self.found.log_from = record.number + 1;
        }
    }

    /// The damage that a line of the kernel tells of.
    fn kind(&mut self, said: Said) -> Option<DamageKind> {
        match said {
            // What lies upon the card fails with it, and is not told twice.
            Said::Block { disk, .. } if disk != self.disk => None,
            Said::Block { reading: true, .. } => Some(DamageKind::Reading),
            Said::Block { reading: false, .. } => Some(DamageKind::Writing),
            Said::Verity { device } => {
                let name = verified::on_device(&device);
                let kind = verified::kind(name.as_deref());
                self.found.once.extend(name);
                Some(kind)
            }
            Said::ReadOnly { device } => {
                let is_data = file_system::device_of(Path::new(MOUNT_POINT)) == Some(device);
                let is_new = is_data && self.found.once.insert(MOUNT_POINT.into());
                is_new.then_some(DamageKind::ReadOnly)
            }
        }
    }

    fn look_at_file_system(&mut self, earlier: u64) {
        let known = self.all().count(DamageKind::FileSystem);
        if earlier > known {
            self.note(DamageKind::FileSystem, earlier - known);
        }
        let device = file_system::device_of(Path::new(MOUNT_POINT));
        if let Some(errors) = device.and_then(|device| file_system::errors(&device)) {
            let new = errors.saturating_sub(self.found.file_system_errors);
            self.found.file_system_errors = errors;
            if new > 0 {
                self.note(DamageKind::FileSystem, new);
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if file_system::is_read_only(&mounts, MOUNT_POINT) {
            self.note_once(DamageKind::ReadOnly, MOUNT_POINT);
        }
    }

    fn note_once(&mut self, kind: DamageKind, what: &str) {
        if self.found.once.insert(what.to_owned()) {
            self.note(kind, 1);
        }
    }

    fn note(&mut self, kind: DamageKind, count: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        if self.found.new.count(kind) == 0 {
            log::line(&format!("damage: {}", kind.word()));
        }
        self.found.new.note(kind, count, now);
    }

    fn remember_in_memory(&self) {
        if let Err(error) = fs::write(OF_THIS_START, self.found.text()) {
            log::line(&format!("{OF_THIS_START}: {error}"));
        }
    }
}

impl Found {
    fn text(&self) -> String {
        let mut text = self.new.lines();
        text.push_str(&format!("kernel-log {}\n", self.log_from));
        text.push_str(&format!("ext4 {}\n", self.file_system_errors));
        for what in &self.once {
            text.push_str(&format!("once {what}\n"));
        }
        text
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("kernel-log", number)) => found.log_from = number.parse().unwrap_or(0),
                Some(("ext4", number)) => found.file_system_errors = number.parse().unwrap_or(0),
                Some(("once", what)) => drop(found.once.insert(what.to_owned())),
                _ => found.new.take_line(line),
            }
        }
        found
    }
}

/// The disk's name in what the initramfs wrote down.
fn whole_disk(card: &str) -> String {
    let mut lines = card.lines();
    let path = lines.find_map(|line| line.strip_prefix("disk=/dev/"));
    path.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            disk: "mmcblk0".into(),
            card: "-".into(),
            kernel_log: KernelLog::open(u64::MAX),
            found: Found::default(),
            quoted: BTreeMap::new(),
            kept: None,
        }
    }

    #[test]
    fn only_the_card_itself_counts_and_not_what_lies_upon_it() {
        let mut watch = watch();
        let mut kind = |disk: &str, reading| {
            let disk = disk.to_owned();
            watch.kind(Said::Block { disk, reading })
        };
        assert_eq!(kind("mmcblk0", true), Some(DamageKind::Reading));
        assert_eq!(kind("mmcblk0", false), Some(DamageKind::Writing));
        for other in ["loop0", "dm-1", "sda", ""] {
            assert_eq!(kind(other, true), None);
        }
    }

    #[test]
    fn an_image_is_noticed_once_a_start_where_nothing_counts_its_blocks() {
        let mut watch = watch();
        watch.note_once(DamageKind::System, "system");
        watch.note_once(DamageKind::System, "system");
        assert_eq!(watch.all().count(DamageKind::System), 1);
        // No device of that number is here: an app's that is gone.
        let device = "9999:0".to_owned();
        let kind = watch.kind(Said::Verity { device });
        assert_eq!(kind, Some(DamageKind::App));
    }

    #[test]
    fn errors_that_e2fsck_will_set_back_are_counted_once() {
        let mut watch = watch();
        watch.look_at_file_system(3);
        assert_eq!(watch.all().count(DamageKind::FileSystem), 3);
        // An earlier start had noticed and kept them.
        watch.kept = Some(watch.all());
        watch.found.new = Record::default();
        watch.look_at_file_system(3);
        assert_eq!(watch.all().count(DamageKind::FileSystem), 3);
        watch.look_at_file_system(5);
        assert_eq!(watch.all().count(DamageKind::FileSystem), 5);
    }

    #[test]
    fn another_supervisor_goes_on_with_what_was_found() {
        let mut found = Found {
            log_from: 816,
            file_system_errors: 2,
            ..Found::default()
        };
        found.new.note(DamageKind::Reading, 4, 1_795_564_800);
        found.once.insert("app-email".into());
        assert_eq!(Found::parse(&found.text()), found);
        assert_eq!(Found::parse("once\nkernel-log x\n"), Found::default());
    }

    #[test]
    fn the_disk_is_found_in_what_the_initramfs_wrote() {
        let text = "disk=/dev/vda\nboot=/dev/vda1\ndata=/dev/vda2\n";
        assert_eq!(whole_disk(text), "vda");
        assert_eq!(whole_disk(""), "");
    }
}

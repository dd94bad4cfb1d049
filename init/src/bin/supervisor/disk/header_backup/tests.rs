//! With `cryptsetup` itself, on a disk in a file.

use super::super::keys::tests::{OLD, disk, opens, opens_by, recovery, secret};
use super::*;
use std::cell::RefCell;
use std::os::unix::fs::FileExt;

/// A card's folder, where backups are kept as on a box.
struct Card(tempfile::TempDir);

impl Card {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn backup(&self) -> PathBuf {
        self.folder().join(NAME)
    }

    fn keep(&self, disk: &Disk, key: Option<&RecoveryKey>) -> bool {
        let (device, workshop) = (disk.device().unwrap(), self.folder().join("workshop"));
        keep(
            device,
            key,
            self.folder(),
            &workshop,
            |name, bytes| match bytes {
                Some(bytes) => card_writer::overwrite(self.folder(), name, bytes),
                None => card_writer::wipe(&self.folder().join(name)),
            },
        )
        .unwrap()
    }

    /// A disk that is the backup, to try keys on.
    fn as_disk(&self) -> Disk {
        Disk {
            device: self.backup().to_str().map(str::to_owned),
            ..Disk::default()
        }
    }

    fn find(&self, key: &RecoveryKey, may_replace: bool) -> Result<Vec<u8>, DiskError> {
        let workshop = self.folder().join("workshop");
        find(key, self.folder(), &workshop, |_| may_replace)
    }
}

/// A disk whose owner has recovery key 2.
fn with_owner() -> (Disk, tempfile::TempDir) {
    let (disk, folder) = disk();
    disk.add_recovery_key(&secret(OLD), &recovery(2)).unwrap();
    disk.confirm_recovery_key(&recovery(2)).unwrap();
    (disk, folder)
}

fn salts(device: &str) -> Vec<String> {
    let metadata = metadata(device).unwrap();
    let slots = metadata["keyslots"].as_object().unwrap().values();
    slots
        .map(|slot| slot["kdf"]["salt"].as_str().unwrap().to_owned())
        .collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn only_the_recovery_key_opens_the_backup() {
    let (disk, _folder) = with_owner();
    let device = disk.device().unwrap();
    let card = Card::new();
    assert!(card.keep(&disk, Some(&recovery(2))));
    let backup = card.as_disk();
    assert!(opens_by(&backup, &recovery(2)));
    assert!(!opens(&backup, OLD) && !opens_by(&backup, &recovery(1)));
    assert!(opens(&disk, OLD), "the disk itself was changed");

    let bytes = fs::read(card.backup()).unwrap();
    let slot = read_slots(device).unwrap().confirmed[0];
    let layout = Layout::read(&metadata(device).unwrap(), slot).unwrap();
    assert_eq!(bytes.len(), layout.length);
    let zero = |part: Range<usize>| bytes[part].iter().all(|byte| *byte == 0);
    assert!(zero(layout.headers..layout.material.start));
    assert!(zero(layout.material.end..bytes.len()));
    assert!(!zero(layout.material.clone()));
    // Neither the passphrase's material nor the salt with which it could be tried.
    let kept = salts(card.backup().to_str().unwrap());
    assert_eq!(kept.len(), 1);
    for salt in salts(device) {
        assert_eq!(holds(&bytes, &salt), kept.contains(&salt), "{salt}");
    }
    assert!(!card.folder().join("workshop").exists());
}

#[test]
fn without_a_confirmed_recovery_key_there_is_no_backup() {
    let (disk, _folder) = disk();
    let card = Card::new();
    assert!(!card.keep(&disk, None));
    assert_eq!(fs::read_dir(card.folder()).unwrap().count(), 0);
}

#[test]
fn the_card_is_written_only_when_its_backup_is_not_good() {
    let (disk, _folder) = with_owner();
    let card = Card::new();
    assert!(card.keep(&disk, None));
    assert!(!card.keep(&disk, None));
    // A new passphrase changes nothing that is in it.
    disk.change_passphrase(&secret(OLD), &secret("another one"))
        .unwrap();
    assert!(!card.keep(&disk, None));
    // What a cut in the middle of a write leaves.
    let [_, copy] = names();
    fs::write(card.folder().join(&copy), "torn").unwrap();
    assert!(!card.keep(&disk, None));
    assert!(!card.folder().join(&copy).exists());
    let slot = read_slots(disk.device().unwrap()).unwrap().confirmed[0];
    let layout = Layout::read(&metadata(disk.device().unwrap()).unwrap(), slot).unwrap();
    let at = layout.material.start as u64 + 5000;
    let file = OpenOptions::new().write(true).open(card.backup()).unwrap();
    file.write_all_at(&[0; 64], at).unwrap();
    assert!(card.keep(&disk, None));
    assert!(opens_by(&card.as_disk(), &recovery(2)));
}

#[test]
fn after_another_recovery_key_the_old_one_opens_no_backup() {
    let (disk, _folder) = with_owner();
    let card = Card::new();
    card.keep(&disk, None);
    disk.add_recovery_key(&secret(OLD), &recovery(3)).unwrap();
    // Not confirmed yet: the old one is still the owner's.
    assert!(!card.keep(&disk, None));
    disk.confirm_recovery_key(&recovery(3)).unwrap();
    assert!(card.keep(&disk, Some(&recovery(3))));
    assert!(opens_by(&card.as_disk(), &recovery(3)));
    assert!(!opens_by(&card.as_disk(), &recovery(2)));
}

#[test]
fn a_damaged_header_comes_back_by_the_recovery_key() {
    let (disk, folder) = with_owner();
    let card = Card::new();
    card.keep(&disk, None);
    let device = folder.path().join("disk");
    let file = OpenOptions::new().write(true).open(&device).unwrap();
    file.write_all_at(&vec![0xa5; 1 << 20], 0).unwrap();
    assert!(disk.check(&secret(OLD)).is_err());
    let wrong = card.find(&recovery(1), true);
    assert!(
        matches!(wrong, Err(DiskError::WrongPassphrase)),
        "{wrong:?}"
    );
    // Of another disk.
    let other = card.find(&recovery(2), false);
    assert!(matches!(other, Err(DiskError::NoBackup)), "{other:?}");
    // The power goes before the headers are written: the disk is still damaged, and no
    // locked one that nothing opens.
    let bytes = card.find(&recovery(2), true).unwrap();
    file.write_all_at(&bytes[0x8000..], 0x8000).unwrap();
    assert!(disk.check(recovery(2).words()).is_err());
    write(&device, &bytes).unwrap();
    assert!(opens_by(&disk, &recovery(2)) && !opens(&disk, OLD));
    assert!(disk.has_recovery_key().unwrap());
    // And a passphrase again, as after a forgotten one.
    disk.change_passphrase(recovery(2).words(), &secret("a new one"))
        .unwrap();
    assert!(opens(&disk, "a new one"));
}

#[test]
fn what_is_no_whole_backup_is_passed_over() {
    let (disk, _folder) = with_owner();
    let card = Card::new();
    let none = card.find(&recovery(2), true);
    assert!(matches!(none, Err(DiskError::NoBackup)), "{none:?}");
    card.keep(&disk, None);
    let whole = fs::read(card.backup()).unwrap();
    let [name, copy] = names();
    let put = |name: &str, bytes: &[u8]| fs::write(card.folder().join(name), bytes).unwrap();
    let longer = [whole.as_slice(), &[0; 4096]].concat();
    for damaged in [&b"no header"[..], &whole[..1 << 20], &longer] {
        put(&name, damaged);
        let found = card.find(&recovery(2), true);
        assert!(matches!(found, Err(DiskError::NoBackup)), "{found:?}");
    }
    // The power went while the old one was overwritten.
    put(&name, &whole[..1 << 20]);
    put(&copy, &whole);
    assert!(card.find(&recovery(2), true).unwrap() == whole);
    // A header with every slot, as cryptsetup makes it, is not what the box takes.
    fs::remove_file(card.folder().join(&copy)).unwrap();
    fs::remove_file(card.backup()).unwrap();
    let path = card.backup();
    let arguments = [
        "luksHeaderBackup",
        disk.device().unwrap(),
        "--header-backup-file",
    ];
    run(
        CRYPTSETUP,
        &[&arguments[..], &[path.to_str().unwrap()]].concat(),
        None,
    )
    .unwrap();
    let found = card.find(&recovery(2), true);
    assert!(matches!(found, Err(DiskError::NoBackup)), "{found:?}");
}

#[test]
fn a_backup_that_cannot_be_written_is_an_error() {
    let (disk, _folder) = with_owner();
    let card = Card::new();
    let workshop = card.folder().join("workshop");
    let tried = RefCell::new(0);
    let kept = keep(
        disk.device().unwrap(),
        None,
        card.folder(),
        &workshop,
        |_, _| {
            *tried.borrow_mut() += 1;
            Err(io::ErrorKind::StorageFull.into())
        },
    );
    assert!(matches!(kept, Err(DiskError::Backup(_))), "{kept:?}");
    assert_eq!(*tried.borrow(), 1);
}

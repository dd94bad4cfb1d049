//! The keys of the encrypted disk: which opens it, and how they are changed.
//!
//! Each kind of key has two slots, and a change fills the free one before it
//! empties the other. So a power cut in the middle leaves the old key, or both,
//! and never none. When both passphrases are left, the one that is used first
//! stays.
//!
//! A recovery key is good from the moment it is made. That its owner has said
//! that he has it is written down in a LUKS2 token, which holds no secret
//! (cryptsetup-token(8)).

use super::{CRYPTSETUP, Disk, DiskError, IN_THE_MAKING, MAPPER_NAME, close_mapper, run};
use control::{RecoveryKey, Secret};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// The two slots of a passphrase.
const PASSPHRASES: [u32; 2] = [0, 1];
/// The two slots of a recovery key.
const RECOVERY: [u32; 2] = [2, 3];
/// The token of a confirmed recovery key.
const CONFIRMED: &str = "projectx-recovery";

/// Argon2id with 256 MiB and 4 passes: what a Pi with 1 GB can always open.
const SLOW: [&str; 4] = [
    "--pbkdf=argon2id",
    "--pbkdf-memory=262144",
    "--pbkdf-force-iterations=4",
    "--pbkdf-parallel=1",
];
/// 128 random bits need no slow function: nobody can try them all.
pub(super) const QUICK: [&str; 2] = ["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"];

/// What a key is tried for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// Nothing is opened or closed.
    Test,
    /// The disk is mapped.
    Open,
}

/// Which slots hold a key, and which recovery key was confirmed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) active: Vec<u32>,
    pub(super) confirmed: Vec<u32>,
    /// Tokens of ours, also of keys that are gone.
    tokens: Vec<u32>,
}

impl Disk {
    /// Whether `key`, a passphrase or a recovery key, is the disk's; nothing is
    /// opened or closed.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when it is not.
    pub fn check(&self, key: &Secret) -> Result<(), DiskError> {
        try_key(self.device()?, key, Try::Test).map(drop)
    }

    /// Whether the owner has confirmed a recovery key that is still good.
    ///
    /// # Errors
    /// When the header can't be read.
    pub fn has_recovery_key(&self) -> Result<bool, DiskError> {
        Ok(!read_slots(self.device()?)?.confirmed.is_empty())
    }

    /// Gives the disk a new passphrase; `old`, a passphrase or a recovery key,
    /// shows that it may be done.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when `old` opens nothing; nothing was
    /// changed then. After any other error the old passphrase is still good.
    pub fn change_passphrase(&self, old: &Secret, new: &Secret) -> Result<(), DiskError> {
        let device = self.device()?;
        let proved = try_key(device, old, Try::Test)?;
        let slots = read_slots(device)?;
        // Both are full after a cut: one goes first, and `old` stays good.
        let free = PASSPHRASES
            .into_iter()
            .find(|slot| !slots.active.contains(slot))
            .or_else(|| PASSPHRASES.into_iter().find(|slot| *slot != proved))
            .unwrap_or(PASSPHRASES[0]);
        if slots.active.contains(&free) {
            kill(device, free)?;
        }
        add(device, &spelt(old), new, free, &SLOW)?;
        for slot in PASSPHRASES {
            if slot != free && slots.active.contains(&slot) {
                kill(device, slot)?;
            }
        }
        Ok(())
    }

    /// Gives the disk a further recovery key. A confirmed one stays good until
    /// the new one is confirmed as well.
    ///
    /// # Errors
    /// As in [`Self::change_passphrase`].
    pub fn add_recovery_key(&self, key: &Secret, new: &RecoveryKey) -> Result<(), DiskError> {
        let device = self.device()?;
        try_key(device, key, Try::Test)?;
        let slots = read_slots(device)?;
        let free = RECOVERY
            .into_iter()
            .find(|slot| !slots.confirmed.contains(slot))
            .unwrap_or(RECOVERY[1]);
        if slots.active.contains(&free) {
            // The paper that nobody confirmed may be the one in somebody's hand.
            if try_recovery(device, &spelt(key), free, Try::Test).is_ok() {
                confirm(device, free)?;
                return self.add_recovery_key(key, new);
            }
            kill(device, free)?;
        }
        add(device, &spelt(key), new.words(), free, &QUICK)
    }

    /// Writes down that the owner has this recovery key; every other one is
    /// destroyed.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when it does not open the disk.
    pub fn confirm_recovery_key(&self, key: &RecoveryKey) -> Result<(), DiskError> {
        let device = self.device()?;
        for slot in read_slots(device)?.active {
            if !RECOVERY.contains(&slot) {
                continue;
            }
            match try_recovery(device, key.words(), slot, Try::Test) {
                Err(DiskError::WrongPassphrase) => {}
                Err(error) => return Err(error),
                Ok(()) => return confirm(device, slot),
            }
        }
        Err(DiskError::WrongPassphrase)
    }

    /// Destroys every key of the disk, so that nothing on it can be read any
    /// more, and lets it be claimed anew (cryptsetup-erase(8)).
    ///
    /// # Errors
    /// When the header could not be written. It may be done again.
    pub fn erase(&self) -> Result<(), DiskError> {
        let device = self.device()?;
        close_mapper();
        self.look_again();
        run(CRYPTSETUP, &["erase", "--batch-mode", device], None)?;
        let label = ["config", "--label", IN_THE_MAKING, device];
        run(CRYPTSETUP, &label, None)?;
        nix::unistd::sync();
        self.set_in_use(false)
    }

    /// What `factory-reset.txt` on the card has to say for this disk: eight
    /// digits of its UUID, which `cryptsetup` draws by lot for each new disk. So
    /// a file that stays on the card never erases a second disk.
    pub fn reset_code(&self) -> Option<String> {
        let file = File::open(self.device.as_deref()?).ok()?;
        // Where a LUKS2 header has its UUID (On-Disk Format Specification, 2.1).
        let mut uuid = [0; 8];
        file.read_exact_at(&mut uuid, 168).ok()?;
        let digits = std::str::from_utf8(&uuid).ok()?.to_ascii_uppercase();
        let good = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| format!("{}-{}", &digits[..4], &digits[4..]))
    }

    /// Maps the disk with a passphrase or a recovery key.
    pub(super) fn map(&self, key: &Secret) -> Result<(), DiskError> {
        let device = self.device()?;
        // A mapping that is left without a mount proves no passphrase.
        close_mapper();
        let used = try_key(device, key, Try::Open)?;
        let slots = read_slots(device)?;
        if RECOVERY.contains(&used) && !slots.confirmed.contains(&used) {
            // Whoever types it has it.
            return confirm(device, used).inspect_err(|_| close_mapper());
        }
        for slot in PASSPHRASES {
            if PASSPHRASES.contains(&used) && slot != used && slots.active.contains(&slot) {
                kill(device, slot).inspect_err(|_| close_mapper())?;
            }
        }
        Ok(())
    }

    /// The passphrase of a disk in the making, which was formatted with `key`.
    pub(super) fn first_passphrase(
        &self,
        key: &RecoveryKey,
        passphrase: &Secret,
    ) -> Result<(), DiskError> {
        let device = self.device()?;
        add(device, key.words(), passphrase, PASSPHRASES[0], &SLOW)
    }

    /// Maps a disk in the making. Nobody has typed its recovery key: that it was
    /// used here confirms nothing.
    pub(super) fn map_first(&self, key: &RecoveryKey) -> Result<(), DiskError> {
        try_recovery(self.device()?, key.words(), RECOVERY[0], Try::Open)
    }

    pub(super) fn device(&self) -> Result<&str, DiskError> {
        self.device.as_deref().ok_or(DiskError::Missing)
    }
}

/// A recovery key in its one spelling, anything else as it is.
pub(super) fn spelt(key: &Secret) -> Secret {
    match RecoveryKey::parse(key.expose()) {
        Ok(key) => key.words().clone(),
        Err(_) => key.clone(),
    }
}

/// The slot that `key` opens. Twelve right words are tried as a recovery key
/// first, which is quick, and then as the passphrase that they may be.
pub(super) fn try_key(device: &str, key: &Secret, what: Try) -> Result<u32, DiskError> {
    if let Ok(recovery) = RecoveryKey::parse(key.expose()) {
        for slot in RECOVERY {
            if try_recovery(device, recovery.words(), slot, what).is_ok() {
                return Ok(slot);
            }
        }
    }
    let said = cryptsetup_open(device, key, None, what)?;
    said.split("Key slot ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|slot| slot.parse().ok())
        .ok_or_else(|| DiskError::Tool {
            tool: CRYPTSETUP,
            status: "success".into(),
            words: "it did not say which key slot it used".into(),
        })
}

fn try_recovery(device: &str, words: &Secret, slot: u32, what: Try) -> Result<(), DiskError> {
    cryptsetup_open(device, words, Some(slot), what).map(drop)
}

/// What `cryptsetup open` said. A slot without a key opens nothing.
pub(super) fn cryptsetup_open(
    device: &str,
    key: &Secret,
    slot: Option<u32>,
    what: Try,
) -> Result<String, DiskError> {
    let slot = slot.map(|slot| format!("--key-slot={slot}"));
    let mut arguments = vec!["open", "--verbose", "--tries=1", "--key-file=-"];
    arguments.extend(slot.as_deref());
    match what {
        Try::Test => arguments.extend(["--test-passphrase", device]),
        Try::Open => arguments.extend([device, MAPPER_NAME]),
    }
    let output = run(CRYPTSETUP, &arguments, Some(key))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fills a free slot. The new key goes to `cryptsetup` through a pipe that only
/// root can open; the old one by its standard input.
pub(super) fn add(
    device: &str,
    old: &Secret,
    new: &Secret,
    slot: u32,
    function: &[&str],
) -> Result<(), DiskError> {
    let pipe = |source| DiskError::Start {
        tool: CRYPTSETUP,
        source,
    };
    let (reading, mut writing) = std::io::pipe().map_err(pipe)?;
    // Longer than a pipe holds is no key of ours (64 KiB, pipe(7)).
    writing.write_all(new.expose().as_bytes()).map_err(pipe)?;
    drop(writing);
    let new = format!("/proc/{}/fd/{}", std::process::id(), reading.as_raw_fd());
    let slot = format!("--key-slot={slot}");
    let mut arguments = vec!["luksAddKey", "--batch-mode", &slot, "--key-file=-"];
    arguments.extend(function);
    arguments.extend([device, &new]);
    run(CRYPTSETUP, &arguments, Some(old)).map(drop)
}

/// Destroys the key in a slot.
pub(super) fn kill(device: &str, slot: u32) -> Result<(), DiskError> {
    let slot = slot.to_string();
    let arguments = ["luksKillSlot", "--batch-mode", device, &slot];
    run(CRYPTSETUP, &arguments, None).map(drop)
}

fn confirm(device: &str, slot: u32) -> Result<(), DiskError> {
    let slots = read_slots(device)?;
    if !slots.confirmed.contains(&slot) {
        if slots.tokens.contains(&slot) {
            remove_token(device, slot)?;
        }
        // No secret, but the standard input is the way a token goes.
        let token = format!("{{\"type\":\"{CONFIRMED}\",\"keyslots\":[\"{slot}\"]}}");
        let id = format!("--token-id={slot}");
        let arguments = ["token", "import", &id, device];
        run(CRYPTSETUP, &arguments, Some(&Secret::new(token)))?;
    }
    for other in RECOVERY {
        if other != slot && slots.active.contains(&other) {
            kill(device, other)?;
        }
        if other != slot && slots.tokens.contains(&other) {
            remove_token(device, other)?;
        }
    }
    Ok(())
}

pub(super) fn remove_token(device: &str, slot: u32) -> Result<(), DiskError> {
    let id = format!("--token-id={slot}");
    run(CRYPTSETUP, &["token", "remove", &id, device], None).map(drop)
}

pub(super) fn read_slots(device: &str) -> Result<Slots, DiskError> {
    slots_in(&metadata(device)?).ok_or_else(unknown_metadata)
}

/// The metadata's JSON text, of the header or of a backup of it.
pub(super) fn metadata(device: &str) -> Result<serde_json::Value, DiskError> {
    let arguments = ["luksDump", "--dump-json-metadata", device];
    let output = run(CRYPTSETUP, &arguments, None)?;
    serde_json::from_slice(&output.stdout).map_err(|_| unknown_metadata())
}

fn unknown_metadata() -> DiskError {
    DiskError::Tool {
        tool: CRYPTSETUP,
        status: "success".into(),
        words: "the header of the disk is not as LUKS2 has it".into(),
    }
}

/// From the metadata's JSON (LUKS2 On-Disk Format Specification, 3).
fn slots_in(metadata: &serde_json::Value) -> Option<Slots> {
    let number = |text: &String| text.parse::<u32>().ok();
    let active: Vec<u32> = metadata["keyslots"]
        .as_object()?
        .keys()
        .filter_map(number)
        .collect();
    let ours: Vec<(u32, &serde_json::Value)> = metadata["tokens"]
        .as_object()?
        .iter()
        .filter(|(_, token)| token["type"] == CONFIRMED)
        .filter_map(|(id, token)| Some((number(id)?, token)))
        .collect();
    let confirmed = ours
        .iter()
        .filter_map(|(_, token)| token["keyslots"].as_array())
        .flatten()
        .filter_map(|slot| slot.as_str()?.parse().ok())
        .filter(|slot| active.contains(slot) && RECOVERY.contains(slot))
        .collect();
    Some(Slots {
        confirmed,
        tokens: ours.iter().map(|(id, _)| *id).collect(),
        active,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::FORMAT;
    use super::*;

    pub(in super::super) fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    pub(in super::super) fn recovery(byte: u8) -> RecoveryKey {
        RecoveryKey::from_random(&[byte; 16]).unwrap()
    }

    pub(in super::super) const OLD: &str = "Zwölf Boxkämpfer";

    /// A disk as a claim leaves it, in a file: AES in user space, and a passphrase
    /// that is quick to try.
    pub(in super::super) fn disk() -> (Disk, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        File::create(&path).unwrap().set_len(20 << 20).unwrap();
        let device = path.to_str().unwrap().to_owned();
        let mut format = FORMAT.to_vec();
        format[3] = "--cipher=aes-xts-plain64";
        format.push(&device);
        run(CRYPTSETUP, &format, Some(recovery(1).words())).unwrap();
        add(&device, recovery(1).words(), &secret(OLD), 0, &QUICK).unwrap();
        let disk = Disk {
            device: Some(device),
            ..Disk::default()
        };
        (disk, folder)
    }

    pub(in super::super) fn opens(disk: &Disk, key: &str) -> bool {
        match disk.check(&secret(key)) {
            Ok(()) => true,
            Err(DiskError::WrongPassphrase) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(in super::super) fn opens_by(disk: &Disk, key: &RecoveryKey) -> bool {
        opens(disk, key.words().expose())
    }

    fn slots(disk: &Disk) -> Slots {
        read_slots(disk.device().unwrap()).unwrap()
    }

    #[test]
    fn the_keys_of_a_disk_are_told_from_others_without_changing_it() {
        let (disk, folder) = disk();
        let before = std::fs::read(folder.path().join("disk")).unwrap();
        assert!(opens(&disk, OLD));
        assert!(opens_by(&disk, &recovery(1)));
        let capitals = recovery(1).words().expose().to_uppercase();
        assert!(opens(&disk, &format!(" {capitals}\n")));
        for wrong in ["Zwölf Boxkämpfer\n", "Zwölf Boxkämpfe"] {
            assert!(!opens(&disk, wrong), "{wrong:?}");
        }
        assert!(!opens_by(&disk, &recovery(2)));
        assert_eq!(std::fs::read(folder.path().join("disk")).unwrap(), before);
    }

    #[test]
    fn a_new_passphrase_takes_the_place_of_the_old_one() {
        let (disk, _folder) = disk();
        let wrong = disk.change_passphrase(&secret("not the old one"), &secret("new words"));
        assert!(
            matches!(wrong, Err(DiskError::WrongPassphrase)),
            "{wrong:?}"
        );
        assert!(opens(&disk, OLD));
        disk.change_passphrase(&secret(OLD), &secret("first new words"))
            .unwrap();
        assert!(!opens(&disk, OLD));
        assert!(opens(&disk, "first new words"));
        assert_eq!(slots(&disk).active, [1, 2]);
        // Forgotten: the recovery key is as good.
        let key = recovery(1).words().clone();
        disk.change_passphrase(&key, &secret("second new words"))
            .unwrap();
        assert!(!opens(&disk, "first new words"));
        assert!(opens(&disk, "second new words"));
        assert!(opens_by(&disk, &recovery(1)));
    }

    #[test]
    fn after_a_cut_between_two_passphrases_the_next_change_goes_on() {
        let (disk, _folder) = disk();
        let device = disk.device().unwrap();
        add(device, &secret(OLD), &secret("half changed"), 1, &QUICK).unwrap();
        assert!(opens(&disk, OLD) && opens(&disk, "half changed"));
        disk.change_passphrase(&secret("half changed"), &secret("third words"))
            .unwrap();
        assert!(opens(&disk, "third words"));
        assert!(!opens(&disk, OLD) && !opens(&disk, "half changed"));
    }

    #[test]
    fn a_recovery_key_is_the_owner_s_only_when_he_says_so() {
        let (disk, _folder) = disk();
        assert!(!disk.has_recovery_key().unwrap());
        assert!(matches!(
            disk.confirm_recovery_key(&recovery(9)),
            Err(DiskError::WrongPassphrase)
        ));
        // The page was closed before he had it: another takes its place.
        disk.add_recovery_key(&secret(OLD), &recovery(2)).unwrap();
        assert!(!opens_by(&disk, &recovery(1)));
        assert!(!disk.has_recovery_key().unwrap());
        disk.confirm_recovery_key(&recovery(2)).unwrap();
        assert!(disk.has_recovery_key().unwrap());
        // One that he has stays good until he has the next.
        disk.add_recovery_key(&secret(OLD), &recovery(3)).unwrap();
        assert!(opens_by(&disk, &recovery(2)) && opens_by(&disk, &recovery(3)));
        disk.confirm_recovery_key(&recovery(3)).unwrap();
        assert!(!opens_by(&disk, &recovery(2)));
        assert_eq!(slots(&disk).confirmed, [3]);
        // And so on, in the slots that became free.
        disk.add_recovery_key(recovery(3).words(), &recovery(4))
            .unwrap();
        disk.confirm_recovery_key(&recovery(4)).unwrap();
        disk.confirm_recovery_key(&recovery(4)).unwrap();
        assert!(opens_by(&disk, &recovery(4)) && !opens_by(&disk, &recovery(3)));
        assert_eq!(slots(&disk).tokens, [2]);
    }

    #[test]
    fn a_paper_that_was_never_confirmed_is_not_lost_by_using_it() {
        let (disk, _folder) = disk();
        disk.add_recovery_key(recovery(1).words(), &recovery(2))
            .unwrap();
        assert!(opens_by(&disk, &recovery(1)) && opens_by(&disk, &recovery(2)));
        assert!(disk.has_recovery_key().unwrap());
    }

    #[test]
    fn after_a_reset_nothing_opens_and_the_disk_may_be_claimed() {
        let (disk, folder) = disk();
        disk.erase().unwrap();
        assert!(disk.check(&secret(OLD)).is_err());
        assert!(disk.check(recovery(1).words()).is_err());
        assert!(slots(&disk).active.is_empty());
        let file = File::open(folder.path().join("disk")).unwrap();
        assert!(super::super::header_on(&file).unwrap() == super::super::Header::InTheMaking);
    }

    #[test]
    fn each_disk_has_a_reset_code_of_its_own() {
        let ((one, _a), (two, _b)) = (disk(), disk());
        let [one, two] = [one, two].map(|disk| disk.reset_code().unwrap());
        assert_ne!(one, two);
        let output = |code: &str| code.len() == 9 && code.as_bytes()[4] == b'-';
        assert!(output(&one) && output(&two), "{one} {two}");
        assert_eq!(Disk::default().reset_code(), None);
    }
}

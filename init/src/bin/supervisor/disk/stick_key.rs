//! The key on a USB stick, which the owner may turn on
//! (`docs/decisions/usb-stick-key.md`): two key slots of its own, as the other kinds
//! have, and a token that says "turned on". The token holds no secret and can be read
//! while the disk is locked, so a box whose owner did not choose this reads no stick.

use super::keys::{QUICK, Try, add, cryptsetup_open, kill, metadata, remove_token, spelt, try_key};
use super::{CRYPTSETUP, Disk, DiskError, close_mapper, mount_data, run};
use control::Secret;
use std::path::Path;

/// The two slots.
const SLOTS: [u32; 2] = [4, 5];
/// The token of one that is turned on.
const TURNED_ON: &str = "projectx-usb-stick";

impl Disk {
    /// Whether the owner has turned it on.
    ///
    /// # Errors
    /// When the header can't be read.
    pub fn has_stick_key(&self) -> Result<bool, DiskError> {
        Ok(!self.turned_on()?.is_empty())
    }

    /// Makes `new` the only key that a stick may have; `key`, a passphrase or a recovery
    /// key, shows that it may be done.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when `key` opens nothing. After any error the stick
    /// before, if there was one, is still good.
    pub fn add_stick_key(&self, key: &Secret, new: &Secret) -> Result<(), DiskError> {
        let device = self.device()?;
        let on = self.turned_on()?;
        let [first, second] = SLOTS;
        let free = if on.contains(&first) { second } else { first };
        // Left by a cut between the slot and its token.
        if self.stick_slots()?.contains(&free) {
            kill(device, free)?;
        }
        add(device, &spelt(key), new, free, &QUICK)?;
        let token = format!("{{\"type\":\"{TURNED_ON}\",\"keyslots\":[\"{free}\"]}}");
        let id = format!("--token-id={free}");
        if self.stick_tokens()?.contains(&free) {
            remove_token(device, free)?;
        }
        let arguments = ["token", "import", &id, device];
        run(CRYPTSETUP, &arguments, Some(&Secret::new(token)))?;
        self.remove_all_but(Some(free))
    }

    /// Destroys every key of a stick.
    ///
    /// # Errors
    /// One may still be good.
    pub fn remove_stick_keys(&self) -> Result<(), DiskError> {
        self.remove_all_but(None)
    }

    /// Whether `key` is the disk's; nothing is opened or closed.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when it is not, and for a stick's key as well.
    pub fn check_without_stick(&self, key: &Secret) -> Result<(), DiskError> {
        let slot = try_key(self.device()?, key, Try::Test)?;
        if SLOTS.contains(&slot) {
            return Err(DiskError::WrongPassphrase);
        }
        Ok(())
    }

    /// Opens the disk by the key of a stick, and mounts it.
    ///
    /// # Errors
    /// [`DiskError::WrongPassphrase`] when it is another stick's, or turned off.
    pub fn open_by_stick(&self, key: &Secret) -> Result<(), DiskError> {
        let device = self.device()?;
        close_mapper();
        let mut opened = Err(DiskError::WrongPassphrase);
        for slot in self.turned_on()? {
            opened = cryptsetup_open(device, key, Some(slot), Try::Open).map(drop);
            if opened.is_ok() {
                break;
            }
        }
        opened?;
        super::check::before_mount(Path::new(super::MAPPER));
        mount_data().inspect_err(|_| close_mapper())
    }

    /// The slots that have a key and a token.
    fn turned_on(&self) -> Result<Vec<u32>, DiskError> {
        let tokens = self.stick_tokens()?;
        let mut slots = self.stick_slots()?;
        slots.retain(|slot| tokens.contains(slot));
        Ok(slots)
    }

    fn stick_slots(&self) -> Result<Vec<u32>, DiskError> {
        let metadata = metadata(self.device()?)?;
        let has = |slot: &u32| metadata["keyslots"].get(slot.to_string()).is_some();
        Ok(SLOTS.into_iter().filter(has).collect())
    }

    fn stick_tokens(&self) -> Result<Vec<u32>, DiskError> {
        let metadata = metadata(self.device()?)?;
        let is_ours = |slot: &u32| metadata["tokens"][slot.to_string()]["type"] == TURNED_ON;
        Ok(SLOTS.into_iter().filter(is_ours).collect())
    }

    fn remove_all_but(&self, kept: Option<u32>) -> Result<(), DiskError> {
        let device = self.device()?;
        let others = |slot: &u32| Some(*slot) != kept;
        for slot in self.stick_slots()?.into_iter().filter(others) {
            kill(device, slot)?;
        }
        for slot in self.stick_tokens()?.into_iter().filter(others) {
            remove_token(device, slot)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{OLD, disk, opens, opens_by, recovery, secret};
    use super::*;

    const KEYS: [&str; 3] = ["first stick's key", "second stick's key", "third"];

    /// Which of the keys a stick could open the disk with.
    fn good(disk: &Disk) -> Vec<&'static str> {
        let turned_on = disk.turned_on().unwrap();
        let device = disk.device().unwrap();
        let opens = |key: &str| {
            turned_on
                .iter()
                .any(|slot| cryptsetup_open(device, &secret(key), Some(*slot), Try::Test).is_ok())
        };
        KEYS.into_iter().filter(|key| opens(key)).collect()
    }

    #[test]
    fn the_last_stick_that_was_turned_on_is_the_only_one() {
        let (disk, _folder) = disk();
        assert!(!disk.has_stick_key().unwrap());
        for (number, key) in KEYS.into_iter().enumerate() {
            let old = if number == 1 {
                recovery(1).words().clone()
            } else {
                secret(OLD)
            };
            disk.add_stick_key(&old, &secret(key)).unwrap();
            assert!(disk.has_stick_key().unwrap());
            assert_eq!(good(&disk), [key]);
        }
        assert!(opens(&disk, OLD) && opens_by(&disk, &recovery(1)));
        disk.remove_stick_keys().unwrap();
        assert!(!disk.has_stick_key().unwrap());
        assert!(KEYS.iter().all(|key| !opens(&disk, key)));
        assert!(opens(&disk, OLD) && opens_by(&disk, &recovery(1)));
        disk.remove_stick_keys().unwrap();
    }

    #[test]
    fn a_wrong_passphrase_turns_nothing_on_and_a_stick_is_no_passphrase() {
        let (disk, _folder) = disk();
        let wrong = disk.add_stick_key(&secret("wrong words"), &secret(KEYS[0]));
        assert!(
            matches!(wrong, Err(DiskError::WrongPassphrase)),
            "{wrong:?}"
        );
        assert!(!disk.has_stick_key().unwrap());
        disk.add_stick_key(&secret(OLD), &secret(KEYS[0])).unwrap();
        assert!(disk.check_without_stick(&secret(OLD)).is_ok());
        assert!(disk.check_without_stick(recovery(1).words()).is_ok());
        let by_stick = disk.check_without_stick(&secret(KEYS[0]));
        assert!(
            matches!(by_stick, Err(DiskError::WrongPassphrase)),
            "{by_stick:?}"
        );
    }

    #[test]
    fn a_slot_without_its_token_counts_for_nothing_and_is_used_again() {
        let (disk, _folder) = disk();
        let device = disk.device().unwrap();
        add(device, &secret(OLD), &secret(KEYS[0]), SLOTS[0], &QUICK).unwrap();
        assert!(!disk.has_stick_key().unwrap());
        disk.add_stick_key(&secret(OLD), &secret(KEYS[1])).unwrap();
        assert_eq!(good(&disk), [KEYS[1]]);
        assert!(!opens(&disk, KEYS[0]));
    }

    #[test]
    fn a_new_passphrase_leaves_the_stick_as_it_is_and_a_reset_does_not() {
        let (disk, _folder) = disk();
        disk.add_stick_key(&secret(OLD), &secret(KEYS[0])).unwrap();
        disk.change_passphrase(&secret(OLD), &secret("another one"))
            .unwrap();
        assert_eq!(good(&disk), [KEYS[0]]);
        disk.erase().unwrap();
        assert!(!disk.has_stick_key().unwrap());
        assert!(disk.check(&secret(KEYS[0])).is_err());
    }
}

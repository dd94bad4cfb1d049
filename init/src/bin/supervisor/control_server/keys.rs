//! The rules of changing the disk's keys. What a wrong one costs is the same
//! everywhere: the waits of `attempts.rs`. A mistyped recovery key is told from
//! a wrong one by its checksum and costs nothing.

use super::{Office, bad_length, lock, refused, unreadable};
use crate::disk::{Disk, DiskError, header_backup};
use crate::log;
use control::{RecoveryKey, Refusal, Reply, Secret};

/// A new recovery key, from the kernel's random numbers; waits until the kernel
/// has gathered enough of them (getrandom(2)).
pub(super) fn random() -> Result<RecoveryKey, Reply> {
    let failed = |words: String| {
        log::line(&format!("disk: no recovery key: {words}"));
        let words = "The box could not make a recovery key. Nothing was changed. Restart it and \
                     try again.";
        refused(Refusal::Failed, words, 0)
    };
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let key = RecoveryKey::from_random(&bytes).map_err(|error| failed(error.to_string()));
    bytes.fill(0);
    key
}

impl Office {
    /// Opens a locked disk by its recovery key, then gives it a new passphrase.
    pub(super) fn recover(&self, recovery_key: &Secret, passphrase: &Secret) -> Reply {
        if self.disk.is_open() {
            return wrong_state("The disk is open already. Reload the page.");
        }
        match self.disk.is_claimed() {
            Ok(true) => {}
            Ok(false) => return wrong_state("This box has no passphrase yet."),
            Err(error) => return unreadable(&error),
        }
        if let Some(reply) = self.too_soon() {
            return reply;
        }
        let key = match RecoveryKey::parse(recovery_key.expose()) {
            Ok(key) => key,
            Err(typo) => return refused(Refusal::BadRecoveryKey, &typo.to_string(), 0),
        };
        if let Some(reply) = bad_length(passphrase) {
            return reply;
        }
        // Before anything is mounted: a cut in between leaves a locked disk with
        // the old passphrase, the new one or both, and the recovery key.
        let changed = self.tried(|| self.with_good_header(&key, passphrase));
        match changed {
            Ok(()) => {}
            Err(DiskError::NoBackup) => {
                let words = format!(
                    "The header of the disk is damaged, and the card has no file {} that could \
                     take its place. If you have a copy of that file, put it on the card, start \
                     the box and come back to this page. Nothing was changed.",
                    header_backup::NAME
                );
                return wrong_state(&words);
            }
            Err(error) => return self.not_done("by its recovery key", error, "recovery key"),
        }
        log::line("disk: a new passphrase by the recovery key");
        self.unlock(passphrase)
    }

    /// A header or a key slot that is damaged comes back from the card before.
    fn with_good_header(&self, key: &RecoveryKey, new: &Secret) -> Result<(), DiskError> {
        let change = || self.disk.change_passphrase(key.words(), new);
        if !self.disk.is_damaged() {
            match change() {
                Err(DiskError::WrongPassphrase) => {}
                changed => return changed,
            }
        }
        match self.disk.restore_header(key) {
            Err(DiskError::NoBackup) if !self.disk.is_damaged() => {
                return Err(DiskError::WrongPassphrase);
            }
            restored => restored?,
        }
        log::line("disk: its header was restored from the card");
        change()
    }

    /// Sees to it that the card has the backup of the header that belongs to the
    /// recovery key; `key`, if it is known, is tried on a new one.
    pub(super) fn keep_header_backup(&self, key: Option<&RecoveryKey>) -> Result<(), DiskError> {
        if self.disk.keep_header_backup(key)? {
            log::line("disk: a backup of its header is on the card");
        }
        Ok(())
    }

    pub(super) fn change_passphrase(&self, old: &Secret, new: &Secret) -> Reply {
        if let Some(reply) = self.not_now(old).or_else(|| bad_length(new)) {
            return reply;
        }
        match self.tried(|| self.disk.change_passphrase(old, new)) {
            Ok(()) => {
                lock(&self.attempts).right();
                self.people.end_sessions();
                log::line("disk: a new passphrase");
                Reply::Done
            }
            Err(error) => self.not_done("new passphrase", error, "passphrase"),
        }
    }

    pub(super) fn new_recovery_key(&self, passphrase: &Secret) -> Reply {
        if let Some(reply) = self.not_now(passphrase) {
            return reply;
        }
        let key = match random() {
            Ok(key) => key,
            Err(reply) => return reply,
        };
        let made = self.tried(|| self.disk.add_recovery_key(passphrase, &key));
        *lock(&self.recovery_key) = None;
        match made {
            Ok(()) => {
                lock(&self.attempts).right();
                log::line("disk: a new recovery key");
                // The one before may just have been confirmed by being used.
                if let Err(error) = self.keep_header_backup(None) {
                    log::line(&format!("disk: {error}"));
                }
                Reply::RecoveryKey {
                    words: key.words().clone(),
                }
            }
            Err(error) => self.not_done("new recovery key", error, "passphrase"),
        }
    }

    pub(super) fn confirm_recovery_key(&self, recovery_key: &Secret) -> Reply {
        if let Some(reply) = self.not_now(recovery_key) {
            return reply;
        }
        let key = match RecoveryKey::parse(recovery_key.expose()) {
            Ok(key) => key,
            Err(typo) => return refused(Refusal::BadRecoveryKey, &typo.to_string(), 0),
        };
        let confirmed = self.tried(|| self.disk.confirm_recovery_key(&key));
        *lock(&self.recovery_key) = None;
        match confirmed {
            Ok(()) => {
                lock(&self.attempts).right();
                log::line("disk: the owner has the recovery key");
                let Err(error) = self.keep_header_backup(Some(&key)) else {
                    return Reply::Done;
                };
                log::line(&format!("disk: {error}"));
                // Rather none than one that an older key opens.
                let old = Disk::remove_header_backup();
                let words = format!(
                    "The recovery key is good, but the box could not put a backup of the disk's \
                     header on the card: {error}. Delete what you put on the card yourself, then \
                     try again.{}",
                    old.map_or_else(
                        |_| " An older backup that an older recovery key opens may still be on \
                             the card, as header-backup.img.",
                        |()| ""
                    )
                );
                refused(Refusal::Failed, &words, 0)
            }
            Err(error) => self.not_done("recovery key", error, "recovery key"),
        }
    }

    /// Whether the owner has a recovery key. Asked of `cryptsetup` once; a header
    /// that can't be read counts as no, since the page then only says more.
    pub(super) fn has_recovery_key(&self) -> bool {
        let mut known = lock(&self.recovery_key);
        *known.get_or_insert_with(|| {
            self.disk.has_recovery_key().unwrap_or_else(|error| {
                log::line(&format!("disk: {error}"));
                false
            })
        })
    }

    /// Why the keys of an open disk can't be changed now.
    fn not_now(&self, key: &Secret) -> Option<Reply> {
        self.too_soon()
            .or_else(|| {
                let words = "The disk is not open. Reload the page and unlock it first.";
                (!self.disk.is_open()).then(|| wrong_state(words))
            })
            // Cheap, and `cryptsetup` has no exit code of its own for an empty one.
            .or_else(|| bad_length(key))
    }

    fn not_done(&self, what: &str, error: DiskError, key: &str) -> Reply {
        if let DiskError::WrongPassphrase = error {
            log::line(&format!("disk: {what}: wrong {key}"));
            let words = format!("This is not the {key} of this box. Nothing was changed.");
            return self.wrong(Refusal::WrongPassphrase, &words);
        }
        log::line(&format!("disk: {what}: {error}"));
        let words = format!("This was not done: {error}. The old {key} is still good.");
        refused(Refusal::Failed, &words, 0)
    }
}

fn wrong_state(words: &str) -> Reply {
    refused(Refusal::WrongState, words, 0)
}

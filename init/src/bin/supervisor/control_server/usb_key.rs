//! The rules of the key on a USB stick: turning it on and off on the page, and opening
//! the locked disk when the stick is there.

use super::{Office, bad_length, lock, refused};
use crate::disk::DiskError;
use crate::{log, usb_stick};
use control::{Refusal, Reply, Secret};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often a locked box looks for a stick that was plugged in.
const LOOK: Duration = Duration::from_secs(1);

impl Office {
    pub(super) fn usb_key(&self) -> Reply {
        match self.disk.has_stick_key() {
            Ok(on) => Reply::UsbKey { on },
            Err(error) => failed(&format!("The key of the USB stick: {error}.")),
        }
    }

    pub(super) fn turn_usb_key_on(&self, passphrase: &Secret) -> Reply {
        if let Some(reply) = self.usb_not_now(passphrase) {
            return reply;
        }
        // Before anything is read from a stick: that is the owner's choice alone.
        if let Some(reply) = self.usb_not_the_owner(passphrase) {
            return reply;
        }
        let Some(code) = self.disk.reset_code() else {
            return failed("The header of the disk cannot be read.");
        };
        let key = match usb_stick::random_key() {
            Ok(key) => key,
            Err(error) => return failed(&format!("The box could not make a key: {error}.")),
        };
        usb_stick::load_drivers();
        let file = usb_stick::file_name(&code);
        let written =
            usb_stick::wait_for_one().and_then(|stick| usb_stick::write_key(&stick, &file, &key));
        if let Err(error) = written {
            log::line(&format!("usb key: {error}"));
            return failed(&format!("{error}. Nothing was turned on."));
        }
        match self.disk.add_stick_key(passphrase, &key) {
            Ok(()) => {
                log::line("usb key: turned on");
                Reply::Done
            }
            Err(error) => {
                log::line(&format!("usb key: {error}"));
                failed(&format!("It was not turned on: {error}."))
            }
        }
    }

    pub(super) fn turn_usb_key_off(&self, passphrase: &Secret) -> Reply {
        if let Some(reply) = self.usb_not_now(passphrase) {
            return reply;
        }
        if let Some(reply) = self.usb_not_the_owner(passphrase) {
            return reply;
        }
        if let Err(error) = self.disk.remove_stick_keys() {
            log::line(&format!("usb key: {error}"));
            return failed(&format!("It was not turned off: {error}. Try again."));
        }
        log::line("usb key: turned off");
        // The file opens nothing any more; it goes if its stick is there.
        if let Some(code) = self.disk.reset_code() {
            let file = usb_stick::file_name(&code);
            for stick in usb_stick::names() {
                if let Err(error) = usb_stick::remove_key(&stick, &file) {
                    log::line(&format!("usb key: {error}"));
                }
            }
        }
        Reply::Done
    }

    fn usb_not_now(&self, passphrase: &Secret) -> Option<Reply> {
        self.too_soon()
            .or_else(|| {
                let words = "The disk is not open. Reload the page and unlock it first.";
                (!self.disk.is_open()).then(|| refused(Refusal::WrongState, words, 0))
            })
            .or_else(|| bad_length(passphrase))
    }

    fn usb_not_the_owner(&self, passphrase: &Secret) -> Option<Reply> {
        match self.tried(|| self.disk.check_without_stick(passphrase)) {
            Ok(()) => {
                lock(&self.attempts).right();
                None
            }
            Err(DiskError::WrongPassphrase) => {
                log::line("usb key: wrong passphrase");
                let words = "This is not the passphrase of this box. Nothing was changed.";
                Some(self.wrong(Refusal::WrongPassphrase, words))
            }
            Err(error) => {
                log::line(&format!("usb key: {error}"));
                let words = format!("The passphrase could not be checked: {error}.");
                Some(failed(&words))
            }
        }
    }

    /// Opens the disk by the owner's stick as soon as that is in the box, if the owner
    /// turned that on; on a thread of its own until the disk is open.
    pub fn look_for_sticks(self: &Arc<Self>) {
        let locked = self.disk.is_claimed().is_ok_and(|claimed| claimed) && !self.disk.is_open();
        if !locked || self.disk.is_damaged() {
            return;
        }
        match self.disk.has_stick_key() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return log::line(&format!("usb key: {error}")),
        }
        let Some(code) = self.disk.reset_code() else {
            return;
        };
        let (office, file) = (Arc::clone(self), usb_stick::file_name(&code));
        std::thread::spawn(move || {
            log::line("usb key: looking for the stick");
            usb_stick::load_drivers();
            let mut tried = BTreeSet::new();
            while !office.disk.is_open() {
                let there: BTreeSet<String> = usb_stick::names().into_iter().collect();
                // One that was pulled out may come back as another.
                tried.retain(|stick| there.contains(stick));
                for stick in there {
                    if tried.insert(stick.clone()) {
                        office.open_by_stick(&stick, &file);
                    }
                }
                std::thread::sleep(LOOK);
            }
        });
    }

    /// What a stick says costs no wait: its key can't be guessed, and the page must not
    /// be held up by it.
    fn open_by_stick(&self, stick: &str, file: &str) {
        let key = match usb_stick::read_key(stick, file) {
            Ok(Some(key)) => key,
            Ok(None) => return log::line("usb key: a stick without the key of this disk"),
            Err(error) => return log::line(&format!("usb key: {error}")),
        };
        let _at_work = lock(&self.at_work);
        if self.disk.is_open() {
            return;
        }
        *lock(&self.recovery_key) = None;
        match self.disk.open_by_stick(&key) {
            Ok(()) => {
                log::line("usb key: the stick opens the disk");
                self.outcome(Ok(()));
            }
            Err(DiskError::WrongPassphrase) => {
                log::line("usb key: the stick does not open the disk");
            }
            Err(error) => log::line(&format!("usb key: {error}")),
        }
    }
}

fn failed(words: &str) -> Reply {
    refused(Refusal::Failed, words, 0)
}

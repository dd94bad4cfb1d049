//! The password of a network leaves the card, and WPA2's key takes its place there
//! (`docs/decisions/wifi-password.md`). It is kept nowhere: the box needs it no more.
//!
//! Only of a network that the box has joined: a password that has proven right, for a
//! network that the key opens as well. Only once the disk is open: until then the owner
//! may still be at his first try, with the card in his hand.

use super::card_files;
use crate::card_writer::{self, CARD};
use crate::disk::MOUNT_POINT;
use crate::log;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wifi_txt::Name;

/// Takes passwords off the card, each once a start.
#[derive(Debug, Default)]
pub struct Forgetting {
    done: BTreeSet<Name>,
}

impl Forgetting {
    /// Takes the password of `network`, which the box is in, off the card when the disk
    /// is open.
    pub fn take(&mut self, network: Name, disk_is_open: impl FnOnce() -> bool) {
        if self.done.contains(&network) || !disk_is_open() {
            return;
        }
        drop_kept(&folder());
        let changed = replace_password(Path::new(CARD), &network, |name, bytes| {
            card_writer::while_writable(|card| card_writer::overwrite(card, name, bytes))
        });
        match changed {
            Ok(Some(file)) => log::line(&format!("{file}: a key stands for the password now")),
            Ok(None) => {}
            Err(error) => log::line(&format!("the WiFi password stays on the card: {error}")),
        }
        // Also after a failure: the next start tries again.
        self.done.insert(network);
    }
}

/// Where the first versions of the box kept the passwords.
fn folder() -> PathBuf {
    Path::new(MOUNT_POINT).join("system/wifi")
}

fn drop_kept(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Ok(()) => log::line("the WiFi passwords that were kept on the disk are gone"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => log::line(&format!("{}: stays: {error}", folder.display())),
    }
}

/// Returns the file that was changed, if there was a password to replace.
fn replace_password(
    card: &Path,
    network: &Name,
    overwrite: impl FnOnce(&str, &[u8]) -> io::Result<()>,
) -> io::Result<Option<String>> {
    let (files, _) = card_files(card);
    let wifi = wifi_txt::read(&files);
    let others = |name: &Name| name != network;
    let changed = files.iter().find_map(|file| {
        let bytes = wifi_txt::forget::forget(file, &wifi, others)?;
        Some((file, bytes))
    });
    let Some((file, bytes)) = changed else {
        return Ok(None);
    };
    overwrite(&file.name, &bytes)?;
    Ok(Some(file.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const FILE: &str = "country = DE\r\nnetwork = IEEE\r\npassword = password\r\n\
                        network = Garden\r\npassword = another one\r\n";

    fn name(text: &str) -> Name {
        Name::new(text.into()).unwrap()
    }

    #[test]
    fn the_key_takes_the_place_of_the_password_and_of_nothing_else() {
        let card = tempfile::tempdir().unwrap();
        fs::write(card.path().join("WiFi.txt"), FILE).unwrap();
        let written = RefCell::new(Vec::new());
        let changed = replace_password(card.path(), &name("IEEE"), |file, bytes| {
            written.borrow_mut().extend_from_slice(bytes);
            assert_eq!(file, "WiFi.txt");
            Ok(())
        });
        assert_eq!(changed.unwrap().as_deref(), Some("WiFi.txt"));
        let text = String::from_utf8(written.into_inner()).unwrap();
        let key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(text, FILE.replace("= password", &format!("= {key}")));
        // The other network has not been joined.
        assert!(text.contains("another one"));
    }

    #[test]
    fn a_card_that_takes_no_write_is_an_error() {
        let card = tempfile::tempdir().unwrap();
        fs::write(card.path().join("wifi.txt"), FILE).unwrap();
        let changed = replace_password(card.path(), &name("IEEE"), |_, _| {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        });
        assert!(changed.is_err());
    }

    #[test]
    fn what_was_kept_on_the_disk_before_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("wifi");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("49454545"), "password").unwrap();
        drop_kept(&folder);
        assert!(!folder.exists());
        drop_kept(&folder);
    }

    #[test]
    fn a_key_an_open_network_and_an_owner_who_wants_it_so_change_nothing() {
        let card = tempfile::tempdir().unwrap();
        let key = "0123456789abcdef".repeat(4);
        for text in [
            format!("network = IEEE\npassword = {key}"),
            "network = IEEE".into(),
            format!("keep-password = yes\n{FILE}"),
        ] {
            fs::write(card.path().join("wifi.txt"), text).unwrap();
            let changed = replace_password(card.path(), &name("IEEE"), |_, _| {
                panic!("the card was written")
            });
            assert_eq!(changed.unwrap(), None);
        }
    }
}

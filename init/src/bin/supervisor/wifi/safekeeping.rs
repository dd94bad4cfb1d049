//! The password of a network moves from the card into the encrypted disk, and WPA2's key
//! takes its place on the card (`docs/decisions/wifi-password.md`).
//!
//! Only of a network that the box has joined: a password that has proven right, for a
//! network that the key opens as well. First the disk has it, then the card loses it.

use super::card_files;
use crate::card_writer::{self, CARD};
use crate::disk::MOUNT_POINT;
use crate::log;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wifi_txt::{Key, Name};

/// Moves passwords, each once a start.
#[derive(Debug, Default)]
pub struct Safekeeping {
    done: BTreeSet<Name>,
}

impl Safekeeping {
    /// Moves the password of `network`, which the box is in, when the disk is open.
    pub fn take(&mut self, network: Name, disk_is_open: impl FnOnce() -> bool) {
        if self.done.contains(&network) || !disk_is_open() {
            return;
        }
        let moved = move_password(Path::new(CARD), &folder(), &network, |name, bytes| {
            card_writer::while_writable(|card| card_writer::overwrite(card, name, bytes))
        });
        match moved {
            Ok(Some(file)) => log::line(&format!("{file}: a key stands for the password now")),
            Ok(None) => {}
            Err(error) => log::line(&format!("the WiFi password stays on the card: {error}")),
        }
        // Also after a failure: the next start tries again.
        self.done.insert(network);
    }
}

fn folder() -> PathBuf {
    Path::new(MOUNT_POINT).join("system/wifi")
}

/// Returns the file that was changed, if there was a password to move.
fn move_password(
    card: &Path,
    folder: &Path,
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
    for known in wifi.networks.iter().filter(|known| known.name == *network) {
        if let Key::Passphrase(password) = &known.key {
            keep(folder, network, password)?;
        }
    }
    overwrite(&file.name, &bytes)?;
    Ok(Some(file.name.clone()))
}

/// Puts a password into the folder, under the network's name in hexadecimal digits.
fn keep(folder: &Path, network: &Name, password: &str) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let name: String = network.bytes().iter().map(|b| format!("{b:02x}")).collect();
    let new = folder.join("new");
    fs::remove_file(&new).ok();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(password.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, folder.join(name))?;
    File::open(folder)?.sync_all()
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
    fn the_disk_has_the_password_before_the_card_loses_it() {
        let (card, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(card.path().join("WiFi.txt"), FILE).unwrap();
        let folder = data.path().join("system/wifi");
        let written = RefCell::new(Vec::new());
        let moved = move_password(card.path(), &folder, &name("IEEE"), |file, bytes| {
            assert_eq!(fs::read(folder.join("49454545"))?, b"password");
            written.borrow_mut().extend_from_slice(bytes);
            assert_eq!(file, "WiFi.txt");
            Ok(())
        });
        assert_eq!(moved.unwrap().as_deref(), Some("WiFi.txt"));
        let text = String::from_utf8(written.into_inner()).unwrap();
        let key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(text, FILE.replace("= password", &format!("= {key}")));
        // The other network has not been joined.
        assert!(text.contains("another one"));
    }

    #[test]
    fn without_a_place_on_the_disk_the_card_keeps_it() {
        let card = tempfile::tempdir().unwrap();
        fs::write(card.path().join("wifi.txt"), FILE).unwrap();
        let nowhere = card.path().join("wifi.txt/system");
        let moved = move_password(card.path(), &nowhere, &name("IEEE"), |_, _| {
            panic!("the card was written")
        });
        assert!(moved.is_err());
    }

    #[test]
    fn a_key_an_open_network_and_an_owner_who_wants_it_so_move_nothing() {
        let card = tempfile::tempdir().unwrap();
        let key = "0123456789abcdef".repeat(4);
        for text in [
            format!("network = IEEE\npassword = {key}"),
            "network = IEEE".into(),
            format!("keep-password = yes\n{FILE}"),
        ] {
            fs::write(card.path().join("wifi.txt"), text).unwrap();
            let moved = move_password(card.path(), card.path(), &name("IEEE"), |_, _| {
                panic!("the card was written")
            });
            assert_eq!(moved.unwrap(), None);
        }
    }
}

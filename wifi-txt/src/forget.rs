//! A file without its passwords: each is replaced by the key that WPA2 makes of it.
//!
//! The box must join its network before anybody can unlock it, so something that opens the
//! network has to stay in the clear (`docs/decisions/wifi-password.md`). The key of 64 digits
//! opens this one network and, unlike the password, nothing else that the owner may have
//! given the same password. WPA3 has no such key: there the password stays.

use crate::decode;
use crate::files::CardFile;
use crate::imager;
use crate::network::{Key, Name, WifiTxt};

/// The key of WPA2 for a password: PBKDF2 with HMAC-SHA-1, 4,096 rounds, the name as salt
/// (IEEE 802.11-2020, J.4.1), as 64 hexadecimal digits.
#[must_use]
pub fn psk(name: &Name, password: &str) -> String {
    let mut key = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password.as_bytes(), name.bytes(), 4096, &mut key);
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that `file` shall have instead, or `None` when there is nothing to forget:
/// it is not the file that the networks of `wifi` are from, or has no password that can be
/// replaced. `keep` says which networks keep theirs.
#[must_use]
pub fn forget(file: &CardFile, wifi: &WifiTxt, keep: impl Fn(&Name) -> bool) -> Option<Vec<u8>> {
    if file.name != wifi.file || wifi.keep_password {
        return None;
    }
    let mut text = decode::decode(&file.bytes).ok()?;
    let is_toml = crate::files::is_toml(&file.name);
    // From the end, so that the places before stay right.
    let mut changes: Vec<_> = wifi
        .networks
        .iter()
        .filter_map(|network| match (&network.key, &network.password_at) {
            (Key::Passphrase(password), Some(at)) if !keep(&network.name) => {
                let key = psk(&network.name, password);
                let key = if is_toml { imager::quoted(&key) } else { key };
                Some((at.clone(), key))
            }
            _ => None,
        })
        .collect();
    changes.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    if changes.is_empty() {
        return None;
    }
    for (at, key) in changes {
        text.bytes.get(at.clone())?;
        text.bytes.splice(at, key.into_bytes());
    }
    let bytes = text.encode();
    // Longer, it would not be read again.
    (bytes.len() <= decode::LIMIT).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::read;

    #[test]
    fn the_key_is_the_standard_s() {
        // IEEE 802.11-2020, J.4.2, test vectors 1 and 2.
        let name = |text: &str| Name::new(text.into()).unwrap();
        assert_eq!(
            psk(&name("IEEE"), "password"),
            "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
        );
        assert_eq!(
            psk(&name("ThisIsASSID"), "ThisIsAPassword"),
            "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"
        );
    }

    fn file(name: &str, bytes: &[u8]) -> CardFile {
        CardFile {
            name: name.into(),
            bytes: bytes.into(),
        }
    }

    const KEY: &str = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";

    #[test]
    fn a_file_keeps_everything_but_its_passwords_and_is_read_the_same() {
        for (name, before, after) in [
            (
                "wifi.txt",
                "\u{feff}# mine\r\nnetwork = IEEE\r\npassword = password  \r\nhidden = yes\r\n\
                 network=IEEE\r\npassword=\"password\"",
                format!(
                    "\u{feff}# mine\r\nnetwork = IEEE\r\npassword = {KEY}  \r\nhidden = yes\r\n\
                     network=IEEE\r\npassword=\"{KEY}\""
                ),
            ),
            (
                "rpi-preseed.toml",
                "[wlan]\nssid = \"IEEE\"\npassword = 'password' # x\npassword_encrypted = false\n",
                format!(
                    "[wlan]\nssid = \"IEEE\"\npassword = \"{KEY}\" # x\npassword_encrypted = false\n"
                ),
            ),
        ] {
            let before = file(name, before.as_bytes());
            let wifi = read(std::slice::from_ref(&before));
            let bytes = forget(&before, &wifi, |_| false).unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), after);
            let again = file(name, &bytes);
            let same = read(std::slice::from_ref(&again));
            assert_eq!(same.networks.len(), wifi.networks.len());
            for (old, new) in wifi.networks.iter().zip(&same.networks) {
                assert_eq!((&old.name, old.hidden), (&new.name, new.hidden));
                assert_eq!(new.key, Key::Psk(KEY.into()));
            }
            assert_eq!(forget(&again, &same, |_| false), None);
        }
    }

    #[test]
    fn utf_16_stays_utf_16() {
        let text = "\u{feff}network = IEEE\npassword = password\n";
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let before = file("wifi.txt", &bytes);
        let wifi = read(std::slice::from_ref(&before));
        let after = forget(&before, &wifi, |_| false).unwrap();
        let want = text.replace("= password", &format!("= {KEY}"));
        let want: Vec<u8> = want.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(after, want);
    }

    #[test]
    fn what_the_owner_or_wpa3_needs_is_kept() {
        for (text, keep) in [
            (
                "keep-password = yes\nnetwork = a\npassword = password",
                false,
            ),
            ("network = a\npassword = password\nsecurity = wpa3", false),
            ("network = a\npassword = password", true),
            ("network = a", false),
        ] {
            let file = file("wifi.txt", text.as_bytes());
            let wifi = read(std::slice::from_ref(&file));
            assert_eq!(wifi.networks.len(), 1, "{text}");
            assert_eq!(forget(&file, &wifi, |_| keep), None, "{text}");
        }
    }
}

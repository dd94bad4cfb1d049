//! What Raspberry Pi Imager writes onto a card when one fills in its form: the table
//! `[wlan]` of `rpi-preseed.toml` (Imager 2, `init_format: rpi-preseed`) and of
//! `custom.toml` (the older format of Raspberry Pi OS).
//!
//! Both have `ssid`, `password`, `password_encrypted`, `hidden` and `country`; the newer one
//! has `ssid_hex`, for a name that is not UTF-8, and `key_mgmt` besides. An "encrypted"
//! password is the key of 64 digits; both programs tell it by its form, and so is it done
//! here. All else in the files (user, host name, SSH) means nothing to the box.
//!
//! Sources: raspberrypi/rpi-preseed, `schema/rpi-preseed.schema`; raspberrypi/rpi-imager,
//! `src/customization_generator.cpp`; RPi-Distro/raspberrypi-sys-mods, `init_config`.

use crate::country::Country;
use crate::decode::Decoded;
use crate::lines::{Said, Security, key_from, name_from, security_from};
use crate::network::{Key, Network};
use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
struct File {
    wlan: Option<Wlan>,
}

#[derive(Deserialize)]
struct Wlan {
    ssid: Option<Spanned<String>>,
    ssid_hex: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    hidden: Option<bool>,
    country: Option<Spanned<String>>,
    key_mgmt: Option<Spanned<String>>,
}

/// Reads such a file.
pub(crate) fn read(file: &Decoded) -> Said {
    let mut said = Said::default();
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        let words = "this file is not UTF-8; write the card again with Raspberry Pi Imager";
        said.problems.push((1, words.into()));
        return said;
    };
    let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
    match toml::from_str::<File>(text) {
        // The error's own words quote the line, which may hold the password.
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let at = (0..=at.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at));
            let words = "this line is not what Raspberry Pi Imager writes (TOML); write the card \
                         again, or use wifi.txt";
            said.problems.push((line(at.unwrap_or(0)), words.into()));
            said.wants_network = text.contains("wlan");
        }
        Ok(File { wlan: None }) => {}
        Ok(File { wlan: Some(wlan) }) => {
            let mut complain = |at: usize, words: String| said.problems.push((line(at), words));
            if let Some(country) = wlan.country.as_ref().filter(|c| !c.get_ref().is_empty()) {
                match Country::read(country.get_ref().trim()) {
                    Ok(country) => said.country = Some(country),
                    Err(words) => complain(country.span().start, words),
                }
            }
            said.wants_network = wlan.ssid.is_some() || wlan.ssid_hex.is_some();
            match network(&wlan) {
                Ok(network) => said.networks.extend(network),
                Err((at, words)) => complain(at, words),
            }
        }
    }
    said
}

/// The network, if there is one; or where the problem is, and words.
fn network(wlan: &Wlan) -> Result<Option<Network>, (usize, String)> {
    let (name, at) = match (&wlan.ssid_hex, &wlan.ssid) {
        (Some(hex), _) => {
            let at = hex.span().start;
            let words = || {
                (
                    at,
                    "ssid_hex must be pairs of hexadecimal digits".to_owned(),
                )
            };
            (from_hex(hex.get_ref()).ok_or_else(words)?, at)
        }
        (None, Some(name)) => (name.get_ref().clone().into_bytes(), name.span().start),
        (None, None) => return Ok(None),
    };
    let name = name_from(&name).map_err(|words| (at, words))?;
    let security = match &wlan.key_mgmt {
        None => None,
        Some(kind) => {
            let read = security_from(kind.get_ref());
            Some(read.map_err(|words| (kind.span().start, words))?)
        }
    };
    let password = wlan.password.as_ref().filter(|p| !p.get_ref().is_empty());
    let (key, password_at) = match password {
        None if matches!(security, Some(Security::Personal | Security::Wpa3)) => {
            return Err((at, "the network has no password, but wants one".into()));
        }
        None => (Key::Open, None),
        Some(password) => {
            let span = password.span();
            let key = key_from(password.get_ref()).map_err(|words| (span.start, words))?;
            (key, Some(span))
        }
    };
    let key = match (security, key) {
        (Some(Security::Open), Key::Passphrase(_) | Key::Psk(_)) => {
            return Err((
                at,
                "an open network has no password; delete one of the two".into(),
            ));
        }
        (Some(Security::Wpa3), Key::Psk(_)) => {
            return Err((
                at,
                "WPA3 needs the password itself, not a key of 64 digits".into(),
            ));
        }
        (Some(Security::Wpa3), Key::Passphrase(password)) => Key::Wpa3(password),
        (_, key) => key,
    };
    Ok(Some(Network {
        name,
        key,
        hidden: wlan.hidden.unwrap_or(false),
        password_at,
    }))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Where the value of a TOML string stands, quotes included, is overwritten by this.
pub(crate) fn quoted(key: &str) -> String {
    format!("\"{key}\"")
}

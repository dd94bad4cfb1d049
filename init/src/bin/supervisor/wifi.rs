//! The card's `wifi.txt` and the radio: one wpa_supplicant for the first
//! wireless interface that appears.

use crate::daemon::Daemon;
use crate::log;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use wifi_txt::{CardFile, SetupCodeLine, WifiTxt, decode};

const CARD: &str = "/run/card";
const CONFIGURATION: &str = "/run/projectx/wpa_supplicant.conf";

/// What the owner wrote on the card.
pub struct Card {
    wifi: WifiTxt,
}

impl Card {
    /// What it says about the code that claiming needs.
    pub fn setup_code(&self) -> SetupCodeLine {
        self.wifi.setup_code.clone()
    }
}

/// Reads `wifi.txt` and its kin. Without any it is as with an empty one; lines that
/// mean nothing are named on the console and left out. A file that can't be
/// read may hold a setup code, so nobody can claim the box without it.
pub fn read_card() -> Card {
    let (files, unreadable) = card_files(Path::new(CARD));
    let mut wifi = wifi_txt::read(&files);
    for problem in &wifi.problems {
        log::line(&problem.to_string());
    }
    if unreadable && wifi.setup_code == SetupCodeLine::Absent {
        wifi.setup_code = SetupCodeLine::Unusable;
    }
    Card { wifi }
}

/// The files in a folder that may name networks, and whether one could not be read.
fn card_files(folder: &Path) -> (Vec<CardFile>, bool) {
    let mut files = Vec::new();
    let mut unreadable = false;
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.unwrap_or_else(|error| {
        log::line(&format!("{}: cannot be read: {error}", folder.display()));
        unreadable = true;
        Vec::new()
    });
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !wifi_txt::is_candidate(&name) || entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(entry.path())
            .and_then(|file| file.take(decode::LIMIT as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => files.push(CardFile { name, bytes }),
            Err(error) => {
                log::line(&format!("{name}: cannot be read: {error}"));
                unreadable = true;
            }
        }
    }
    (files, unreadable)
}

/// The radio, once there is one and a network to join.
pub struct Radio {
    card: Card,
    supplicant: Option<Daemon>,
}

impl Radio {
    /// Takes what the card says.
    pub fn new(card: Card) -> Self {
        Self {
            card,
            supplicant: None,
        }
    }

    /// Starts wpa_supplicant when an interface has appeared, and keeps it.
    pub fn keep_running(&mut self) {
        if self.supplicant.is_none() && !self.card.wifi.networks.is_empty() {
            let Some(interface) = wireless_interface() else {
                return;
            };
            if let Err(error) = self.write_configuration() {
                return log::line(&format!("{CONFIGURATION}: not written: {error}"));
            }
            self.supplicant = Some(Daemon::new(
                "wpa_supplicant",
                &[
                    "/usr/sbin/wpa_supplicant",
                    "-Dnl80211",
                    "-i",
                    &interface,
                    "-c",
                    CONFIGURATION,
                ],
            ));
        }
        if let Some(supplicant) = &mut self.supplicant {
            supplicant.keep_running();
        }
    }

    /// Leaves the network.
    pub fn stop(&mut self) {
        if let Some(supplicant) = &mut self.supplicant {
            supplicant.stop();
        }
    }

    fn write_configuration(&self) -> std::io::Result<()> {
        let text = wifi_txt::wpa_supplicant_conf(&self.card.wifi);
        fs::remove_file(CONFIGURATION).ok();
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(CONFIGURATION)?
            .write_all(text.as_bytes())
    }
}

fn wireless_interface() -> Option<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            Path::new("/sys/class/net")
                .join(name)
                .join("phy80211")
                .exists()
        })
        .collect();
    names.sort();
    names.into_iter().next()
}

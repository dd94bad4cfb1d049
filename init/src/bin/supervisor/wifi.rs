//! The card's `wifi.txt` and the radio: one wpa_supplicant for the first
//! wireless interface that appears.

use crate::daemon::Daemon;
use crate::log;
use card::wifi_txt::{self, SetupCodeLine, WifiTxt};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "/run/card/wifi.txt";
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

/// Reads `wifi.txt`. A missing file is the same as an empty one; lines that
/// mean nothing are named on the console and left out. A file that can't be
/// read may hold a setup code, so nobody can claim the box without it.
pub fn read_card() -> Card {
    let bytes = match fs::read(FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            log::line(&format!("wifi.txt: cannot be read: {error}"));
            let wifi = WifiTxt {
                setup_code: SetupCodeLine::Unusable,
                ..WifiTxt::default()
            };
            return Card { wifi };
        }
    };
    let (wifi, problems) = wifi_txt::parse(&bytes);
    for problem in problems {
        log::line(&problem.to_string());
    }
    Card { wifi }
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

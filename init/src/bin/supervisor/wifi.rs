//! The card's `wifi.txt` and the radio: one wpa_supplicant for the first
//! wireless interface that appears.

use crate::daemon::Daemon;
use crate::log;
use card::wifi_txt::{self, WifiTxt};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "/run/card/wifi.txt";
const CONFIGURATION: &str = "/run/projectx/wpa_supplicant.conf";

/// What the owner wrote on the card.
pub struct Card {
    wifi: WifiTxt,
}

impl Card {
    /// The code that claiming needs, if there is one.
    pub fn setup_code(&self) -> Option<String> {
        self.wifi
            .setup_code
            .as_ref()
            .map(|code| code.reveal().to_string())
    }
}

/// Reads `wifi.txt`. A missing file is the same as an empty one; lines that
/// mean nothing are named on the console and left out.
pub fn read_card() -> Card {
    let bytes = fs::read(FILE).unwrap_or_default();
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

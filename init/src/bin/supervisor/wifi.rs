//! The card's `wifi.txt` and the radio: one wpa_supplicant for the first
//! wireless interface that appears, and what became of it, told on the card.

mod control;
mod forgetting;
mod result_file;

use crate::card_writer::{self, CARD};
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::{address, hostname, log};
use control::Control;
use forgetting::Forgetting;
use result_file::ResultFile;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use wifi_txt::files::IN_WORK;
use wifi_txt::outcome::{self, Outcome, Watch};
use wifi_txt::{CardFile, SetupCodeLine, WifiTxt, decode};

const CONFIGURATION: &str = "/run/projectx/wpa_supplicant.conf";
/// The page comes first, and an address that is soon another is not worth a write.
const CABLE_AFTER: Duration = Duration::from_secs(60);
/// The radio's driver loads its firmware in a few seconds.
const RADIO_WITHIN: Duration = Duration::from_secs(60);

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
    for copy in files.iter().filter(|file| file.name.ends_with(IN_WORK)) {
        let is_whole = wifi.file == copy.name;
        let finished =
            card_writer::while_writable(|card| card_writer::finish(card, &copy.name, is_whole));
        if let Err(error) = finished {
            log::line(&format!("{}: not put in its place: {error}", copy.name));
        }
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
    began: Instant,
    supplicant: Option<(Daemon, String)>,
    control: Option<Control>,
    watch: Watch,
    result_file: ResultFile,
    forgetting: Forgetting,
}

impl Radio {
    /// Takes what the card says.
    pub fn new(card: Card) -> Self {
        Self {
            watch: Watch::new(card.wifi.clone(), Duration::ZERO),
            card,
            began: Instant::now(),
            supplicant: None,
            control: None,
            result_file: ResultFile::default(),
            forgetting: Forgetting::default(),
        }
    }

    /// Starts wpa_supplicant when an interface has appeared, keeps it, and tells
    /// on the card what becomes of it.
    pub fn keep_running(&mut self, disk: &Disk) {
        let now = self.began.elapsed();
        if !self.card.wifi.networks.is_empty() {
            self.keep_supplicant(now);
        }
        let words = self
            .outcome(now)
            .map(|outcome| outcome::words(&outcome, &self.card.wifi, &hostname::in_force()));
        self.result_file.tell(words);
        if let Some(network) = self.watch.proven() {
            self.forgetting.take(network, || disk.is_open());
        }
    }

    fn keep_supplicant(&mut self, now: Duration) {
        if self.supplicant.is_none() {
            let Some(interface) = wireless_interface() else {
                return;
            };
            if let Err(error) = self.write_configuration() {
                return log::line(&format!("{CONFIGURATION}: not written: {error}"));
            }
            let daemon = Daemon::new(
                "wpa_supplicant",
                &[
                    "/usr/sbin/wpa_supplicant",
                    "-Dnl80211",
                    "-i",
                    &interface,
                    "-c",
                    CONFIGURATION,
                ],
            );
            self.watch = Watch::new(self.card.wifi.clone(), now);
            self.supplicant = Some((daemon, interface));
        }
        let Some((supplicant, interface)) = &mut self.supplicant else {
            return;
        };
        supplicant.keep_running();
        if self.control.is_none() {
            // Not there in the first moment, nor after it has ended.
            self.control = Control::connect(interface).ok();
        }
        if let Some(control) = &mut self.control
            && control.listen(&mut self.watch, now).is_err()
        {
            self.control = None;
        }
    }

    /// What there is to tell. That a cable is used is told to an owner who left `wifi.txt`
    /// alone; who wanted a network reads why there is none.
    fn outcome(&self, now: Duration) -> Option<Outcome> {
        let wifi = &self.card.wifi;
        if wifi.networks.is_empty() {
            if wifi.wants_network || !wifi.problems.is_empty() {
                return Some(Outcome::NothingToJoin);
            }
            if now < CABLE_AFTER {
                return None;
            }
            let by_cable = address::by_cable().map(|address| Outcome::Cable { address });
            return by_cable.or(ResultFile::exists().then_some(Outcome::NothingToJoin));
        }
        if self.supplicant.is_none() {
            return (now >= RADIO_WITHIN).then_some(Outcome::NoRadio);
        }
        self.watch.outcome(now)
    }

    /// Leaves the network.
    pub fn stop(&mut self) {
        if let Some((supplicant, _)) = &mut self.supplicant {
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

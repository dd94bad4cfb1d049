//! From what wpa_supplicant says to what became of the wireless network, and to the words of
//! `wifi-result.txt` for it.
//!
//! No clock and no socket here: the caller brings texts and the time.

use crate::network::{Key, Name, WifiTxt};
use crate::says::{self, Event, Seen, Status};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an address may take, after the network was joined.
const ADDRESS_WITHIN: Duration = Duration::from_secs(30);
/// How long a network is looked for until it counts as not seen.
const SEEN_WITHIN: Duration = Duration::from_secs(25);
/// How many names of others are told.
const MOST_TOLD: usize = 20;

/// What became of the wireless network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No file names a network that can be used.
    NothingToJoin,
    /// The same, but the box has a cable, and an address by it.
    Cable {
        /// The box's.
        address: Ipv4Addr,
    },
    /// The box has no radio, or it does not work.
    NoRadio,
    /// In the network, with an address.
    Joined {
        /// Which.
        name: Name,
        /// The box's.
        address: Ipv4Addr,
    },
    /// In the network, but nobody gives the box an address.
    NoAddress {
        /// Which.
        name: Name,
    },
    /// These networks refused the password.
    Refused {
        /// Which.
        names: Vec<Name>,
    },
    /// None of the networks is in reach.
    NotSeen {
        /// Names that are, sorted.
        others: Vec<Name>,
    },
    /// A network is in reach, but was not joined for another reason.
    NotJoined {
        /// Which.
        name: Name,
        /// Whether it wants a password and the file has none.
        wants_password: bool,
        /// Whether it takes WPA3 only and the file has a key of 64 digits.
        wants_wpa3: bool,
    },
}

/// Watches wpa_supplicant. All times count from one moment, of the caller's choice.
#[derive(Debug)]
pub struct Watch {
    wifi: WifiTxt,
    status: Status,
    seen: Option<Vec<Seen>>,
    refused: BTreeSet<Vec<u8>>,
    /// Access points that refused it; which networks they are, a scan says.
    rejected: BTreeSet<String>,
    /// When the network was joined or lost, or the watch began.
    since: Duration,
}

impl Watch {
    /// Begins.
    #[must_use]
    pub fn new(wifi: WifiTxt, now: Duration) -> Self {
        Self {
            wifi,
            status: Status::default(),
            seen: None,
            refused: BTreeSet::new(),
            rejected: BTreeSet::new(),
            since: now,
        }
    }

    /// Takes the answer to `STATUS`.
    pub fn status(&mut self, text: &str, now: Duration) {
        let status = says::status(text);
        if status.joined != self.status.joined {
            self.since = now;
            // What was in the air before may be gone.
            self.seen = None;
        }
        if let Some(name) = &status.joined {
            self.refused.remove(name);
            self.rejected.clear();
        }
        self.status = status;
    }

    /// Whether it is not known what is in the air, so that `SCAN_RESULTS` is to be asked.
    #[must_use]
    pub fn wants_scan(&self) -> bool {
        self.seen.is_none()
    }

    /// Takes the answer to `SCAN_RESULTS`.
    pub fn scanned(&mut self, text: &str) {
        self.seen = Some(says::scan_results(text));
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::WrongKey(name) => {
                self.refused.insert(name.clone());
            }
            Event::Rejected(bssid) => {
                self.rejected.insert(bssid.clone());
            }
            Event::Scanned | Event::Other => {}
        }
    }

    /// The network that the box is in, if the key of 64 digits opens it too.
    #[must_use]
    pub fn proven(&self) -> Option<Name> {
        let joined = self
            .status
            .joined
            .as_ref()
            .filter(|_| self.status.address.is_some())?;
        let mut seen = self.seen.iter().flatten();
        let takes_a_key = seen.any(|seen| seen.name == *joined && seen.takes_a_key());
        takes_a_key.then(|| Name::new(joined.clone())).flatten()
    }

    /// What became of it by now; `None` while that is open.
    #[must_use]
    pub fn outcome(&self, now: Duration) -> Option<Outcome> {
        let for_now = now.saturating_sub(self.since);
        if let Some(name) = self.status.joined.clone().and_then(Name::new) {
            return match self.status.address {
                Some(address) => Some(Outcome::Joined { name, address }),
                None if for_now >= ADDRESS_WITHIN => Some(Outcome::NoAddress { name }),
                None => None,
            };
        }
        let wanted = &self.wifi.networks;
        let refused = wanted.iter().map(|network| &network.name);
        let refused = refused.filter(|name| {
            let mut seen = self.seen.iter().flatten();
            self.refused.contains(name.bytes())
                || seen.any(|s| s.name == name.bytes() && self.rejected.contains(&s.bssid))
        });
        let refused: BTreeSet<_> = refused.cloned().collect();
        if !refused.is_empty() {
            let names = refused.into_iter().collect();
            return Some(Outcome::Refused { names });
        }
        let seen = self.seen.as_ref().filter(|_| for_now >= SEEN_WITHIN)?;
        let met = wanted.iter().find_map(|network| {
            let mut seen = seen.iter();
            let seen = seen.find(|seen| seen.name == network.name.bytes())?;
            Some((network, seen))
        });
        if let Some((network, seen)) = met {
            let is_key = matches!(network.key, Key::Psk(_));
            return Some(Outcome::NotJoined {
                name: network.name.clone(),
                wants_password: network.key == Key::Open && seen.is_locked(),
                wants_wpa3: is_key && !seen.takes_a_key() && seen.is_locked(),
            });
        }
        let others = seen.iter().filter_map(|seen| Name::new(seen.name.clone()));
        let others: BTreeSet<_> = others.collect();
        Some(Outcome::NotSeen {
            others: others.into_iter().take(MOST_TOLD).collect(),
        })
    }
}

/// The text of `wifi-result.txt`, with line ends for every editor. `host` is the box's name
/// at home, without `.local`.
#[must_use]
pub fn words(outcome: &Outcome, wifi: &WifiTxt, host: &str) -> String {
    let mut lines = vec![
        "What became of the wireless network. The box writes this file; wifi.txt is yours.".into(),
        String::new(),
    ];
    lines.extend(of_outcome(outcome, wifi));
    lines.push(String::new());
    if let Outcome::Joined { address, .. } | Outcome::Cable { address } = outcome {
        lines.push(format!(
            "Open http://{host}.local on a phone or computer in the same network."
        ));
        lines.push(format!(
            "If that name is not found (some Android phones), open http://{address}"
        ));
    } else {
        lines.push("With a network cable the box works all the same. Its page is then at".into());
        lines.push(format!("http://{host}.local"));
    }
    if !wifi.problems.is_empty() {
        lines.push(String::new());
        lines.push("About the files on this card:".into());
        lines.extend(wifi.problems.iter().map(|problem| format!("- {problem}")));
    }
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

fn of_outcome(outcome: &Outcome, wifi: &WifiTxt) -> Vec<String> {
    let file = if wifi.file.is_empty() {
        "wifi.txt"
    } else {
        &wifi.file
    };
    match outcome {
        Outcome::NothingToJoin => vec![format!(
            "{file} names no network that the box could join, so it joined none."
        )],
        Outcome::Cable { address } => vec![
            format!("{file} names no network, so the box uses the network cable."),
            format!("The box's address there is {address}."),
        ],
        Outcome::NoRadio => vec![
            "The box found no radio within a minute, so it joined no network.".into(),
            "Unplug the power, wait ten seconds and plug it in again.".into(),
        ],
        Outcome::Joined { name, address } => vec![
            format!("Joined the network \"{name}\"."),
            format!("The box's address there is {address}."),
        ],
        Outcome::NoAddress { name } => vec![
            format!("Joined the network \"{name}\", but got no address there."),
            "The router gives addresses (DHCP). Restart it, and look whether it limits which"
                .into(),
            "devices it accepts.".into(),
        ],
        Outcome::Refused { names } => names
            .iter()
            .flat_map(|name| refused(name, wifi, file))
            .collect(),
        Outcome::NotSeen { others } => not_seen(others, wifi, file),
        Outcome::NotJoined {
            name,
            wants_password,
            wants_wpa3,
        } => {
            let why = match (wants_password, wants_wpa3) {
                (true, _) => format!("It wants a password: add a line \"password =\" to {file}."),
                (_, true) => format!(
                    "It takes WPA3 only, which needs the password itself in {file}, not a key of \
                     64 digits; or set the router to \"WPA2/WPA3\"."
                ),
                _ => {
                    "Set the router to WPA2, or to \"WPA2/WPA3\", and look whether it limits which \
                      devices it accepts."
                        .into()
                }
            };
            vec![
                format!("The network \"{name}\" is in reach, but did not let the box in."),
                why,
            ]
        }
    }
}

fn refused(name: &Name, wifi: &WifiTxt, file: &str) -> Vec<String> {
    let mut keys = wifi.networks.iter().filter(|network| network.name == *name);
    let is_key = keys.any(|network| matches!(network.key, Key::Psk(_)));
    let what = if is_key {
        "key of 64 digits"
    } else {
        "password"
    };
    let then = match is_key {
        true => {
            format!("If it has got a new password, write that into {file} and start the box again.")
        }
        false => format!(
            "Correct the line \"password =\" in {file} (capitals matter) and start the box again."
        ),
    };
    vec![format!("The network \"{name}\" refused the {what}."), then]
}

fn not_seen(others: &[Name], wifi: &WifiTxt, file: &str) -> Vec<String> {
    let wanted: Vec<_> = wifi
        .networks
        .iter()
        .map(|n| format!("\"{}\"", n.name))
        .collect();
    let mut lines = vec![format!("The box does not see {}.", wanted.join(" or "))];
    for network in &wifi.networks {
        let like = others.iter().find(|other| much_alike(other, &network.name));
        lines.extend(like.map(|other| {
            format!(
                "Did you mean \"{other}\"? The name in {file} must be the same in every letter."
            )
        }));
    }
    if wifi.country.is_none() {
        lines.push(format!(
            "If it is on 5 GHz, the box needs a country to look there: country = DE in {file}."
        ));
    }
    lines.push("If it does not show its name, add a line: hidden = yes".into());
    lines.push(match others {
        [] => "It sees no other network either. Put it nearer to the router.".into(),
        _ => "It sees these:".into(),
    });
    lines.extend(others.iter().map(|other| format!("- {other}")));
    lines
}

/// Whether two names differ in capitals, spaces and kinds of quotes only.
fn much_alike(a: &Name, b: &Name) -> bool {
    let bare = |name: &Name| -> String {
        let text = name.to_string().to_lowercase();
        text.chars().filter(|c| c.is_alphanumeric()).collect()
    };
    !bare(a).is_empty() && bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{CardFile, read};

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;
    const AIR: &str = "bssid / …\n02:00:00:00:01:00\t2437\t-30\t[WPA2-PSK-CCMP][ESS]\tHome\n\
                       02:00:00:00:02:00\t2437\t-30\t[WPA2-SAE-CCMP][ESS]\tNew\n";

    fn wifi(text: &str) -> WifiTxt {
        read(&[CardFile {
            name: "wifi.txt".into(),
            bytes: text.into(),
        }])
    }

    fn name(text: &str) -> Name {
        Name::new(text.into()).unwrap()
    }

    fn watch(text: &str, air: &str) -> Watch {
        let mut watch = Watch::new(wifi(text), SECONDS(5));
        watch.scanned(air);
        watch
    }

    const IN: &str = "wpa_state=COMPLETED\nssid=Home\n";

    #[test]
    fn a_joined_network_is_told_with_its_address_or_after_a_while_without() {
        let mut watch = watch("country = DE\nnetwork = Home\npassword = 12345678", AIR);
        watch.status(IN, SECONDS(10));
        assert_eq!(watch.outcome(SECONDS(39)), None);
        let name = name("Home");
        assert_eq!(
            watch.outcome(SECONDS(40)),
            Some(Outcome::NoAddress { name: name.clone() })
        );
        watch.status(&format!("{IN}ip_address=192.168.77.9\n"), SECONDS(41));
        let joined = watch.outcome(SECONDS(41)).unwrap();
        assert_eq!(
            words(&joined, &watch.wifi, "projectx"),
            "What became of the wireless network. The box writes this file; wifi.txt is yours.\r\n\
             \r\nJoined the network \"Home\".\r\nThe box's address there is 192.168.77.9.\r\n\r\n\
             Open http://projectx.local on a phone or computer in the same network.\r\n\
             If that name is not found (some Android phones), open http://192.168.77.9\r\n"
        );
        watch.scanned(AIR);
        assert_eq!(watch.proven(), Some(name));
    }

    #[test]
    fn a_network_of_wpa3_alone_proves_no_key() {
        let mut watch = watch("network = New\npassword = 12345678", AIR);
        watch.status(
            "wpa_state=COMPLETED\nssid=New\nip_address=10.0.0.2",
            SECONDS(10),
        );
        watch.scanned(AIR);
        assert_eq!(watch.proven(), None);
    }

    #[test]
    fn a_refused_password_is_told_by_either_standard_and_forgotten_once_it_is_taken() {
        for (event, said) in [
            (Event::WrongKey(b"Home".to_vec()), "Home"),
            (Event::Rejected("02:00:00:00:02:00".into()), "New"),
        ] {
            let mut watch = watch(
                "country = DE\nnetwork = Home\npassword = 12345678\nnetwork = New\npassword = 12345678",
                AIR,
            );
            watch.event(&event);
            let outcome = watch.outcome(SECONDS(6)).unwrap();
            assert_eq!(
                outcome,
                Outcome::Refused {
                    names: vec![name(said)]
                }
            );
            let text = words(&outcome, &watch.wifi, "projectx");
            assert!(
                text.contains(&format!("\"{said}\" refused the password.")),
                "{text}"
            );
            assert!(!text.contains("12345678"));
            watch.status(&format!("wpa_state=COMPLETED\nssid={said}\n"), SECONDS(9));
            watch.status("wpa_state=SCANNING\n", SECONDS(12));
            assert_eq!(watch.outcome(SECONDS(13)), None);
        }
        // A network of a neighbour's that the owner did not name.
        let mut watch = watch("network = Home", AIR);
        watch.event(&Event::Rejected("02:00:00:00:02:00".into()));
        assert_eq!(watch.outcome(SECONDS(6)), None);
    }

    #[test]
    fn a_network_that_is_not_there_is_told_with_those_that_are() {
        let watch = watch("network = home\npassword = 12345678", AIR);
        assert_eq!(watch.outcome(SECONDS(29)), None);
        let outcome = watch.outcome(SECONDS(30)).unwrap();
        let others = vec![name("Home"), name("New")];
        assert_eq!(outcome, Outcome::NotSeen { others });
        let text = words(&outcome, &watch.wifi, "projectx");
        for piece in [
            "The box does not see \"home\".\r\n",
            "Did you mean \"Home\"?",
            "the box needs a country",
            "It sees these:\r\n- Home\r\n- New\r\n",
            "- wifi.txt: no country is given",
        ] {
            assert!(text.contains(piece), "{piece}: {text}");
        }
        let nothing = Outcome::NotSeen { others: Vec::new() };
        assert!(words(&nothing, &watch.wifi, "projectx").contains("sees no other network"));
    }

    #[test]
    fn a_network_that_does_not_let_the_box_in_says_why() {
        let key = "0123456789abcdef".repeat(4);
        for (text, piece) in [
            ("network = Home".to_owned(), "It wants a password"),
            (
                format!("network = New\npassword = {key}"),
                "It takes WPA3 only",
            ),
            (
                "network = Home\npassword = 12345678".to_owned(),
                "Set the router to WPA2",
            ),
        ] {
            let watch = watch(&text, AIR);
            let outcome = watch.outcome(SECONDS(45)).unwrap();
            let text = words(&outcome, &watch.wifi, "projectx");
            assert!(
                text.contains("is in reach, but") && text.contains(piece),
                "{text}"
            );
        }
    }

    #[test]
    fn a_box_on_a_cable_says_where_its_page_is() {
        let address = Ipv4Addr::new(192, 168, 77, 9);
        assert_eq!(
            words(&Outcome::Cable { address }, &wifi("# nothing"), "projectx"),
            "What became of the wireless network. The box writes this file; wifi.txt is yours.\r\n\
             \r\nwifi.txt names no network, so the box uses the network cable.\r\n\
             The box's address there is 192.168.77.9.\r\n\r\n\
             Open http://projectx.local on a phone or computer in the same network.\r\n\
             If that name is not found (some Android phones), open http://192.168.77.9\r\n"
        );
    }

    #[test]
    fn a_file_that_names_nothing_usable_is_explained() {
        let wifi = wifi("network = Home\npassword = short");
        let text = words(&Outcome::NothingToJoin, &wifi, "projectx");
        assert!(
            text.contains("wifi.txt names no network that the box could join"),
            "{text}"
        );
        assert!(
            text.contains("- wifi.txt:2: the password has 5 characters"),
            "{text}"
        );
    }
}

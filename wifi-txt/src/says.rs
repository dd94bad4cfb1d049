//! What wpa_supplicant says on its control socket: the answers to `STATUS` and
//! `SCAN_RESULTS`, and the events that matter here.
//!
//! Source: wpa_supplicant's `ctrl_iface.c`, `wpa_ctrl.h` and, for names, `printf_encode`.

use std::net::Ipv4Addr;

/// A network in the air.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The access point's address.
    pub bssid: String,
    /// Its name; empty when it is hidden.
    pub name: Vec<u8>,
    /// How it can be joined, as `[WPA2-PSK+SAE-CCMP][ESS]`.
    pub flags: String,
}

impl Seen {
    /// Whether WPA2's key of 64 digits opens it.
    #[must_use]
    pub fn takes_a_key(&self) -> bool {
        self.flags.contains("PSK")
    }

    /// Whether it wants any password.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        ["PSK", "SAE", "EAP", "WEP"]
            .iter()
            .any(|kind| self.flags.contains(kind))
    }
}

/// The state of the radio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The network that it has joined.
    pub joined: Option<Vec<u8>>,
    /// Its address there.
    pub address: Option<Ipv4Addr>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `SCAN_RESULTS` has something new.
    Scanned,
    /// A network of this name refused the password (WPA2).
    WrongKey(Vec<u8>),
    /// The access point of this address refused the password (WPA3).
    Rejected(String),
    /// Nothing that matters here.
    Other,
}

/// Reads the answer to `STATUS`.
#[must_use]
pub fn status(text: &str) -> Status {
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find_map(|(name, value)| (name == key).then_some(value))
    };
    if value("wpa_state") != Some("COMPLETED") {
        return Status::default();
    }
    Status {
        joined: value("ssid").map(name_from),
        address: value("ip_address").and_then(|address| address.parse().ok()),
    }
}

/// Reads the answer to `SCAN_RESULTS`.
#[must_use]
pub fn scan_results(text: &str) -> Vec<Seen> {
    let rows = text.lines().filter_map(|line| {
        let mut columns = line.splitn(5, '\t');
        let bssid = columns
            .next()
            .filter(|bssid| bssid.matches(':').count() == 5)?;
        let flags = columns.nth(2)?;
        Some(Seen {
            bssid: bssid.to_owned(),
            name: name_from(columns.next().unwrap_or_default()),
            flags: flags.to_owned(),
        })
    });
    rows.collect()
}

/// Reads an event, or `None` for the answer to a command.
#[must_use]
pub fn event(text: &str) -> Option<Event> {
    let (_, text) = text.strip_prefix('<')?.split_once('>')?;
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match kind {
        "CTRL-EVENT-SCAN-RESULTS" => Event::Scanned,
        "CTRL-EVENT-SSID-TEMP-DISABLED" if rest.contains("reason=WRONG_KEY") => {
            let name = rest
                .split_once("ssid=\"")
                .and_then(|(_, rest)| rest.rsplit_once("\" "));
            name.map_or(Event::Other, |(name, _)| Event::WrongKey(name_from(name)))
        }
        // Type 3 is WPA3's; its second part proves that both know the password.
        "CTRL-EVENT-AUTH-REJECT" if rest.contains("auth_type=3 auth_transaction=2") => {
            Event::Rejected(rest.split(' ').next().unwrap_or_default().to_owned())
        }
        _ => Event::Other,
    })
}

/// Undoes `printf_encode`.
fn name_from(text: &str) -> Vec<u8> {
    let mut name = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            name.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'x') => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                if let (Some(high), Some(low)) = (digit(), digit()) {
                    name.extend(u8::try_from(high << 4 | low));
                }
            }
            Some(b'e') => name.push(0x1b),
            Some(b'n') => name.push(b'\n'),
            Some(b'r') => name.push(b'\r'),
            Some(b't') => name.push(b'\t'),
            Some(other) => name.push(other),
            None => {}
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_network_has_its_name_and_address() {
        let text = "bssid=02:00:00:00:01:00\nfreq=2437\nssid=K\\xc3\\xbcche & Bad\nid=0\n\
                    mode=station\nkey_mgmt=WPA2-PSK\nwpa_state=COMPLETED\n\
                    ip_address=192.168.77.49\naddress=02:00:00:00:00:00\n";
        let status = status(text);
        assert_eq!(status.joined.unwrap(), "Küche & Bad".as_bytes());
        assert_eq!(status.address.unwrap().to_string(), "192.168.77.49");
        let scanning = text.replace("COMPLETED", "SCANNING");
        assert_eq!(super::status(&scanning), Status::default());
    }

    #[test]
    fn what_is_in_the_air_is_read_with_hidden_and_odd_names() {
        let seen = scan_results(
            "bssid / frequency / signal level / flags / ssid\n\
             02:00:00:00:01:00\t2437\t-30\t[WPA2-PSK+SAE-CCMP][ESS]\tK\\xc3\\xbcche \\\"\\\\\n\
             02:00:00:00:02:00\t2412\t-60\t[ESS]\tcaf\\te\n\
             02:00:00:00:03:00\t2412\t-60\t[WPA2-SAE-CCMP][ESS]\t\n",
        );
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0].name, "Küche \"\\".as_bytes());
        assert!(seen[0].takes_a_key() && seen[0].is_locked());
        assert_eq!(seen[1].name, b"caf\te");
        assert!(!seen[1].is_locked());
        assert!(seen[2].name.is_empty() && !seen[2].takes_a_key() && seen[2].is_locked());
    }

    #[test]
    fn the_events_of_a_wrong_password_are_told_from_others() {
        let wrong = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"a\\\" b\" auth_failures=1 \
                     duration=10 reason=WRONG_KEY";
        assert_eq!(event(wrong), Some(Event::WrongKey(b"a\" b".to_vec())));
        assert_eq!(
            event(&wrong.replace("WRONG_KEY", "CONN_FAILED")),
            Some(Event::Other)
        );
        let wpa3 = "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 \
                    status_code=15";
        assert_eq!(
            event(wpa3),
            Some(Event::Rejected("02:00:00:00:01:00".into()))
        );
        assert_eq!(event("<3>CTRL-EVENT-SCAN-RESULTS "), Some(Event::Scanned));
        assert_eq!(event("<2>WPS-AP-AVAILABLE "), Some(Event::Other));
        assert_eq!(event("OK\n"), None);
    }
}

//! The configuration of `wpa_supplicant`.
//!
//! Names and passwords are written as hexadecimal digits throughout: between quotes a password
//! with a quote and a `#` in it is cut off (seen with 2.10), and no form of `psk` has escapes.
//!
//! Source: wpa_supplicant.conf(5) and the commented example in its source.

use crate::forget::psk;
use crate::network::{Key, Network, WifiTxt};

/// The folder of wpa_supplicant's control socket; only root may enter.
pub const CONTROL: &str = "/run/projectx/wpa";

/// The configuration for these networks, the first preferred.
#[must_use]
pub fn wpa_supplicant_conf(wifi: &WifiTxt) -> String {
    // No second way in by radio: Wi-Fi Direct is compiled in and on by default.
    let mut lines = vec![format!("ctrl_interface={CONTROL}"), "p2p_disabled=1".into()];
    // WPA3 wants the newer way to the same secret where the access point knows it.
    lines.push("sae_pwe=2".into());
    lines.extend(wifi.country.map(|c| format!("country={c}")));
    for (index, network) in wifi.networks.iter().enumerate() {
        lines.extend(block(network, wifi.networks.len() - index));
    }
    lines.join("\n") + "\n"
}

fn block(network: &Network, priority: usize) -> Vec<String> {
    let ssid = hex(network.name.bytes());
    let mut lines = vec!["network={".to_owned(), format!("\tssid={ssid}")];
    if network.hidden {
        lines.push("\tscan_ssid=1".into());
    }
    match &network.key {
        Key::Open => lines.push("\tkey_mgmt=NONE".into()),
        // A driver that has no WPA3 leaves SAE out by itself.
        Key::Passphrase(words) => lines.extend([
            "\tkey_mgmt=WPA-PSK SAE".into(),
            "\tieee80211w=1".into(),
            format!("\tpsk={}", psk(&network.name, words)),
            format!("\tsae_password={}", hex(words.as_bytes())),
        ]),
        Key::Wpa3(words) => lines.extend([
            "\tkey_mgmt=SAE".into(),
            "\tieee80211w=2".into(),
            format!("\tsae_password={}", hex(words.as_bytes())),
        ]),
        Key::Psk(digits) => {
            lines.extend(["\tkey_mgmt=WPA-PSK".into(), format!("\tpsk={digits}")]);
        }
    }
    lines.push(format!("\tpriority={priority}"));
    lines.push("}".into());
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

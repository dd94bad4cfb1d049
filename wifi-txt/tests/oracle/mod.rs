//! What must hold for any bytes whatever. The fuzz target and the test beside this folder
//! both ask it.

use wifi_txt::{CardFile, Key, WifiTxt, forget::forget, read, wpa_supplicant_conf};

const NAMES: [&str; 7] = [
    "wifi.txt",
    "WiFi.TXT",
    "wifi.txt.txt",
    "wifi.rtf",
    "rpi-preseed.toml",
    "custom.toml",
    "wifi.txt.new",
];

/// Stands in the input for [`SECRET`].
pub const MARK: u8 = 1;
/// Nothing of ours says this.
const SECRET: &str = "Zq7hunterXk9";

/// One or two files out of `input`: its first byte chooses their names, a zero followed by
/// a MARK divides them. Panics when something does not hold.
pub fn check(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let names = [choice % NAMES.len(), choice / NAMES.len() % NAMES.len()];
    let middle = input.windows(2).position(|pair| pair == [0, MARK]);
    let (one, two) = input.split_at(middle.unwrap_or(input.len()));
    let mut files = Vec::new();
    for (name, bytes) in names.into_iter().zip([one, two]) {
        let name = NAMES[name].to_owned();
        // A folder has each name once.
        if !bytes.is_empty() && files.iter().all(|f: &CardFile| f.name != name) {
            let bytes = with_secrets(bytes);
            files.push(CardFile { name, bytes });
        }
    }
    let wifi = read(&files);
    nothing_is_told(&wifi);
    wpa_supplicant_reads(&wifi);
    // A key takes 4,096 rounds: not for each input.
    if choice % 16 == 0 {
        for index in 0..files.len() {
            what_is_forgotten_is_a_key(&files, index, &wifi);
        }
    }
}

fn with_secrets(bytes: &[u8]) -> Vec<u8> {
    let secret = |byte: &u8| match *byte {
        MARK => SECRET.as_bytes().to_vec(),
        byte => vec![byte],
    };
    bytes.iter().flat_map(secret).collect()
}

fn nothing_is_told(wifi: &WifiTxt) {
    for problem in &wifi.problems {
        let said = problem.to_string();
        assert!(!said.contains("hunter"), "told: {said}");
        assert!(!said.contains(char::is_control), "not one line: {said:?}");
    }
    for network in &wifi.networks {
        assert!(!format!("{:?}", network.key).contains("hunter"));
    }
    assert!(!format!("{:?}", wifi.setup_code).contains("hunter"));
}

/// The grammar of wpa_supplicant.conf(5), as far as we write it, and nothing else.
fn wpa_supplicant_reads(wifi: &WifiTxt) {
    let conf = wpa_supplicant_conf(wifi);
    let mut lines = conf.strip_suffix('\n').unwrap().split('\n');
    let mut blocks = 0;
    while let Some(line) = lines.next() {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        if line != "network={" {
            let (key, value) = line.split_once('=').unwrap();
            assert!(["ctrl_interface", "p2p_disabled", "sae_pwe", "country"].contains(&key));
            assert!(key != "country" || value.len() == 2, "{value}");
            assert_eq!(blocks, 0, "a global line between the networks");
            continue;
        }
        blocks += 1;
        let mut keys = Vec::new();
        loop {
            let line = lines.next().expect("a block ends");
            if line == "}" {
                break;
            }
            let (key, value) = line.strip_prefix('\t').unwrap().split_once('=').unwrap();
            let hex = |value: &str| value.bytes().all(|b| b.is_ascii_hexdigit());
            let fits = match key {
                "ssid" => hex(value) && value.len() % 2 == 0 && (2..=64).contains(&value.len()),
                "scan_ssid" => value == "1",
                "key_mgmt" => ["NONE", "WPA-PSK", "WPA-PSK SAE", "SAE"].contains(&value),
                "ieee80211w" => ["1", "2"].contains(&value),
                "psk" => hex(value) && value.len() == 64,
                "sae_password" => {
                    hex(value) && value.len() % 2 == 0 && (16..=126).contains(&value.len())
                }
                "priority" => value.parse::<usize>().is_ok(),
                _ => false,
            };
            assert!(fits, "{key}={value}");
            assert!(!keys.contains(&key), "{key} twice");
            keys.push(key);
        }
        assert!(keys.contains(&"ssid") && keys.contains(&"key_mgmt"));
    }
    assert_eq!(blocks, wifi.networks.len());
}

fn what_is_forgotten_is_a_key(files: &[CardFile], index: usize, wifi: &WifiTxt) {
    let Some(bytes) = forget(&files[index], wifi, |_| false) else {
        return;
    };
    let mut after = files.to_vec();
    after[index].bytes = bytes;
    let after = read(&after);
    assert_eq!(after.networks.len(), wifi.networks.len());
    for (new, old) in after.networks.iter().zip(&wifi.networks) {
        assert_eq!((&new.name, new.hidden), (&old.name, old.hidden));
        assert!(!matches!(new.key, Key::Passphrase(_)), "not forgotten");
        assert!(new.key == old.key || matches!(new.key, Key::Psk(_)));
    }
    assert_eq!(
        (after.country, after.setup_code),
        (wifi.country, wifi.setup_code.clone())
    );
}

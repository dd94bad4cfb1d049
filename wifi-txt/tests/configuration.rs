//! The golden configuration of wpa_supplicant.

use wifi_txt::{CardFile, read, wpa_supplicant_conf};

#[test]
fn a_file_with_all_words_becomes_the_golden_configuration() {
    let key = "0123456789abcdefABCDEF0123456789".repeat(2);
    let text = format!(
        "\u{feff}# mine\r\nCountry = de\r\nnetwork = Küche\r\npassword = a\"b#c d\\e\r\n\r\n\
         network=Café\r\nhidden = Yes\r\nnetwork = k\r\npassword = {key}\r\nnetwork = w\r\n\
         security = wpa3\r\npassword = 12345678\r\nsetup-code = 1234-5678"
    );
    let wifi = read(&[CardFile {
        name: "wifi.txt".into(),
        bytes: text.into_bytes(),
    }]);
    assert_eq!(wifi.problems, []);
    let want = "ctrl_interface=/run/projectx/wpa\np2p_disabled=1\nsae_pwe=2\ncountry=DE\n\
        network={\n\tssid=4bc3bc636865\n\tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=\"a\"b#c d\\e\"\n\tpriority=4\n}\n\
        network={\n\tssid=436166c3a9\n\tscan_ssid=1\n\tkey_mgmt=NONE\n\tpriority=3\n}\n\
        network={\n\tssid=6b\n\tkey_mgmt=WPA-PSK\n\tpsk=KEY\n\tpriority=2\n}\n\
        network={\n\tssid=77\n\tkey_mgmt=SAE\n\tieee80211w=2\n\tpsk=\"12345678\"\n\tpriority=1\n}\n";
    let want = want.replace("KEY", &key.to_lowercase());
    assert_eq!(wpa_supplicant_conf(&wifi), want);
}

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
        network={\n\tssid=4bc3bc636865\n\tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=FIRST\n\tsae_password=612262236320645c65\n\tpriority=4\n}\n\
        network={\n\tssid=436166c3a9\n\tscan_ssid=1\n\tkey_mgmt=NONE\n\tpriority=3\n}\n\
        network={\n\tssid=6b\n\tkey_mgmt=WPA-PSK\n\tpsk=KEY\n\tpriority=2\n}\n\
        network={\n\tssid=77\n\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password=3132333435363738\n\tpriority=1\n}\n";
    // Of Python: hashlib.pbkdf2_hmac('sha1', br'a"b#c d\e', 'Küche'.encode(), 4096, 32).hex()
    let first = "9c5a8771ff85f564462032f0392542d50653fd2b62a61473c16f34692ed502eb";
    let want = want.replace("FIRST", first);
    let want = want.replace("KEY", &key.to_lowercase());
    assert_eq!(wpa_supplicant_conf(&wifi), want);
}

//! Files as people really leave them on the card, and what the box makes of each.
//!
//! Every file goes through [`wifi_txt::read`] and [`wifi_txt::report::Report`], as on the
//! box and in `cargo xtask wifi-check`. The networks and the country are compared whole, the
//! messages by number and by a piece of each.

use wifi_txt::report::Report;
use wifi_txt::{CardFile, SetupCodeLine, read};

/// A file, what it is an example of, and what comes out.
struct Case {
    what: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    /// `NAME: SECURITY`, and ` hidden` behind it.
    networks: &'static [&'static str],
    country: &'static str,
    /// A piece of each message.
    messages: &'static [&'static str],
}

fn case(
    what: &'static str,
    name: &'static str,
    bytes: impl AsRef<[u8]>,
    networks: &'static [&'static str],
    country: &'static str,
    messages: &'static [&'static str],
) -> Case {
    Case {
        what,
        name,
        bytes: bytes.as_ref().to_vec(),
        networks,
        country,
        messages,
    }
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let write = if big {
        u16::to_be_bytes
    } else {
        u16::to_le_bytes
    };
    let mark = mark.then_some(0xfeff);
    mark.into_iter()
        .chain(text.encode_utf16())
        .flat_map(write)
        .collect()
}

const TEMPLATE: &str = include_str!("../../boards/rpi3/wifi.txt");
const NO_COUNTRY: &str = "no country is given";
const HOME: &str = "country = DE\nnetwork = Home\npassword = hunter2hunter2\n";
const PRESEED: &str = "config_version = \"1.0\"\n\n[system]\nhostname = \"box\"\n\n[user]\n\
    name = \"anna\"\npassword = \"$y$j9T$hunter2\"\npassword_encrypted = true\n\n[wlan]\n\
    ssid = \"Home\"\n\
    password = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n\
    password_encrypted = true\nhidden = false\ncountry = \"GB\"\n\n[locale]\nkeymap = \"gb\"\n";

fn line_ends_and_encodings() -> Vec<Case> {
    let crlf = HOME.replace('\n', "\r\n");
    let home: &[&str] = &["Home: wpa2/wpa3"];
    let umlaut = "country = DE\r\nnetwork = Küche\r\npassword = hunter2hunter2\r\n";
    let kitchen: &[&str] = &["Küche: wpa2/wpa3"];
    vec![
        case("Unix", "wifi.txt", HOME, home, "DE", &[]),
        case("Notepad", "wifi.txt", &crlf, home, "DE", &[]),
        case(
            "an old Mac",
            "wifi.txt",
            HOME.replace('\n', "\r"),
            home,
            "DE",
            &[],
        ),
        case(
            "mixed ends",
            "wifi.txt",
            "country = DE\rnetwork = Home\r\npassword = hunter2hunter2\n",
            home,
            "DE",
            &[],
        ),
        case(
            "no end at the end",
            "wifi.txt",
            HOME.trim_end(),
            home,
            "DE",
            &[],
        ),
        case(
            "UTF-8 with a mark",
            "wifi.txt",
            ["\u{feff}", &crlf].concat(),
            home,
            "DE",
            &[],
        ),
        case(
            "Notepad's Unicode",
            "wifi.txt",
            utf16(umlaut, false, true),
            kitchen,
            "DE",
            &[],
        ),
        case(
            "big endian",
            "wifi.txt",
            utf16(umlaut, true, true),
            kitchen,
            "DE",
            &[],
        ),
        case(
            "UTF-16 without a mark",
            "wifi.txt",
            utf16(umlaut, false, false),
            kitchen,
            "DE",
            &[],
        ),
        case(
            "big endian without a mark",
            "wifi.txt",
            utf16(umlaut, true, false),
            kitchen,
            "DE",
            &[],
        ),
        case(
            "UTF-16 of an old Mac",
            "wifi.txt",
            utf16(&umlaut.replace("\r\n", "\r"), true, true),
            kitchen,
            "DE",
            &[],
        ),
        case(
            "Windows-1252",
            "wifi.txt",
            b"country = DE\r\nnetwork = K\xfcche\r\npassword = hunter2hunter2\r\n",
            &[],
            "DE",
            &["wifi.txt:2: this line is not UTF-8"],
        ),
        case(
            "a password in Windows-1252",
            "wifi.txt",
            b"network = Home\npassword = hunter2\xfc\n",
            &[],
            "",
            &["wifi.txt:2: this line is not UTF-8"],
        ),
        case(
            "marks that nobody sees",
            "wifi.txt",
            "\u{200b}country = DE\u{200e}\n\u{a0}network\u{a0}=\u{a0}Home\u{200b}\npassword = hunter2hunter2\u{feff}\n",
            home,
            "DE",
            &[],
        ),
        case(
            "tabs",
            "wifi.txt",
            "\tcountry\t=\tDE\t\n\tnetwork\t=\tHome\n\tpassword\t=\thunter2hunter2\t\n",
            home,
            "DE",
            &[],
        ),
        case(
            "zeros at the end",
            "wifi.txt",
            [HOME.as_bytes(), &[0; 5]].concat(),
            &[],
            "DE",
            &["no \"=\""],
        ),
    ]
}

fn names_of_files() -> Vec<Case> {
    let home: &[&str] = &["Home: wpa2/wpa3"];
    let rtf = "{\\rtf1\\ansi\\ansicpg1252\\cocoartf2761\n\\f0\\fs24 \\cf0 country = DE\\\n\
               network = Home\\\npassword = hunter2hunter2\\\n\\\n# setup-code = invent-something\\\n}";
    vec![
        case("shouted", "WIFI.TXT", HOME, home, "DE", &[]),
        case("a phone's capitals", "WiFi.TXT", HOME, home, "DE", &[]),
        case("the end twice", "wifi.txt.txt", HOME, home, "DE", &[]),
        case("no end", "wifi", HOME, home, "DE", &[]),
        case("downloaded twice", "wifi (1).txt", HOME, home, "DE", &[]),
        case("copied", "wifi - Copy.txt", HOME, home, "DE", &[]),
        case("in another language", "WLAN.txt", HOME, home, "DE", &[]),
        case(
            "TextEdit",
            "wifi.rtf",
            rtf,
            &[],
            "",
            &["wifi.rtf: this is a rich text file (RTF)"],
        ),
        case(
            "TextEdit, renamed",
            "wifi.txt",
            rtf,
            &[],
            "",
            &["wifi.txt: this is a rich text file (RTF)"],
        ),
        case(
            "TextEdit, both ends",
            "wifi.txt.rtf",
            rtf,
            &[],
            "",
            &["wifi.txt.rtf: this is a rich"],
        ),
        case(
            "Word",
            "wifi.docx",
            b"PK\x03\x04\x14\x00\x06\x00hunter2",
            &[],
            "",
            &["wifi.docx: this is a document"],
        ),
        case(
            "an older Word",
            "wifi.doc",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1hunter2",
            &[],
            "",
            &["wifi.doc: this is a document"],
        ),
        case(
            "saved from a browser",
            "wifi.html",
            "<!DOCTYPE html><p>network = Home</p>",
            &[],
            "",
            &["wifi.html: this is a web page"],
        ),
        case(
            "what a Mac keeps beside it",
            "._wifi.txt",
            b"\x00\x05\x16\x07hunter2",
            &[],
            "",
            &[],
        ),
        case("a file of somebody else", "notes.txt", HOME, &[], "", &[]),
        case(
            "a film",
            "wifi.txt",
            vec![b'x'; 70_000],
            &[],
            "",
            &["wifi.txt: this file is longer"],
        ),
    ]
}

fn values() -> Vec<Case> {
    let home: &[&str] = &["Home: wpa2/wpa3"];
    vec![
        case("the template", "wifi.txt", TEMPLATE, &[], "", &[]),
        case("nothing", "wifi.txt", "", &[], "", &[]),
        case(
            "no spaces",
            "wifi.txt",
            "country=DE\nnetwork=Home\npassword=hunter2hunter2",
            home,
            "DE",
            &[],
        ),
        case(
            "many spaces",
            "wifi.txt",
            "  country   =   DE\n network  =  Home  \n  password   =  hunter2hunter2   ",
            home,
            "DE",
            &[],
        ),
        case(
            "quotes",
            "wifi.txt",
            "country = \"DE\"\nnetwork = \"Home\"\npassword = \"hunter2hunter2\"",
            home,
            "DE",
            &[],
        ),
        case(
            "single quotes",
            "wifi.txt",
            "country = 'DE'\nnetwork = 'Home'\npassword = 'hunter2hunter2'",
            home,
            "DE",
            &[],
        ),
        case(
            "smart quotes",
            "wifi.txt",
            "country = “DE”\nnetwork = “Home”\npassword = “hunter2hunter2”",
            home,
            "DE",
            &[],
        ),
        case(
            "German quotes",
            "wifi.txt",
            "country = „DE“\nnetwork = „Home“\npassword = ‚hunter2hunter2‘",
            home,
            "DE",
            &[],
        ),
        case(
            "French quotes",
            "wifi.txt",
            "country = «FR»\nnetwork = « Home »\npassword = «hunter2hunter2»",
            &["Home: wpa2/wpa3"],
            "FR",
            &[],
        ),
        case(
            "capitals",
            "wifi.txt",
            "COUNTRY = de\nNetwork = Home\nPassword = hunter2hunter2",
            home,
            "DE",
            &[],
        ),
        case(
            "colons",
            "wifi.txt",
            "country: DE\nnetwork: Home\npassword: hunter2=hunter2:x",
            home,
            "DE",
            &[],
        ),
        case(
            "a phone's punctuation",
            "wifi.txt",
            "country = DE\nnetwork = Home\npassword = hunter2’s “dog” – 1",
            home,
            "DE",
            &["wifi.txt:3: a curly quote"],
        ),
        case(
            "spaces in a name",
            "wifi.txt",
            "country = US\nnetwork = My Home Network 5G\npassword = hunter2hunter2",
            &["My Home Network 5G: wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "spaces at its ends",
            "wifi.txt",
            "country = US\nnetwork = \" Home \"\npassword = hunter2hunter2",
            &[" Home : wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "quotes in a name",
            "wifi.txt",
            "country = US\nnetwork = The \"Den\"\npassword = hunter2hunter2",
            &["The \"Den\": wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "a name in quotes",
            "wifi.txt",
            "country = US\nnetwork = \"\"Den\"\"\npassword = hunter2hunter2",
            &["\"Den\": wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "an iPhone",
            "wifi.txt",
            "country = US\nnetwork = Anna’s iPhone\npassword = hunter2hunter2",
            &["Anna’s iPhone: wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "emoji",
            "wifi.txt",
            "country = US\nnetwork = 🏠🐈 Home\npassword = hunter2hunter2",
            &["🏠🐈 Home: wpa2/wpa3"],
            "US",
            &[],
        ),
        case(
            "other letters",
            "wifi.txt",
            "country = RU\nnetwork = Мой дом\npassword = hunter2hunter2",
            &["Мой дом: wpa2/wpa3"],
            "RU",
            &[],
        ),
        case(
            "Japanese",
            "wifi.txt",
            "country = JP\nnetwork ＝ 自宅\npassword ＝ hunter2hunter2",
            &["自宅: wpa2/wpa3"],
            "JP",
            &[],
        ),
        case(
            "= and # in both",
            "wifi.txt",
            "country = DE\nnetwork = a=b#c\npassword = #hunter2=#",
            &["a=b#c: wpa2/wpa3"],
            "DE",
            &[],
        ),
        case(
            "too long a name",
            "wifi.txt",
            "country = DE\nnetwork = ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ\npassword = hunter2hunter2",
            &[],
            "DE",
            &["wifi.txt:2: the network name is longer than 32 bytes"],
        ),
        case(
            "a short password",
            "wifi.txt",
            "network = Home\npassword = hunter2",
            &[],
            "",
            &["wifi.txt:2: the password has 7 characters"],
        ),
        case(
            "a long password",
            "wifi.txt",
            format!("network = Home\npassword = {}", "hunter2".repeat(10)),
            &[],
            "",
            &["has 70 characters"],
        ),
        case(
            "63 characters",
            "wifi.txt",
            format!(
                "country = DE\nnetwork = Home\npassword = {}",
                "hunter2".repeat(9)
            ),
            home,
            "DE",
            &[],
        ),
        case(
            "a password with ä",
            "wifi.txt",
            "network = Home\npassword = hunter2hünter2",
            &[],
            "",
            &["not printable ASCII"],
        ),
        case(
            "a raw key",
            "wifi.txt",
            format!(
                "country = DE\nnetwork = Home\npassword = {}",
                "0123456789ABCDEF".repeat(4)
            ),
            &["Home: wpa2"],
            "DE",
            &[],
        ),
        case(
            "64 that are no digits",
            "wifi.txt",
            format!(
                "network = Home\npassword = {}",
                "0123456789ABCDEX".repeat(4)
            ),
            &[],
            "",
            &["has 64 characters"],
        ),
        case(
            "an example left",
            "wifi.txt",
            "network = the name of your network\npassword = hunter2hunter2",
            &[],
            "",
            &["wifi.txt:1: write the name of your own network"],
        ),
        case(
            "the other example left",
            "wifi.txt",
            "network = Home\npassword = its password",
            &[],
            "",
            &["wifi.txt:2: write the password of your own"],
        ),
        case(
            "one # too many",
            "wifi.txt",
            "country = DE\nnetwork = Home\n# password = hunter2hunter2",
            &[],
            "DE",
            &["wifi.txt:3: the password line still begins with #"],
        ),
        case(
            "a line broken in two",
            "wifi.txt",
            "network = Home\npassword = hunter2\nhunter2",
            &[],
            "",
            &["has 7 characters", "wifi.txt:3: this line has no \"=\""],
        ),
        case(
            "a slip of the hand",
            "wifi.txt",
            "network = Home\npasswrod = hunter2hunter2",
            &[],
            "",
            &["did you mean \"password\""],
        ),
        case(
            "another word",
            "wifi.txt",
            "network = Home\nkey = hunter2hunter2",
            &[],
            "",
            &["known are network, password"],
        ),
        case(
            "the wrong order",
            "wifi.txt",
            "password = hunter2hunter2\nnetwork = Home",
            &["Home: open"],
            "",
            &["wifi.txt:1: a password stands before", NO_COUNTRY],
        ),
    ]
}

fn kinds_of_networks() -> Vec<Case> {
    vec![
        case(
            "open",
            "wifi.txt",
            "country = DE\nnetwork = Café",
            &["Café: open"],
            "DE",
            &[],
        ),
        case(
            "open, said",
            "wifi.txt",
            "country = DE\nnetwork = Café\nsecurity = open",
            &["Café: open"],
            "DE",
            &[],
        ),
        case(
            "open, with the template's line",
            "wifi.txt",
            "country = DE\nnetwork = Café\n# password = its password",
            &["Café: open"],
            "DE",
            &[],
        ),
        case(
            "an empty password",
            "wifi.txt",
            "network = Café\npassword =",
            &[],
            "",
            &["the password is empty"],
        ),
        case(
            "hidden",
            "wifi.txt",
            "country = DE\nnetwork = Home\npassword = hunter2hunter2\nhidden = Yes # it is",
            &["Home: wpa2/wpa3 hidden"],
            "DE",
            &[],
        ),
        case(
            "perhaps hidden",
            "wifi.txt",
            "country = DE\nnetwork = Home\npassword = hunter2hunter2\nhidden = perhaps",
            &["Home: wpa2/wpa3"],
            "DE",
            &["hidden must be yes or no"],
        ),
        case(
            "WPA2 said",
            "wifi.txt",
            "country = DE\nnetwork = Home\nsecurity = WPA2-PSK\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "DE",
            &[],
        ),
        case(
            "WPA3 said",
            "wifi.txt",
            "country = DE\nnetwork = Home\nsecurity = WPA3\npassword = hunter2hunter2",
            &["Home: wpa3"],
            "DE",
            &[],
        ),
        case(
            "WPA3 with a raw key",
            "wifi.txt",
            format!(
                "network = Home\nsecurity = wpa3\npassword = {}",
                "0123456789abcdef".repeat(4)
            ),
            &[],
            "",
            &["WPA3 has no use for"],
        ),
        case(
            "WPA2 without a password",
            "wifi.txt",
            "network = Home\nsecurity = wpa2",
            &[],
            "",
            &["has no password"],
        ),
        case(
            "open with a password",
            "wifi.txt",
            "network = Home\nsecurity = open\npassword = hunter2hunter2",
            &[],
            "",
            &["said to be open and has a password"],
        ),
        case(
            "WEP",
            "wifi.txt",
            "network = Home\nsecurity = WEP\npassword = hunter2hunter2",
            &[],
            "",
            &["WEP can be broken"],
        ),
        case(
            "an enterprise",
            "wifi.txt",
            "network = eduroam\nidentity = anna@example.org\npassword = hunter2hunter2",
            &[],
            "",
            &["wants a user name"],
        ),
        case(
            "an enterprise, said",
            "wifi.txt",
            "network = Office\nsecurity = WPA2-Enterprise\npassword = hunter2hunter2",
            &[],
            "",
            &["wants a user name"],
        ),
        case(
            "several",
            "wifi.txt",
            "country = DE\n\nnetwork = Home\npassword = hunter2hunter2\n\nnetwork = Garden\npassword = hunter2-garden\nhidden = yes\n\nnetwork = Café\n",
            &["Home: wpa2/wpa3", "Garden: wpa2/wpa3 hidden", "Café: open"],
            "DE",
            &[],
        ),
        case(
            "one good, one bad",
            "wifi.txt",
            "country = DE\nnetwork = Home\npassword = hunter2\nnetwork = Garden\npassword = hunter2hunter2",
            &["Garden: wpa2/wpa3"],
            "DE",
            &["has 7 characters"],
        ),
        case(
            "two passwords",
            "wifi.txt",
            "network = Home\npassword = hunter2hunter2\npassword = hunter2hunter3",
            &[],
            "",
            &["a second password"],
        ),
        case(
            "no country",
            "wifi.txt",
            "network = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "",
            &[NO_COUNTRY],
        ),
        case(
            "a country in words",
            "wifi.txt",
            "country = Germany\nnetwork = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "",
            &["write: country = DE", NO_COUNTRY],
        ),
        case(
            "the UK",
            "wifi.txt",
            "country = UK\nnetwork = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "",
            &["write: country = GB", NO_COUNTRY],
        ),
        case(
            "no country at all",
            "wifi.txt",
            "country = XX\nnetwork = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "",
            &["no radio rules", NO_COUNTRY],
        ),
        case(
            "a country with a comment",
            "wifi.txt",
            "country = at   # Austria\nnetwork = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "AT",
            &[],
        ),
        case(
            "two countries",
            "wifi.txt",
            "country = DE\ncountry = AT\nnetwork = Home\npassword = hunter2hunter2",
            &["Home: wpa2/wpa3"],
            "AT",
            &["a second country"],
        ),
        case(
            "wpa_supplicant's own file",
            "wifi.txt",
            "ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\ncountry=GB\n\nnetwork={\n    ssid=\"Home\"\n    scan_ssid=1\n    psk=\"hunter2hunter2\"\n    key_mgmt=WPA-PSK\n}\n",
            &["Home: wpa2/wpa3 hidden"],
            "GB",
            &[],
        ),
        case(
            "its enterprise",
            "wifi.txt",
            "network={\n ssid=\"eduroam\"\n key_mgmt=WPA-EAP\n eap=PEAP\n identity=\"anna\"\n password=\"hunter2hunter2\"\n}\n",
            &[],
            "",
            &[
                "wants a user name",
                "wants a user name",
                "wants a user name",
            ],
        ),
    ]
}

fn of_raspberry_pi_imager() -> Vec<Case> {
    let custom = "# Raspberry Pi OS custom.toml\nconfig_version = 1\n\n[wlan]\nssid = \"Home\"\n\
                  password = \"hunter2hunter2\"\npassword_encrypted = false\nhidden = true\ncountry = \"DE\"\n";
    let wlan = |lines: &str| format!("config_version = \"1.0\"\n\n[wlan]\n{lines}\n");
    vec![
        case(
            "Imager 2",
            "rpi-preseed.toml",
            PRESEED,
            &["Home: wpa2"],
            "GB",
            &[],
        ),
        case(
            "Imager 2 on Windows",
            "rpi-preseed.toml",
            PRESEED.replace('\n', "\r\n"),
            &["Home: wpa2"],
            "GB",
            &[],
        ),
        case(
            "the older format",
            "custom.toml",
            custom,
            &["Home: wpa2/wpa3 hidden"],
            "DE",
            &[],
        ),
        case(
            "open",
            "rpi-preseed.toml",
            wlan("ssid = \"Café\"\nhidden = false\ncountry = \"FR\""),
            &["Café: open"],
            "FR",
            &[],
        ),
        case(
            "a name that is not UTF-8",
            "rpi-preseed.toml",
            wlan("ssid_hex = \"4bfc636865\"\npassword = \"hunter2hunter2\"\ncountry = \"DE\""),
            &["K\u{fffd}che: wpa2/wpa3"],
            "DE",
            &[],
        ),
        case(
            "WPA3",
            "rpi-preseed.toml",
            wlan(
                "ssid = \"Home\"\npassword = \"hunter2hunter2\"\nkey_mgmt = \"sae\"\ncountry = \"DE\"",
            ),
            &["Home: wpa3"],
            "DE",
            &[],
        ),
        case(
            "quotes in it",
            "rpi-preseed.toml",
            wlan("ssid = \"The \\\"Den\\\"\"\npassword = \"hunter2\\\\\\\"2\"\ncountry = \"DE\""),
            &["The \"Den\": wpa2/wpa3"],
            "DE",
            &[],
        ),
        case(
            "no network",
            "rpi-preseed.toml",
            "config_version = \"1.0\"\n\n[system]\nhostname = \"box\"\n",
            &[],
            "",
            &[],
        ),
        case(
            "a short password",
            "rpi-preseed.toml",
            wlan("ssid = \"Home\"\npassword = \"hunter2\""),
            &[],
            "",
            &["rpi-preseed.toml:5: the password has 7 characters"],
        ),
        case(
            "odd digits",
            "rpi-preseed.toml",
            wlan("ssid_hex = \"abc\""),
            &[],
            "",
            &["pairs of hexadecimal digits"],
        ),
        case(
            "broken",
            "rpi-preseed.toml",
            wlan("ssid = \"Home\npassword = \"hunter2hunter2\""),
            &[],
            "",
            &["rpi-preseed.toml:4: this line is not what Raspberry Pi Imager writes"],
        ),
        case(
            "not UTF-8",
            "custom.toml",
            b"[wlan]\nssid = \"K\xfcche\"\npassword = \"hunter2hunter2\"\n",
            &[],
            "",
            &["custom.toml:1: this file is not UTF-8"],
        ),
    ]
}

fn table() -> Vec<Case> {
    let mut all = line_ends_and_encodings();
    all.extend(names_of_files());
    all.extend(values());
    all.extend(kinds_of_networks());
    all.extend(of_raspberry_pi_imager());
    all
}

fn card_file(name: &str, bytes: impl AsRef<[u8]>) -> CardFile {
    CardFile {
        name: name.into(),
        bytes: bytes.as_ref().to_vec(),
    }
}

fn shown(report: &Report) -> Vec<String> {
    report
        .networks
        .iter()
        .map(|n| {
            format!(
                "{}: {}{}",
                n.name,
                n.security,
                if n.hidden { " hidden" } else { "" }
            )
        })
        .collect()
}

#[test]
fn there_are_at_least_sixty_files_and_each_is_read_as_it_should_be() {
    let table = table();
    assert!(table.len() >= 60, "only {}", table.len());
    let mut wrong = Vec::new();
    for case in &table {
        let report = Report::of(&read(&[card_file(case.name, &case.bytes)]));
        let fits = shown(&report) == case.networks
            && report.country.as_deref().unwrap_or_default() == case.country
            && report.messages.len() == case.messages.len()
            && report
                .messages
                .iter()
                .zip(case.messages)
                .all(|(said, piece)| said.contains(piece));
        if !fits {
            wrong.push(format!("{} ({}): {report:#?}", case.what, case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_and_no_debug_shows_a_password() {
    for case in table() {
        let wifi = read(&[card_file(case.name, &case.bytes)]);
        let shown = format!("{wifi:?} {:?}", Report::of(&wifi));
        assert!(!shown.contains("hunter"), "{}: {shown}", case.what);
    }
}

#[test]
fn wifi_check_s_line_is_json_with_these_names() {
    let report = Report::of(&read(&[card_file(
        "wifi.txt",
        "network = Küche\nhidden = yes",
    )]));
    assert_eq!(
        serde_json::to_string(&report).unwrap(),
        "{\"networks\":[{\"name\":\"Küche\",\"hidden\":true,\"security\":\"open\"}],\"country\":null,\
         \"messages\":[\"wifi.txt: no country is given, so only channels that are free everywhere \
         are used, and a network on 5 GHz may not be found; write for example: country = DE\"]}"
    );
}

#[test]
fn of_several_files_the_first_that_names_a_network_wins() {
    let other = HOME.replace("Home", "Other");
    for (files, winner, network, messages) in [
        (
            vec![("wifi.txt", TEMPLATE), ("wifi.txt.txt", HOME)],
            "wifi.txt.txt",
            "Home",
            &[][..],
        ),
        (
            vec![("wifi.txt", TEMPLATE), ("rpi-preseed.toml", PRESEED)],
            "rpi-preseed.toml",
            "Home",
            &[],
        ),
        (
            vec![("wifi.txt.txt", &other), ("WiFi.txt", HOME)],
            "WiFi.txt",
            "Home",
            &["wifi.txt.txt: its networks are not used, because WiFi.txt names some"],
        ),
        (
            vec![
                ("custom.toml", "[wlan]\nssid = \"Other\""),
                ("rpi-preseed.toml", PRESEED),
            ],
            "rpi-preseed.toml",
            "Home",
            &["custom.toml: its networks are not used, because rpi-preseed.toml names some"],
        ),
        // A change that was cut off, and one that was not.
        (
            vec![("wifi.txt", "\0\0\0"), ("wifi.txt.new", HOME)],
            "wifi.txt.new",
            "Home",
            &["no \"=\""],
        ),
        (
            vec![("wifi.txt", HOME), ("wifi.txt.new", &other)],
            "wifi.txt",
            "Home",
            &[],
        ),
        (
            vec![
                ("custom.toml", ""),
                (
                    "custom.toml.new",
                    "[wlan]\nssid = \"Home\"\ncountry = \"DE\"",
                ),
            ],
            "custom.toml.new",
            "Home",
            &[],
        ),
    ] {
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| card_file(name, text))
            .collect();
        let wifi = read(&files);
        assert_eq!(wifi.file, winner);
        assert_eq!(wifi.networks.len(), 1);
        assert_eq!(wifi.networks[0].name.to_string(), network);
        let said: Vec<_> = wifi.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), messages.len(), "{said:?}");
        assert!(
            said.iter()
                .zip(messages)
                .all(|(said, piece)| said.contains(piece)),
            "{said:?}"
        );
    }
}

#[test]
fn a_network_that_lost_its_password_leaves_the_file_the_winner() {
    // Otherwise a slip in wifi.txt would let an old file of Imager's decide.
    let files = [
        card_file("wifi.txt", "network = Home\npassword = hunter2"),
        card_file("custom.toml", "[wlan]\nssid = \"Café\""),
    ];
    let wifi = read(&files);
    assert_eq!((wifi.networks.len(), wifi.file.as_str()), (0, "wifi.txt"));
}

#[test]
fn country_and_setup_code_count_from_every_file() {
    let files = [
        card_file("wifi.txt", "country = AT\nsetup-code = blue-7"),
        card_file(
            "rpi-preseed.toml",
            "[wlan]\nssid = \"Café\"\ncountry = \"DE\"",
        ),
    ];
    let wifi = read(&files);
    assert_eq!(wifi.country.unwrap().to_string(), "AT");
    let SetupCodeLine::Given(code) = wifi.setup_code else {
        panic!("{:?}", wifi.setup_code)
    };
    assert_eq!(code.reveal(), "blue-7");
}

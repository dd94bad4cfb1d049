//! `wifi.txt`, the one file on the card that people edit by hand.
//!
//! ```text
//! # A comment.
//! country = DE
//! network = My home
//! password = correct horse
//! network = Hidden one without a password
//! hidden = yes
//! setup-code = 1234-5678
//! ```
//!
//! A further `network` starts a further network; `password` and `hidden` belong to the
//! network above them, `country` and `setup-code` to the whole file. Editors of phones and
//! Windows are forgiven: byte order marks, UTF-16, CRLF, capitals in the words on the left,
//! spaces around both sides. A `#` starts a comment only at the start of a line, because
//! passwords contain it.
//!
//! Limits: WPA2 with a passphrase, or open. A password has 8 to 63 printable ASCII
//! characters (IEEE 802.11-2020, J.4.1) or is the 64 hexadecimal digits of the key itself.
//! No message and no `Debug` ever shows a password, a setup code or a piece of a line.

use std::fmt;

/// The checked content of the file. Networks with a problem are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WifiTxt {
    /// In the order of the file.
    pub networks: Vec<Network>,
    /// For the radio rules.
    pub country: Option<Country>,
    /// What whoever claims the box must know.
    pub setup_code: SetupCodeLine,
}

/// One wireless network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name (SSID), 1 to 32 bytes of UTF-8.
    pub name: String,
    /// How to join it.
    pub key: Key,
    /// Whether the network does not announce its name.
    pub hidden: bool,
}

/// How to join a network.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// Without a password.
    Open,
    /// 8 to 63 printable ASCII characters.
    Passphrase(String),
    /// 64 hexadecimal digits.
    Psk(String),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Open => "Open",
            Key::Passphrase(_) => "Passphrase(hidden)",
            Key::Psk(_) => "Psk(hidden)",
        })
    }
}

/// Two capital letters of ISO 3166-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country([u8; 2]);

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

/// The code that claims a new box: 4 to 64 characters. Compare it in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupCode(String);

impl SetupCode {
    /// The code itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupCode(hidden)")
    }
}

/// What the file says about a setup code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SetupCodeLine {
    /// Nothing: the owner wants none.
    #[default]
    Absent,
    /// Whoever claims the box must know this code.
    Given(SetupCode),
    /// The owner wants one, but no line gives a code that can be used. Until the file is
    /// mended nobody may claim the box.
    Unusable,
}

/// Something to tell the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what to write instead; never a piece of the line.
    pub words: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wifi.txt:{}: {}", self.line, self.words)
    }
}

const KEYS: [&str; 5] = ["network", "password", "country", "hidden", "setup-code"];

/// Reads the file. All that is right is returned, together with all that is wrong.
#[must_use]
pub fn parse(file: &[u8]) -> (WifiTxt, Vec<Problem>) {
    let mut reader = Reader::default();
    let utf16 = utf16_as_utf8(file);
    let file = utf16.as_deref().unwrap_or(file);
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    for (index, line) in file.split(|b| *b == b'\n').enumerate() {
        reader.line = index + 1;
        match std::str::from_utf8(line) {
            Ok(line) => reader.read(line.trim()),
            Err(_) => reader.read_broken(&String::from_utf8_lossy(line)),
        }
    }
    reader.finish_network();
    (reader.result, reader.problems)
}

/// The configuration of `wpa_supplicant` for these networks, the first preferred.
///
/// Source: wpa_supplicant.conf(5) and the commented example in its source.
#[must_use]
pub fn wpa_supplicant_conf(wifi: &WifiTxt) -> String {
    // No control socket: nothing on the box would speak to it. And no second
    // way in by radio: Wi-Fi Direct is compiled in and on by default.
    let mut lines = vec!["p2p_disabled=1".to_owned()];
    lines.extend(wifi.country.map(|c| format!("country={c}")));
    for (index, network) in wifi.networks.iter().enumerate() {
        // Unquoted means hexadecimal, so no name can end the string early.
        let ssid: String = network.name.bytes().map(|b| format!("{b:02x}")).collect();
        lines.push("network={".to_owned());
        lines.push(format!("\tssid={ssid}"));
        if network.hidden {
            lines.push("\tscan_ssid=1".to_owned());
        }
        match &network.key {
            Key::Open => lines.push("\tkey_mgmt=NONE".to_owned()),
            // It ends at the last quote of the line, so one inside needs no escape.
            Key::Passphrase(words) => lines.extend([
                "\tkey_mgmt=WPA-PSK".to_owned(),
                format!("\tpsk=\"{words}\""),
            ]),
            Key::Psk(digits) => {
                lines.extend(["\tkey_mgmt=WPA-PSK".to_owned(), format!("\tpsk={digits}")])
            }
        }
        lines.push(format!("\tpriority={}", wifi.networks.len() - index));
        lines.push("}".to_owned());
    }
    lines.join("\n") + "\n"
}

#[derive(Default)]
struct Reader {
    line: usize,
    result: WifiTxt,
    problems: Vec<Problem>,
    /// The network being read; `None` inside if it has a problem and is to be left out.
    current: Option<Option<Network>>,
    has_password: bool,
}

impl Reader {
    fn problem(&mut self, words: impl Into<String>) {
        self.problems.push(Problem {
            line: self.line,
            words: words.into(),
        });
    }

    /// Reports and leaves the current network out.
    fn spoil(&mut self, words: impl Into<String>) {
        self.problem(words);
        self.current = Some(None);
    }

    /// Reports, and leaves the current network out if there is one.
    fn spoil_current(&mut self, words: impl Into<String>) {
        self.problem(words);
        if self.current.is_some() {
            self.current = Some(None);
        }
    }

    fn finish_network(&mut self) {
        self.has_password = false;
        self.result.networks.extend(self.current.take().flatten());
    }

    /// A line that is not UTF-8, with replacement characters.
    fn read_broken(&mut self, line: &str) {
        if !line.trim().starts_with('#') && means_setup_code(line) {
            self.lose_setup_code();
        }
        // It may have been the password of the network above.
        self.spoil_current("this line is not UTF-8; save the file as UTF-8 (in Notepad: Save as)");
    }

    fn read(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let Some((key, value)) = line.split_once('=') else {
            if means_setup_code(line) {
                self.lose_setup_code();
                return self
                    .spoil_current("this line has no \"=\"; write for example: setup-code = CODE");
            }
            // It may be half of a password, so it is not shown, and a network that may
            // lack its password is not used as an open one.
            return self.spoil_current("this line has no \"=\"; write for example: network = NAME");
        };
        let value = value.trim();
        let key = key.trim().to_ascii_lowercase();
        match key.as_str() {
            "network" => self.network(value),
            "password" => self.password(value),
            "hidden" => self.hidden(value),
            "country" => self.country(value),
            "setup-code" => self.setup_code(value),
            _ => {
                let known = if means_setup_code(&key) {
                    self.lose_setup_code();
                    Some(&"setup-code")
                } else {
                    KEYS.iter().find(|known| near(&key, known))
                };
                let words = match known {
                    Some(known) => {
                        format!("the word before \"=\" is unknown; did you mean \"{known}\"?")
                    }
                    None => format!(
                        "the word before \"=\" is unknown; known are {}",
                        KEYS.join(", ")
                    ),
                };
                // "pasword = x" must not turn the network into an open one.
                self.spoil_current(words);
            }
        }
    }

    fn network(&mut self, name: &str) {
        self.finish_network();
        if name.is_empty() {
            self.spoil("the network has no name; write: network = NAME");
        } else if name.len() > 32 {
            self.spoil("the network name is longer than 32 bytes, which no network can have");
        } else if name.contains(char::is_control) {
            self.spoil("the network name contains a control character; type it again");
        } else {
            self.current = Some(Some(Network {
                name: name.to_owned(),
                key: Key::Open,
                hidden: false,
            }));
        }
    }

    fn password(&mut self, value: &str) {
        if self.current.is_none() {
            return self.problem(
                "a password stands before its network; write the \"network =\" line above it",
            );
        }
        if std::mem::replace(&mut self.has_password, true) {
            return self.spoil("a second password for the same network; keep one");
        }
        let printable = value.bytes().all(|b| (0x20..=0x7e).contains(&b));
        let key = match value.len() {
            0 => {
                return self
                    .spoil("the password is empty; write 8 to 63 characters, or delete the line for an open network");
            }
            _ if !printable => {
                return self.spoil("the password has a character that is not printable ASCII, which WPA does not allow");
            }
            8..=63 => Key::Passphrase(value.to_owned()),
            64 if value.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Key::Psk(value.to_ascii_lowercase())
            }
            length => {
                return self.spoil(format!(
                    "the password has {length} characters; it must have 8 to 63, or be 64 hexadecimal digits"
                ));
            }
        };
        if let Some(Some(network)) = &mut self.current {
            network.key = key;
        }
    }

    fn hidden(&mut self, value: &str) {
        let hidden = match value.to_ascii_lowercase().as_str() {
            "yes" => true,
            "no" => false,
            _ => return self.problem("hidden must be yes or no"),
        };
        match &mut self.current {
            None => self
                .problem("hidden stands before its network; write the \"network =\" line above it"),
            Some(Some(network)) => network.hidden = hidden,
            Some(None) => {}
        }
    }

    fn country(&mut self, value: &str) {
        match *value.to_ascii_uppercase().as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => {
                if self.result.country.replace(Country([a, b])).is_some() {
                    self.problem("a second country; keep one");
                }
            }
            _ => self.problem("the country must be two letters, for example: country = DE"),
        }
    }

    fn setup_code(&mut self, value: &str) {
        if !(4..=64).contains(&value.chars().count()) || value.contains(char::is_control) {
            self.lose_setup_code();
            return self.problem("the setup code must have 4 to 64 characters");
        }
        let given = SetupCodeLine::Given(SetupCode(value.to_owned()));
        let before = std::mem::replace(&mut self.result.setup_code, given);
        if matches!(before, SetupCodeLine::Given(_)) {
            self.problem("a second setup code; keep one");
        }
    }

    /// There is a line for a setup code, but it gives none: the box must not be
    /// claimable without one. Another line may give it.
    fn lose_setup_code(&mut self) {
        if self.result.setup_code == SetupCodeLine::Absent {
            self.result.setup_code = SetupCodeLine::Unusable;
        }
    }
}

/// Whether whoever wrote this line, or the key of one, wanted a setup code.
fn means_setup_code(line: &str) -> bool {
    let key = line.split(['=', ':']).next().unwrap_or_default();
    let letters: String = key
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphabetic())
        .collect();
    letters.starts_with("setup") || near(&letters, "setupcode")
}

/// UTF-8 of a file that starts with a UTF-16 byte order mark, else `None`.
fn utf16_as_utf8(file: &[u8]) -> Option<Vec<u8>> {
    let read: fn([u8; 2]) -> u16 = match file {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let units = file[2..].chunks_exact(2).map(|b| read([b[0], b[1]]));
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Some(text.into_bytes())
}

/// Whether two words are at most two edits apart (Levenshtein).
fn near(a: &str, b: &str) -> bool {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let substituted = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = substituted.min(corner + 1).min(row[j] + 1);
        }
    }
    row.last().is_some_and(|edits| *edits <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_problem(file: &str) -> String {
        let (_, problems) = parse(file.as_bytes());
        assert_eq!(problems.len(), 1, "{file:?}: {problems:?}");
        problems[0].to_string()
    }

    #[test]
    fn a_file_with_all_words_becomes_the_golden_configuration() {
        let file = "\u{feff}# mine\r\nCountry = de\r\nnetwork = Küche\r\npassword = a\"b#c d\\e\r\n\r\n\
                    network=Café\r\nhidden = Yes\r\nsetup-code = 1234-5678";
        let (wifi, problems) = parse(file.as_bytes());
        assert_eq!(problems, []);
        assert_eq!(code(file.as_bytes()), Some("1234-5678".to_owned()));
        assert_eq!(
            wpa_supplicant_conf(&wifi),
            "p2p_disabled=1\ncountry=DE\n\
             network={\n\tssid=4bc3bc636865\n\tkey_mgmt=WPA-PSK\n\tpsk=\"a\"b#c d\\e\"\n\tpriority=2\n}\n\
             network={\n\tssid=436166c3a9\n\tscan_ssid=1\n\tkey_mgmt=NONE\n\tpriority=1\n}\n"
        );
    }

    #[test]
    fn sixty_four_hex_digits_are_the_key_itself() {
        let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
        let (wifi, problems) = parse(format!("network = a\npassword = {digits}").as_bytes());
        assert_eq!(problems, []);
        assert!(wpa_supplicant_conf(&wifi).contains(&format!("\tpsk={}\n", digits.to_lowercase())));
    }

    #[test]
    fn a_file_of_notepad_in_utf16_is_read() {
        let mut file = vec![0xff, 0xfe];
        file.extend(
            "network = Küche\r\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        );
        let (wifi, problems) = parse(&file);
        assert_eq!(
            (wifi.networks[0].name.as_str(), problems.len()),
            ("Küche", 0)
        );
    }

    #[test]
    fn each_mistake_is_told_with_its_line_and_what_to_write() {
        for (file, words) in [
            ("\n\nnetwork =", "wifi.txt:3: the network has no name"),
            (
                "network = a\npassword = short",
                "wifi.txt:2: the password has 5 characters",
            ),
            (
                "network = a\npassword =",
                "wifi.txt:2: the password is empty",
            ),
            ("network = a\npassword = pässwörter", "not printable ASCII"),
            (
                "password = 12345678",
                "wifi.txt:1: a password stands before its network",
            ),
            (
                "network = a\npasword = 12345678",
                "did you mean \"password\"?",
            ),
            ("country = Germany", "two letters"),
            ("network = a\nhidden = maybe", "yes or no"),
            ("setup-code = 1", "4 to 64 characters"),
            ("setup = 1234", "did you mean \"setup-code\"?"),
            ("setup-code 1234", "write for example: setup-code = CODE"),
            ("hello", "no \"=\""),
            ("colour = red", "known are network, password"),
        ] {
            let problem = only_problem(file);
            assert!(problem.contains(words), "{problem}");
        }
        let (_, problems) = parse(b"network = a\nnetwork = \xff\xfe");
        assert_eq!(problems[0].line, 2);
        assert!(problems[0].words.contains("not UTF-8"));
    }

    #[test]
    fn a_network_whose_password_is_wrong_is_left_out_and_never_joined_as_open() {
        let seconds: [&[u8]; 5] = [
            b"password = short",
            b"pasword = 12345678",
            b"12345678",
            b"password =",
            b"password = schl\xfcssel",
        ];
        for second in seconds {
            let file = [
                b"network = a\n",
                second,
                b"\nnetwork = b\npassword = 87654321",
            ]
            .concat();
            let (wifi, _) = parse(&file);
            let names: Vec<_> = wifi.networks.iter().map(|n| n.name.as_str()).collect();
            assert_eq!(names, ["b"], "{second:?}");
        }
    }

    /// The code that is given; `None` if a line wants one and gives none.
    fn code(file: &[u8]) -> Option<String> {
        match parse(file).0.setup_code {
            SetupCodeLine::Given(code) => Some(code.reveal().to_owned()),
            SetupCodeLine::Unusable => None,
            SetupCodeLine::Absent => panic!("no line: {}", String::from_utf8_lossy(file)),
        }
    }

    #[test]
    fn a_setup_code_line_that_gives_no_code_is_not_taken_for_none() {
        let long = format!("setup-code = {}", "x".repeat(65));
        let lines: [&[u8]; 22] = [
            b"setup-code = abc",
            b"setup-code =",
            long.as_bytes(),
            b"setup-code = ab\x00cd",
            b"setup-code = schl\xfcssel",
            b"  SETUP-Code = schl\xfcssel",
            b"\xa0setup-code = blue-7",
            b"setup\x96code = blue-7",
            b"setup_code = blue-7",
            b"Setup Code = blue-7",
            b"setupcode = blue-7",
            b"set-up-code = blue-7",
            b"setpu-code = blue-7",
            b"setup-cdoe2 = blue-7",
            b"stup-cod = blue-7",
            b"setup = blue-7",
            b"setup-password = blue-7",
            b"setup-code",
            b"setup-code: blue-7",
            b"setpu-code: blue-7",
            b"setup-code blue-7",
            "s\u{e9}tup\u{2013}code = blue-7".as_bytes(),
        ];
        for line in lines {
            let (wifi, problems) = parse(line);
            let shown = String::from_utf8_lossy(line);
            assert_eq!(wifi.setup_code, SetupCodeLine::Unusable, "{shown}");
            assert_eq!(problems.len(), 1, "{shown}: {problems:?}");
        }
        // As Notepad's "Unicode" without its mark.
        let utf16: Vec<u8> = "setup-code = blue-7"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(code(&utf16), None);
    }

    #[test]
    fn a_file_without_a_setup_code_line_wants_none() {
        let files: [&[u8]; 6] = [
            b"",
            b"# setup-code = invent-something",
            b"# setup-code = schl\xfcssel",
            b"network = setup-code\npassword = setup-code",
            b"colour = red\ncode = 1234\nhello",
            b"network = a\npassword = schl\xfcssel",
        ];
        for file in files {
            assert_eq!(
                parse(file).0.setup_code,
                SetupCodeLine::Absent,
                "{}",
                String::from_utf8_lossy(file)
            );
        }
    }

    #[test]
    fn a_code_that_is_given_counts_beside_an_unusable_line() {
        for file in [
            "setup-code = blue-7\nsetup-code = x",
            "setup_code = x\nsetup-code = blue-7",
        ] {
            assert_eq!(code(file.as_bytes()), Some("blue-7".to_owned()));
            only_problem(file);
        }
    }

    #[test]
    fn no_message_and_no_debug_shows_a_secret() {
        let secret = "hunter2";
        for file in [
            format!("network = a\npassword = {secret}{secret}\nsetup-code = {secret}"),
            format!("network = a\npassword = {secret}"),
            format!("network = a\n{secret}"),
            format!("{secret} = {secret}"),
            format!("password = {secret}"),
            format!("network = a\npassword = {secret}ä{secret}"),
        ] {
            let shown = format!("{:?}", parse(file.as_bytes()));
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn no_file_makes_the_reader_panic() {
        let mut state = 7u64;
        for _ in 0..5_000 {
            let mut file = b"network = a\r\npassword = 12345678\ncountry=DE\nhidden=yes\n".to_vec();
            for _ in 0..5 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                let at = (state >> 33) as usize % file.len();
                file[at] = (state >> 50) as u8;
            }
            let (wifi, _) = parse(&file);
            assert!(wpa_supplicant_conf(&wifi).lines().count() >= 1);
        }
    }
}

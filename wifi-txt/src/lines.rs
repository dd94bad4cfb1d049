//! The words of `wifi.txt`: `network`, `password`, `hidden`, `security`, `country`,
//! `setup-code`, `keep-password`.
//!
//! A further `network` starts a further network; `password`, `hidden` and `security`
//! belong to the network above them, the rest to the whole file. A `#` starts a comment
//! only at the start of a line, because passwords contain it.
//!
//! What is forgiven: capitals, spaces around everything, quotes of any kind around a value,
//! `:` for `=`, and the words of wpa_supplicant's own file (`ssid`, `psk`, `network={`).
//! What is not: a line that may have been meant as a password never leads to an open network.

use crate::country::Country;
use crate::decode::Decoded;
use crate::network::{Key, Name, Network, SetupCode, SetupCodeLine};
use std::ops::Range;

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The usable networks.
    pub networks: Vec<Network>,
    /// Whether any network was written down, be it a usable one or not.
    pub wants_network: bool,
    pub country: Option<Country>,
    pub setup_code: SetupCodeLine,
    pub keep_password: Option<bool>,
    /// Line (from 1) and words.
    pub problems: Vec<(usize, String)>,
}

/// No home has more; each costs a slot in every scan.
const MOST_NETWORKS: usize = 16;

const KNOWN: [&str; 7] = [
    "network",
    "password",
    "country",
    "hidden",
    "security",
    "setup-code",
    "keep-password",
];

/// What the template says where the owner shall write his own.
const TEMPLATE_NAME: &str = "the name of your network";
const TEMPLATE_PASSWORD: &str = "its password";

const ENTERPRISE: &str = "this network wants a user name besides a password (WPA Enterprise, as \
    at work or university), which the box cannot join; use a network cable or a home network";

/// Reads a text.
pub(crate) fn read(file: &Decoded) -> Said {
    let mut reader = Reader::default();
    for (index, (start, line)) in file.lines().enumerate() {
        reader.line = index + 1;
        match std::str::from_utf8(line) {
            Ok(line) => reader.read(line, start),
            Err(_) => reader.read_broken(&String::from_utf8_lossy(line)),
        }
    }
    reader.finish_network();
    reader.said
}

/// Checks a password.
///
/// # Errors
/// Words for the owner, without the password.
pub(crate) fn key_from(password: &str) -> Result<Key, String> {
    let length = password.len();
    if length == 0 {
        return Err(
            "the password is empty; write 8 to 63 characters, or delete the line for an \
                    open network"
                .into(),
        );
    }
    if !password.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Err(
            "the password has a character that is not printable ASCII (as ä or €), which \
                    WPA does not allow; give the network another password"
                .into(),
        );
    }
    match length {
        8..=63 => Ok(Key::Passphrase(password.to_owned())),
        64 if password.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(Key::Psk(password.to_ascii_lowercase()))
        }
        _ => Err(format!(
            "the password has {length} characters; it must have 8 to 63, or be 64 hexadecimal \
             digits"
        )),
    }
}

/// Checks a network's name.
///
/// # Errors
/// Words for the owner.
pub(crate) fn name_from(bytes: &[u8]) -> Result<Name, String> {
    let control = String::from_utf8_lossy(bytes).contains(char::is_control);
    match Name::new(bytes.to_vec()) {
        None if bytes.is_empty() => Err("the network has no name; write: network = NAME".into()),
        None => Err("the network name is longer than 32 bytes, which no network can have".into()),
        Some(_) if control => {
            Err("the network name contains a control character; type it again".into())
        }
        Some(name) => Ok(name),
    }
}

/// What a `security` line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    Open,
    Personal,
    Wpa3,
}

/// Reads `wpa2`, `WPA-PSK`, `sae` and the like.
///
/// # Errors
/// Words for the owner: unknown, or a kind that the box cannot join.
pub(crate) fn security_from(text: &str) -> Result<Security, String> {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["eap", "enterprise", "802.1x", "8021x"]) {
        Err(ENTERPRISE.into())
    } else if has(&["owe", "enhanced"]) {
        Err("an encrypted open network (OWE) cannot be joined; use one with a password".into())
    } else if has(&["wpa2", "wpa-psk", "wpa/", "pre-shared"]) || text == "wpa" || text == "psk" {
        Ok(Security::Personal)
    } else if has(&["wep", "shared"]) {
        Err(
            "WEP can be broken in minutes and the box does not join it; set the router to WPA2"
                .into(),
        )
    } else if has(&["wpa3", "sae"]) {
        Ok(Security::Wpa3)
    } else if ["none", "open", "no"].contains(&text.as_str()) {
        Ok(Security::Open)
    } else {
        Err(
            "security must be open, wpa2 or wpa3; or delete the line, then what works is taken"
                .into(),
        )
    }
}

#[derive(Default)]
struct Reader {
    line: usize,
    said: Said,
    current: Option<Current>,
}

/// The network being read.
struct Current {
    /// `None` if it has a problem and is to be left out.
    network: Option<Network>,
    has_password: bool,
    security: Option<Security>,
}

impl Reader {
    fn problem(&mut self, words: impl Into<String>) {
        self.said.problems.push((self.line, words.into()));
    }

    /// Reports, and leaves the current network out if there is one.
    fn spoil(&mut self, words: impl Into<String>) {
        self.problem(words);
        if let Some(current) = &mut self.current {
            current.network = None;
        }
    }

    fn finish_network(&mut self) {
        let Some(Current {
            network: Some(mut network),
            security,
            ..
        }) = self.current.take()
        else {
            return;
        };
        match (security, &network.key) {
            (Some(Security::Wpa3), Key::Passphrase(password)) => {
                network.key = Key::Wpa3(password.clone());
            }
            (Some(Security::Wpa3), Key::Psk(_)) => {
                return self.problem(
                    "the network above has a key of 64 digits, which WPA3 has no use for; write \
                     the password itself",
                );
            }
            (Some(Security::Personal | Security::Wpa3), Key::Open) => {
                return self.problem(
                    "the network above has no password; write a line: password = ITS PASSWORD",
                );
            }
            (Some(Security::Open), Key::Passphrase(_) | Key::Psk(_)) => {
                return self.problem(
                    "the network above is said to be open and has a password; delete one of the \
                     two lines",
                );
            }
            _ => {}
        }
        if self.said.networks.len() == MOST_NETWORKS {
            return self.problem(format!(
                "only the first {MOST_NETWORKS} networks are used; delete those you do not need"
            ));
        }
        self.said.networks.push(network);
    }

    /// A line that is not UTF-8, with replacement characters.
    fn read_broken(&mut self, line: &str) {
        let line = trim(line);
        if line.starts_with('#') {
            return;
        }
        if means_setup_code(line) {
            self.lose_setup_code();
        }
        if word(line.split(['=', ':']).next().unwrap_or_default()) == "network" {
            self.finish_network();
            self.begin(None);
        }
        // It may have been the password of the network above.
        self.spoil(
            "this line is not UTF-8; save the file as UTF-8 (in Notepad: Save as, Encoding: UTF-8)",
        );
    }

    fn read(&mut self, line: &str, start: usize) {
        let trimmed = trim(line);
        if let Some(comment) = trimmed.strip_prefix('#') {
            return self.comment(comment);
        }
        // The end of a block of wpa_supplicant's.
        if trimmed.is_empty() || trimmed == "}" {
            return;
        }
        let Some((key, value)) = split(trimmed) else {
            if means_setup_code(trimmed) {
                self.lose_setup_code();
                return self.spoil("this line has no \"=\"; write for example: setup-code = CODE");
            }
            // It may be half of a password, so it is not shown, and a network that may
            // lack its password is not used as an open one.
            return self.spoil("this line has no \"=\"; write for example: network = NAME");
        };
        let key = word(key);
        let value = unquoted(trim(value));
        // In bytes of the file; `value` is a piece of `line`.
        let from = start + (value.as_ptr() as usize - line.as_ptr() as usize);
        let place = from..from + value.len();
        match key.as_str() {
            "network" => self.network(value),
            "password" => self.password(value, place),
            "hidden" => self.hidden(value),
            "security" => self.security(value),
            "country" => self.country(value),
            "setup-code" => self.setup_code(value),
            "keep-password" => match yes_or_no(value) {
                Some(keep) => self.said.keep_password = Some(keep),
                None => self.problem("keep-password must be yes or no"),
            },
            "user" => self.spoil(ENTERPRISE),
            "ignored" => {}
            _ => self.unknown(&key),
        }
    }

    fn unknown(&mut self, key: &str) {
        let known = if means_setup_code(key) {
            self.lose_setup_code();
            Some(&"setup-code")
        } else {
            KNOWN.iter().find(|known| near(key, known))
        };
        let words = match known {
            Some(known) => {
                format!("the word before \"=\" is unknown; did you mean \"{known}\"?")
            }
            None => format!(
                "the word before \"=\" is unknown; known are {}",
                KNOWN.join(", ")
            ),
        };
        // "pasword = x" must not turn the network into an open one.
        self.spoil(words);
    }

    /// A password whose `#` was forgotten must not turn its network into an open one.
    fn comment(&mut self, comment: &str) {
        let Some((key, value)) = split(trim(comment)) else {
            return;
        };
        let value = unquoted(trim(value));
        let open = self.current.as_ref().is_some_and(|c| !c.has_password);
        if open && word(key) == "password" && !value.is_empty() && value != TEMPLATE_PASSWORD {
            self.spoil(
                "the password line still begins with #; take the # away, or delete the line if \
                 the network is open",
            );
        }
    }

    fn begin(&mut self, network: Option<Network>) {
        self.said.wants_network = true;
        self.current = Some(Current {
            network,
            has_password: false,
            security: None,
        });
    }

    fn network(&mut self, name: &str) {
        self.finish_network();
        // `network={` opens a block of wpa_supplicant's; `ssid` follows.
        if name == "{" {
            return;
        }
        self.begin(None);
        if name == TEMPLATE_NAME {
            return self.spoil("write the name of your own network instead of the example");
        }
        match name_from(name.as_bytes()) {
            Err(words) => self.spoil(words),
            Ok(name) => {
                if let Some(current) = &mut self.current {
                    current.network = Some(Network {
                        name,
                        key: Key::Open,
                        hidden: false,
                        password_at: None,
                    });
                }
            }
        }
    }

    fn password(&mut self, value: &str, place: Range<usize>) {
        let Some(current) = &mut self.current else {
            return self.problem(
                "a password stands before its network; write the \"network =\" line above it",
            );
        };
        if std::mem::replace(&mut current.has_password, true) {
            return self.spoil("a second password for the same network; keep one");
        }
        if value == TEMPLATE_PASSWORD {
            return self.spoil("write the password of your own network instead of the example");
        }
        // What phones and word processors make of the quotes and dashes of a keyboard.
        let straight: String = value.chars().map(straight).collect();
        match key_from(&straight) {
            Err(words) => self.spoil(words),
            Ok(key) => {
                if let Some(network) = &mut current.network {
                    network.key = key;
                    network.password_at = Some(place);
                }
                if straight != value {
                    self.problem(
                        "a curly quote or long dash in the password was read as the one of a \
                         keyboard, since WPA knows no other",
                    );
                }
            }
        }
    }

    fn hidden(&mut self, value: &str) {
        let Some(hidden) = yes_or_no(value) else {
            return self.problem("hidden must be yes or no");
        };
        match &mut self.current {
            None => self
                .problem("hidden stands before its network; write the \"network =\" line above it"),
            Some(current) => {
                if let Some(network) = &mut current.network {
                    network.hidden = hidden;
                }
            }
        }
    }

    fn security(&mut self, value: &str) {
        match (security_from(before_comment(value)), &mut self.current) {
            (Err(words), _) => self.spoil(words),
            (Ok(_), None) => self.problem(
                "security stands before its network; write the \"network =\" line above it",
            ),
            (Ok(security), Some(current)) => current.security = Some(security),
        }
    }

    fn country(&mut self, value: &str) {
        match Country::read(before_comment(value)) {
            Ok(country) => {
                if self.said.country.replace(country).is_some() {
                    self.problem("a second country; keep one");
                }
            }
            Err(words) => self.problem(words),
        }
    }

    fn setup_code(&mut self, value: &str) {
        if !(4..=64).contains(&value.chars().count()) || value.contains(char::is_control) {
            self.lose_setup_code();
            return self.problem("the setup code must have 4 to 64 characters");
        }
        let given = SetupCodeLine::Given(SetupCode(value.to_owned()));
        let before = std::mem::replace(&mut self.said.setup_code, given);
        if matches!(before, SetupCodeLine::Given(_)) {
            self.problem("a second setup code; keep one");
        }
    }

    /// There is a line for a setup code, but it gives none: the box must not be
    /// claimable without one. Another line may give it.
    fn lose_setup_code(&mut self) {
        if self.said.setup_code == SetupCodeLine::Absent {
            self.said.setup_code = SetupCodeLine::Unusable;
        }
    }
}

/// Whether whoever wrote this line, or the key of one, wanted a setup code.
pub(crate) fn means_setup_code(line: &str) -> bool {
    let key = line.split(['=', ':']).next().unwrap_or_default();
    let letters: String = key
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphabetic())
        .collect();
    letters.starts_with("setup") || near(&letters, "setupcode")
}

/// Key and value. `:` is taken for `=` only after a word that is known, so that no piece of
/// a password becomes a key.
fn split(line: &str) -> Option<(&str, &str)> {
    if let Some((key, value)) = line.split_once([':', '：', '='].as_slice())
        && KNOWN.contains(&word(key).as_str())
    {
        return Some((key, value));
    }
    line.split_once(['=', '＝'])
}

/// The word before `=`: small letters, `-` for what stands between words, and our word for
/// one of wpa_supplicant's or one that means the same.
fn word(key: &str) -> String {
    let dash = |c| {
        if matches!(c, ' ' | '_' | '–' | '—' | '\u{2011}') {
            '-'
        } else {
            c
        }
    };
    let key: String = unquoted(trim(key))
        .to_lowercase()
        .chars()
        .map(dash)
        .collect();
    match key.as_str() {
        "ssid" | "network-name" | "wifi-name" => "network",
        "psk" | "passphrase" | "network-password" | "wifi-password" | "sae-password" => "password",
        "scan-ssid" => "hidden",
        "key-mgmt" | "encryption" => "security",
        "setupcode" => "setup-code",
        "identity" | "anonymous-identity" | "username" | "user-name" | "user" | "login" | "eap"
        | "ca-cert" | "phase1" | "phase2" => "user",
        "ctrl-interface" | "update-config" | "ap-scan" | "proto" | "pairwise" | "group"
        | "priority" | "id-str" | "auth-alg" | "ieee80211w" | "p2p-disabled" => "ignored",
        other => other,
    }
    .to_owned()
}

fn yes_or_no(value: &str) -> Option<bool> {
    match before_comment(value).to_lowercase().as_str() {
        "yes" | "y" | "true" | "on" | "1" | "ja" | "oui" | "si" | "sí" => Some(true),
        "no" | "n" | "false" | "off" | "0" | "nein" | "non" => Some(false),
        _ => None,
    }
}

/// For values that cannot have a `#` in them.
fn before_comment(value: &str) -> &str {
    unquoted(trim(value.split('#').next().unwrap_or_default()))
}

/// Without white space and marks that nobody sees (zero width, direction) at both ends.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    })
}

/// Without one pair of quotes around the whole, of whatever kind. Only a quote for a name
/// or password that itself begins and ends with quotes needs writing twice.
fn unquoted(value: &str) -> &str {
    const PAIRS: [(char, &[char]); 10] = [
        ('"', &['"', '”', '“']),
        ('\'', &['\'', '’']),
        ('“', &['”', '“', '"']),
        ('”', &['”', '"']),
        ('„', &['“', '”', '"']),
        ('‘', &['’', '‘', '\'']),
        ('’', &['’']),
        ('‚', &['‘', '’']),
        ('«', &['»']),
        ('»', &['«']),
    ];
    let mut chars = value.chars();
    let (Some(first), Some(last)) = (chars.next(), chars.next_back()) else {
        return value;
    };
    let pair = PAIRS
        .iter()
        .any(|(open, close)| *open == first && close.contains(&last));
    match pair {
        // The French put a space inside.
        true if matches!(first, '«' | '»') => trim(chars.as_str()),
        true => chars.as_str(),
        false => value,
    }
}

fn straight(c: char) -> char {
    match c {
        '‘' | '’' | '‚' | '′' => '\'',
        '“' | '”' | '„' | '″' => '"',
        '–' | '—' | '\u{2011}' | '−' => '-',
        '\u{a0}' | '\u{202f}' => ' ',
        other => other,
    }
}

/// Whether two words are at most two edits apart (Levenshtein).
fn near(a: &str, b: &str) -> bool {
    // Not for a line of thousands of letters: that is no slip of the hand.
    if a.len() > 4 * b.len() {
        return false;
    }
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

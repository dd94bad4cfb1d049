//! What comes out of the files: networks, the country, the setup code, problems.

use crate::country::Country;
use std::fmt;
use std::ops::Range;

/// The checked content of the card's files. Networks with a problem are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WifiTxt {
    /// In the order of the file; the first is preferred.
    pub networks: Vec<Network>,
    /// For the radio rules.
    pub country: Option<Country>,
    /// What whoever claims the box must know.
    pub setup_code: SetupCodeLine,
    /// The owner wants his password to stay readable in the file (`keep-password = yes`).
    pub keep_password: bool,
    /// The file that the networks are from; empty when no file names one.
    pub file: String,
    /// Whether the owner wrote down any network, be it a usable one or not.
    pub wants_network: bool,
    /// What to tell the owner, in the order of the files.
    pub problems: Vec<Problem>,
}

/// The name of a network (SSID), 1 to 32 bytes, nearly always of UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Vec<u8>);

impl Name {
    /// Takes 1 to 32 bytes (IEEE 802.11-2020, 9.4.2.2).
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=32).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes as they are in the air.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    /// For people: a control character, or what is not UTF-8, shows as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        let shown = text.chars().map(|c| match c.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        });
        f.write_str(&shown.collect::<String>())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// One wireless network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What it is called in the air.
    pub name: Name,
    /// How to join it.
    pub key: Key,
    /// Whether the network does not announce its name.
    pub hidden: bool,
    /// Where its password stands: bytes of the decoded file ([`crate::decode`]).
    pub(crate) password_at: Option<Range<usize>>,
}

/// How to join a network.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// Without a password.
    Open,
    /// 8 to 63 printable ASCII characters: WPA2, and WPA3 where the chip can.
    Passphrase(String),
    /// The same for a network that shall be joined with WPA3 and nothing older.
    Wpa3(String),
    /// 64 hexadecimal digits, small letters: the key that WPA2 makes of name and
    /// password. WPA3 has no such key.
    Psk(String),
}

impl Key {
    /// In one word, as `wifi-check` prints it.
    #[must_use]
    pub fn security(&self) -> &'static str {
        match self {
            Key::Open => "open",
            Key::Passphrase(_) => "wpa2/wpa3",
            Key::Wpa3(_) => "wpa3",
            Key::Psk(_) => "wpa2",
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Open => "Open",
            Key::Passphrase(_) => "Passphrase(hidden)",
            Key::Wpa3(_) => "Wpa3(hidden)",
            Key::Psk(_) => "Psk(hidden)",
        })
    }
}

/// The code that claims a new box: 4 to 64 characters. Compare it in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupCode(pub(crate) String);

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

/// What the files say about a setup code.
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
    /// The file's name; without control characters.
    pub file: String,
    /// Counted from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to write instead; never a piece of the line.
    pub words: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.words),
            None => write!(f, "{}: {}", self.file, self.words),
        }
    }
}

//! A short run of what `wifi-txt/fuzz` does for as long as one likes: files put together
//! from the pieces that matter to the reader, some of their bytes then changed.

mod oracle;

/// Pieces of files; `\x01` becomes a secret ([`oracle::MARK`]).
const PIECES: &[&str] = &[
    "network",
    "password",
    "country",
    "hidden",
    "security",
    "setup-code",
    "keep-password",
    "ssid",
    "psk",
    "key_mgmt",
    "identity",
    " = ",
    "=",
    ":",
    "＝",
    "\n",
    "\r\n",
    "\r",
    "#",
    "# ",
    "\x01",
    "\x01\x01",
    "\x01\x01\x01\x01\x01",
    "Home",
    "Küche",
    "🏠",
    "DE",
    "uk",
    "Germany",
    "yes",
    "no",
    "wpa3",
    "open",
    "wpa2-enterprise",
    "WEP",
    "\"",
    "'",
    "“",
    "”",
    "„",
    "’",
    "«",
    "»",
    " ",
    "\t",
    "\u{a0}",
    "\u{feff}",
    "\u{200b}",
    "{",
    "}",
    "network={",
    "\0",
    "\0\x01",
    "[wlan]\n",
    "[wlan]\nssid = \"Home\"\npassword = \"\x01\"\n",
    "ssid = ",
    "ssid_hex = ",
    "\"4bfc\"",
    "\"\\u0000\"",
    "'''",
    "\"\"\"",
    "true",
    "{\\rtf1",
    "PK\x03\x04",
    "network = Home\npassword = \x01\n",
    "network = a\nhidden = yes\nsecurity = wpa3\npassword = \x01\r",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "the name of your network",
];

/// A generator that is the same on every machine (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn input(&mut self) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..self.below(24) {
            text.push_str(PIECES[self.below(PIECES.len())]);
        }
        let mut bytes = match self.below(8) {
            0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            1 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            _ => text.into_bytes(),
        };
        for _ in 0..self.below(4) {
            if !bytes.is_empty() {
                let at = self.below(bytes.len());
                bytes[at] = u8::try_from(self.below(256)).unwrap();
            }
        }
        bytes.insert(0, u8::try_from(self.below(256)).unwrap());
        bytes
    }
}

#[test]
fn whatever_the_file_nothing_panics_or_leaks_and_wpa_supplicant_can_read_the_result() {
    let mut dice = Dice(2026);
    for _ in 0..6_000 {
        let input = dice.input();
        let done = std::panic::catch_unwind(|| oracle::check(&input));
        assert!(done.is_ok(), "input: {:?}", String::from_utf8_lossy(&input));
    }
}

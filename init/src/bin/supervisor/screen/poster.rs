//! What stands on the box's screen: the page's address in words and as a QR code, drawn
//! with half blocks, on a console of 80 × 25 letters or more.
//!
//! The code leads to the box's IPv4 address, not to its name: a phone that scans it has
//! nothing to type, so the address need not be short, and a browser on Android may not find
//! names in `.local` (docs/decisions/screen.md). It is dark on light, as readers expect:
//! what is drawn, in bright white, are the light modules, and the quiet zone with them. The
//! console's ground is black. A letter's cell is twice as high as wide, so two modules lie in
//! one cell. Source: console_codes(4); ISO/IEC 18004.

use qrcodegen::{QrCode, QrCodeEcc};
use std::net::Ipv4Addr;

/// The quiet zone of a QR code in modules (ISO/IEC 18004, 6.3.8).
const QUIET: i32 = 4;
/// Everything back to how a console begins, nothing on it; UTF-8; no cursor.
const CLEAN: &str = "\x1bc\x1b%G\x1b[?25l";
/// Bright white on black, and the console's own colours again.
const WHITE: &str = "\x1b[1;37;40m";
const PLAIN: &str = "\x1b[0m";
/// When the box is told to stop.
pub const STOPPING: &str =
    "\x1bc\x1b[?25l\r\n  The box is being switched off or started again.\r\n";
const NO_ADDRESS: &str = "\
  The box has no address in a home network.

  Look whether the router is on, and the network cable plugged in at both ends.
  Without a cable the box needs the network's name and password in wifi.txt on
  its card; after a minute wifi-result.txt on the card says what became of it.
";

/// What there is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poster {
    /// The box's name at home, without `.local`.
    pub name: String,
    /// Where its page is.
    pub address: Option<Ipv4Addr>,
    /// The SHA-256 of the page's certificate: 32 pairs, a colon between two.
    pub certificate: Option<String>,
}

impl Poster {
    /// The bytes for the console.
    pub fn drawn(&self) -> String {
        let Some(address) = self.address else {
            return format!("{CLEAN}\r\n{}", NO_ADDRESS.replace('\n', "\r\n"));
        };
        let code = code(&format!("http://{address}"));
        let words = self.words(address);
        let rows = code.len().max(words.len());
        let row = |index: usize| {
            let code = code.get(index).map_or("", String::as_str);
            let words = words.get(index).map_or("", String::as_str);
            format!("  {WHITE}{code}{PLAIN}  {words}\r\n")
        };
        let drawn: String = (0..rows).map(row).collect();
        // What the kernel says later scrolls below only (DECSTBM).
        let below = rows + 3;
        format!("{CLEAN}\r\n{drawn}\x1b[{below};r\x1b[{below};1H")
    }

    /// Beside the code, a line each.
    fn words(&self, address: Ipv4Addr) -> Vec<String> {
        let name = &self.name;
        let mut lines = vec![
            "Open this page on a phone or computer in".to_owned(),
            "the same network:".to_owned(),
            String::new(),
            format!("  http://{name}.local"),
            String::new(),
            "Some Android phones do not find that name.".to_owned(),
            "Then point the phone's camera at the code,".to_owned(),
            "or open".to_owned(),
            String::new(),
            format!("  http://{address}"),
        ];
        if let Some(certificate) = &self.certificate {
            lines.push(String::new());
            lines.push("page certificate SHA-256, for https:".to_owned());
            let pairs: Vec<&str> = certificate.split(':').collect();
            lines.extend(pairs.chunks(8).map(|part| format!("  {}", part.join(":"))));
        }
        lines
    }
}

/// A QR code, a line for two rows of modules; none for a text that fits no code.
fn code(text: &str) -> Vec<String> {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else {
        return Vec::new();
    };
    // Outside, where the quiet zone is, every module is light.
    let is_light = |x, y| !code.get_module(x, y);
    let around = -QUIET..code.size() + QUIET;
    let cell = |x, y| match (is_light(x, y), is_light(x, y + 1)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    };
    let row = |y| around.clone().map(|x| cell(x, y)).collect();
    around.clone().step_by(2).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rqrr::PreparedImage;

    fn poster(name: &str, address: [u8; 4]) -> Poster {
        Poster {
            name: name.to_owned(),
            address: Some(address.into()),
            certificate: Some(["AB"; 32].join(":")),
        }
    }

    /// The letters on the screen, without the codes that are no letters.
    fn letters(drawn: &str) -> Vec<Vec<char>> {
        let below = drawn.rfind("\r\n").unwrap_or(drawn.len());
        let mut plain = drawn[..below].to_owned();
        for code in [CLEAN, WHITE, PLAIN, "\r"] {
            plain = plain.replace(code, "");
        }
        assert!(!plain.contains('\x1b'), "{plain:?}");
        plain.lines().map(|line| line.chars().collect()).collect()
    }

    /// What a camera reads that sees the console with the kernel's letters of 8 × 16
    /// points, of whose half blocks the upper has 7 rows.
    fn read(rows: &[Vec<char>]) -> Vec<String> {
        let is_white = |x: usize, y: usize| {
            let letter = rows.get(y / 16).and_then(|row| row.get(x / 8));
            match letter {
                Some('█') => true,
                Some('▀') => y % 16 < 7,
                Some('▄') => y % 16 >= 7,
                _ => false,
            }
        };
        let mut image =
            PreparedImage::prepare_from_greyscale(
                640,
                480,
                |x, y| {
                    if is_white(x, y) { 255 } else { 0 }
                },
            );
        let found = image.detect_grids().into_iter();
        found.map(|grid| grid.decode().unwrap().1).collect()
    }

    #[test]
    fn the_code_on_the_screen_leads_to_the_address() {
        for address in [[10, 0, 2, 15], [192, 168, 77, 150], [255; 4]] {
            let shown = letters(&poster("projectx", address).drawn());
            let [a, b, c, d] = address;
            assert_eq!(read(&shown), [format!("http://{a}.{b}.{c}.{d}")]);
        }
    }

    #[test]
    fn a_camera_sees_no_code_where_a_module_s_row_is_missing() {
        let mut shown = letters(&poster("projectx", [10, 0, 2, 15]).drawn());
        shown.truncate(12);
        assert!(read(&shown).is_empty());
    }

    #[test]
    fn all_of_it_fits_the_smallest_console() {
        let shown = letters(&poster("projectx-9999", [255; 4]).drawn());
        assert!(shown.len() < 25, "{} lines", shown.len());
        for line in &shown {
            assert!(line.len() <= 80, "{}", line.iter().collect::<String>());
        }
        let nothing = Poster {
            address: None,
            ..poster("projectx", [0; 4])
        };
        for line in letters(&nothing.drawn()) {
            assert!(line.len() < 80, "{}", line.iter().collect::<String>());
        }
    }

    #[test]
    fn name_address_and_certificate_stand_beside_the_code() {
        let shown = letters(&poster("projectx-2", [192, 168, 77, 9]).drawn());
        let words: Vec<String> = shown
            .iter()
            .map(|line| line.iter().filter(|c| c.is_ascii()).collect::<String>())
            .map(|line| line.trim().to_owned())
            .collect();
        let pairs = ["AB"; 8].join(":");
        for expected in ["http://projectx-2.local", "http://192.168.77.9"] {
            assert_eq!(words.iter().filter(|line| *line == expected).count(), 1);
        }
        assert_eq!(words.iter().filter(|line| **line == pairs).count(), 4);
    }
}

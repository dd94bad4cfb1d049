//! What stands on the box's screen, in a picture of it (PPM, ppm(5)) that QEMU took.
//!
//! A QR code is read as a phone reads it. Text is not recognised but compared, without
//! knowing the font: on a Linux console of 8 × 16 points a letter, every letter has one
//! picture and every picture stands for one letter.

use rqrr::PreparedImage;
use std::collections::HashMap;

/// A letter's cell.
const WIDE: usize = 8;
const HIGH: usize = 16;
/// Darker is the ground: a console's letters are 170 of 255 or more.
const LIGHT: u32 = 64;

/// A picture in shades of grey.
#[derive(Debug, Clone)]
pub struct Screen {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

/// One letter's picture: a row of points a byte.
type Picture = [u8; HIGH];

impl Screen {
    /// Reads a picture in colours of 8 bits; `None` if it is something else.
    pub fn parse(ppm: &[u8]) -> Option<Self> {
        let mut rest = ppm;
        let mut word = || -> Option<&str> {
            let length = rest.iter().position(u8::is_ascii_whitespace)?;
            let word = std::str::from_utf8(&rest[..length]).ok()?;
            rest = &rest[length + 1..];
            Some(word)
        };
        if word()? != "P6" {
            return None;
        }
        let width: usize = word()?.parse().ok()?;
        let height: usize = word()?.parse().ok()?;
        if word()? != "255" || rest.len() != width.checked_mul(height)?.checked_mul(3)? {
            return None;
        }
        let points = rest.as_chunks::<3>().0.iter();
        let grey = points
            .map(|[r, g, b]| r.midpoint(*b).midpoint(*g))
            .collect();
        Some(Self {
            width,
            height,
            grey,
        })
    }

    /// What the QR codes on it say; one that cannot be read is left out.
    pub fn codes(&self) -> Vec<String> {
        let point = |x: usize, y: usize| self.grey[y * self.width + x];
        let mut image = PreparedImage::prepare_from_greyscale(self.width, self.height, point);
        let grids = image.detect_grids().into_iter();
        grids
            .filter_map(|grid| grid.decode().ok())
            .map(|(_, text)| text)
            .collect()
    }

    /// Whether these lines stand somewhere on it, one below the other, each from the same
    /// column to the screen's end. The more letters, the less chance.
    pub fn shows(&self, lines: &[&str]) -> bool {
        let (columns, rows) = (self.width / WIDE, self.height / HIGH);
        let longest = lines.iter().map(|line| line.chars().count()).max();
        let (Some(right), Some(below)) = (
            longest.and_then(|longest| columns.checked_sub(longest)),
            rows.checked_sub(lines.len()),
        ) else {
            return false;
        };
        (0..=below).any(|row| (0..=right).any(|column| self.stands_at(row, column, lines)))
    }

    fn stands_at(&self, row: usize, column: usize, lines: &[&str]) -> bool {
        let mut picture_of = HashMap::new();
        let mut letter_of = HashMap::new();
        let blanks = std::iter::repeat(' ');
        lines.iter().enumerate().all(|(index, line)| {
            let cells = column..self.width / WIDE;
            cells
                .zip(line.chars().chain(blanks.clone()))
                .all(|(column, letter)| {
                    let picture = self.picture(row + index, column);
                    *picture_of.entry(letter).or_insert(picture) == picture
                        && *letter_of.entry(picture).or_insert(letter) == letter
                })
        })
    }

    fn picture(&self, row: usize, column: usize) -> Picture {
        std::array::from_fn(|y| {
            let from = (row * HIGH + y) * self.width + column * WIDE;
            let points = self.grey[from..from + WIDE].iter();
            points.fold(0, |byte, point| {
                byte << 1 | u8::from(u32::from(*point) > LIGHT)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A console of 20 × 4 letters whose font is made up: a letter's number in each row,
    /// a blank for a blank.
    fn screen(lines: [&str; 4]) -> Screen {
        let mut ppm = b"P6\n160 64\n255\n".to_vec();
        for line in lines {
            for y in 0..16_u8 {
                for letter in line.chars().chain(std::iter::repeat(' ')).take(20) {
                    let code = if letter == ' ' { 0 } else { letter as u8 ^ y };
                    for x in (0..8).rev() {
                        ppm.extend([if code >> x & 1 == 1 { 170 } else { 0 }; 3]);
                    }
                }
            }
        }
        Screen::parse(&ppm).unwrap()
    }

    #[test]
    fn lines_are_found_where_they_stand() {
        let screen = screen(["boot", "  the card is locked", "  nothing changed", ""]);
        assert!(screen.shows(&["the card is locked", "nothing changed"]));
        assert!(screen.shows(&["nothing changed", ""]));
    }

    #[test]
    fn other_words_and_cut_off_ones_are_not_found() {
        let screen = screen(["boot", "  the card is locked", "  nothing changed", ""]);
        for lines in [
            ["the card is broken", "nothing changed"],
            ["the card is locked", "nothing change"],
            ["the card is locked", "nothing changed."],
            ["nothing changed", "the card is locked"],
        ] {
            assert!(!screen.shows(&lines), "{lines:?}");
        }
        assert!(!screen.shows(&["a line that is longer than the screen is wide"]));
        assert!(!screen.shows(&["a", "b", "c", "d", "e"]));
    }

    #[test]
    fn what_is_no_whole_picture_is_refused() {
        for ppm in [
            &b""[..],
            b"P6\n1 1\n255\n..",
            b"P5\n1 1\n255\n...",
            b"P6\n1 1\n65535\n...",
            b"P6\n99999999999 99999999999\n255\n...",
        ] {
            assert!(Screen::parse(ppm).is_none());
        }
        assert!(Screen::parse(b"P6\n1 1\n255\n...").is_some());
    }
}

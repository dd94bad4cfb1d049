//! Bytes to lines, whatever editor wrote them, and back.
//!
//! UTF-8 and UTF-16 in both orders, with and without a mark; lines that end as on
//! Windows (CR LF), on Unix (LF) or on old Macs (CR). Documents that only look like
//! text in their program (RTF, Word, PDF, HTML) are told apart and refused.

/// The largest file that is read, in bytes. Nobody types more.
pub const LIMIT: usize = 64 * 1024;

/// How the file's characters are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, or something of one byte a character, which then shows as a broken line.
    Utf8 {
        /// Whether a byte order mark stands in front.
        mark: bool,
    },
    /// UTF-16.
    Utf16 {
        /// Whether the more significant byte comes first.
        big: bool,
        /// Whether a byte order mark stands in front.
        mark: bool,
    },
}

/// A file as bytes that are UTF-8 wherever that was possible, without its mark.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// How to write it back.
    pub encoding: Encoding,
    /// The content; a line of it may not be UTF-8.
    pub bytes: Vec<u8>,
}

/// Why a file is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotText {
    /// Rich Text Format, what `TextEdit` and `WordPad` like to save.
    Rtf,
    /// A document of a word processor.
    Document,
    /// A web page.
    Html,
    /// More than [`LIMIT`] bytes.
    TooLong,
}

impl NotText {
    /// What to tell the owner.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Rtf => {
                "this is a rich text file (RTF), not plain text; save it as plain text (in \
                 TextEdit: Format, Make Plain Text; in WordPad: Save as, Text document)"
            }
            Self::Document => {
                "this is a document of a word processor, not plain text; write it with a plain \
                 editor (Notepad, TextEdit) or save it as \"Plain text (.txt)\""
            }
            Self::Html => "this is a web page, not plain text; save it as plain text",
            Self::TooLong => {
                "this file is longer than 64 KiB, so it is not what a person typed; take the \
                 template from the download again"
            }
        }
    }
}

/// Reads the bytes of a file.
///
/// # Errors
/// The file is no plain text.
pub fn decode(file: &[u8]) -> Result<Decoded, NotText> {
    if file.len() > LIMIT {
        return Err(NotText::TooLong);
    }
    // Such a file's zeros may look like UTF-16.
    if let Some(document) = document(file) {
        return Err(document);
    }
    let encoding = encoding_of(file);
    let bytes = match encoding {
        Encoding::Utf8 { mark } => file[if mark { 3 } else { 0 }..].to_vec(),
        Encoding::Utf16 { big, mark } => from_utf16(&file[if mark { 2 } else { 0 }..], big),
    };
    if let Some(document) = document(&bytes) {
        return Err(document);
    }
    Ok(Decoded { encoding, bytes })
}

impl Decoded {
    /// The file's bytes for this content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Utf8 { mark } => {
                let mark: &[u8] = if mark { b"\xef\xbb\xbf" } else { b"" };
                [mark, &self.bytes].concat()
            }
            Encoding::Utf16 { big, mark } => {
                let text = String::from_utf8_lossy(&self.bytes);
                let units = mark
                    .then_some(0xfeff)
                    .into_iter()
                    .chain(text.encode_utf16());
                let write = if big {
                    u16::to_be_bytes
                } else {
                    u16::to_le_bytes
                };
                units.flat_map(write).collect()
            }
        }
    }

    /// The lines without their ends, each with the place of its first byte.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = Some(0);
        std::iter::from_fn(move || {
            let from = start?;
            let rest = &self.bytes[from..];
            let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n'));
            start = end.map(|end| {
                let both = rest[end..].starts_with(b"\r\n");
                from + end + if both { 2 } else { 1 }
            });
            Some((from, &rest[..end.unwrap_or(rest.len())]))
        })
    }
}

fn encoding_of(file: &[u8]) -> Encoding {
    match file {
        [0xef, 0xbb, 0xbf, ..] => return Encoding::Utf8 { mark: true },
        [0xff, 0xfe, ..] => return utf16(false, true),
        [0xfe, 0xff, ..] => return utf16(true, true),
        _ => {}
    }
    // Without a mark: in UTF-16 nearly every other byte of such a file is zero.
    let units = file.len() / 2;
    let zeros = |at: usize| file.iter().skip(at).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = |zeros: usize| units >= 2 && zeros * 3 >= units;
    let few = |zeros: usize| zeros * 20 <= units;
    if many(odd) && few(even) {
        utf16(false, false)
    } else if many(even) && few(odd) {
        utf16(true, false)
    } else {
        Encoding::Utf8 { mark: false }
    }
}

const fn utf16(big: bool, mark: bool) -> Encoding {
    Encoding::Utf16 { big, mark }
}

fn from_utf16(bytes: &[u8], big: bool) -> Vec<u8> {
    let read = if big {
        u16::from_be_bytes
    } else {
        u16::from_le_bytes
    };
    let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    text.into_bytes()
}

fn document(bytes: &[u8]) -> Option<NotText> {
    let start = bytes.trim_ascii_start();
    let starts = |with: &[u8]| {
        let start = start.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    if starts(b"{\\rtf") {
        Some(NotText::Rtf)
    } else if starts(b"PK\x03\x04") || starts(b"\xd0\xcf\x11\xe0") || starts(b"%PDF") {
        Some(NotText::Document)
    } else if starts(b"<!doctype html") || starts(b"<html") {
        Some(NotText::Html)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_bytes(text: &str, big: bool) -> Vec<u8> {
        let write = if big {
            u16::to_be_bytes
        } else {
            u16::to_le_bytes
        };
        text.encode_utf16().flat_map(write).collect()
    }

    #[test]
    fn every_encoding_is_read_and_written_back_to_the_byte() {
        let text = "network = Küche 🏠\r\npassword = 12345678";
        for file in [
            text.as_bytes().to_vec(),
            ["\u{feff}", text].concat().into_bytes(),
            utf16_bytes(text, false),
            utf16_bytes(text, true),
            utf16_bytes(&["\u{feff}", text].concat(), false),
            utf16_bytes(&["\u{feff}", text].concat(), true),
        ] {
            let decoded = decode(&file).unwrap();
            assert_eq!(decoded.bytes, text.as_bytes());
            assert_eq!(decoded.encode(), file);
        }
        let latin = b"network = K\xfcche";
        assert_eq!(decode(latin).unwrap().encode(), latin);
    }

    #[test]
    fn lines_end_in_three_ways_and_an_empty_one_counts() {
        let decoded = decode(b"a\r\nb\rc\n\nd\r\r\ne").unwrap();
        let lines: Vec<_> = decoded.lines().collect();
        let want: [(usize, &[u8]); 7] = [
            (0, b"a"),
            (3, b"b"),
            (5, b"c"),
            (7, b""),
            (8, b"d"),
            (10, b""),
            (12, b"e"),
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn documents_are_told_from_text() {
        for (file, what) in [
            (&b"{\\rtf1\\ansi network = a}"[..], NotText::Rtf),
            (b"PK\x03\x04\x14\x00", NotText::Document),
            (b"\xd0\xcf\x11\xe0\xa1", NotText::Document),
            (b"%PDF-1.4", NotText::Document),
            (b"\n<!DOCTYPE HTML>", NotText::Html),
            (&[b'#'; LIMIT + 1], NotText::TooLong),
        ] {
            assert_eq!(decode(file).err(), Some(what));
        }
    }
}

//! The factory reset: for an owner who has neither the passphrase nor the
//! recovery key, or gives the box away.
//!
//! It needs somebody who holds the card in his hand: a file `factory-reset.txt`
//! on it has to name this very disk, by the code that the page shows. Then the
//! page asks once more. Nobody in the home network can do it alone, and a file
//! that stays on the card means nothing to the disk that is made afterwards.

use super::{Office, lock, refused, unreadable};
use crate::disk::{Disk, header_backup};
use crate::log;
use control::{Refusal, Reply};
use std::fs;
use std::io::Read;
use std::path::Path;

const CARD: &str = "/run/card";
/// How its name begins; an editor may append `.txt` once more, or `.rtf`.
const NAME: &str = "factory-reset";
/// More than this of a file is not looked at, in bytes.
const MOST: u64 = 64 << 10;

/// What the file on the card says: its letters and digits, in capitals.
#[derive(Debug, Default)]
pub(super) struct Wish(String);

impl Wish {
    /// Reads the card once: it is changed at another computer only.
    pub(super) fn read() -> Self {
        Self::read_in(Path::new(CARD))
    }

    fn read_in(card: &Path) -> Self {
        let entries = fs::read_dir(card).into_iter().flatten().flatten();
        let mut letters = String::new();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
            if !name.starts_with(NAME) {
                continue;
            }
            let mut bytes = Vec::new();
            let read = fs::File::open(entry.path())
                .and_then(|file| file.take(MOST).read_to_end(&mut bytes));
            if let Err(error) = read {
                log::line(&format!("{name}: cannot be read: {error}"));
            }
            letters.push_str(&only_letters(&bytes));
            letters.push('\n');
        }
        Self(letters)
    }

    /// Whether it asks for the reset of the disk with this code.
    pub(super) fn is_for(&self, code: &str) -> bool {
        self.0.contains(&only_letters(line(code).as_bytes()))
    }
}

/// What the owner has to write.
pub(super) fn line(code: &str) -> String {
    format!("erase {code}")
}

/// UTF-8, UTF-16 and what a text processor wraps around it look the same then.
fn only_letters(bytes: &[u8]) -> String {
    let kept = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
    kept.map(|byte| char::from(byte.to_ascii_uppercase()))
        .collect()
}

impl Office {
    pub(super) fn factory_reset(&self) -> Reply {
        match self.disk.is_claimed() {
            Ok(true) if !self.disk.is_open() => {}
            Ok(_) => {
                let words = "Only a locked box can be reset. Restart it first.";
                return refused(Refusal::WrongState, words, 0);
            }
            Err(error) => return unreadable(&error),
        }
        let asked = self
            .disk
            .reset_code()
            .is_some_and(|code| self.reset.is_for(&code));
        if !asked {
            let words = "The card does not ask for this. Write the file factory-reset.txt as the \
                         page says, and start the box with the card again.";
            return refused(Refusal::WrongState, words, 0);
        }
        log::line("disk: factory reset");
        // First, so that a power cut leaves no backup that opens what is still there.
        if let Err(error) = Disk::remove_header_backup() {
            log::line(&format!("disk: the backup of its header stays: {error}"));
            let words = format!(
                "Nothing was destroyed yet: the file {} on the card could not be deleted ({error}). \
                 Switch the box off, delete that file at a computer, and try again.",
                header_backup::NAME
            );
            return refused(Refusal::Failed, &words, 0);
        }
        match self.disk.erase() {
            Ok(()) => {
                lock(&self.attempts).right();
                log::line("disk: its keys are destroyed");
                Reply::Done
            }
            Err(error) => {
                log::line(&format!("disk: {error}"));
                let words = format!("The keys could not be destroyed: {error}. Try again.");
                refused(Refusal::Failed, &words, 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "3F2A-91C4";

    fn wish(name: &str, bytes: &[u8]) -> Wish {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        Wish::read_in(folder.path())
    }

    #[test]
    fn the_file_is_understood_as_people_write_it() {
        let utf16: Vec<u8> = "\u{feff}erase 3F2A-91C4\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (name, bytes) in [
            ("factory-reset.txt", &b"erase 3F2A-91C4"[..]),
            ("Factory-Reset.txt.txt", b"\xef\xbb\xbfErase 3f2a-91c4\r\n"),
            ("factory-reset.txt", b"\"erase 3f2a 91c4\""),
            ("factory-reset.rtf", b"{\\rtf1 \\f0 erase 3F2A-91C4}"),
            ("FACTORY-RESET.TXT", &utf16),
        ] {
            assert!(wish(name, bytes).is_for(CODE), "{name}: {bytes:?}");
        }
    }

    #[test]
    fn another_disk_s_file_or_none_asks_for_nothing() {
        for (name, bytes) in [
            ("factory-reset.txt", &b"erase 3F2A-91C5"[..]),
            ("factory-reset.txt", b"erase"),
            ("factory-reset.txt", b"3F2A-91C4"),
            ("factory-reset.txt", b""),
            ("wifi.txt", b"erase 3F2A-91C4"),
        ] {
            assert!(!wish(name, bytes).is_for(CODE), "{name}: {bytes:?}");
        }
        assert!(!Wish::default().is_for(CODE));
    }
}

//! Which file on the card is read, and which one wins.
//!
//! People save `wifi.txt` as `wifi.txt.txt`, `WiFi.TXT`, `wifi.rtf`, `wifi (1).txt`. All of
//! them are looked at, in the order of [`rank`], then what Raspberry Pi Imager wrote. The
//! first file that names a network wins; the template, whose lines all begin with `#`, does
//! not name one. What a further file says about networks is ignored and that is said. A
//! setup code counts wherever it stands: whoever wrote one must not find the box open.

use crate::decode::{self, NotText};
use crate::imager;
use crate::lines::{self, Said};
use crate::network::{Problem, SetupCodeLine, WifiTxt};

/// A file in the top folder of the card.
#[derive(Clone, PartialEq, Eq)]
pub struct CardFile {
    /// Its name there.
    pub name: String,
    /// Its bytes; one byte more than [`decode::LIMIT`] is enough of a long file.
    pub bytes: Vec<u8>,
}

/// What stands behind a file's name while the box changes it: should the power go in the
/// middle, this copy is whole. It is asked after the files of its kind.
pub const IN_WORK: &str = ".new";

/// Whether the box reads a file of this name.
#[must_use]
pub fn is_candidate(name: &str) -> bool {
    rank(name).is_some()
}

/// The place of a file in the order in which they are asked; 0 comes first.
fn rank(name: &str) -> Option<u8> {
    let name = name.to_lowercase();
    match name.as_str() {
        "wifi.txt" => return Some(0),
        "wifi.txt.txt" => return Some(1),
        "rpi-preseed.toml" => return Some(4),
        "custom.toml" => return Some(5),
        // Our own answer, and what a Mac keeps beside each file.
        "wifi-result.txt" => return None,
        name if name.starts_with("._") => return None,
        _ => {}
    }
    if let Some(name) = name.strip_suffix(IN_WORK) {
        return rank(name).map(|rank| if rank < 4 { 3 } else { 6 });
    }
    let (stem, end) = name.split_once('.').unwrap_or((&name, ""));
    // "wifi (1)", "wifi - copy", "Kopie von wifi", "wi-fi", "wlan".
    let word = |word: &&str| ["wifi", "wi-fi", "wlan"].contains(word);
    let named = stem.split([' ', '(', '_']).any(|part| word(&part.trim()));
    let kinds = [
        "", "txt", "text", "rtf", "txt.rtf", "rtf.txt", "doc", "docx", "txt.docx", "odt",
    ];
    let known = kinds.contains(&end) || ["pages", "html", "htm", "txt.html"].contains(&end);
    (named && known).then_some(2)
}

/// Whether a file of this name is one of Raspberry Pi Imager's.
pub(crate) fn is_toml(name: &str) -> bool {
    rank(name).is_some_and(|rank| rank >= 4)
}

/// Reads the files. All that is right is returned, together with all that is wrong.
/// Files that the box does not read are passed over.
#[must_use]
pub fn read(files: &[CardFile]) -> WifiTxt {
    let mut files: Vec<_> = files
        .iter()
        .filter_map(|file| Some((rank(&file.name)?, file)))
        .collect();
    files.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
    let mut result = WifiTxt::default();
    for (rank, file) in files {
        let (said, whole) = read_one(rank, file);
        let name: String = file
            .name
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        let problem = |line, words| Problem {
            file: name.clone(),
            line,
            words,
        };
        result
            .problems
            .extend(whole.map(|what| problem(None, what.words().to_owned())));
        let usable_later = result.wants_network && said.wants_network;
        if usable_later && [3, 6].contains(&rank) {
            // The change that it was for has been finished.
        } else if usable_later {
            let words = format!(
                "its networks are not used, because {} names some",
                result.file
            );
            result.problems.push(problem(None, words));
        } else {
            let lines = said.problems.into_iter();
            result
                .problems
                .extend(lines.map(|(line, words)| problem(Some(line), words)));
        }
        if said.wants_network && !result.wants_network {
            result.networks = said.networks;
            result.wants_network = true;
            result.file.clone_from(&name);
        }
        result.country = result.country.or(said.country);
        result.keep_password |= said.keep_password == Some(true);
        result.setup_code = match (result.setup_code, said.setup_code) {
            (SetupCodeLine::Given(code), _) => SetupCodeLine::Given(code),
            (_, SetupCodeLine::Given(code)) => SetupCodeLine::Given(code),
            (SetupCodeLine::Absent, SetupCodeLine::Absent) => SetupCodeLine::Absent,
            _ => SetupCodeLine::Unusable,
        };
    }
    if !result.networks.is_empty() && result.country.is_none() {
        result.problems.push(Problem {
            file: result.file.clone(),
            line: None,
            words: "no country is given, so only channels that are free everywhere are used, and \
                    a network on 5 GHz may not be found; write for example: country = DE"
                .into(),
        });
    }
    result
}

fn read_one(rank: u8, file: &CardFile) -> (Said, Option<NotText>) {
    match decode::decode(&file.bytes) {
        Ok(text) if rank >= 4 => (imager::read(&text), None),
        Ok(text) => (lines::read(&text), None),
        Err(what) => {
            let wants_code = match what {
                // In the clear in both, and the template's own line is a comment.
                NotText::Rtf | NotText::Html => String::from_utf8_lossy(&file.bytes)
                    .to_lowercase()
                    .lines()
                    .any(|line| line.split('#').next().is_some_and(|l| l.contains("setup"))),
                NotText::Document | NotText::TooLong => true,
            };
            let said = Said {
                setup_code: match wants_code && rank < 4 {
                    true => SetupCodeLine::Unusable,
                    false => SetupCodeLine::Absent,
                },
                ..Said::default()
            };
            (said, Some(what))
        }
    }
}

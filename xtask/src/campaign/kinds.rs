//! What the messages of a campaign are, and how their senders behave: by the
//! message's number alone, so that a run that goes on sends what it would have.

use std::fmt::Write as _;

/// What a sender does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A letter of so many bytes.
    Letter(usize),
    /// Text and HTML of so many bytes each.
    Newsletter(usize),
    /// A letter with a file of so many bytes.
    Attachment(usize),
    /// Has the sentence that every SpamAssassin takes for spam.
    Spam,
    /// Says a size beyond the limit.
    SaysTooBig,
    /// Sends more than the limit.
    IsTooBig,
    /// Closes the connection amid the message.
    HangsUp,
    /// Resets the connection amid the message.
    Resets,
    /// Goes after the greeting.
    Goes,
    /// Sends what is no TLS where TLS begins.
    NoTls,
    /// Writes to nobody here.
    WrongAddress,
    /// Ends lines with LF alone.
    BareLf,
    /// Uses a domain that lets nobody send.
    Forged,
    /// Sends all of it and is gone before the answer.
    DoesNotWait,
}

/// How often a message may be in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Once, as it was answered with 250.
    Once,
    /// It was not answered: once or not at all.
    AtMostOnce,
    /// It was not sent whole, or refused.
    Never,
}

impl Kind {
    /// What the sender of message `number` does.
    pub fn of(number: u64) -> Self {
        let dice = mixed(number);
        let size = |least: u64, most: u64| (least + dice % (most - least)) as usize;
        match number % 50 {
            0..=34 => Self::Letter(size(200, 4_000)),
            35..=36 => Self::Newsletter(size(1_000, 4_000)),
            37 => Self::Attachment(size(10_000, 60_000)),
            38..=40 => Self::Spam,
            41 if number % 500 == 241 => Self::IsTooBig,
            41 => Self::SaysTooBig,
            42 => Self::HangsUp,
            43 => Self::Resets,
            44 => Self::Goes,
            45 => Self::NoTls,
            46 => Self::WrongAddress,
            47 => Self::BareLf,
            48 => Self::Forged,
            _ => Self::DoesNotWait,
        }
    }

    /// What shall come of it.
    pub fn expected(self) -> Expected {
        match self {
            Self::Letter(_) | Self::Newsletter(_) | Self::Attachment(_) | Self::Spam => {
                Expected::Once
            }
            Self::DoesNotWait => Expected::AtMostOnce,
            _ => Expected::Never,
        }
    }
}

/// The field of the header that holds a message's own mark.
pub const MARK: &str = "X-Campaign";

/// The message, lines ending with CR LF; `mark` stands in its header.
pub fn message(number: u64, kind: Kind, mark: &str, from: &str, to: &str) -> Vec<u8> {
    let mut text = format!(
        "From: Ada Archer <{from}>\r\nTo: <{to}>\r\nSubject: Number {number} of the campaign\r\n\
         Date: Tue, 24 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{mark}@plain.example>\r\n\
         {MARK}: {mark}\r\nMIME-Version: 1.0\r\n"
    );
    let plain = |body: &str| format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{body}");
    let parts = |kind: &str, parts: [String; 2]| {
        let [one, two] = parts;
        format!(
            "Content-Type: multipart/{kind}; boundary=\"=_part\"\r\n\r\n--=_part\r\n{one}\r\n\
             --=_part\r\n{two}\r\n--=_part--\r\n"
        )
    };
    text += &match kind {
        Kind::Letter(size) => plain(&words(number, size)),
        Kind::Newsletter(size) => {
            let body = words(number, size);
            let html = format!(
                "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n{body}</body></html>\r\n"
            );
            parts("alternative", [plain(&body), html])
        }
        Kind::Attachment(size) => {
            let mut file = String::from(
                "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n",
            );
            let mut seed = number;
            while file.len() < size {
                for _ in 0..4 {
                    seed = mixed(seed);
                    let _ = write!(file, "{seed:016x}");
                }
                file += "\r\n";
            }
            parts("mixed", [plain(&words(number, 400)), file])
        }
        Kind::Spam => {
            plain("XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n")
        }
        Kind::BareLf => plain("one line\nand another\r\n"),
        _ => plain(&words(number, 800)),
    };
    text.into_bytes()
}

const WORDS: [&str; 16] = [
    "garden", "letter", "evening", "please", "river", "Tuesday", "bread", "station", "the",
    "answer", "photo", "before", "and", "school", "table", "with",
];

/// Lines of words, at least `size` bytes in all.
fn words(seed: u64, size: usize) -> String {
    let (mut text, mut dice) = (String::new(), seed);
    while text.len() < size {
        for _ in 0..9 {
            dice = mixed(dice);
            text += WORDS[(dice % WORDS.len() as u64) as usize];
            text.push(' ');
        }
        text += "so.\r\n";
    }
    text
}

/// Another number for each (splitmix64, Steele and others, "Fast splittable
/// pseudorandom number generators").
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_numbers_have_every_kind_and_most_are_delivered() {
        let kinds: Vec<Kind> = (0..500).map(Kind::of).collect();
        let count = |expected| {
            let such = kinds.iter().filter(|kind| kind.expected() == expected);
            such.count()
        };
        assert_eq!(count(Expected::Once), 410);
        assert_eq!(count(Expected::AtMostOnce), 10);
        let too_big = kinds.iter().filter(|kind| **kind == Kind::IsTooBig);
        assert_eq!(too_big.count(), 1);
    }

    #[test]
    fn a_message_is_the_same_each_time_and_has_lines_that_smtp_allows() {
        for number in 0..50 {
            let make = || {
                message(
                    number,
                    Kind::of(number),
                    "r-1",
                    "a@plain.example",
                    "b@home.example",
                )
            };
            let made = make();
            assert_eq!(made, make());
            let text = String::from_utf8(made).unwrap();
            assert!(text.contains("X-Campaign: r-1\r\n") && text.ends_with("\r\n"));
            assert!(text.lines().all(|line| line.len() < 998));
            let bare = text.matches('\n').count() != text.matches("\r\n").count();
            assert_eq!(bare, Kind::of(number) == Kind::BareLf);
        }
    }
}

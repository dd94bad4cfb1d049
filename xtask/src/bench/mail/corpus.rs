//! Twenty messages of the kinds that people get, made here: short notes, long
//! letters, newsletters in HTML, documents and photos attached, and what tries
//! to sell. 1 KB to 200 KB. The same on every run, so that results compare.

use std::fmt::Write as _;

/// Words of ordinary mail; which come in what order is drawn.
const WORDS: [&str; 64] = [
    "the", "we", "and", "to", "of", "a", "in", "meeting", "Tuesday", "garden", "letter", "will",
    "report", "train", "before", "after", "school", "please", "look", "at", "enclosed", "photo",
    "weather", "river", "evening", "invoice", "number", "paid", "thanks", "for", "your", "answer",
    "table", "bread", "morning", "call", "me", "when", "you", "arrive", "station", "house", "roof",
    "again", "window", "summer", "children", "their", "bicycle", "road", "north", "village",
    "plan", "budget", "version", "draft", "comments", "until", "Friday", "kind", "regards",
    "office", "number", "mill",
];
/// Words of mail that nobody asked for.
const OFFERS: [&str; 24] = [
    "FREE",
    "guarantee",
    "click",
    "here",
    "now",
    "offer",
    "limited",
    "winner",
    "cash",
    "bonus",
    "cheap",
    "pills",
    "unsubscribe",
    "act",
    "today",
    "100%",
    "risk",
    "investment",
    "million",
    "dollars",
    "urgent",
    "confidential",
    "discount",
    "order",
];

/// What a message is made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Plain text of so many bytes.
    Text(usize),
    /// Text and HTML of so many bytes each.
    Newsletter(usize),
    /// A note with a file of so many bytes.
    Attachment(usize),
    /// An offer, text of so many bytes.
    Offer(usize),
}

/// Half are short, as with people's mail; the sizes are before base64.
const KINDS: [Kind; 20] = [
    Kind::Text(600),
    Kind::Offer(1_200),
    Kind::Text(1_500),
    Kind::Newsletter(4_000),
    Kind::Text(900),
    Kind::Attachment(24_000),
    Kind::Text(2_400),
    Kind::Offer(900),
    Kind::Newsletter(7_000),
    Kind::Text(1_100),
    Kind::Text(5_000),
    Kind::Attachment(140_000),
    Kind::Offer(2_500),
    Kind::Text(700),
    Kind::Newsletter(3_000),
    Kind::Text(1_800),
    Kind::Text(12_000),
    Kind::Attachment(60_000),
    Kind::Text(1_300),
    Kind::Offer(1_600),
];

/// The messages, lines ending with CR LF.
pub fn messages(sender: &str, recipient: &str) -> Vec<Vec<u8>> {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let kinds = KINDS.iter().enumerate();
    kinds
        .map(|(number, kind)| message(number, *kind, sender, recipient, &mut dice).into_bytes())
        .collect()
}

fn message(number: usize, kind: Kind, sender: &str, recipient: &str, dice: &mut Dice) -> String {
    let host = sender.rsplit('@').next().unwrap_or(sender);
    let words: &[&str] = match kind {
        Kind::Offer(_) => &OFFERS,
        _ => &WORDS,
    };
    let subject = dice.words(words, 5);
    let mut text = format!(
        "From: Ada Archer <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n\
         Date: Tue, 24 Nov 2026 09:{number:02}:00 +0000\r\n\
         Message-ID: <bench.{number}@{host}>\r\nMIME-Version: 1.0\r\n"
    );
    match kind {
        Kind::Text(size) => text += &plain(&dice.text(&WORDS, size)),
        Kind::Offer(size) => {
            let body = dice.text(&OFFERS, size);
            text += &plain(&format!("{body}http://offers.example/{number}\r\n"));
        }
        Kind::Newsletter(size) => {
            let parts = [
                plain(&dice.text(&WORDS, size)),
                format!(
                    "Content-Type: text/html; charset=utf-8\r\n\r\n{}",
                    html(&dice.text(&WORDS, size))
                ),
            ];
            text += &multipart("alternative", &parts);
        }
        Kind::Attachment(size) => {
            let note = plain(&dice.text(&WORDS, 500));
            let file = format!(
                "Content-Type: image/jpeg; name=\"photo.jpg\"\r\n\
                 Content-Disposition: attachment; filename=\"photo.jpg\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{}",
                base64(&dice.bytes(size))
            );
            text += &multipart("mixed", &[note, file]);
        }
    }
    text
}

fn plain(body: &str) -> String {
    format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{body}")
}

fn multipart(kind: &str, parts: &[String]) -> String {
    let mut text = format!("Content-Type: multipart/{kind}; boundary=\"=_part\"\r\n\r\n");
    for part in parts {
        let _ = write!(text, "--=_part\r\n{part}\r\n");
    }
    text + "--=_part--\r\n"
}

fn html(body: &str) -> String {
    let mut text = String::from("<html><body><h1>News</h1>\r\n");
    for line in body.lines() {
        let _ = write!(
            text,
            "<p>{line} <a href=\"https://news.example/\">more</a></p>\r\n"
        );
    }
    text + "</body></html>\r\n"
}

/// Lines of 76 characters (RFC 2045 section 6.8).
fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    let mut text = String::new();
    for line in bytes.chunks(57) {
        base64::engine::general_purpose::STANDARD.encode_string(line, &mut text);
        text += "\r\n";
    }
    text
}

/// The same numbers on every run: xorshift64 (Marsaglia, "Xorshift RNGs").
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn words(&mut self, from: &[&str], count: usize) -> String {
        let mut drawn = || from[(self.roll() % from.len() as u64) as usize];
        (0..count).map(|_| drawn()).collect::<Vec<_>>().join(" ")
    }

    /// Lines of ten words each, at least `size` bytes in all.
    fn text(&mut self, from: &[&str], size: usize) -> String {
        let mut text = String::new();
        while text.len() < size {
            text += &self.words(from, 10);
            text += ".\r\n";
        }
        text
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.roll().to_le_bytes()[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_the_same_on_every_run_and_of_every_size() {
        let made = messages("ada@sender.example", "anna@home.example");
        assert_eq!(made, messages("ada@sender.example", "anna@home.example"));
        assert_eq!(made.len(), 20);
        let mut sizes: Vec<usize> = made.iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert!(sizes[0] < 1_500 && sizes[10] < 4_000, "{sizes:?}");
        assert!((150_000..210_000).contains(&sizes[19]), "{sizes:?}");
    }

    #[test]
    fn every_line_is_one_that_smtp_allows() {
        let made = messages("ada@sender.example", "anna@home.example");
        for (number, message) in made.iter().enumerate() {
            let text = std::str::from_utf8(message).unwrap();
            assert!(text.ends_with("\r\n"), "{number}");
            // No line that SMTP forbids (RFC 5321 section 4.5.3.1.6).
            assert!(text.lines().all(|line| line.len() < 998), "{number}");
            assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        }
    }
}

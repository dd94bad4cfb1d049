//! Messages that the tests send, each with a sentence of its own by which it
//! is found again: in a folder, or where it should not be.

use super::internet::Host;
use anyhow::{Result, ensure};
use std::sync::{Mutex, PoisonError};

/// What makes every spam filter call a message spam
/// (SpamAssassin's documentation, "GTUBE").
pub(super) const GTUBE: &str =
    "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// The names of header fields that are added on the way in, each of them first.
const ADDED: [&str; 10] = [
    "return-path",
    "delivered-to",
    "received",
    "authentication-results",
    "x-spam-flag",
    "x-spam-status",
    "x-spam-report",
    "x-spam-level",
    "x-projectx-receipt",
    "x-projectx-tokens",
];

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// What it says; no other message does.
    pub(super) sentence: String,
    /// The whole message, lines ending with CR LF.
    pub(super) bytes: Vec<u8>,
}

/// The sentences of all that this process has written.
static WRITTEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What the letters of this process say, each once.
pub(super) fn sent() -> Vec<String> {
    let mut all = WRITTEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    all.sort_unstable();
    all.dedup();
    all
}

/// An ordinary message of `from`, who writes from `host`.
pub(super) fn letter(host: Host, from: &str, to: &str, subject: &str) -> Letter {
    // Words that an ordinary text has, and no two texts in this order.
    let sentence = format!("The heron of {subject} waits for the tide behind the old mill.");
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written.push(sentence.clone());
    drop(written);
    let id = subject.replace(' ', ".");
    let name = host.name;
    let text = format!(
        "From: Ada Archer <{from}>\r\n\
         To: <{to}>\r\n\
         Subject: {subject}\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{name}>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         Hello,\r\n\
         \r\n\
         {sentence}\r\n\
         .a line that begins with a dot,  two spaces, and a blank at its end \r\n\
         \tand Grüße from Zürich.\r\n",
        date = now(),
    );
    Letter {
        sentence,
        bytes: text.into_bytes(),
    }
}

/// The same with [`GTUBE`] in its body.
pub(super) fn spam(host: Host, from: &str, to: &str, subject: &str) -> Letter {
    let mut letter = letter(host, from, to, subject);
    letter.bytes.extend_from_slice(GTUBE.as_bytes());
    letter.bytes.extend_from_slice(b"\r\n");
    letter
}

/// The header that was put before `sent` on its way; an error if anything else
/// has changed.
pub(super) fn added_header(got: &[u8], sent: &[u8]) -> Result<String> {
    ensure!(
        got.ends_with(sent),
        "not what was sent: {:?} instead of {:?}",
        String::from_utf8_lossy(got),
        String::from_utf8_lossy(sent)
    );
    let added = String::from_utf8(got[..got.len() - sent.len()].to_vec())?;
    ensure!(
        added.ends_with("\r\n"),
        "no whole lines were added: {added:?}"
    );
    for line in added.split_terminator("\r\n") {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let ours = line.starts_with([' ', '\t']) || ADDED.contains(&name.as_str());
        ensure!(ours, "a header field that nobody should add: {line}");
    }
    Ok(added)
}

/// The one message that holds the sentence.
pub(super) fn find<'a>(messages: &'a [Vec<u8>], sentence: &str) -> Result<&'a [u8]> {
    let found: Vec<_> = messages
        .iter()
        .filter(|message| memchr::memmem::find(message, sentence.as_bytes()).is_some())
        .collect();
    ensure!(
        found.len() == 1,
        "{} of {} messages say {sentence:?}",
        found.len(),
        messages.len()
    );
    Ok(found[0])
}

/// The host's time as RFC 5322 section 3.3 writes it, in UTC.
pub fn now() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds)
}

fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days are counted from 1 March of the year 0, so that a leap day is a
    // year's last ("chrono-Compatible Low-Level Date Algorithms", Hinnant).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_mail_wants_it() {
        // date -Ru -d @N
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(date(1_795_525_407), "Tue, 24 Nov 2026 13:03:27 +0000");
    }

    #[test]
    fn an_added_header_is_told_from_a_changed_message() {
        let sent = b"Subject: x\r\n\r\nbody\r\n";
        let got = [&b"Received: from a\r\n\tby b\r\n"[..], sent].concat();
        assert_eq!(
            added_header(&got, sent).unwrap(),
            "Received: from a\r\n\tby b\r\n"
        );
        let other = [&b"X-Tracker: 1\r\n"[..], sent].concat();
        added_header(&other, sent).unwrap_err();
        added_header(b"Subject: x\r\n\r\nbody \r\n", sent).unwrap_err();
    }

    #[test]
    fn a_message_that_came_twice_or_not_at_all_is_not_found() {
        let messages = [b"one heron".to_vec(), b"two herons".to_vec()];
        assert_eq!(find(&messages, "two").unwrap(), b"two herons");
        find(&messages, "heron").unwrap_err();
        find(&messages, "three").unwrap_err();
    }
}

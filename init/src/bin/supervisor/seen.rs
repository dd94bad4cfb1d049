//! What the mail service has seen of others, for the page: who was refused for want of
//! TLS, and what others report.
//!
//! All of it is a stranger's word or address, so it is bounded and in no log. It is in
//! one file on the encrypted disk, written a minute after a change at the soonest: whoever
//! knocks a thousand times does not wear the card out. A power cut loses that minute.

use crate::disk::MOUNT_POINT;
use crate::log;
use control::Reports;
use control::inbound::{RefusedPeer, ReportLine};
use services::clock::rfc3339;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use whole_file::WholeFile;

/// The front that strangers' mail comes to, and its word for one that would not use TLS.
pub const REFUSED: (&str, &str) = ("smtp-in", "no-tls");
/// How the sandboxes are called that read reports, and how what they say begins.
const READER: &str = "report-";
const SAYS: &str = "report: ";
/// The most of each kind; the one that was heard of longest ago goes first.
const MOST: usize = 100;
/// The longest line of a report, in letters.
const LONGEST: usize = 240;
/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(60);

/// Both lists, in memory and on the disk.
#[derive(Debug)]
pub struct Seen {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The latest last.
    refused: Vec<Peer>,
    /// The latest last.
    reports: Vec<ReportLine>,
    /// Whether the file says something else.
    changed: bool,
    /// When it was last written.
    kept: Option<Instant>,
    /// Whether it was read, so that it may be written over.
    remembered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    from: String,
    times: u64,
    /// Seconds since 1970.
    last: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self::at(PathBuf::from(MOUNT_POINT).join("system/seen"))
    }
}

/// What a sandbox that reads reports says, if `service` is one and `words` are that.
pub fn report<'a>(service: &str, words: &'a str) -> Option<&'a str> {
    let number = service.strip_prefix(READER)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    words.strip_prefix(SAYS).filter(|_| is_number)
}

impl Seen {
    fn at(file: PathBuf) -> Self {
        let known = Mutex::default();
        Self { file, known }
    }

    /// Counts one who was refused.
    pub fn refused(&self, peer: IpAddr, now: SystemTime) {
        let (from, last) = (shown(peer), seconds(now));
        let mut known = self.lock();
        let place = known.refused.iter().position(|known| known.from == from);
        let times = place.map_or(0, |place| known.refused.remove(place).times);
        let times = times.saturating_add(1);
        known.refused.push(Peer { from, times, last });
        known.bound();
        known.changed = true;
    }

    /// Takes a line of a report down.
    pub fn reported(&self, words: &str, now: SystemTime) {
        let line = ReportLine {
            came: day(seconds(now)),
            words: printable(words),
        };
        let mut known = self.lock();
        known.reports.push(line);
        known.bound();
        known.changed = true;
    }

    /// Who was refused, the latest first.
    pub fn peers(&self) -> Vec<RefusedPeer> {
        let known = self.lock();
        let peers = known.refused.iter().rev();
        peers
            .map(|peer| RefusedPeer {
                from: peer.from.clone(),
                times: peer.times,
                last: minute(peer.last),
            })
            .collect()
    }

    /// What others report, the latest first.
    pub fn reports(&self) -> Reports {
        let lines = self.lock().reports.iter().rev().cloned().collect();
        Reports { lines }
    }

    /// Reads the file, once the disk is open, and puts it before what was seen since.
    /// A line that is none means nothing.
    pub fn remember(&self) {
        let text = match fs::read(&self.file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return log::line(&format!("{}: {error}", self.file.display())),
        };
        let mut known = self.lock();
        if known.remembered {
            return;
        }
        known.remembered = true;
        let earlier = Known::parse(&text);
        known.refused.splice(0..0, earlier.refused);
        known.reports.splice(0..0, earlier.reports);
        known.bound();
    }

    /// Writes the file when something changed and the last time is long ago.
    pub fn keep(&self, now: Instant) {
        let known = self.lock();
        let soon = known.kept.is_some_and(|kept| now < kept + PAUSE);
        if known.changed && known.remembered && !soon {
            self.write(known, now);
        }
    }

    /// Writes it at once when something changed: the box stops.
    pub fn keep_now(&self) {
        let known = self.lock();
        if known.changed && known.remembered {
            self.write(known, Instant::now());
        }
    }

    fn write(&self, mut known: MutexGuard<'_, Known>, now: Instant) {
        known.kept = Some(now);
        known.changed = false;
        let text = known.text();
        drop(known);
        if let Err(error) = self.replace(&text) {
            log::line(&format!("{}: {error}", self.file.display()));
            self.lock().changed = true;
        }
    }

    /// There is the one or the other after a power cut.
    fn replace(&self, text: &str) -> io::Result<()> {
        let folder = self.file.parent().ok_or(io::ErrorKind::InvalidInput)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        WholeFile::at(&self.file, 0o600).write(text.as_bytes())
    }

    /// As in `control_server.rs`: a poisoned lock can't be met.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// `refused FROM TIMES SECONDS` and `report DAY WORDS`.
    fn text(&self) -> String {
        let refused = self.refused.iter();
        let refused =
            refused.map(|Peer { from, times, last }| format!("refused {from} {times} {last}\n"));
        let reports = self.reports.iter();
        let reports = reports.map(|ReportLine { came, words }| format!("report {came} {words}\n"));
        refused.chain(reports).collect()
    }

    fn parse(text: &str) -> Self {
        let mut known = Self::default();
        for line in text.lines() {
            if let Some(peer) = line.strip_prefix("refused ").and_then(Peer::parse) {
                known.refused.push(peer);
            } else if let Some(line) = line.strip_prefix("report ")
                && let Some((came, words)) = line.split_once(' ')
                && came.len() == 10
            {
                let (came, words) = (printable(came), printable(words));
                known.reports.push(ReportLine { came, words });
            }
        }
        known
    }

    fn bound(&mut self) {
        let (refused, reports) = (self.refused.len(), self.reports.len());
        self.refused.drain(..refused.saturating_sub(MOST));
        self.reports.drain(..reports.saturating_sub(MOST));
    }
}

impl Peer {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [from, times, last] = words.as_slice() else {
            return None;
        };
        let address = from.strip_suffix("/64").unwrap_or(from);
        Some(Self {
            from: shown(address.parse().ok()?),
            times: times.parse().ok()?,
            last: last.parse().ok()?,
        })
    }
}

/// Of IPv6 the network, as everywhere where senders are counted: one sender has all of it.
fn shown(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

/// What of it a page can show and JSON leaves as it is, [`LONGEST`] at most.
fn printable(words: &str) -> String {
    let letter = |letter: char| match letter {
        ' '..='~' if !matches!(letter, '"' | '\\') => letter,
        _ => '?',
    };
    words.chars().take(LONGEST).map(letter).collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// `2026-11-25T17:00:25.007Z`. Further away than a calendar goes is what a damaged file
/// says.
fn date(seconds: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_secs(seconds.min(1 << 36)))
}

fn day(seconds: u64) -> String {
    date(seconds).chars().take(10).collect()
}

fn minute(seconds: u64) -> String {
    date(seconds).replace('T', " ").chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_refused_again_is_counted_and_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let seen = Seen::at(folder.path().join("system/seen"));
        for (from, when) in [
            ("192.0.2.1", 0),
            ("2001:db8:1:2:3::9", 60),
            ("::ffff:192.0.2.1", 1_795_539_625),
            ("2001:db8:1:2::1", 61),
        ] {
            seen.refused(peer(from), at(when));
        }
        let peers = seen.peers();
        let told: Vec<_> = peers
            .iter()
            .map(|one| (&*one.from, one.times, &*one.last))
            .collect();
        let expected = [
            ("2001:db8:1:2::/64", 2, "1970-01-01 00:01"),
            ("192.0.2.1", 2, "2026-11-24 17:00"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_lists_survive_a_restart_and_never_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("system/seen");
        let seen = Seen::at(file.clone());
        seen.remember();
        for number in 0..150_u32 {
            let from = IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()]);
            seen.refused(from, at(u64::from(number)));
            seen.reported(&format!("number {number}"), at(0));
        }
        seen.keep_now();
        let again = Seen::at(file);
        // What comes before the disk is open stays as well.
        again.refused(peer("192.0.2.1"), at(7));
        again.remember();
        again.remember();
        let (peers, lines) = (again.peers(), again.reports().lines);
        assert_eq!((peers.len(), lines.len()), (MOST, MOST));
        assert_eq!(
            (&*peers[0].from, &*peers[1].from),
            ("192.0.2.1", "10.0.0.149")
        );
        assert_eq!(lines[0].words, "number 149");
        assert_eq!(lines[0].came, "1970-01-01");
        assert_eq!(lines[99].words, "number 50");
    }

    #[test]
    fn the_card_is_written_once_a_minute_at_the_most_and_never_before_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen");
        let seen = Seen::at(file.clone());
        let now = Instant::now();
        seen.refused(peer("192.0.2.1"), at(0));
        seen.keep(now);
        assert!(!file.exists());
        seen.remember();
        seen.keep(now);
        let text = || fs::read_to_string(&file).unwrap();
        assert_eq!(text(), "refused 192.0.2.1 1 0\n");
        seen.refused(peer("192.0.2.1"), at(5));
        seen.keep(now + PAUSE / 2);
        assert_eq!(text(), "refused 192.0.2.1 1 0\n");
        seen.keep(now + PAUSE);
        assert_eq!(text(), "refused 192.0.2.1 2 5\n");
        fs::remove_file(&file).unwrap();
        seen.keep(now + 3 * PAUSE);
        assert!(!file.exists(), "nothing changed");
    }

    #[test]
    fn only_the_sandboxes_of_reports_are_listened_to_and_nothing_odd_is_kept() {
        assert_eq!(report("report-17", "report: a line"), Some("a line"));
        for (service, words) in [
            ("gate-17", "report: a line"),
            ("report", "report: a line"),
            ("report-", "report: a line"),
            ("report-17x", "report: a line"),
            ("report-17", "a line"),
        ] {
            assert_eq!(report(service, words), None, "{service}: {words}");
        }
        let folder = tempfile::tempdir().unwrap();
        let seen = Seen::at(folder.path().join("seen"));
        seen.reported(&format!("\u{e4}\"\\\n{}", "x".repeat(1000)), at(0));
        let words = &seen.reports().lines[0].words;
        assert_eq!(words.len(), LONGEST);
        assert!(words.starts_with("????x"), "{words}");
    }

    #[test]
    fn a_damaged_file_loses_its_damaged_lines_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen");
        let lines = b"refused 192.0.2.1 3 60\nrefused me 1 1\nrefused 192.0.2.2 x 1\n\xff\xff\n\
                      report 2026-11-25 fine\nreport now fine\nrefused 192.0.2.3 1 99999999999999\n";
        fs::write(&file, lines).unwrap();
        let seen = Seen::at(file);
        seen.remember();
        let peers: Vec<_> = seen.peers().into_iter().map(|one| one.from).collect();
        assert_eq!(peers, ["192.0.2.3", "192.0.2.1"]);
        assert_eq!(seen.reports().lines.len(), 1);
    }
}

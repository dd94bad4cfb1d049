//! All that left the box or came to it, and all that it wrote: searched for
//! sentences that must not stand there in the clear.
//!
//! QEMU writes both while the box runs: each packet on its network card
//! (`filter-dump`, a pcap file) and each write to its card (`blklogwrites`, the
//! format of the kernel's dm-log-writes, data as it was); of a native box tcpdump
//! keeps the packets (`foreign/wire.rs`). A sentence may be spread over packets, so
//! TCP's streams are put together before the search; it may be in base64, so that is
//! searched for as well. Other disguises are not seen.
//!
//! Limits: Ethernet, IPv4 without fragments, IPv6 without extension headers
//! for the streams; whatever else is searched packet by packet.

use crate::qemu::Recording;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What QEMU has kept.
#[derive(Debug, Clone)]
pub struct Capture(pub Recording);

impl Capture {
    /// What is kept in `folder`.
    pub fn into(folder: &Path) -> Self {
        Self(Recording {
            packets: folder.join("packets.pcap"),
            writes: folder.join("writes.log"),
        })
    }

    /// Whether a packet, or what packets carry, holds the sentence.
    pub fn on_the_wire(&self, sentence: &str) -> Result<bool> {
        Ok(!self.found_on_the_wire(&[sentence])?.is_empty())
    }

    /// Whether a write holds the sentence.
    pub fn on_the_card(&self, sentence: &str) -> Result<bool> {
        Ok(!self.found_on_the_card(&[sentence])?.is_empty())
    }

    /// Those of the sentences that a packet, or what packets carry, holds.
    pub fn found_on_the_wire<'a>(&self, sentences: &[&'a str]) -> Result<Vec<&'a str>> {
        found_in_packets(&self.0.packets, sentences)
    }

    /// Those of the sentences that a write holds.
    pub fn found_on_the_card<'a>(&self, sentences: &[&'a str]) -> Result<Vec<&'a str>> {
        let mut file =
            File::open(&self.0.writes).with_context(|| self.0.writes.display().to_string())?;
        ensure!(file.metadata()?.len() > 0, "no write was kept");
        let mut search = Search::new(sentences);
        let longest = sentences.iter().map(|sentence| sentence.len()).max();
        let overlap = longest.unwrap_or_default() * 2;
        let mut chunk = vec![0; 1 << 20];
        let mut window = Vec::new();
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return Ok(search.found);
            }
            window.extend_from_slice(&chunk[..count]);
            search.look(&window);
            window.drain(..window.len().saturating_sub(overlap));
        }
    }
}

/// Those of the sentences that a packet of a pcap file, or what its packets carry, holds.
///
/// # Errors
/// When it can't be read, is no pcap file of Ethernet frames, or has no packet.
pub fn found_in_packets<'a>(file: &Path, sentences: &[&'a str]) -> Result<Vec<&'a str>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let frames = frames(&bytes).with_context(|| file.display().to_string())?;
    ensure!(
        !frames.is_empty(),
        "{}: no packet was captured",
        file.display()
    );
    let streams = streams(&frames);
    let mut search = Search::new(sentences);
    for place in frames.into_iter().chain(streams.iter().map(Vec::as_slice)) {
        search.look(place);
    }
    Ok(search.found)
}

/// Sentences that are looked for, and those that were found.
struct Search<'a> {
    wanted: Vec<(&'a str, Vec<Finder<'static>>)>,
    found: Vec<&'a str>,
}

impl<'a> Search<'a> {
    fn new(sentences: &[&'a str]) -> Self {
        let wanted = sentences
            .iter()
            .map(|sentence| (*sentence, forms(sentence)));
        Self {
            wanted: wanted.collect(),
            found: Vec::new(),
        }
    }

    fn look(&mut self, place: &[u8]) {
        let found = &mut self.found;
        self.wanted.retain(|(sentence, forms)| {
            let is_here = forms.iter().any(|form| form.find(place).is_some());
            found.extend(is_here.then_some(*sentence));
            !is_here
        });
    }
}

/// The sentence as it is, and the middle of it as it looks in base64 at each of
/// the three places where it can begin.
fn forms(sentence: &str) -> Vec<Finder<'static>> {
    let mut forms = vec![Finder::new(sentence.as_bytes()).into_owned()];
    for skipped in 0..3 {
        // Lines of base64 in mail have 76 letters: not the whole sentence.
        let part: String = sentence.chars().skip(skipped).take(24).collect();
        let text = STANDARD_NO_PAD.encode(part);
        forms.push(Finder::new(text.as_bytes()).into_owned());
    }
    forms
}

/// The frames of a pcap file (draft-ietf-opsawg-pcap), little-endian as on
/// this machine; who wrote it may have been killed, so the last one may be cut off.
fn frames(file: &[u8]) -> Result<Vec<&[u8]>> {
    const HEADER: usize = 24;
    const RECORD: usize = 16;
    ensure!(
        file.get(..4) == Some(&0xa1b2_c3d4_u32.to_le_bytes()),
        "not a pcap file"
    );
    let mut rest = file.get(HEADER..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((record, after)) = rest.split_at_checked(RECORD) {
        let length = u32::from_le_bytes([record[8], record[9], record[10], record[11]]) as usize;
        let Some((frame, next)) = after.split_at_checked(length) else {
            break;
        };
        frames.push(frame);
        rest = next;
    }
    Ok(frames)
}

/// What one end of a TCP connection sent: addresses and ports, then its
/// segments by their place in the stream.
type Segments<'a> = BTreeMap<Vec<u8>, BTreeMap<u64, &'a [u8]>>;

/// The bytes of every TCP stream, one way each. Bytes that were not captured
/// are left out.
fn streams(frames: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut segments = Segments::new();
    let mut starts = BTreeMap::new();
    for frame in frames {
        let Some((connection, sequence, data)) = segment(frame) else {
            continue;
        };
        // Sequence numbers wrap: they are counted from the first one seen, and
        // an earlier one that comes late is a little before it.
        let start = *starts.entry(connection.clone()).or_insert(sequence);
        let place = (1 << 32) + i64::from(sequence.wrapping_sub(start) as i32);
        let held = segments.entry(connection).or_default();
        let held = held.entry(place as u64).or_insert(data);
        if data.len() > held.len() {
            *held = data;
        }
    }
    segments.into_values().map(|parts| join(&parts)).collect()
}

fn join(parts: &BTreeMap<u64, &[u8]>) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut next = 0;
    for (&place, data) in parts {
        let known = usize::try_from(next.max(place) - place).unwrap_or(usize::MAX);
        whole.extend_from_slice(data.get(known..).unwrap_or_default());
        next = next.max(place + data.len() as u64);
    }
    whole
}

/// Connection, sequence number and data of a TCP segment with data in it.
fn segment(frame: &[u8]) -> Option<(Vec<u8>, u32, &[u8])> {
    const TCP: u8 = 6;
    let packet = frame.get(14..)?;
    let (addresses, tcp) = match frame.get(12..14)? {
        [0x08, 0x00] if *packet.get(9)? == TCP => {
            let header = usize::from(packet[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            (packet.get(12..20)?, packet.get(header..total)?)
        }
        [0x86, 0xdd] if *packet.get(6)? == TCP => {
            let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            (packet.get(8..40)?, packet.get(40..40 + length)?)
        }
        _ => return None,
    };
    let sequence = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let data = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    (!data.is_empty()).then(|| ([addresses, &tcp[..4]].concat(), sequence, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pcap file with TCP segments of one connection over IPv4.
    fn pcap(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        file.resize(24, 0);
        for (sequence, data) in segments {
            let mut frame = vec![0; 12];
            frame.extend([0x08, 0x00]);
            let mut ip = vec![0x45, 0];
            ip.extend((40 + data.len() as u16).to_be_bytes());
            ip.resize(9, 0);
            ip.push(6);
            ip.resize(20, 1);
            let mut tcp = vec![0, 25, 0, 26];
            tcp.extend(sequence.to_be_bytes());
            tcp.extend([0, 0, 0, 0, 0x50]);
            tcp.resize(20, 0);
            for part in [&ip, &tcp, *data] {
                frame.extend_from_slice(part);
            }
            frame.extend([0; 6]); // padding of a short frame
            file.extend([0; 8]);
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend(frame);
        }
        file
    }

    fn capture(packets: &[u8], writes: &[u8]) -> (tempfile::TempDir, Capture) {
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::into(folder.path());
        fs::write(&capture.0.packets, packets).unwrap();
        fs::write(&capture.0.writes, writes).unwrap();
        (folder, capture)
    }

    #[test]
    fn a_sentence_is_found_across_segments_out_of_order_sent_twice_and_around_zero() {
        let start = u32::MAX - 4;
        let file = pcap(&[
            (start, b"The he"),
            (start.wrapping_add(9), b"waits."),
            (start.wrapping_add(6), b"ron"),
            (start.wrapping_add(4), b"heron"),
        ]);
        let (_folder, capture) = capture(&file, b"x");
        assert!(capture.on_the_wire("The heronwaits.").unwrap());
        assert!(!capture.on_the_wire("The herons").unwrap());
    }

    #[test]
    fn a_file_that_ends_in_the_middle_of_a_packet_is_read_to_there() {
        let mut file = pcap(&[(1, b"whole"), (6, b"and cut off")]);
        file.truncate(file.len() - 10);
        let (_folder, capture) = capture(&file, b"x");
        assert!(capture.on_the_wire("whole").unwrap());
        assert!(!capture.on_the_wire("and").unwrap());
    }

    #[test]
    fn base64_hides_no_sentence_wherever_it_begins() {
        let sentence = "The heron waits for the tide behind the old mill.";
        for before in ["", "a", "ab"] {
            let text = STANDARD_NO_PAD.encode(format!("{before}{sentence}"));
            let (_folder, capture) = capture(&pcap(&[(1, text.as_bytes())]), text.as_bytes());
            assert!(capture.on_the_wire(sentence).unwrap(), "{before}");
            assert!(capture.on_the_card(sentence).unwrap(), "{before}");
        }
    }

    #[test]
    fn a_sentence_is_found_in_the_writes_across_a_border_of_the_search() {
        let mut writes = vec![0; (1 << 20) - 5];
        writes.extend_from_slice(b"The heron waits.");
        let (_folder, capture) = capture(&pcap(&[(1, b"x")]), &writes);
        assert!(capture.on_the_card("The heron waits.").unwrap());
        assert!(!capture.on_the_card("The heron sleeps.").unwrap());
    }

    #[test]
    fn nothing_captured_proves_nothing() {
        let (_folder, capture) = capture(&pcap(&[]), b"");
        capture.on_the_wire("x").unwrap_err();
        capture.on_the_card("x").unwrap_err();
    }
}

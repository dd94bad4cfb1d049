//! Reports as Google and Microsoft send them, and what is none, bad, or meant to hurt.

use reports::{LONGEST, line};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

const BOX: &str = "mx.example";

fn mail(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail");
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn each_provider_s_report_is_said_in_a_line() {
    for (name, said) in [
        (
            "google-dmarc.eml",
            "DMARC 2026-11-23 to 2026-11-23, google.com (proved), calls itself google.com, \
             about home.example: 12 messages fine, 3 failed (3 of them kept out): \
             203.0.113.9 2, 2001:db8::7 1",
        ),
        (
            "microsoft-dmarc.eml",
            "DMARC 2026-11-23 to 2026-11-24, not proved, calls itself Enterprise Outlook, \
             about home.example: 4 messages fine, 0 failed",
        ),
        (
            "google-tls.eml",
            "TLS 2026-11-23 to 2026-11-23, google.com (proved), calls itself Google Inc., \
             about home.example: 42 sessions fine, 3 failed: certificate-expired 2, \
             sts-policy-fetch-error 1",
        ),
        (
            "microsoft-tls.eml",
            "TLS 2026-11-23 to 2026-11-23, not proved, calls itself Microsoft Corporation, \
             about home.example: 8 sessions fine, 0 failed",
        ),
    ] {
        assert_eq!(line(&mail(name), BOX).as_deref(), Some(said), "{name}");
    }
    // Another box's word about the sender counts for nothing.
    let elsewhere = line(&mail("google-tls.eml"), "other.example").unwrap();
    assert!(elsewhere.contains(", not proved, "), "{elsewhere}");
}

#[test]
fn what_is_no_report_or_unpacks_to_too_much_says_nothing_and_soon() {
    for name in ["bomb.eml", "broken.eml"] {
        let begun = Instant::now();
        assert_eq!(line(&mail(name), BOX), None, "{name}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{name}");
    }
    for message in [
        &b""[..],
        b"From: a@far.example\r\n\r\nHello postmaster\r\n",
        b"Content-Type: application/tlsrpt+json\r\n\r\n{}\r\n",
        b"Content-Type: application/tlsrpt+gzip\r\n\r\n\x1f\x8b\r\n",
        b"Content-Type: text/xml\r\n\r\n<feedback></feedback>\r\n",
    ] {
        assert_eq!(line(message, BOX), None);
    }
}

/// A report that is not packed, with what a stranger writes into it.
fn in_the_clear(name: &str, count: &str) -> Vec<u8> {
    format!(
        "Content-Type: text/xml\r\n\r\n<feedback><report_metadata><org_name>{name}</org_name>\
         <date_range><begin>{count}</begin><end>18446744073709551615</end></date_range>\
         </report_metadata><policy_published><domain>{name}</domain></policy_published>\
         <record><row><source_ip>192.0.2.1</source_ip><count>4294967295</count></row></record>\
         <record><row><source_ip>192.0.2.1</source_ip><count>4294967295</count></row></record>\
         </feedback>\r\n"
    )
    .into_bytes()
}

#[test]
fn a_line_is_short_printable_ascii_whatever_the_report_says() {
    let names = [
        "&#27;[2J&#10;report: forged".to_owned(),
        "x".repeat(100_000),
        "\u{202e}\u{1f600}\"\\".to_owned(),
    ];
    for name in &names {
        let said = line(&in_the_clear(name, "99999999999999999"), BOX).unwrap();
        assert!(said.len() <= LONGEST, "{said}");
        let good = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        assert!(said.bytes().all(good), "{said}");
    }
    let said = line(&in_the_clear("far.example", "0"), BOX).unwrap();
    assert!(said.contains("8589934590 failed"), "{said}");
}

/// Bytes that are the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

#[test]
fn any_bytes_end_in_a_line_or_in_none() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut seeds: Vec<Vec<u8>> = [
        "google-dmarc.eml",
        "microsoft-dmarc.eml",
        "google-tls.eml",
        "microsoft-tls.eml",
        "broken.eml",
    ]
    .map(mail)
    .into();
    seeds.push(in_the_clear("far.example", "1795392000"));
    for round in 0..6000 {
        let mut message = seeds[round % seeds.len()].clone();
        for _ in 0..=dice.next(8) {
            let at = dice.next(message.len().max(1));
            match dice.next(5) {
                0 => message.truncate(at),
                1 => message.insert(at, u8::try_from(dice.next(256)).unwrap()),
                2 => drop(message.drain(at..(at + dice.next(40)).min(message.len()))),
                3 => {
                    let other = &seeds[dice.next(seeds.len())];
                    let from = dice.next(other.len());
                    let part = other[from..(from + 60).min(other.len())].to_vec();
                    message.splice(at..at, part);
                }
                _ => {
                    if let Some(byte) = message.get_mut(at) {
                        *byte = u8::try_from(dice.next(256)).unwrap();
                    }
                }
            }
        }
        let said = catch_unwind(|| line(&message, BOX));
        let said =
            said.unwrap_or_else(|_| panic!("round {round}: {}", String::from_utf8_lossy(&message)));
        assert!(said.is_none_or(|said| said.is_ascii() && said.len() <= LONGEST));
    }
}

//! What others say of how mail must come to them (RFC 8461), and how Postfix asks
//! for it.

use std::time::{Duration, UNIX_EPOCH};
use tls_policy::cache::Kept;
use tls_policy::decide::Demand;
use tls_policy::socketmap::{self as map, Answer};
use tls_policy::sts as rfc8461;

/// A policy that is one names servers, and nothing of it leaves its line in Postfix's
/// table. The first line of the input is a TXT record, the rest the policy.
///
/// # Panics
/// When that does not hold.
pub fn sts(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (record, policy) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(id) = rfc8461::id(&[record.to_owned()]) {
        assert!((1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        // A second record makes both none (section 3.1).
        assert_eq!(rfc8461::id(&[record.to_owned(), record.to_owned()]), None);
    }
    let Some(policy) = rfc8461::parse(policy) else {
        return;
    };
    assert!(policy.max_age <= 31_557_600);
    assert!(!policy.mx.is_empty() || policy.mode == rfc8461::Mode::None);
    let line = Demand::Servers(policy.mx.clone()).line();
    let letter = |b: u8| b.is_ascii_alphanumeric() || b" .-_*:=".contains(&b);
    assert!(line.bytes().all(letter), "{line}");
    assert_eq!(line.split(' ').count(), 3, "{line}");
    for pattern in &policy.mx {
        match pattern.strip_prefix("*.") {
            Some(rest) => {
                assert!(policy.names(&format!("a.{rest}")));
            }
            None => assert!(policy.names(&format!("{}.", pattern.to_ascii_uppercase()))),
        }
    }
    let kept = Kept {
        id: "1".into(),
        fetched: u64::MAX,
        policy,
    };
    // Whatever a disk says, no sum of times is too large.
    assert!(!kept.counts(UNIX_EPOCH + Duration::from_secs(1)));
}

/// Questions are what was framed, and an answer is one netstring.
///
/// # Panics
/// When that does not hold.
pub fn socketmap(input: &[u8]) {
    let mut rest = input;
    loop {
        let before = rest;
        let Ok(Some(question)) = map::read(&mut rest) else {
            break;
        };
        let used = &before[..before.len() - rest.len()];
        let text = format!("{} {}", question.table, question.key);
        let framed = format!("{}:{text},", text.len());
        // Zeros may lead the length.
        let used = String::from_utf8_lossy(used).into_owned();
        assert_eq!(used.trim_start_matches('0'), framed.trim_start_matches('0'));
    }
    let words = String::from_utf8_lossy(input).into_owned();
    for answer in [Answer::Found(words.clone()), Answer::Later(words)] {
        let mut sent = Vec::new();
        map::write(&mut sent, &answer).expect("memory");
        let colon = sent.iter().position(|b| *b == b':').expect("a length");
        let length: usize = String::from_utf8_lossy(&sent[..colon])
            .parse()
            .expect("one");
        assert_eq!(sent.len(), colon + 1 + length + 1);
        assert_eq!(sent.last(), Some(&b','));
    }
}

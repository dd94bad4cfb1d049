//! What services of the mail path say to each other: each end reads as if the
//! other were a stranger's by now.

use channels::recipient_check::is_path;
use channels::rules::{self, Rules};
use channels::{deliver, recipient_check, spam_check, tls_sign, tokens};
use gate::{Lines, Stuffing, read_reply};
use std::io::{self, Read, Write};

/// Answers with these bytes, whatever it is asked.
struct Answers<'a>(&'a [u8]);

impl Read for Answers<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Answers<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each message is in its protocol, or an error. The first byte says which one.
///
/// # Panics
/// When that does not hold.
pub fn channels(input: &[u8]) {
    let Some((which, input)) = input.split_first() else {
        return;
    };
    let mut stream = input;
    match which % 8 {
        0 => {
            if let Ok(Some(asked)) = recipient_check::read(&mut stream) {
                assert!(is_path(&asked.sender) && is_path(&asked.recipient));
                assert!(!asked.recipient.is_empty());
            }
        }
        1 => {
            let question = recipient_check::Question {
                sender: String::new(),
                recipient: "a@b.example".to_owned(),
            };
            let answer = recipient_check::ask(&mut Answers(input), &question);
            assert_eq!(answer.is_ok_and(|yes| yes), input.starts_with(b"yes\n"));
        }
        2 => {
            if let Ok(rules) = rules::hear(&mut stream) {
                lawful(&rules);
            }
        }
        3 => {
            if let Ok(rules) = Rules::parse(&String::from_utf8_lossy(input)) {
                lawful(&rules);
            }
        }
        4 => {
            if let Ok(Some(envelope)) = deliver::read_envelope(&mut stream) {
                assert!((1..=deliver::MAX_RECIPIENTS).contains(&envelope.recipients.len()));
                assert!(envelope.size <= deliver::MAX_SIZE);
            }
        }
        5 => {
            if let Ok(verdict) = spam_check::ask(&mut Answers(input), b"x") {
                assert!(verdict.score.is_finite() && verdict.required.is_finite());
                let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                let mut tests = verdict.tests.iter();
                assert!(tests.all(|test| test.len() <= 64 && test.bytes().all(letter)));
            }
        }
        6 => {
            // The signer's end; then smtp-in's.
            drop(tls_sign::read(&mut stream));
            drop(tls_sign::ask(
                &mut Answers(input),
                &tls_sign::Request::Certificate,
            ));
        }
        _ => token(input),
    }
}

fn lawful(rules: &Rules) {
    for list in [&rules.block_lists, &rules.trusted_sealers] {
        assert!(list.len() <= rules::MOST);
        for domain in list {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            assert!(
                domain.len() <= 180 && domain.bytes().all(letter),
                "{domain}"
            );
        }
    }
}

fn token(mut input: &[u8]) {
    let mut question = tokens::Question::default();
    loop {
        let (now, later) = input.split_at(question.wanted().min(input.len()));
        input = later;
        match question.take(now) {
            Err(_) => return,
            Ok(Some(asked)) => {
                assert!(asked.len() <= tokens::MAX_TOKENS);
                assert!(asked.is_sorted_by(|one, next| one < next));
                return;
            }
            Ok(None) if now.is_empty() => return,
            Ok(None) => {}
        }
    }
}

/// A reply of Dovecot's is one, or an error; and a message that the gate lets pass
/// comes out of the stuffing as it went in, with no end in it.
///
/// # Panics
/// When that does not hold.
pub fn lmtp(input: &[u8]) {
    let mut stream = input;
    if let Ok(reply) = read_reply(&mut stream, "test") {
        assert!((200..600).contains(&reply.code));
        assert!(reply.words.len() <= 200);
        assert!(
            reply
                .words
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte))
        );
        // It was read up to the end of its last line, and that begins with its code.
        let used = &input[..input.len() - stream.len()];
        assert!(used.ends_with(b"\r\n"));
        let line = used[..used.len() - 2].rsplit(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        assert!(line.starts_with(reply.code.to_string().as_bytes()));
        assert!(matches!(line.get(3), None | Some(b' ')));
    }
    for cut in [0, input.len() / 2, input.len()] {
        let parts = [&input[..cut], &input[cut..]];
        let (mut lines, mut stuffing) = (Lines::default(), Stuffing::default());
        if !parts.iter().all(|part| lines.take(part)) || !lines.may_end() {
            continue;
        }
        let stuffed: Vec<u8> = parts.iter().flat_map(|part| stuffing.stuff(part)).collect();
        let framed = [b"\r\n", &stuffed[..]].concat();
        assert!(!framed.windows(5).any(|five| five == b"\r\n.\r\n"));
        let mut back = String::from_utf8_lossy(&framed).replace("\r\n.", "\r\n");
        back.drain(..2);
        assert_eq!(back, String::from_utf8_lossy(input));
    }
}

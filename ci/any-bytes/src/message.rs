//! Whole messages.

use smtp_in::authenticate::{self, Envelope, seal};
use smtp_in::dns::Dns;
use smtp_in::{content, headers};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

pub(crate) const HOST: &str = "mx.example";

/// What is taken for a message has lines, no NUL and one From; and what is taken
/// out of its header is out, whatever its body is.
///
/// # Panics
/// When that does not hold.
pub fn content(input: &[u8]) {
    let lines: Vec<&[u8]> = split(input);
    let bare = lines
        .iter()
        .any(|line| line.contains(&b'\r') || line.contains(&b'\n'));
    if content::check(input).is_ok() {
        assert!(!bare && !input.contains(&0));
        let header = lines.iter().take_while(|line| !line.is_empty());
        let from = header.filter(|line| is_named(line, "from")).count();
        assert_eq!(from, 1);
    }
    let stripped = headers::strip(input, HOST);
    assert_eq!(headers::strip(&stripped, HOST), stripped);
    if !bare {
        let lines = split(&stripped);
        let mut header = lines.iter().take_while(|line| !line.is_empty());
        let ours = |line: &&&[u8]| {
            let line = line.to_ascii_lowercase();
            line.starts_with(b"x-spam-") || line.starts_with(b"x-projectx-")
        };
        assert!(!header.any(|line| ours(&line)));
        let body = |message: &[u8]| {
            let at = message.windows(4).position(|four| four == b"\r\n\r\n");
            at.map(|at| message[at + 4..].to_vec())
        };
        // Of a message that begins with its body, or has none, it is all or nothing.
        if !input.starts_with(b"\r\n") && !stripped.starts_with(b"\r\n") {
            assert_eq!(body(&stripped), body(input));
        }
    }
}

fn is_named(line: &[u8], name: &str) -> bool {
    let colon = line.iter().position(|byte| *byte == b':');
    // A continuation has no name.
    let begins = !matches!(line.first(), Some(b' ' | b'\t'));
    begins
        && colon.is_some_and(|at| {
            line[..at]
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_bytes())
        })
}

fn split(message: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), message);
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

/// A message that is let in gets a field of ours that no byte of it can leave, with
/// the DNS in trouble.
///
/// # Panics
/// When that does not hold.
pub fn message(input: &[u8]) {
    if content::check(input).is_err() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let stream = TcpStream::connect(address).expect("a resolver");
    drop(listener);
    let peer = Ipv4Addr::new(192, 0, 2, 1).into();
    let mut dns = Dns::new(stream, peer);
    let envelope = Envelope {
        peer,
        helo: "client.example",
        sender: "a@sender.example",
    };
    let sealers = ["lists.example".to_owned()];
    let Some(found) = authenticate::check(&mut dns, HOST, &envelope, &sealers, input) else {
        return;
    };
    // Nobody's policy is known.
    assert_eq!(found.rejected_by, None);
    clean(&found.header);
}

/// The field with the results is one, and all its lines are its own.
pub(crate) fn clean(header: &str) {
    let mut lines = split(header.as_bytes());
    assert_eq!(lines.pop(), Some(&b""[..]), "{}", header);
    assert!(lines[0].starts_with(b"Authentication-Results: mx.example;"));
    for line in &lines {
        assert!(!line.contains(&b'\r') && !line.contains(&b'\n') && !line.contains(&0));
    }
    for line in &lines[1..] {
        assert!(matches!(line.first(), Some(b' ' | b'\t')), "{}", header);
        assert!(!line.trim_ascii().is_empty(), "{}", header);
    }
}

/// A message with a signature, so that its key and its policy are asked for.
pub(crate) fn letter() -> Vec<u8> {
    b"From: Ada <ada@sender.example>\r\nDKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; \
      d=sender.example; s=s; h=from; bh=AAAA; b=AAAA\r\nSubject: x\r\n\r\nbody\r\n"
        .to_vec()
}

/// A sealer's word counts for the author whom it names. The first line is the
/// author.
///
/// # Panics
/// When that does not hold.
pub fn seal(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (author, said) = text.split_once('\n').unwrap_or(("a.example", &text));
    if seal::says_pass(said, author) {
        let said = said.to_ascii_lowercase();
        let named = format!("header.from={}", author.to_ascii_lowercase());
        assert!(said.contains("dmarc=pass"), "{said}");
        // A comment may stand in between.
        let bare: String = said.split(['(', ')']).step_by(2).collect();
        assert!(
            said.contains(&named) || bare.contains(&named) || said.contains('('),
            "{said}"
        );
        // What is in one comment, all of it, says nothing.
        let escaped = said.replace(['\\', '(', ')', '"'], "");
        assert!(!seal::says_pass(&format!("({escaped})"), author));
    }
}

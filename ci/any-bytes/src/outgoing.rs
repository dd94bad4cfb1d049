//! Mail on its way out: what the owner's mail programs say, and what Dovecot's auth and
//! Postfix answer.

use crate::loopback::{heard, pair, said};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use submission::message::{Stamp, prepare as make_ready};
use submission::queue::Queue;
use submission::sasl::{Login, Sasl, plain, word};
use submission::session::{Begin, Channels, Limits, run};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn anna() -> Login {
    Login {
        user: "anna@home.example".into(),
        addresses: vec!["anna@home.example".into(), "info@home.example".into()],
    }
}

/// A message that may go has our line on top and none of the fields that must not go
/// out, its body is the same, and the hash of the body is that of RFC 6376.
///
/// # Panics
/// When that does not hold.
pub fn prepare(input: &[u8]) {
    let stamp = Stamp {
        hostname: "box.example",
        tls: "TLSv1.3 with cipher X",
        id: "1A",
        date: "Sun, 29 Nov 2026 16:42:43 +0000",
    };
    // The session gives it nothing else.
    let text = input.escape_ascii().to_string();
    let bare = without_ends(input)
        .iter()
        .any(|b| matches!(b, b'\r' | b'\n'));
    let ready = match make_ready(input, &anna(), &stamp) {
        Ok(ready) => ready,
        Err(reply) => {
            assert!(reply.starts_with("55") && reply.len() < 200, "{reply}");
            return;
        }
    };
    if bare {
        return;
    }
    let fields = &ready.request.fields;
    assert_eq!(ready.request.domain, "home.example");
    let count = |name: &str| {
        let own = fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.count()
    };
    assert_eq!(count("From"), 1, "{text}");
    for (name, least) in [
        ("Date", 1),
        ("Message-ID", 1),
        ("Bcc", 0),
        ("Return-Path", 0),
    ] {
        assert!(
            count(name) >= least && (least > 0 || count(name) == 0),
            "{name}: {text}"
        );
    }
    for (name, value) in fields {
        assert!(
            !name.to_ascii_lowercase().starts_with("x-projectx-"),
            "{text}"
        );
        assert!(
            name.bytes().all(|b| b.is_ascii_graphic() && b != b':'),
            "{text}"
        );
        let mut lines = value.split("\r\n").skip(1);
        assert!(lines.all(|line| line.starts_with([' ', '\t'])), "{text}");
    }
    let mut expected =
        "Received: by box.example with ESMTPSA (TLSv1.3 with cipher X)\r\n\tid 1A; ".to_owned();
    expected += stamp.date;
    for (name, value) in fields {
        expected += &format!("\r\n{name}:{value}");
    }
    let end = input.windows(4).position(|four| four == b"\r\n\r\n");
    let sent = end.map_or(&[][..], |end| &input[end + 4..]);
    assert_eq!(
        ready.message,
        [expected.as_bytes(), b"\r\n\r\n", sent].concat()
    );
    let hash = digest(&SHA256, &relaxed(sent));
    assert_eq!(
        ready.request.body_hash,
        channels::tls_sign::to_hex(hash.as_ref()),
        "{text}"
    );
}

fn without_ends(message: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(message)
        .replace("\r\n", "")
        .into_bytes()
}

/// A body in its relaxed form, word for word as RFC 6376 section 3.4.4 says it.
fn relaxed(body: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for byte in body {
        match byte {
            b' ' | b'\t' if text.last() == Some(&b' ') => {}
            b' ' | b'\t' => text.push(b' '),
            b'\n' => {
                // The CR is there.
                let line = text.len() - 1;
                if line > 0 && text[line - 1] == b' ' {
                    text.remove(line - 1);
                }
                text.push(b'\n');
            }
            byte => text.push(*byte),
        }
    }
    if text.last() == Some(&b' ') {
        text.pop();
    }
    while text == b"\r\n" || text.ends_with(b"\r\n\r\n") {
        text.truncate(text.len() - 2);
    }
    if !text.is_empty() && !text.ends_with(b"\r\n") {
        text.extend(b"\r\n");
    }
    text
}

/// A login is somebody's when Dovecot says so in a whole line about this question, and
/// a response of PLAIN is read as it is written. The first byte says which.
///
/// # Panics
/// When that does not hold.
pub fn sasl(input: &[u8]) {
    let Some((which, input)) = input.split_first() else {
        return;
    };
    if which % 2 == 0 {
        let (ours, theirs) = said(input);
        let found = Sasl::new(ours).check(PEER, "anna@home.example", "secret");
        if let Ok(Some(login)) = found {
            let text = String::from_utf8_lossy(input);
            let ok = |line: &str| line.starts_with("OK\t1\t") && line.contains("\tuser=");
            assert!(
                text.split_inclusive('\n')
                    .any(|line| line.ends_with('\n') && ok(line))
            );
            assert_eq!(login.addresses[0], login.user);
            assert!(!login.addresses[1..].iter().any(String::is_empty));
        }
        let asked = heard(theirs);
        let lines = asked.iter().filter(|byte| **byte == b'\n').count();
        assert!(lines <= 3, "{}", asked.escape_ascii());
        return;
    }
    let response = String::from_utf8_lossy(input);
    if let Some((user, password)) = plain(&response) {
        assert!(!user.is_empty() && !user.contains('\0') && !password.contains('\0'));
        let written = STANDARD.encode(format!("\0{user}\0{password}"));
        assert_eq!(plain(&written), Some((user, password)));
    }
    if let Some(said) = word(&response) {
        assert_eq!(word(&STANDARD.encode(&said)), Some(said));
    }
}

/// Whatever Postfix replies, it is told whole commands and one message with one end.
/// The message stands behind the first 0xff.
///
/// # Panics
/// When that does not hold.
pub fn queue(input: &[u8]) {
    let middle = input.iter().position(|byte| *byte == 0xff);
    let (replies, message) = input.split_at(middle.unwrap_or(input.len()));
    let message = message.get(1..).unwrap_or_default();
    let (ours, theirs) = said(replies);
    let mut queue = Queue::new(ours, "box.example");
    let mut given = false;
    if queue.mail("anna@home.example").is_ok() && queue.recipient("a@b.example").is_ok() {
        given = queue.data(message).is_ok();
    }
    // A command with a line end in it is never said.
    assert!(queue.recipient("a@b\r\nDATA").is_err());
    drop(queue);
    let told = heard(theirs);
    let begin = b"EHLO box.example\r\n";
    assert!(told.is_empty() || told.starts_with(begin));
    let text = String::from_utf8_lossy(&told);
    let Some((_, data)) = text.split_once("DATA\r\n") else {
        return;
    };
    let lf_only = without_ends(message).contains(&b'\n');
    if given && !data.is_empty() && !lf_only {
        let framed = format!("\r\n{data}");
        assert_eq!(
            framed.find("\r\n.\r\n"),
            Some(framed.len() - 5),
            "{framed:?}"
        );
        let mut back = framed[..framed.len() - 3].replace("\r\n.", "\r\n");
        back.drain(..2);
        let mut sent = String::from_utf8_lossy(message).into_owned();
        if !sent.is_empty() && !sent.ends_with("\r\n") {
            sent += "\r\n";
        }
        assert_eq!(back, sent);
    }
}

/// In the clear a mail program gets whole replies and nothing else: nobody is asked
/// whether its login is right, and nothing reaches the queue.
///
/// # Panics
/// When that does not hold.
pub fn submission(input: &[u8]) {
    let (connection, mut program) = pair();
    program.write_all(input).expect("room");
    program.shutdown(Shutdown::Write).expect("half an end");
    let ((sasl, dovecot), (queue, postfix)) = (pair(), pair());
    // The signers are gone, so that no handshake succeeds.
    let gone = || UnixStream::pair().expect("a pair").0;
    let channels = Channels {
        connection,
        tls_sign: gone(),
        sasl,
        dkim_sign: gone(),
        queue,
    };
    let short = Duration::from_secs(1);
    let limits = Limits {
        idle: short,
        session: short,
        answer: short,
        queue: short,
    };
    let told = run(channels, "box.example", Begin::StartTls, limits);
    assert!(
        !told.contains(char::is_control) && told.len() < 300,
        "{told:?}"
    );
    assert!(heard(dovecot).is_empty(), "asked in the clear");
    assert!(heard(postfix).is_empty(), "queued in the clear");
    let replies = heard(program);
    let text = String::from_utf8_lossy(&replies);
    for line in text.split_inclusive("\r\n") {
        // What follows are records of TLS.
        let ready = line.starts_with("220 2.0.0");
        let code = line
            .get(..3)
            .is_some_and(|code| code.bytes().all(|b| b.is_ascii_digit()));
        assert!(
            code && line.ends_with("\r\n") && line.len() <= 512,
            "{line:?}"
        );
        assert!(!["235", "334", "354"].contains(&&line[..3]), "{line:?}");
        if ready {
            break;
        }
    }
}

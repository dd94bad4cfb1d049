//! Whole sessions of those who mean well, and the replies to the others.

use crate::support::*;
use channels::deliver::Outcome;
use channels::spam_check::MAX_MESSAGE;
use mail_auth::hickory_resolver::proto::rr::RecordType;
use smtp_in::session::{Came, Limits};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

pub const PLAIN: &[u8] = b"From: <a@sender.example>\r\nSubject: x\r\n\r\nbody\r\n";

#[test]
fn before_tls_each_command_has_its_reply() {
    let (mut client, _ends) = start(Play::default());
    let long = format!("NOOP {}", "x".repeat(1000));
    let starttls = "530 5.7.0 Must issue a STARTTLS command first";
    for (said, reply) in [
        (
            "EHLO client.example",
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 36700160\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 LIMITS MAILMAX=1 RCPTMAX=100",
        ),
        ("HELO client.example", "250 mx.example"),
        (
            "EHLO bad(name",
            "501 5.5.4 The name must be a host name or an address literal",
        ),
        ("EHLO", "501 5.5.2 Syntax error"),
        ("MAIL FROM:<a@b.example>", starttls),
        ("RCPT TO:<me@box.example>", starttls),
        ("DATA", starttls),
        ("NOOP", "250 2.0.0 OK"),
        ("RSET", "250 2.0.0 Forgotten"),
        ("VRFY me", "252 2.1.5 Send it and see"),
        ("HELP", "214 2.0.0 RFC 5321"),
        ("BOGUS", "500 5.5.2 Command not known"),
        ("AUTH PLAIN AAAA", "502 5.5.1 Command not offered"),
        ("STARTTLS now", "501 5.5.4 This command has no parameters"),
        (&long, "500 5.5.6 Line too long"),
        (
            "NOOP \u{e4}",
            "500 5.5.2 A command is printable ASCII and ends with CR LF",
        ),
        ("NOOP\nQUIT", "500 5.5.2 A command ends with CR LF"),
        ("", "221 2.0.0 mx.example closes the connection"),
    ] {
        let got = if said.is_empty() {
            client.reply()
        } else {
            client.say(said)
        };
        assert_eq!(got, reply, "{said}");
    }
}

#[test]
fn after_tls_each_command_has_its_reply() {
    let (mut client, _ends) = started(Play::default());
    let unsupported = "555 5.5.4 A parameter is not offered";
    for (said, reply) in [
        (
            "EHLO client.example",
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 36700160\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-REQUIRETLS\r\n250 LIMITS MAILMAX=1 RCPTMAX=100",
        ),
        ("STARTTLS", "503 5.5.1 TLS is on already"),
        ("RCPT TO:<me@box.example>", "503 5.5.1 MAIL first"),
        ("DATA", "503 5.5.1 MAIL first"),
        (
            "MAIL FROM:<a@b.example> SIZE=36700161",
            "552 5.3.4 Message too big",
        ),
        (
            "MAIL FROM:<a@b.example> SMTPUTF8",
            "555 5.6.7 SMTPUTF8 is not offered",
        ),
        ("MAIL FROM:<a@b.example> RET=FULL", unsupported),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", unsupported),
        ("MAIL FROM:<a>", "501 5.1.7 Not a reverse-path"),
        ("MAIL FROM a@b.example", "501 5.5.2 Syntax error"),
        (
            "MAIL FROM:<a@b.example> SIZE=36700160 BODY=8BITMIME",
            "250 2.1.0 OK",
        ),
        ("MAIL FROM:<a@b.example>", "503 5.5.1 MAIL was sent already"),
        ("DATA", "554 5.5.1 No valid recipients"),
        ("RCPT TO:<>", "501 5.1.3 Not a forward-path"),
        ("RCPT TO:<me@box.example> NOTIFY=NEVER", unsupported),
        (
            "RCPT TO:<nobody@other.example>",
            "550 5.1.1 No such mailbox here",
        ),
        ("RCPT TO:<me@box.example>", "250 2.1.5 OK"),
        ("RCPT TO:<trouble@box.example>", "451 4.3.0 Try again later"),
        ("RSET", "250 2.0.0 Forgotten"),
        ("MAIL FROM:<>", "250 2.1.0 OK"),
        ("DATA x", "501 5.5.4 This command has no parameters"),
        ("QUIT", "221 2.0.0 mx.example closes the connection"),
    ] {
        assert_eq!(client.say(said), reply, "{said}");
    }
}

#[test]
fn a_message_arrives_byte_for_byte_below_the_added_headers() {
    let zone = vec![
        (
            "1.0.0.127.in-addr.arpa.".into(),
            RecordType::PTR,
            "client.example.".into(),
        ),
        ("client.example.".into(), RecordType::A, "127.0.0.1".into()),
        (
            "sender.example.".into(),
            RecordType::TXT,
            "v=spf1 exists:%{i}.yes.example -all".into(),
        ),
        (
            "127.0.0.1.yes.example.".into(),
            RecordType::A,
            "192.0.2.1".into(),
        ),
    ];
    let (mut client, ends) = started(Play {
        zone: Some(zone),
        ..Play::default()
    });
    let kept = "From: <a@sender.example>\r\nSubject: x\r\n\r\n..two\r\n\x01\u{e4}\r\n\r\n";
    let spoofed = format!(
        "X-Spam-Flag: NO\r\nX-ProjectX-Receipt: sandbox=smtp-in-1\r\nAuthentication-Results: mx.example; dkim=pass\r\n{}",
        kept.replace("..two", "...two")
    );
    assert_eq!(
        client.send("a@sender.example", spoofed.as_bytes()),
        "250 2.0.0 Delivered"
    );
    assert_eq!(
        client.say("MAIL FROM:<a@b.example>"),
        "421 4.7.0 One message a connection"
    );
    let message = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
    let added = message.strip_suffix(kept).unwrap();
    let added = added.strip_prefix(&receipt("no junk")).unwrap();
    assert!(!added.contains("X-ProjectX"), "{added}");
    assert!(added.starts_with("X-Spam-Flag: NO\r\nX-Spam-Status: No, score=0.1 required=5.0\r\n\ttests=A,\r\n\tB\r\nAuthentication-Results: mx.example;\r\n\tiprev=pass"), "{added}");
    assert!(
        added.contains("\r\n\tspf=pass") && added.contains("smtp.mailfrom=a@sender.example"),
        "{added}"
    );
    assert!(added.contains("\r\nReceived: from client.example (client.example [127.0.0.1])\r\n\t(using TLSv1.3 with cipher TLS13_"), "{added}");
    assert!(
        added.contains("\r\n\tfor <me@box.example>;\r\n\t"),
        "{added}"
    );
    assert!(!added.contains("dkim=pass"));
    let scanned = String::from_utf8(ends.scanned.recv().unwrap()).unwrap();
    assert!(scanned.starts_with("Authentication-Results: ") && scanned.ends_with(kept));
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: delivered".to_owned(), Came::Delivered)
    );
}

#[test]
fn every_outcome_of_a_message_has_its_reply() {
    let later = "451 4.3.0 Try again later";
    let refused = |words: &str| Outcome::Refused(words.to_owned());
    for (message, outcome, reply, came) in [
        (PLAIN, Outcome::Later("full".into()), later, Came::Later),
        (
            PLAIN,
            refused("too\r\n250 odd"),
            "550 5.2.0 too250 odd",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\ny\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\n.\r\ny\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\r.\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
    ] {
        let (mut client, ends) = started(Play {
            outcome,
            ..Play::default()
        });
        assert_eq!(client.send("", message), reply);
        // The connection breaks: what the message came to stands.
        drop(client);
        assert_eq!(ends.log.join().unwrap().1, came);
    }
}

#[test]
fn a_message_over_the_limit_is_refused_and_a_large_one_is_scanned_in_part() {
    let (mut client, ends) = started(Play {
        zone: None,
        ..Play::default()
    });
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    assert_eq!(
        client.send("", &line.repeat(37_000)),
        "552 5.3.4 Message too big"
    );
    assert_eq!(
        client.say("QUIT"),
        "221 2.0.0 mx.example closes the connection"
    );
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: refused: too big".to_owned(), Came::Refused)
    );
    let (mut client, ends) = started(Play {
        verdict: "junk\n",
        ..Play::default()
    });
    let large = [PLAIN, &line.repeat(600)].concat();
    assert_eq!(client.send("", &large), "250 2.0.0 Delivered");
    assert_eq!(ends.scanned.recv().unwrap().len(), MAX_MESSAGE);
    let expected = receipt("unknown") + "X-Spam-Status: unknown\r\nAuth";
    let delivered = ends.delivered.recv().unwrap();
    assert!(delivered.starts_with(expected.as_bytes()));
}

#[test]
fn an_answer_that_comes_too_late_is_not_that_of_the_next_recipient() {
    let limits = Limits {
        answer: Duration::from_millis(300),
        ..Limits::default()
    };
    let (mut client, _ends) = started(Play {
        limits,
        ..Play::default()
    });
    assert_eq!(client.say("MAIL FROM:<a@sender.example>"), "250 2.1.0 OK");
    let later = "451 4.3.0 Try again later";
    assert_eq!(client.say("RCPT TO:<slow@box.example>"), later);
    // The late "no" is there by now; this mailbox exists.
    thread::sleep(Duration::from_millis(600));
    assert_eq!(client.say("RCPT TO:<me@box.example>"), later);
}

#[test]
fn spam_is_marked() {
    let verdict = "score=9.0 required=5.0 tests=GTUBE\n";
    let (mut client, ends) = started(Play {
        verdict,
        ..Play::default()
    });
    assert_eq!(client.send("", PLAIN), "250 2.0.0 Delivered");
    let message = ends.delivered.recv().unwrap();
    let message = String::from_utf8(message).unwrap();
    let added = message.strip_prefix(&receipt("junk")).unwrap();
    assert!(
        added.starts_with("X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=9.0 required=5.0\r\n")
    );
    drop(client);
    assert_eq!(ends.log.join().unwrap().1, Came::Junk);
}

#[test]
fn a_connection_without_a_message_came_to_nothing_and_one_that_breaks_is_told_apart() {
    let (mut client, ends) = started(Play::default());
    client.say("QUIT");
    assert_eq!(ends.log.join().unwrap().1, Came::Nothing);
    let (mut client, ends) = started(Play::default());
    client.say("MAIL FROM:<a@sender.example>");
    client.say("RCPT TO:<me@box.example>");
    client.say("DATA");
    client.raw(b"Subject: cut");
    drop(client);
    assert_eq!(ends.log.join().unwrap().1, Came::Broken);
}

#[test]
fn plain_text_after_starttls_is_never_taken_over() {
    let (mut client, ends) = start(Play::default());
    client.say("EHLO c.example");
    client.raw(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n");
    assert_eq!(client.reply(), "554 5.5.1 Nothing may follow STARTTLS");
    assert_eq!(client.reply(), "");
    assert_eq!(
        ends.log.join().unwrap(),
        (
            "127.0.0.1: plain text after STARTTLS".to_owned(),
            Came::Nothing
        )
    );
}

#[test]
fn tls12_works_and_there_are_at_most_100_recipients() {
    let (client, _ends) = start(Play::default());
    let mut client = secure(client, &rustls::version::TLS12);
    client.say("MAIL FROM:<>");
    for number in 0..100 {
        let said = format!("RCPT TO:<r{number}@box.example>");
        assert_eq!(client.say(&said), "250 2.1.5 OK");
    }
    assert_eq!(
        client.say("RCPT TO:<more@box.example>"),
        "452 4.5.3 Too many recipients"
    );
}

#[test]
fn a_silent_client_is_told_so() {
    let limits = Limits {
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let (mut client, ends) = start(Play {
        limits,
        ..Play::default()
    });
    assert_eq!(client.reply(), "421 4.4.2 Idle for too long");
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: idle".to_owned(), Came::Nothing)
    );
}

#[test]
fn the_program_takes_a_message_from_swaks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let swaks = Command::new("swaks")
        .args(["--server", &server, "--tls", "--helo", "client.example"])
        .args(["--from", "a@sender.example", "--to", "me@box.example"])
        .args(["--header", "Subject: from swaks", "--body", "hello"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (channels, delivered, _scanned) = played(Play::default(), listener.accept().unwrap().0);
    let program = program(channels).wait_with_output().unwrap();
    let talk = swaks.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&talk.stdout);
    assert!(talk.contains("250 2.0.0 Delivered"), "{talk}");
    let message = String::from_utf8(delivered.recv().unwrap()).unwrap();
    assert!(message.contains("\r\nSubject: from swaks\r\n"), "{message}");
    let log = String::from_utf8_lossy(&program.stderr);
    assert_eq!(log, "127.0.0.1: delivered\n");
    assert_eq!(
        program.status.code(),
        Some(10),
        "apps/email/app.yaml: delivered"
    );
    let (first, rest) = message.split_once(";\r\n\tmade=").unwrap();
    assert_eq!(first, "X-ProjectX-Receipt: sandbox=smtp-in-5");
    let (made, rest) = rest.split_once("; used=").unwrap();
    let (used, rest) = rest.split_once(";\r\n\tverdict=no junk\r\n").unwrap();
    assert!(rest.starts_with("X-Spam-Flag: NO\r\n"), "{rest}");
    // Of one form, so that they can be compared.
    assert!(made < used && made.len() == used.len(), "{made} {used}");
}

#[test]
fn a_message_in_chunks_arrives_as_it_is() {
    let (mut client, ends) = started(Play::default());
    let whole =
        "From: <a@sender.example>\r\n\r\n.\r\n..\r\n\r\n.\r\nMAIL FROM:<b@c.example>\r\nend";
    let (one, rest) = whole.split_at(31);
    let (two, three) = rest.split_at(3);
    let group = format!(
        "MAIL FROM:<a@sender.example> SIZE={} REQUIRETLS BODY=8BITMIME\r\nRCPT TO:<me@box.example>\r\n\
         BDAT {}\r\n{one}BDAT 0\r\nBDAT {}\r\n{two}BDAT {} LAST\r\n{three}QUIT\r\n",
        whole.len(),
        one.len(),
        two.len(),
        three.len(),
    );
    client.raw(group.as_bytes());
    for reply in [
        "250 2.1.0 OK",
        "250 2.1.5 OK",
        "250 2.0.0 31 octets received",
        "250 2.0.0 0 octets received",
        "250 2.0.0 3 octets received",
        "250 2.0.0 Delivered",
        "221 2.0.0 mx.example closes the connection",
    ] {
        assert_eq!(client.reply(), reply);
    }
    let message = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
    assert!(message.ends_with(&format!("\r\n{whole}\r\n")), "{message}");
    let told = receipt("no junk") + "X-ProjectX-Require-TLS: yes\r\nX-Spam-Flag: NO\r\n";
    assert!(message.starts_with(&told), "{message}");
}

#[test]
fn a_group_of_commands_is_answered_one_by_one() {
    let (mut client, ends) = started(Play::default());
    client.raw(b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<no@other.example>\r\nRCPT TO:<me@box.example>\r\nDATA\r\n");
    for code in ["250 2.0.0", "250 2.1.0", "550 5.1.1", "250 2.1.5", "354 "] {
        let reply = client.reply();
        assert!(reply.starts_with(code), "{code}: {reply}");
    }
    client.raw(&[PLAIN, b".\r\n"].concat());
    assert_eq!(client.reply(), "250 2.0.0 Delivered");
    ends.delivered.recv().unwrap();
}

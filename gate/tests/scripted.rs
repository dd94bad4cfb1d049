//! The gate against a Dovecot that follows a script.

use channels::deliver::{self, Outcome};
use channels::recipient_check::{self, Question};
use gate::GateError;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.\r\n..two\r\nend.\r\n";
const STUFFED: &str = "Subject: x|||..|...two|end.|.|";

/// The greeting, then a reply to each line; in the message only to its dot.
struct Dovecot {
    address: std::net::SocketAddr,
    thread: JoinHandle<String>,
}

fn dovecot(replies: &[&str]) -> Dovecot {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let replies: Vec<String> = replies.iter().map(|text| (*text).to_owned()).collect();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut in_message = false;
        for (index, reply) in replies.iter().enumerate() {
            // The greeting answers nothing.
            while let Some(last) = (index > 0).then(|| next_line(&mut lines)) {
                let Some(line) = last else {
                    return heard;
                };
                heard += &line.replace("\r\n", "|");
                if !in_message || line == ".\r\n" {
                    break;
                }
            }
            in_message = reply.starts_with("354");
            if (&stream).write_all(reply.as_bytes()).is_err() {
                return heard;
            }
        }
        heard
    });
    Dovecot { address, thread }
}

/// `None` at the end.
fn next_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    Some(line)
}

struct SmtpIn {
    check: UnixStream,
    deliver: UnixStream,
    gate: JoinHandle<Result<(), GateError>>,
    dovecot: JoinHandle<String>,
}

fn start(replies: &[&str]) -> SmtpIn {
    let Dovecot { address, thread } = dovecot(replies);
    let (check, check_end) = UnixStream::pair().unwrap();
    let (deliver, deliver_end) = UnixStream::pair().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let gate = thread::spawn(move || gate::serve("box.example", check_end, deliver_end, stream));
    SmtpIn {
        check,
        deliver,
        gate,
        dovecot: thread,
    }
}

impl SmtpIn {
    fn ask(&mut self, sender: &str, recipient: &str) -> Option<bool> {
        let (sender, recipient) = (sender.to_owned(), recipient.to_owned());
        recipient_check::ask(&mut self.check, &Question { sender, recipient }).ok()
    }

    fn send(&mut self, sender: &str, to: &[&str], message: &[u8]) -> Option<Outcome> {
        let to: Vec<String> = to.iter().map(|one| (*one).to_owned()).collect();
        deliver::send(&mut self.deliver, sender, &to, message).ok()
    }

    /// What the gate ended with and what Dovecot heard.
    fn end(self) -> (Result<(), GateError>, String) {
        drop((self.check, self.deliver));
        (self.gate.join().unwrap(), self.dovecot.join().unwrap())
    }
}

const HELLO: &str = "250-box\r\n250 8BITMIME\r\n";
const OK: &str = "250 2.1.0 OK\r\n";

#[test]
fn a_message_for_approved_recipients_reaches_dovecot_as_it_is() {
    let replies = [
        "220 hi\r\n",
        HELLO,
        OK,
        OK,
        OK,
        "354 go\r\n",
        "250 a\r\n250 b\r\n",
    ];
    let mut smtp_in = start(&replies);
    assert_eq!(smtp_in.ask("s@x.example", "a@d"), Some(true));
    assert_eq!(smtp_in.ask("s@x.example", "b@d"), Some(true));
    assert_eq!(smtp_in.ask("s@x.example", "b@d"), Some(true));
    let outcome = smtp_in.send("s@x.example", &["a@d", "b@d"], MESSAGE);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let (result, heard) = smtp_in.end();
    result.unwrap();
    let begin = "LHLO box.example|MAIL FROM:<s@x.example>|RCPT TO:<a@d>|RCPT TO:<b@d>|DATA|";
    assert_eq!(heard.replace("||", "|||"), format!("{begin}{STUFFED}"));
}

#[test]
fn each_reply_to_a_recipient_has_its_answer() {
    for (reply, answer) in [
        ("250 ok\r\n", Some(true)),
        ("550 5.1.1 unknown\r\n", Some(false)),
        ("501 5.1.3 syntax\r\n", Some(false)),
        ("251 elsewhere\r\n", None),
        ("451 4.3.0 later\r\n", None),
        ("421 bye\r\n", None),
        ("354 what\r\n", None),
        ("250\r", None),
        ("nonsense\r\n", None),
        ("", None),
    ] {
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, reply]);
        assert_eq!(smtp_in.ask("", "a@d"), answer, "{reply:?}");
    }
}

#[test]
fn each_set_of_replies_to_a_message_has_its_outcome() {
    let later = |text: &str| Some(Outcome::Later(text.into()));
    for (replies, outcome) in [
        ("250 a\r\n250 b\r\n", Some(Outcome::Delivered)),
        ("250 a\r\n550 5.2.2 full\r\n", later("550 5.2.2 full")),
        ("451 4.2.0 busy\r\n250 b\r\n", later("451 4.2.0 busy")),
        ("550 no\r\n451 busy\r\n", later("550 no")),
        (
            "550 5.6.0 no\r\n554 no\r\n",
            Some(Outcome::Refused("550 5.6.0 no".into())),
        ),
        ("250 a\r\n", None),
        ("250-a\r\n250 b\r\n", None),
        ("250 a\r\n250 b", None),
        ("250 a\r\nwhat\r\n", None),
        ("", None),
    ] {
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, OK, OK, "354 go\r\n", replies]);
        assert_eq!(smtp_in.ask("", "a@d"), Some(true));
        assert_eq!(smtp_in.ask("", "b@d"), Some(true));
        let got = smtp_in.send("", &["a@d", "b@d"], MESSAGE);
        assert_eq!(got, outcome, "{replies:?}");
    }
}

#[test]
fn dovecot_ending_at_any_point_is_never_a_delivery() {
    let replies = ["220 hi\r\n", HELLO, OK, OK, "354 go\r\n", "250 a\r\n"];
    let whole: usize = replies.iter().map(|reply| reply.len()).sum();
    for cut in 0..whole {
        let mut left = cut;
        let script: Vec<&str> = replies
            .iter()
            .map(|reply| {
                let count = left.min(reply.len());
                left -= count;
                &reply[..count]
            })
            .take_while(|reply| !reply.is_empty())
            .collect();
        let mut smtp_in = start(&script);
        if smtp_in.ask("", "a@d") == Some(true) {
            assert_eq!(smtp_in.send("", &["a@d"], MESSAGE), None, "{cut}");
        }
        smtp_in.end().0.unwrap_err();
    }
}

#[test]
fn smtp_in_ending_at_any_point_of_the_message_delivers_nothing() {
    let size = MESSAGE.len();
    let envelope = format!("{{\"sender\":\"\",\"recipients\":[\"a@d\"],\"size\":{size}}}\n");
    let mut bytes = envelope.clone().into_bytes();
    bytes.extend(MESSAGE);
    for cut in 0..bytes.len() {
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, OK, "354 go\r\n", "250 a\r\n"]);
        assert_eq!(smtp_in.ask("", "a@d"), Some(true));
        smtp_in.deliver.write_all(&bytes[..cut]).unwrap();
        let (result, heard) = smtp_in.end();
        assert_eq!(result.is_ok(), cut == 0, "{cut}");
        assert!(!heard.contains("|.|"), "{cut}: {heard}");
    }
}

#[test]
fn a_message_from_or_for_somebody_not_approved_ends_the_gate() {
    for (sender, to) in [
        ("s@x", &["b@d"][..]),
        ("s@x", &["a@d", "b@d"]),
        ("s@x", &["A@d"]),
        ("s@x", &["a@d", "a@d"]),
        ("t@x", &["a@d"]),
        ("", &["a@d"]),
    ] {
        let replies = [
            "220 hi\r\n",
            HELLO,
            OK,
            OK,
            "550 no\r\n",
            "354 go\r\n",
            "250 a\r\n",
        ];
        let mut smtp_in = start(&replies);
        assert_eq!(smtp_in.ask("s@x", "a@d"), Some(true));
        assert_eq!(smtp_in.ask("s@x", "b@d"), Some(false));
        assert_eq!(smtp_in.send(sender, to, MESSAGE), None, "{sender} {to:?}");
        let (result, heard) = smtp_in.end();
        assert!(matches!(result, Err(GateError::NotApproved)), "{result:?}");
        assert!(!heard.contains("DATA"), "{heard}");
    }
}

#[test]
fn a_message_before_any_question_ends_the_gate() {
    let mut smtp_in = start(&["220 hi\r\n"]);
    assert_eq!(smtp_in.send("", &["a@d"], MESSAGE), None);
    assert!(matches!(smtp_in.end().0, Err(GateError::NotApproved)));
}

#[test]
fn another_sender_begins_again_and_what_was_approved_is_forgotten() {
    let replies = [
        "220 hi\r\n",
        HELLO,
        OK,
        OK,
        OK,
        OK,
        OK,
        "354 go\r\n",
        "250 a\r\n",
    ];
    let mut smtp_in = start(&replies);
    assert_eq!(smtp_in.ask("s@x", "a@d"), Some(true));
    assert_eq!(smtp_in.ask("t@x", "b@d"), Some(true));
    assert_eq!(smtp_in.send("t@x", &["a@d"], MESSAGE), None);
    let (result, heard) = smtp_in.end();
    assert!(matches!(result, Err(GateError::NotApproved)), "{result:?}");
    assert!(
        heard.ends_with("|RSET|MAIL FROM:<t@x>|RCPT TO:<b@d>|"),
        "{heard}"
    );
}

#[test]
fn a_message_for_fewer_recipients_than_approved_goes_to_those_only() {
    let hello = ["220 hi\r\n", HELLO, OK, OK, OK, OK, OK, OK];
    let replies = [&hello[..], &["354 go\r\n", "250 b\r\n"]].concat();
    let mut smtp_in = start(&replies);
    assert_eq!(smtp_in.ask("", "a@d"), Some(true));
    assert_eq!(smtp_in.ask("", "b@d"), Some(true));
    let outcome = smtp_in.send("", &["b@d"], MESSAGE);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let (result, heard) = smtp_in.end();
    result.unwrap();
    let after = heard.split("|RSET|").nth(1).unwrap();
    assert!(
        after.starts_with("MAIL FROM:<>|RCPT TO:<b@d>|DATA|"),
        "{heard}"
    );
}

#[test]
fn a_message_with_bare_line_ends_or_without_a_last_one_is_not_ended() {
    for bad in [
        &b"a\n.\r\n"[..],
        b"a\r\n.\r",
        b"a\r\n.\n",
        b"a",
        b"a\rb\r\n",
        b"",
    ] {
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, OK, "354 go\r\n", "250 a\r\n"]);
        assert_eq!(smtp_in.ask("", "a@d"), Some(true));
        assert_eq!(smtp_in.send("", &["a@d"], bad), None, "{bad:?}");
        let (result, heard) = smtp_in.end();
        assert!(matches!(result, Err(GateError::Lines)), "{result:?}");
        assert!(!heard.contains("|.|"), "{heard}");
    }
}

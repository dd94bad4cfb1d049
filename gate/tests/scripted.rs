//! The gate against a Dovecot that follows a script.

use channels::deliver::{self, Outcome};
use channels::recipient_check::{self, Question};
use channels::report;
use channels::rules::{self, Rules};
use channels::tokens::{self, Counts, Token};
use gate::{Channels, GateError, Settings};
use learn::{Kind, field, store};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.\r\n..two\r\nend.\r\n";
const STUFFED: &str = "X-ProjectX-Tokens: none|Subject: x|||..|...two|end.|.|";

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
    tokens: UnixStream,
    /// The end of the sandbox that reads reports.
    report: UnixStream,
    gate: JoinHandle<Result<(), GateError>>,
    dovecot: JoinHandle<String>,
}

fn start(replies: &[&str]) -> SmtpIn {
    start_with(Path::new("/nonexistent"), replies)
}

fn start_with(learned: &Path, replies: &[&str]) -> SmtpIn {
    let Dovecot { address, thread } = dovecot(replies);
    let (mut check, check_end) = UnixStream::pair().unwrap();
    let (deliver, deliver_end) = UnixStream::pair().unwrap();
    let (tokens, tokens_end) = UnixStream::pair().unwrap();
    let (report, report_end) = UnixStream::pair().unwrap();
    // A gate that does not answer fails a test and does not hang it.
    for end in [&check, &deliver, &tokens, &report] {
        end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let channels = Channels {
        check: check_end,
        deliver: deliver_end,
        tokens: tokens_end,
        report: report_end,
        dovecot: TcpStream::connect(address).unwrap(),
    };
    let learned = learned.to_owned();
    let gate = thread::spawn(move || {
        let settings = Settings {
            hostname: "box.example",
            learned: &learned,
            rules: &learned.join("rules"),
        };
        gate::serve(settings, channels)
    });
    rules::hear(&mut check).unwrap();
    SmtpIn {
        check,
        deliver,
        tokens,
        report,
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
        drop((self.check, self.deliver, self.tokens));
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
        // Behind a "no" the domain's catch-all is asked for: there is none.
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, reply, "550 no\r\n"]);
        assert_eq!(smtp_in.ask("", "a@d"), answer, "{reply:?}");
    }
}

#[test]
fn what_nobody_has_goes_to_the_catch_all_once() {
    let no = "550 no\r\n";
    let replies = [
        "220 hi\r\n",
        HELLO,
        OK,
        no,
        OK,
        no,
        OK,
        "354 go\r\n",
        "250 a\r\n250 b\r\n",
    ];
    let mut smtp_in = start(&replies);
    for to in ["x@D", "y@d", "a@d"] {
        assert_eq!(smtp_in.ask("", to), Some(true), "{to}");
    }
    let outcome = smtp_in.send("", &["a@d", "y@d", "x@D"], MESSAGE);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let begin = "LHLO box.example|MAIL FROM:<>|RCPT TO:<x@D>|RCPT TO:<_@d>|RCPT TO:<y@d>|RCPT TO:<a@d>|DATA|";
    let (result, heard) = smtp_in.end();
    result.unwrap();
    assert!(heard.starts_with(begin), "{heard}");
}

#[test]
fn a_message_for_some_of_them_is_begun_again_for_what_dovecot_took_for_those() {
    let no = "550 no\r\n";
    let replies = [
        "220 hi\r\n",
        HELLO,
        OK,
        no,
        OK,
        OK,
        OK,
        OK,
        OK,
        "354 go\r\n",
        "250 b\r\n",
    ];
    let mut smtp_in = start(&replies);
    assert_eq!(smtp_in.ask("", "x@d"), Some(true));
    assert_eq!(smtp_in.ask("", "a@d"), Some(true));
    assert_eq!(
        smtp_in.send("", &["x@d"], MESSAGE),
        Some(Outcome::Delivered)
    );
    let (result, heard) = smtp_in.end();
    result.unwrap();
    assert!(
        heard.contains("|RSET|MAIL FROM:<>|RCPT TO:<_@d>|DATA|"),
        "{heard}"
    );
}

/// What the sandbox that reads reports gets of a message to `to`, whose end Dovecot
/// answers so.
fn reported(to: &[&str], replies: &str) -> Option<Vec<u8>> {
    let begin = ["220 hi\r\n", HELLO, OK];
    let agreed = to.iter().map(|_| OK);
    let end = ["354 go\r\n", replies];
    let script: Vec<&str> = begin.into_iter().chain(agreed).chain(end).collect();
    let mut smtp_in = start(&script);
    for recipient in to {
        assert_eq!(smtp_in.ask("s@x.example", recipient), Some(true));
    }
    smtp_in.send("s@x.example", to, MESSAGE);
    report::take(&mut smtp_in.report).unwrap()
}

#[test]
fn only_a_delivered_message_to_postmaster_is_read_for_a_report_and_as_it_is() {
    let yes = "250 a\r\n";
    let whole = Some(MESSAGE.to_vec());
    assert_eq!(reported(&["postmaster@d"], yes), whole);
    assert_eq!(
        reported(&["a@d", "Postmaster@d"], "250 a\r\n250 b\r\n"),
        whole
    );
    assert_eq!(reported(&["a@d"], yes), None);
    assert_eq!(reported(&["postmaster@d"], "550 5.2.2 full\r\n"), None);
    assert_eq!(reported(&["postmaster@d"], ""), None);
}

#[test]
fn a_reader_of_reports_that_is_gone_or_takes_nothing_changes_no_answer() {
    for gone in [true, false] {
        let mut smtp_in = start(&["220 hi\r\n", HELLO, OK, OK, "354 go\r\n", "250 a\r\n"]);
        if gone {
            let end = UnixStream::pair().unwrap().0;
            drop(std::mem::replace(&mut smtp_in.report, end));
        }
        assert_eq!(smtp_in.ask("s@x.example", "postmaster@d"), Some(true));
        // More than a socket holds.
        let message = b"Subject: long\r\n\r\n".iter().copied();
        let message: Vec<u8> = message.chain(b"x\r\n".repeat(300_000)).collect();
        let begun = Instant::now();
        let outcome = smtp_in.send("s@x.example", &["postmaster@d"], &message);
        assert_eq!(outcome, Some(Outcome::Delivered), "{gone}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{gone}");
        smtp_in.gate.join().unwrap().unwrap();
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

const A: Token = *b"aaaaa";
const B: Token = *b"bbbbb";
const C: Token = *b"ccccc";
const ONE_SPAM: Counts = Counts { spam: 1, ham: 0 };
const NOTHING: Counts = Counts { spam: 0, ham: 0 };

/// The folder of what the filters have learnt: Anna's that A and B are spam.
fn learned() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let annas = folder.path().join("20001");
    std::fs::create_dir(&annas).unwrap();
    store::update(&annas, |table| table.learn(&[A, B], Kind::Spam, 1)).unwrap();
    symlink("20001", folder.path().join("anna@d.example")).unwrap();
    std::fs::create_dir(folder.path().join("20002")).unwrap();
    symlink("20002", folder.path().join("ben@d.example")).unwrap();
    folder
}

/// Dovecot takes what it is asked for, and one message to one recipient.
fn for_one(learned: &Path, recipients: &[&str]) -> SmtpIn {
    let begin = ["220 hi\r\n", HELLO, OK];
    let asked = vec![OK; recipients.len()];
    let message = ["354 go\r\n", "250 a\r\n"];
    let replies = [&begin[..], &asked, &message].concat();
    let mut smtp_in = start_with(learned, &replies);
    for recipient in recipients {
        assert_eq!(smtp_in.ask("", recipient), Some(true));
    }
    smtp_in
}

#[test]
fn one_recipient_s_tokens_are_counted_and_written_above_the_message() {
    let folder = learned();
    let mut smtp_in = for_one(folder.path(), &["Anna@d.example"]);
    let answer = tokens::ask(&mut smtp_in.tokens, &[A, C]).unwrap();
    assert_eq!(answer, (ONE_SPAM, vec![ONE_SPAM, NOTHING]));
    let forged = [field::write(Some(&[B])).as_bytes(), MESSAGE].concat();
    let outcome = smtp_in.send("", &["Anna@d.example"], &forged);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let (result, heard) = smtp_in.end();
    result.unwrap();
    let message = heard.split("DATA|").nth(1).unwrap().replace('|', "\r\n");
    assert_eq!(field::find(message.as_bytes()), Some(vec![A, C]));
    assert!(
        message.starts_with(&field::write(Some(&[A, C]))),
        "{message}"
    );
}

#[test]
fn where_the_child_said_nothing_a_field_of_a_stranger_s_is_not_taken_for_the_gate_s() {
    let mut smtp_in = for_one(learned().path(), &["anna@d.example"]);
    let forged = [field::write(Some(&[B])).as_bytes(), MESSAGE].concat();
    let outcome = smtp_in.send("", &["anna@d.example"], &forged);
    assert_eq!(outcome, Some(Outcome::Delivered));
    let (_, heard) = smtp_in.end();
    let message = heard.split("DATA|").nth(1).unwrap().replace('|', "\r\n");
    assert!(message.contains(&field::write(Some(&[B]))), "{message}");
    assert_eq!(field::find(message.as_bytes()), None);
}

#[test]
fn for_two_recipients_for_none_and_for_one_who_taught_nothing_nothing_is_known() {
    let folder = learned();
    for recipients in [
        &["anna@d.example", "ben@d.example"][..],
        &[],
        &["ben@d.example"],
        &["nobody@d.example"],
        &["20001"],
        &["../20001"],
        &["./anna@d.example"],
    ] {
        let mut smtp_in = match recipients {
            [] => start_with(folder.path(), &["220 hi\r\n"]),
            all => for_one(folder.path(), all),
        };
        let answer = tokens::ask(&mut smtp_in.tokens, &[A]).unwrap();
        assert_eq!(answer, (NOTHING, vec![NOTHING]), "{recipients:?}");
    }
}

#[test]
fn what_one_filter_has_judged_goes_to_nobody_else() {
    let folder = learned();
    for to in [&["ben@d.example"][..], &["anna@d.example", "ben@d.example"]] {
        let begin = ["220 hi\r\n", HELLO, OK, OK, OK, OK, OK, OK];
        let replies = [&begin[..], &["354 go\r\n", "250 a\r\n250 b\r\n"]].concat();
        let mut smtp_in = start_with(folder.path(), &replies);
        assert_eq!(smtp_in.ask("", "anna@d.example"), Some(true));
        let (messages, _) = tokens::ask(&mut smtp_in.tokens, &[A]).unwrap();
        assert_eq!(messages, ONE_SPAM);
        assert_eq!(smtp_in.ask("", "ben@d.example"), Some(true));
        assert_eq!(smtp_in.send("", to, MESSAGE), None);
        let (result, heard) = smtp_in.end();
        assert!(matches!(result, Err(GateError::NotTheirs)), "{result:?}");
        assert!(!heard.contains("DATA"), "{heard}");
    }
}

#[test]
fn a_child_that_asks_otherwise_than_once_has_no_answer_and_the_message_goes_on() {
    let folder = learned();
    let question = |count: u32, tokens: &[u8]| [&count.to_be_bytes(), tokens].concat();
    for (bad, field) in [
        (question(4097, b""), None),
        (question(u32::MAX, b"aaaaa"), None),
        (question(2, b"bbbbbaaaaa"), None),
        (question(2, b"aaaaaaaaaa"), None),
        // Cut off, by the end of the stream or by none.
        (question(2, b"aaaaabb"), None),
        (b"\0\0".to_vec(), None),
        (Vec::new(), None),
        // A second one: the first has its answer, this one has not.
        (
            [question(1, b"aaaaa"), question(1, b"bbbbb")].concat(),
            Some(A),
        ),
    ] {
        for ends in [true, false] {
            let mut smtp_in = for_one(folder.path(), &["anna@d.example"]);
            smtp_in.tokens.write_all(&bad).unwrap();
            if ends {
                smtp_in.tokens.shutdown(std::net::Shutdown::Write).unwrap();
            }
            if field.is_some() {
                // An end, perhaps with a reset, after one answer of 16 bytes.
                let mut answer = Vec::new();
                let _end = smtp_in.tokens.read_to_end(&mut answer);
                assert_eq!(answer.len(), 16, "{bad:?}");
            }
            let outcome = smtp_in.send("", &["anna@d.example"], MESSAGE);
            assert_eq!(outcome, Some(Outcome::Delivered), "{bad:?}");
            let (result, heard) = smtp_in.end();
            result.unwrap();
            let message = heard.split("DATA|").nth(1).unwrap().replace('|', "\r\n");
            let expected = field.map(|token| vec![token]);
            assert_eq!(field::find(message.as_bytes()), expected, "{bad:?}");
        }
    }
}

#[test]
fn a_table_that_is_damaged_or_another_s_is_not_used() {
    let folder = learned();
    let bens = folder.path().join("20002/table");
    symlink("../20001/table", &bens).unwrap();
    for text in [None, Some("pxlearn1"), Some("")] {
        if let Some(text) = text {
            let _ = std::fs::remove_file(&bens);
            std::fs::write(&bens, text).unwrap();
        }
        let mut smtp_in = for_one(folder.path(), &["ben@d.example"]);
        let answer = tokens::ask(&mut smtp_in.tokens, &[A]).unwrap();
        assert_eq!(answer, (NOTHING, vec![NOTHING]), "{text:?}");
    }
}

#[test]
fn smtp_in_hears_the_owner_s_rules_first_and_of_a_bad_file_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    let rules = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (mut check, check_end) = UnixStream::pair().unwrap();
        let (deliver, tokens) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let channels = Channels {
            check: check_end,
            deliver: deliver.1,
            tokens: tokens.1,
            report: UnixStream::pair().unwrap().0,
            dovecot: TcpStream::connect(dovecot(&[]).address).unwrap(),
        };
        let settings = Settings {
            hostname: "box.example",
            learned: folder.path(),
            rules: &file,
        };
        thread::scope(|scope| {
            scope.spawn(|| gate::serve(settings, channels).unwrap());
            let heard = rules::hear(&mut check).unwrap();
            drop((deliver.0, tokens.0));
            heard
        })
    };
    let chosen = rules("block-list bl.example\ntrust-seals-of lists.example\n");
    assert_eq!(chosen.block_lists, ["bl.example"]);
    assert_eq!(chosen.trusted_sealers, ["lists.example"]);
    assert_eq!(
        rules("block-list bl.example\nblock nothing\n"),
        Rules::default()
    );
}

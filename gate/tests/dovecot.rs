//! The gate in front of Debian's Dovecot with our configuration, in namespaces
//! that end with the test. Also Unbound's, as it is made the same way.

mod support;

use channels::deliver::Outcome;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use support::{Boxed, Gate, Mail, ask, dial, own_network, run};

const MESSAGE: &str = "From: s@x.example\r\nSubject: dots\r\n\r\n.\r\n..two\r\nbody \u{e9}\r\n";

impl Mail {
    fn deliver(&self, to: &[&str], message: &[u8]) -> Outcome {
        self.deliver_with(to, message, None).0
    }

    /// Every file below somebody's home.
    fn files(&self, uid: u32) -> Vec<PathBuf> {
        let home = self.folder.join(format!("mail/{uid}"));
        let list = run(Command::new("find").arg(home));
        list.lines().map(PathBuf::from).collect()
    }
}

#[test]
fn a_message_is_read_as_it_was_sent_and_belongs_to_its_person() {
    let mail = Mail::start("read");
    let Gate {
        mut check,
        deliver,
        tokens,
        thread,
    } = mail.gate();
    assert!(!ask(&mut check, "nobody@box.example"));
    assert!(!ask(&mut check, "nobody+x@box.example"));
    assert!(!ask(&mut check, "_@box.example"));
    assert!(ask(&mut check, "ANNA@box.example"));
    drop((check, deliver, tokens));
    thread.join().unwrap();

    let both = ["anna@box.example", "ben@box.example"];
    assert_eq!(mail.deliver(&both, MESSAGE.as_bytes()), Outcome::Delivered);
    for person in ["anna", "ben"] {
        let read = mail.read(person, "INBOX;UID=1");
        let (path, rest) = read.split_once("\r\n").unwrap();
        assert_eq!(path, "Return-Path: <s@x.example>");
        assert_eq!(rest, format!("X-ProjectX-Tokens: none\r\n{MESSAGE}"));
    }
    for uid in [20_001, 20_002] {
        for file in mail.files(uid) {
            let found = fs::symlink_metadata(&file).unwrap();
            assert_eq!((found.uid(), found.gid()), (uid, uid), "{file:?}");
        }
    }
    let cur = mail.folder.join("mail/20001/Maildir/cur");
    for (uid, may) in [(20_001, true), (20_002, false)] {
        let found = Command::new("setpriv")
            .arg("--clear-groups")
            .args([format!("--reuid={uid}"), format!("--regid={uid}")])
            .arg("ls")
            .arg(&cur)
            .output()
            .unwrap();
        assert_eq!(found.status.success(), may, "{uid}");
    }
}

#[test]
fn other_addresses_lead_to_their_person_and_a_catch_all_is_asked_last() {
    let mail = Mail::start("aliases");
    let one = |to: &str| {
        let message = format!("Subject: for {to}\r\n{MESSAGE}");
        assert_eq!(mail.deliver(&[to], message.as_bytes()), Outcome::Delivered);
        message
    };
    let to_anna = [
        "anna+shop@box.example",
        "Sales@Box.example",
        "sales+x+y@box.example",
        "Postmaster",
        "postmaster@box.example",
    ];
    for (index, to) in to_anna.into_iter().enumerate() {
        let message = one(to);
        let read = mail.read("anna", &format!("INBOX;UID={}", index + 1));
        assert!(read.ends_with(&message), "{to}: {read}");
    }
    // Two that nobody has are one copy.
    let both = ["whoever@caught.example", "x+y@Caught.example"];
    assert_eq!(mail.deliver(&both, MESSAGE.as_bytes()), Outcome::Delivered);
    assert!(mail.read("ben", "INBOX;UID=1").ends_with(MESSAGE));
    assert_eq!(mail.read("ben", "INBOX;UID=2"), "");
    // Nobody logs in by them.
    assert!(mail.imap("sales", "INBOX", &[]).is_err());
}

#[test]
fn what_smtp_in_calls_spam_is_in_junk() {
    let mail = Mail::start("junk");
    let to = ["anna@box.example"];
    let spam = format!("X-Spam-Flag: YES\r\n{MESSAGE}");
    let ham = format!("X-Spam-Flag: NO\r\n{MESSAGE}");
    assert_eq!(mail.deliver(&to, spam.as_bytes()), Outcome::Delivered);
    assert_eq!(mail.deliver(&to, ham.as_bytes()), Outcome::Delivered);
    assert!(mail.read("anna", "Junk;UID=1").ends_with(&spam));
    assert!(mail.read("anna", "INBOX;UID=1").ends_with(&ham));
    assert_eq!(mail.read("anna", "INBOX;UID=2"), "");
    let list = mail.read("anna", "");
    for name in ["Junk", "Trash", "Sent", "Drafts", "Archive"] {
        assert!(list.contains(&format!("\\{name}) \"/\" {name}")), "{list}");
    }
}

#[test]
fn a_large_message_is_there_when_everything_is_killed_after_its_answer() {
    let mut mail = Mail::start("kill");
    let large = format!("{MESSAGE}{}", "0123456789abcdef.\r\n".repeat(400_000));
    let to = ["ben@box.example"];
    assert_eq!(mail.deliver(&to, large.as_bytes()), Outcome::Delivered);
    mail.boxed.take();
    let new = mail.files(20_002).into_iter();
    let texts: Vec<String> = new
        .filter(|file| file.to_str().unwrap().contains("Maildir/new/"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].ends_with(&large.replace("\r\n", "\n")));
}

#[test]
fn unbound_answers_over_tcp_in_its_own_network() {
    own_network();
    let mounts = "mkdir -p $T/etc/unbound; mount --bind -r $O/unbound/etc/unbound $T/etc/unbound";
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let _unbound = Boxed::start(mounts, null, "unbound -d -p");
    let mut stream = dial("127.0.0.1:53");
    // One question: localhost. IN A, with recursion desired (RFC 1035, RFC 7766).
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x09localhost\0\0\x01\0\x01";
    stream.write_all(&[0, question.len() as u8]).unwrap();
    stream.write_all(question).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.ends_with(&[0, 4, 127, 0, 0, 1]), "{answer:?}");
}

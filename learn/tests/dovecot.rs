//! The program `learn` as Debian's Dovecot starts it, with our configuration:
//! real messages, moved over IMAP by their owners.

#[path = "../../gate/tests/support/mod.rs"]
mod support;

use channels::deliver::Outcome;
use channels::tokens::{Counts, Token};
use learn::{Table, field, store};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Mail, READERS};

const A: Token = *b"aaaaa";
const B: Token = *b"bbbbb";
const MESSAGE: &str = "From: s@x.example\r\nSubject: buy\r\n\r\nbody\r\n";
const ANNA: (&str, u32) = ("anna", 20_001);
const BEN: (&str, u32) = ("ben", 20_002);

/// Dovecot with the program.
struct Box {
    mail: Mail,
    _programs: tempfile::TempDir,
}

impl Box {
    fn start(name: &str) -> Self {
        Self::start_with(name, Path::new(env!("CARGO_BIN_EXE_learn")))
    }

    fn start_with(name: &str, program: &Path) -> Self {
        let programs = tempfile::tempdir().unwrap();
        fs::set_permissions(programs.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(program, programs.path().join("learn")).unwrap();
        let mail = Mail::start_with(name, Some(programs.path()));
        Self {
            mail,
            _programs: programs,
        }
    }

    fn deliver(&self, to: &[&str], tokens: &[Token]) -> Option<(Counts, Vec<Counts>)> {
        let (outcome, answer) = self.mail.deliver_with(to, MESSAGE.as_bytes(), Some(tokens));
        assert_eq!(outcome, Outcome::Delivered);
        answer
    }

    fn move_to(&self, who: (&str, u32), from: &str, uid: u32, to: &str) {
        let command = format!("UID MOVE {uid} {to}");
        let done = self.mail.imap(who.0, from, &["--request", &command]);
        done.unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    fn folder(&self, who: (&str, u32)) -> PathBuf {
        self.mail.folder.join(format!("learned/{}", who.1))
    }

    fn table(&self, who: (&str, u32)) -> Table {
        store::read(&self.folder(who)).unwrap().unwrap_or_default()
    }
}

fn counts(spam: u32, ham: u32) -> Counts {
    Counts { spam, ham }
}

#[test]
fn a_move_into_junk_teaches_its_owner_s_filter_and_nobody_else_s() {
    let home = Box::start("learn-move");
    home.deliver(&["anna@box.example", "ben@box.example"], &[A, B]);
    home.move_to(ANNA, "INBOX", 1, "Junk");
    let table = home.table(ANNA);
    assert_eq!(table.messages(), counts(1, 0));
    assert_eq!(
        (table.counts(&A), table.counts(&B)),
        (counts(1, 0), counts(1, 0))
    );
    assert_eq!(home.table(BEN), Table::default());

    // The file is Anna's, and the gate's to read; Ben finds no way to it.
    let file = fs::metadata(home.folder(ANNA).join(store::FILE)).unwrap();
    let whose = (file.uid(), file.gid(), file.mode() & 0o7777);
    assert_eq!(whose, (ANNA.1, READERS, 0o640));
    for (user, group, may) in [
        (ANNA.1, ANNA.1, true),
        (BEN.1, BEN.1, false),
        (4243, READERS, true),
        (4243, 4243, false),
    ] {
        let cat = Command::new("setpriv")
            .arg("--clear-groups")
            .args([format!("--reuid={user}"), format!("--regid={group}")])
            .arg("cat")
            .arg(home.folder(ANNA).join(store::FILE))
            .output()
            .unwrap();
        assert_eq!(cat.status.success(), may, "{user}");
    }

    // The next message's child is told, if it is for her alone.
    let told = home.deliver(&["anna@box.example"], &[A]).unwrap();
    assert_eq!(told, (counts(1, 0), vec![counts(1, 0)]));
    let told = home.deliver(&["anna@box.example", "ben@box.example"], &[A]);
    assert_eq!(told.unwrap(), (counts(0, 0), vec![counts(0, 0)]));

    // Back: it is no spam, and counts as none; once, however often it is moved.
    for _ in 0..2 {
        home.move_to(ANNA, "Junk", newest(&home, "Junk"), "INBOX");
        let table = home.table(ANNA);
        assert_eq!(table.messages(), counts(0, 1));
        assert_eq!(
            (table.counts(&A), table.counts(&B)),
            (counts(0, 1), counts(0, 1))
        );
        home.move_to(ANNA, "INBOX", newest(&home, "INBOX"), "Junk");
        assert_eq!(home.table(ANNA).messages(), counts(1, 0));
    }
}

/// The highest UID in a mailbox of Anna's.
fn newest(home: &Box, mailbox: &str) -> u32 {
    let found = home
        .mail
        .imap("anna", mailbox, &["--request", "UID SEARCH ALL"]);
    let found = found.unwrap();
    let last = found.split_whitespace().last().unwrap();
    last.parse().unwrap_or_else(|_| panic!("{found}"))
}

#[test]
fn what_is_filed_is_wanted_and_what_is_thrown_away_says_nothing() {
    let home = Box::start("learn-file");
    let to = ["anna@box.example"];
    for token in [A, B, *b"ccccc"] {
        home.deliver(&to, &[token]);
    }
    home.move_to(ANNA, "INBOX", 1, "Archive");
    assert_eq!(home.table(ANNA).counts(&A), counts(0, 1));
    home.move_to(ANNA, "INBOX", 2, "Trash");
    assert_eq!(home.table(ANNA).counts(&B), counts(0, 0));
    home.move_to(ANNA, "INBOX", 3, "Junk");
    home.move_to(ANNA, "Junk", newest(&home, "Junk"), "Trash");
    assert_eq!(home.table(ANNA).counts(b"ccccc"), counts(1, 0));
    assert_eq!(home.table(ANNA).messages(), counts(1, 1));
}

#[test]
fn a_message_without_the_field_teaches_nothing_and_one_with_it_does() {
    let home = Box::start("learn-append");
    let file = home.mail.folder.join("letter");
    let append = |text: String| {
        fs::write(&file, text).unwrap();
        let upload = ["--upload-file", file.to_str().unwrap()];
        home.mail.imap("anna", "Junk", &upload).unwrap();
    };
    append(MESSAGE.to_owned());
    append(format!("{}{MESSAGE}", field::write(None)));
    append(format!("X-ProjectX-Tokens: AAAA\r\n{MESSAGE}"));
    assert!(!home.folder(ANNA).join(store::FILE).exists());
    // Another box's, or a mail program that moves by uploading.
    append(format!("{}{MESSAGE}", field::write(Some(&[A]))));
    assert_eq!(home.table(ANNA).messages(), counts(1, 0));
    // What the filter itself put into Junk is nobody's word.
    let spam = format!("X-Spam-Flag: YES\r\n{MESSAGE}");
    let to = ["anna@box.example"];
    let (outcome, _) = home.mail.deliver_with(&to, spam.as_bytes(), Some(&[B]));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!(newest(&home, "Junk"), 5);
    assert_eq!(home.table(ANNA).messages(), counts(1, 0));
}

#[test]
fn a_large_message_is_moved_whole_and_learnt_from_its_head() {
    let home = Box::start("learn-large");
    let large = format!("{MESSAGE}{}", "0123456789abcdef.\r\n".repeat(300_000));
    let to = ["anna@box.example"];
    let (outcome, _) = home.mail.deliver_with(&to, large.as_bytes(), Some(&[A]));
    assert_eq!(outcome, Outcome::Delivered);
    home.move_to(ANNA, "INBOX", 1, "Junk");
    assert_eq!(home.table(ANNA).messages(), counts(1, 0));
    assert!(home.mail.read("anna", "Junk;UID=1").ends_with(&large));
}

#[test]
fn a_move_succeeds_though_learning_fails() {
    for program in ["/bin/false", "/nonexistent"] {
        let home = match program {
            // A folder where the program's is missing.
            "/nonexistent" => Box {
                mail: Mail::start("learn-missing"),
                _programs: tempfile::tempdir().unwrap(),
            },
            program => Box::start_with("learn-false", Path::new(program)),
        };
        home.deliver(&["anna@box.example"], &[A]);
        home.move_to(ANNA, "INBOX", 1, "Junk");
        assert!(home.mail.read("anna", "Junk;UID=1").ends_with(MESSAGE));
        assert!(!home.folder(ANNA).join(store::FILE).exists());
    }
}

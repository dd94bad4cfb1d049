//! What a person has taught the filter, in a real child: the same tokens and the
//! same probabilities as Debian's SpamAssassin after sa-learn. As `judging.rs`,
//! root on Linux 6.12 or later, and mmdebstrap.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::messages;
use crate::support::root::{Tree, packages};
use crate::support::running::{PATIENCE, Running, ends, parts, plain, send, start};
use channels::tokens::{self, Counts, Question, Token};
use learn::{Kind, Table};

/// How many of each kind are learnt, and judged.
const LEARNT: u32 = 25;
const JUDGED: u32 = 12;

/// The box's root with a plugin that says what Bayes found.
fn telling() -> &'static Path {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Tree::new("telling");
        let site = tree.path().join("etc/spamassassin");
        let plugin = include_str!("support/Probability.pm");
        fs::write(site.join("Probability.pm"), plugin).unwrap();
        let load = "loadplugin Probability /etc/spamassassin/Probability.pm\n";
        fs::write(site.join("probability.pre"), load).unwrap();
        tree
    })
    .path()
}

/// Scans a message as the runtime does it, with the gate's part of `tokens`
/// played here: gives what the child asked for and what it said.
fn scan(running: &mut Running, message: &[u8], table: &Table) -> (Vec<Token>, String) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let (socket, pidfd) = running.zygote.fork(&[theirs.as_fd()], PATIENCE).unwrap();
    drop(theirs);
    let mut socket = send(socket, message);
    let mut question = Question::default();
    let asked = loop {
        let mut part = vec![0; question.wanted()];
        let count = ours.read(&mut part).unwrap();
        assert!(count > 0, "no question");
        if let Some(asked) = question.take(&part[..count]).unwrap() {
            break asked;
        }
    };
    let counts: Vec<Counts> = asked.iter().map(|token| table.counts(token)).collect();
    tokens::answer(&mut ours, table.messages(), &counts).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(ends(&pidfd), "the child is still there after its answer");
    // Nothing more than one question.
    assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    (asked, answer)
}

fn kind_of(spam: bool) -> Kind {
    match spam {
        true => Kind::Spam,
        false => Kind::Ham,
    }
}

/// What a person's table has after `count` messages of each kind were filed.
fn taught(running: &mut Running, count: u32) -> Table {
    let mut table = Table::default();
    for number in 0..count {
        for spam in [true, false] {
            let message = messages::of_kind(spam, number);
            let (asked, _) = scan(running, &message, &Table::default());
            assert!(table.learn(&asked, kind_of(spam), 1), "{number}");
        }
    }
    table
}

/// Debian's SpamAssassin with all of its files, and a database of its own.
struct Stock {
    folder: String,
}

impl Stock {
    /// Learns the same messages with sa-learn.
    fn taught(count: u32) -> Self {
        let stock = Self {
            folder: format!("/tmp/bayes-{}", std::process::id()),
        };
        for spam in [true, false] {
            let files = stock.write("learn", (0..count).map(|n| messages::of_kind(spam, n)));
            let option = if spam { "--spam" } else { "--ham" };
            let path = format!("{}/bayes", stock.folder);
            let words = ["/usr/bin/sa-learn", "-L", "--dbpath", &path, option];
            stock.run(words.map(String::from).into_iter().chain(files));
        }
        stock
    }

    fn write(&self, name: &str, all: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let folder = packages()
            .join(self.folder.trim_start_matches('/'))
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        all.enumerate()
            .map(|(index, message)| {
                fs::write(folder.join(format!("{index:03}")), message).unwrap();
                format!("{}/{name}/{index:03}", self.folder)
            })
            .collect()
    }

    fn run(&self, words: impl Iterator<Item = String>) -> String {
        let output = Command::new("chroot")
            .arg(packages())
            .args(words)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Every token's counts, as sa-learn shows them.
    fn counts(&self) -> BTreeMap<Token, Counts> {
        let path = format!("{}/bayes", self.folder);
        let words = ["/usr/bin/sa-learn", "--dbpath", &path, "--dump", "data"];
        let text = self.run(words.map(String::from).into_iter());
        text.lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let [_, spam, ham, _, token] = words[..] else {
                    panic!("{line}");
                };
                let byte = |at: usize| u8::from_str_radix(&token[2 * at..2 * at + 2], 16).unwrap();
                let counts = Counts {
                    spam: spam.parse().unwrap(),
                    ham: ham.parse().unwrap(),
                };
                ([0, 1, 2, 3, 4].map(byte), counts)
            })
            .collect()
    }

    /// The probability, the score and the tests of each message.
    fn judge(&self, all: impl Iterator<Item = Vec<u8>>) -> Vec<(f64, f64, String)> {
        let files = self.write("judge", all);
        let path = format!("bayes_path {}/bayes", self.folder);
        let words = [
            "/usr/bin/spamassassin",
            "-L",
            "-t",
            "--cf",
            &path,
            "--cf",
            "clear_headers",
            "--cf",
            "add_header all Found (_BAYES_) (_SCORE_) (_TESTS_)",
        ];
        let text = self.run(words.map(String::from).into_iter().chain(files));
        text.split("\nX-Spam-Found: (")
            .skip(1)
            .map(|part| {
                let mut parts = part.split(')');
                let mut next = || {
                    let part = parts.next().unwrap();
                    part.rsplit('(')
                        .next()
                        .unwrap()
                        .replace(char::is_whitespace, "")
                };
                let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{part:?}"));
                let (found, score) = (number(next()), number(next()));
                (found, score, next())
            })
            .collect()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let folder = packages().join(self.folder.trim_start_matches('/'));
        let _ = fs::remove_dir_all(folder);
    }
}

#[test]
fn a_child_judges_as_spamassassin_does_after_sa_learn_has_learnt_the_same() {
    let mut running = start(telling());
    let table = taught(&mut running, LEARNT);
    let stock = Stock::taught(LEARNT);
    assert_eq!(
        table.messages(),
        Counts {
            spam: LEARNT,
            ham: LEARNT
        }
    );
    let expected = stock.counts();
    assert_eq!(table.len(), expected.len());
    for (token, counts) in &expected {
        assert_eq!(table.counts(token), *counts, "{token:?}");
    }

    let new = |spam| (LEARNT..LEARNT + JUDGED).map(move |number| messages::of_kind(spam, number));
    let all = || {
        new(true)
            .chain(new(false))
            .chain([messages::ham(), messages::gtube()])
    };
    let judged = stock.judge(all());
    assert_eq!(judged.len(), all().count());
    for (message, (probability, score, tests)) in all().zip(&judged) {
        let (_, answer) = scan(&mut running, &message, &table);
        // Where no word is known, SpamAssassin says 0.5.
        let (found, line) = match answer.strip_prefix('[') {
            Some(rest) => rest.split_once("]\n").unwrap(),
            None => ("0.5", &*answer),
        };
        let found: f64 = found.parse().unwrap();
        // SpamAssassin shows four digits.
        assert!(
            (found - probability).abs() < 0.000_051,
            "{answer}{judged:?}"
        );
        let mut expected: Vec<&str> = tests.split(',').filter(|test| *test != "none").collect();
        let (found, mut hit) = parts(line);
        expected.sort_unstable();
        hit.sort_unstable();
        assert_eq!((found, hit), (*score, expected), "{answer}");
    }
    // Or two that had learnt nothing would agree.
    let (spam, ham) = (&judged[..JUDGED as usize], &judged[JUDGED as usize..]);
    assert!(spam.iter().all(|(found, ..)| *found > 0.5), "{spam:?}");
    assert!(
        ham[..JUDGED as usize]
            .iter()
            .all(|(found, ..)| *found < 0.5),
        "{ham:?}"
    );
    assert!(
        spam.iter().any(|(.., tests)| tests.contains("BAYES_99")),
        "{spam:?}"
    );
    assert!(
        ham.iter().any(|(.., tests)| tests.contains("BAYES_00")),
        "{ham:?}"
    );
}

#[test]
fn what_was_learnt_counts_from_twenty_messages_of_each_kind_on() {
    let mut running = start(plain());
    let message = messages::of_kind(true, 100);
    let (asked, _) = scan(&mut running, &message, &Table::default());
    let mut table = Table::default();
    let mut bayes = |table: &Table| {
        let (_, answer) = scan(&mut running, &message, table);
        parts(&answer)
            .1
            .iter()
            .any(|test| test.starts_with("BAYES_"))
    };
    for number in 0..20u8 {
        assert!(!bayes(&table), "{number}");
        // A message of each kind that is like none of the others.
        let one = |kind: u8| [asked[0], [0xff, 0xff, 0xff, kind, number]];
        table.learn(&one(1), Kind::Spam, 1);
        assert!(!bayes(&table), "{number}");
        table.learn(&one(2)[1..], Kind::Ham, 1);
    }
    assert!(bayes(&table));
}

#[test]
fn a_child_without_an_answer_judges_without_what_was_learnt() {
    let mut running = start(plain());
    let message = messages::of_kind(true, 100);
    let (_, untaught) = scan(&mut running, &message, &Table::default());
    assert!(parts(&untaught).0 < 5.0, "{untaught}");
    // No channel at all.
    let (socket, _) = running.zygote.fork(&[], PATIENCE).unwrap();
    let mut answer = String::new();
    send(socket, &message).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, untaught);
    // One that closes, before the question or within the answer.
    for bytes in [&b""[..], &[0, 0, 0, 200, 0, 0, 0, 200, 0]] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (socket, _) = running.zygote.fork(&[theirs.as_fd()], PATIENCE).unwrap();
        drop(theirs);
        std::io::Write::write_all(&mut ours, bytes).unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        send(socket, &message).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, untaught);
    }
}

#[test]
fn a_message_of_very_many_words_asks_for_4096_of_them() {
    let mut running = start(plain());
    let mut message = messages::of_kind(true, 1);
    for number in 0..9_000 {
        message.extend(format!("word{number:x}\n").bytes());
    }
    let (asked, answer) = scan(&mut running, &message, &Table::default());
    assert_eq!(asked.len(), tokens::MAX_TOKENS);
    parts(&answer);
    let (again, _) = scan(&mut running, &message, &Table::default());
    assert_eq!(asked, again);
}

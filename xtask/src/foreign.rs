//! Mail with the mail systems of others, natively: the app's real services
//! (`ci/native`) on an internet that is made for the test (`ci/internet`), in
//! which Postfix, Exim and OpenSMTPD run domains of their own.
//!
//! Inbound: each of them looks the box up in the signed names, delivers to its
//! port 25, and the message is in the mailbox; forged mail of a domain with DMARC
//! `p=reject`, and mail in the clear, are refused at the door and whoever sent it
//! is told why.

use crate::scenarios::mail::{authentication_results, now, says};
use crate::{campaign, image};
use anyhow::{Context, Result, ensure};
use internet::{Domain, HOME, Internet};
use native::{Native, Options, Person};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// From a mail server's queue into the mailbox; SpamAssassin judges meanwhile.
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// A message that a foreign domain sends, and what becomes of it.
struct Case {
    about: &'static str,
    from: &'static str,
    /// Whose mail server sends it.
    by: Domain,
    becomes: Becomes,
}

/// What becomes of a message.
enum Becomes {
    /// It is in the inbox, and `Authentication-Results` says each of these.
    Taken(&'static [&'static str]),
    /// It is not, and the sender's mail server has logged each of these words in
    /// one line.
    Refused(&'static [&'static str]),
}

const CASES: [Case; 6] = [
    Case {
        about: "Postfix delivers",
        from: "ada@postfix.example",
        by: Domain::Postfix,
        becomes: Becomes::Taken(&["spf=pass", "iprev=pass"]),
    },
    Case {
        about: "Exim delivers",
        from: "ada@exim.example",
        by: Domain::Exim,
        becomes: Becomes::Taken(&["spf=pass", "iprev=pass"]),
    },
    Case {
        about: "OpenSMTPD delivers",
        from: "ada@opensmtpd.example",
        by: Domain::OpenSmtpd,
        becomes: Becomes::Taken(&["spf=pass", "iprev=pass"]),
    },
    Case {
        about: "what a domain with p=reject has signed is taken",
        from: "ada@strict.example",
        by: Domain::Strict,
        becomes: Becomes::Taken(&["dkim=pass", "spf=pass", "dmarc=pass"]),
    },
    Case {
        about: "what another forges in its name is refused at the door",
        from: "ada@strict.example",
        by: Domain::Postfix,
        becomes: Becomes::Refused(&[
            "status=bounced",
            "box.home.example[128.66.0.25] said: 550 5.7.1 Refused by the DMARC policy of strict.example",
        ]),
    },
    Case {
        about: "mail in the clear is refused at the door",
        from: "ada@plaintext.example",
        by: Domain::Plaintext,
        becomes: Becomes::Refused(&[
            "status=bounced",
            "box.home.example[128.66.0.25] said: 530 5.7.0",
        ]),
    },
];

/// Does it all on one internet with one box.
pub fn run() -> Result<()> {
    let image = image::native::make("email")?;
    let program = campaign::build_box()?;
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut domains = CASES.map(|case| case.by).to_vec();
    domains.sort_unstable();
    domains.dedup();
    let internet = Internet::with(&folder.path().join("internet"), &domains)?;
    let anna = format!("anna@{HOME}");
    let options = Options {
        program,
        image,
        volumes: folder.path().join("volumes"),
        journal: folder.path().join("journal"),
        people: vec![Person {
            address: anna.clone(),
            password: "tide and heron 7".into(),
        }],
    };
    let started = Native::start_on(&internet, &options);
    let native =
        started.with_context(|| fs::read_to_string(&options.journal).unwrap_or_default())?;
    eprintln!("internet and box are there after {:?}", begun.elapsed());
    for (number, case) in CASES.iter().enumerate() {
        let sentence = format!("The heron of message {number} waits for the tide.");
        let message = letter(case.from, &anna, number, &sentence);
        let host = internet.host(case.by);
        host.send(case.from, &anna, message.as_bytes())
            .context(case.about)?;
        let journal = || fs::read_to_string(&options.journal).unwrap_or_default();
        match case.becomes {
            Becomes::Taken(results) => {
                let taken = taken(native.home(&anna)?, &sentence, results, &message);
                taken.with_context(|| {
                    format!(
                        "{}:\n{}\n{}",
                        case.about,
                        host.log().unwrap_or_default(),
                        journal()
                    )
                })?;
            }
            Becomes::Refused(words) => {
                host.wait_for_log(words, LIMIT)
                    .with_context(|| format!("{}:\n{}", case.about, journal()))?;
                let inbox = inbox(native.home(&anna)?)?;
                let is_there = inbox.iter().any(|stored| stored.contains(&sentence));
                ensure!(!is_there, "{}: it is in the inbox", case.about);
            }
        }
    }
    native.stop()
}

/// Waits for the message with this sentence, which must be as it was sent.
fn taken(home: &Path, sentence: &str, results: &[&str], sent: &str) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let stored = loop {
        let stored = inbox(home)?;
        if let Some(found) = stored.into_iter().find(|stored| stored.contains(sentence)) {
            break found;
        }
        ensure!(Instant::now() < end, "it is not in the inbox");
        std::thread::sleep(STEP);
    };
    let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    ensure!(body(&stored) == body(sent), "another body: {stored:?}");
    let said = authentication_results(&stored);
    for result in results {
        ensure!(says(&said, result), "not {result}: {said}");
    }
    Ok(())
}

/// What is in somebody's inbox, lines ending with CR LF.
fn inbox(home: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["Maildir/new", "Maildir/cur"] {
        let Ok(entries) = fs::read_dir(home.join(folder)) else {
            // Nothing has come yet.
            continue;
        };
        for entry in entries {
            // Dovecot moves one from new to cur when somebody looks; nobody does.
            let text = String::from_utf8_lossy(&fs::read(entry?.path())?).into_owned();
            found.push(text.replace("\r\n", "\n").replace('\n', "\r\n"));
        }
    }
    Ok(found)
}

fn letter(from: &str, to: &str, number: usize, sentence: &str) -> String {
    let date = now();
    let (_, domain) = from.split_once('@').unwrap_or_default();
    format!(
        "From: Ada Archer <{from}>\r\nTo: <{to}>\r\nSubject: Message {number}\r\nDate: {date}\r\n\
         Message-ID: <{number}.letters@{domain}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Hello,\r\n\r\n{sentence}\r\n\
         .a line that begins with a dot, and a blank at its end \r\nGrüße aus Zürich.\r\n"
    )
}

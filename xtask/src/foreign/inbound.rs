//! Mail from the mail systems of others: each of them looks the box up in the signed
//! names, delivers to its port 25, and the message is in the mailbox; forged mail of
//! a domain with DMARC `p=reject`, and mail in the clear, are refused at the door and
//! whoever sent it is told why.

use super::{LIMIT, Meeting, STEP, inbox, letter};
use crate::scenarios::mail::{authentication_results, says};
use anyhow::{Context, Result, ensure};
use internet::Domain;
use std::path::Path;
use std::time::Instant;

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

/// Which domains send.
pub fn domains() -> impl Iterator<Item = Domain> {
    CASES.iter().map(|case| case.by)
}

/// Sends each message and sees what becomes of it.
///
/// # Errors
/// When something else becomes of one, with what both sides say of it.
pub fn run(meeting: &Meeting) -> Result<()> {
    for (number, case) in CASES.iter().enumerate() {
        let sentence = format!("The heron of message {number} waits for the tide.");
        let message = letter(case.from, &meeting.anna, number, &sentence);
        let host = meeting.internet.host(case.by);
        host.send(case.from, &meeting.anna, message.as_bytes())
            .context(case.about)?;
        let home = meeting.native.home(&meeting.anna)?;
        match case.becomes {
            Becomes::Taken(results) => {
                let taken = taken(home, &sentence, results, &message);
                taken.with_context(|| {
                    let log = host.log().unwrap_or_default();
                    format!("{}:\n{log}\n{}", case.about, meeting.journal())
                })?;
            }
            Becomes::Refused(words) => {
                host.wait_for_log(words, LIMIT)
                    .with_context(|| format!("{}:\n{}", case.about, meeting.journal()))?;
                let is_there = inbox(home)?.iter().any(|stored| stored.contains(&sentence));
                ensure!(!is_there, "{}: it is in the inbox", case.about);
            }
        }
    }
    Ok(())
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

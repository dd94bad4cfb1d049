//! SPF, DKIM and DMARC, judged by the box with names that it looked up and
//! whose signatures it checked, from the root down.

use super::internet::{Host, MAIL, STRANGER};
use super::letter::{Letter, find, letter};
use super::peers::Tree;
use super::readers::curl;
use super::senders::swaks;
use super::world::World;
use super::zone::{SELECTOR, dkim_key};
use super::{ANNA, InsideArguments};
use anyhow::{Context, Result, ensure};

/// What a message's signature is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dkim {
    Good,
    /// The message got another line after it was signed.
    OtherBody,
    /// It got another subject.
    OtherSubject,
    Absent,
}

/// A message, and what becomes of it.
struct Case {
    about: &'static str,
    host: Host,
    from: &'static str,
    dkim: Dkim,
    becomes: Becomes,
}

/// What becomes of a message.
enum Becomes {
    /// It is taken, and `Authentication-Results` says each of these: SPF's for
    /// the envelope's sender.
    Taken(&'static [&'static str]),
    /// It is refused with these words.
    Refused(&'static str),
}

const REFUSED: Becomes =
    Becomes::Refused("550 5.7.1 Refused by the DMARC policy of sender.example");

const CASES: [Case; 9] = [
    Case {
        about: "SPF passes, and with it DMARC",
        host: MAIL,
        from: "ada@sender.example",
        dkim: Dkim::Absent,
        becomes: Becomes::Taken(&["spf=pass", "dmarc=pass", "iprev=pass"]),
    },
    Case {
        about: "DKIM is good where SPF fails",
        host: STRANGER,
        from: "ada@sender.example",
        dkim: Dkim::Good,
        becomes: Becomes::Taken(&["spf=fail", "dkim=pass", "dmarc=pass"]),
    },
    Case {
        about: "DMARC says reject: forged, not signed",
        host: STRANGER,
        from: "ada@sender.example",
        dkim: Dkim::Absent,
        becomes: REFUSED,
    },
    Case {
        about: "DMARC says reject: forged, with a broken signature",
        host: STRANGER,
        from: "ada@sender.example",
        dkim: Dkim::OtherSubject,
        becomes: REFUSED,
    },
    Case {
        about: "SPF fails and nobody says reject",
        host: STRANGER,
        from: "ada@plain.example",
        dkim: Dkim::Absent,
        becomes: Becomes::Taken(&["spf=fail", "dkim=none"]),
    },
    Case {
        about: "DKIM is good where there is no SPF",
        host: MAIL,
        from: "ada@signed.example",
        dkim: Dkim::Good,
        becomes: Becomes::Taken(&["spf=none", "dkim=pass"]),
    },
    Case {
        about: "DKIM is broken in the header and nobody says reject",
        host: MAIL,
        from: "ada@signed.example",
        dkim: Dkim::OtherSubject,
        becomes: Becomes::Taken(&["spf=none", "dkim=fail"]),
    },
    Case {
        about: "DKIM is broken in the body and nobody says reject",
        host: MAIL,
        from: "ada@signed.example",
        dkim: Dkim::OtherBody,
        becomes: Becomes::Taken(&["spf=none", "dkim=fail (body hash did not verify)"]),
    },
    Case {
        about: "a zone whose DNSSEC signatures are not good is not believed",
        host: MAIL,
        from: "ada@bogus.example",
        dkim: Dkim::Absent,
        becomes: Becomes::Taken(&["spf=temperror"]),
    },
];

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let _machine = world.go_on(arguments, None)?;
    let mut taken = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let message = message(&world.internet, case, number).context(case.about)?;
        let session = swaks(
            &world.internet,
            case.host,
            case.from,
            ANNA.address,
            &message.bytes,
        )?;
        match case.becomes {
            Becomes::Taken(results) => {
                ensure!(
                    session.verdict() == "250 2.0.0 Delivered",
                    "{}:\n{}",
                    case.about,
                    session.transcript
                );
                taken.push((case.about, message.sentence, results));
            }
            Becomes::Refused(words) => ensure!(
                session.verdict() == words,
                "{}:\n{}",
                case.about,
                session.transcript
            ),
        }
    }
    let messages: Vec<Vec<u8>> = [
        curl(&world.internet, &world.folder, ANNA, "INBOX")?,
        curl(&world.internet, &world.folder, ANNA, "Junk")?,
    ]
    .concat();
    ensure!(
        messages.len() == taken.len(),
        "{} messages came in, not {}",
        messages.len(),
        taken.len()
    );
    for (about, sentence, results) in taken {
        let found = find(&messages, &sentence).context(about)?;
        let said = authentication_results(&String::from_utf8_lossy(found));
        for result in results {
            ensure!(says(&said, result), "{about}: not {result}: {said}");
        }
    }
    Ok(())
}

/// The case's message, signed by dkimsign as the case wants it.
fn message(tree: &Tree, case: &Case, number: usize) -> Result<Letter> {
    let mut letter = letter(
        case.host,
        case.from,
        ANNA.address,
        &format!("Case {number}"),
    );
    if case.dkim == Dkim::Absent {
        return Ok(letter);
    }
    let domain = case.from.split('@').next_back().context("an address")?;
    let key = dkim_key();
    let words = [
        "dkimsign", "--hcanon", "relaxed", "--bcanon", "relaxed", SELECTOR, domain, &key,
    ];
    letter.bytes = tree.feed(&words, &letter.bytes)?;
    match case.dkim {
        Dkim::OtherBody => letter
            .bytes
            .extend_from_slice(b"Added after it was signed.\r\n"),
        Dkim::OtherSubject => {
            let field = b"\r\nSubject: ";
            let at = memchr::memmem::find(&letter.bytes, field).context("a subject")?;
            let at = at + field.len();
            letter.bytes.splice(at..at, *b"Re: ");
        }
        Dkim::Good | Dkim::Absent => {}
    }
    Ok(letter)
}

/// Whether a result is among those of the field (RFC 8601 section 2.2).
pub fn says(field: &str, result: &str) -> bool {
    field.split(';').map(str::trim).any(|one| {
        // SPF is looked up for the name in EHLO too.
        let of_the_sender = !one.starts_with("spf=") || one.contains("smtp.mailfrom=");
        one.starts_with(result) && of_the_sender
    })
}

/// The first such field of a message, in one line.
pub fn authentication_results(message: &str) -> String {
    let mut field = String::new();
    for line in message.split("\r\n").take_while(|line| !line.is_empty()) {
        let goes_on = line.starts_with([' ', '\t']);
        match (field.is_empty(), goes_on) {
            (true, _) if line.starts_with("Authentication-Results:") => field.push_str(line),
            (true, _) => {}
            (false, true) => field.push_str(line),
            (false, false) => break,
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_for_the_name_in_ehlo_is_not_taken_for_the_senders() {
        let field = "Authentication-Results: x;\tspf=pass smtp.helo=a;\tspf=fail smtp.mailfrom=b";
        assert!(says(field, "spf=fail") && !says(field, "spf=pass"));
    }

    #[test]
    fn only_the_first_field_is_read_and_all_its_lines() {
        let text = "Received: a\r\n\tb\r\nAuthentication-Results: x;\r\n\tspf=pass;\r\n\tdkim=none\r\n\
                    Authentication-Results: y; dmarc=pass\r\n\r\nbody";
        let expected = "Authentication-Results: x;\tspf=pass;\tdkim=none";
        assert_eq!(authentication_results(text), expected);
    }
}

//! The box's records in the DNS, for the owner: which are wanted, what the service
//! `records` has found, and when port 25's next key may be used.
//!
//! What that service and the signers have written is read as what strangers may have
//! written (`records/src/untrusted.rs`).

use crate::log;
use crate::people::{Place, refused};
use control::records::{self as shown, MOST_DOMAINS};
use control::{RecordsRequest, Refusal, Reply};
use outbound::FileError;
use records::{Found, Kind, Record, Wanted, roll, sources, told};
use services::clock::rfc3339;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest text that fits an answer, in bytes: in JSON a quotation mark takes two.
const MOST: usize = 24 << 10;

/// What was said last of writing it down, so that it is said once.
static SAID: Mutex<String> = Mutex::new(String::new());

fn wanted_folder(place: &Place) -> PathBuf {
    place.volumes.join("records-wanted")
}

/// Writes down what is wanted now, for the service to look for. Without its folder there
/// is no such service.
pub fn keep(place: &Place) {
    let folder = wanted_folder(place);
    if !folder.exists() {
        return;
    }
    let kept =
        Wanted::gather(&place.hostname, &place.volumes).and_then(|wanted| wanted.keep(&folder));
    let words = kept.err().map(|error: FileError| error.to_string());
    let words = words.unwrap_or_default();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if *said != words {
        if !words.is_empty() {
            log::line(&format!("records: {words}"));
        }
        *said = words;
    }
}

/// What is wanted now, and what was found.
fn read(place: &Place) -> Result<(Wanted, Option<Found>), String> {
    let wanted = Wanted::gather(&place.hostname, &place.volumes);
    let wanted = wanted.map_err(|error| error.to_string())?;
    let found = Found::read(&place.volumes.join("records-found")).unwrap_or_else(|words| {
        log::line(&format!("records: {words}"));
        None
    });
    Ok((wanted, found))
}

/// Answers the page. The caller sees to it that nobody else writes down what is wanted
/// meanwhile.
pub fn answer(place: &Place, request: RecordsRequest) -> Reply {
    let failed = |words: String| {
        log::line(&format!("records: {words}"));
        refused(
            Refusal::Failed,
            format!("The records can't be shown: {words}."),
            0,
        )
    };
    let (wanted, found) = match read(place) {
        Ok(read) => read,
        Err(words) => return failed(words),
    };
    let domain = match request {
        RecordsRequest::See => wanted.domains.first().cloned(),
        RecordsRequest::Domain { domain } => {
            if !wanted.domains.contains(&domain) {
                let words = "Nobody here has an address in that domain.".into();
                return refused(Refusal::BadDomain, words, 0);
            }
            Some(domain)
        }
        RecordsRequest::LookAgain => {
            let folder = wanted_folder(place);
            let asked = Wanted::read(&folder).map_err(|error| error.to_string());
            let asked = asked.and_then(|wanted| {
                let asked = wanted.ask_again(&folder);
                asked.map_err(|error| error.to_string())
            });
            if let Err(words) = asked {
                return failed(words);
            }
            wanted.domains.first().cloned()
        }
    };
    let records = wanted.of_domain(domain.as_deref());
    let records = records.map(|record| shown(record, found.as_ref()));
    Reply::Records(shown::Records {
        hostname: wanted.hostname.clone(),
        looked: found.as_ref().map(|found| date(found.checked)),
        records: records.collect(),
        domain,
        domains: wanted.domains.iter().take(MOST_DOMAINS).cloned().collect(),
    })
}

fn shown(record: &Record, found: Option<&Found>) -> shown::Record {
    let one = found.and_then(|found| found.of(record));
    let state = one.map_or("not looked up yet", |one| one.state.words());
    let there = one.map(|one| one.found.join(" | "));
    shown::Record {
        sentence: record.purpose.sentence().into(),
        name: record.name.clone(),
        kind: record.kind().word().into(),
        value: match record.kind() {
            Kind::Address => "the public address of your home".into(),
            _ => record.value.clone(),
        },
        state: state.into(),
        found: there.unwrap_or_default(),
    }
}

/// Lines of a zone file, with what was found of each.
///
/// # Errors
/// When there is no such domain, they are too many for one answer, or the settings can't
/// be read; in words for root.
pub fn told(place: &Place, domain: Option<&str>) -> Result<String, String> {
    let (wanted, found) = read(place)?;
    let domain = domain.map(|domain| domain.trim_end_matches('.').to_ascii_lowercase());
    let own = wanted.domains.join(", ");
    if let Some(domain) = &domain
        && !wanted.domains.contains(domain)
    {
        return Err(format!(
            "Nobody here has an address in {domain:?}. The box's domains: {own}."
        ));
    }
    let when = found.as_ref().map(|found| date(found.checked));
    let when = when.unwrap_or_default();
    let text = told::zone(&wanted, found.as_ref(), domain.as_deref(), &when);
    match text.len() <= MOST {
        true => Ok(text),
        false => Err(format!(
            "These are too many for one answer. Ask for one domain, projectx records DOMAIN, \
             of: {own}."
        )),
    }
}

/// Lets the signer use the next key, when others have been able to know it long enough.
///
/// # Errors
/// Why not, in words for root.
pub fn roll(place: &Place) -> Result<String, String> {
    let (wanted, found) = read(place)?;
    let keys = place.volumes.join("keys");
    let tlsa = sources::tlsa(&keys);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    roll::may(&wanted, tlsa.as_ref(), found.as_ref(), &keys, now)
        .map_err(|why| format!("{why} Nothing was changed."))?;
    let next = tlsa.map(|tlsa| tlsa.next).unwrap_or_default();
    roll::wish(&keys, &next).map_err(|error| format!("{}: {error}", keys.display()))?;
    log::line("records: port 25 gets its next key");
    Ok(
        "The next mail server that asks meets the next key. Then there is a new next key: \
        publish its TLSA record as projectx records prints it, and take the old key's away.\n"
            .into(),
    )
}

/// A time in words. Further away than a calendar goes is what a damaged file says.
fn date(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(1 << 36));
    let written: String = rfc3339(time).chars().take(16).collect();
    format!("{} UTC", written.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::tests::place;
    use outbound::settings::Settings;
    use records::found::One;
    use records::{Purpose, State};
    use std::fs;

    /// A box with one domain, whose signer has both keys.
    fn here() -> (Place, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        for name in ["outbound", "keys", "records-wanted", "records-found"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let tlsa = format!("present {}\nnext {}\n", "aa".repeat(32), "bb".repeat(32));
        fs::write(folder.path().join("keys/tlsa"), tlsa).unwrap();
        Settings::own(&place.outbound, ["home.example"]).unwrap();
        (place, folder)
    }

    fn found(place: &Place, state: State, held: u64) {
        let (wanted, _) = read(place).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let records = wanted.records.into_iter().map(|record| One {
            record,
            state,
            found: vec!["another".into()],
            held,
        });
        let found = Found {
            checked: now.as_secs(),
            asked: 0,
            records: records.collect(),
        };
        found.keep(&place.volumes.join("records-found")).unwrap();
    }

    #[test]
    fn what_is_wanted_is_written_for_the_service_and_told_to_root() {
        let (place, _folder) = here();
        keep(&place);
        let wanted = Wanted::read(&wanted_folder(&place)).unwrap();
        assert_eq!(wanted.hostname.as_deref(), Some("box.example.org"));
        let spf = wanted.records.iter().any(|one| one.purpose == Purpose::Spf);
        assert!(spf, "{wanted:?}");
        let text = told(&place, None).unwrap();
        assert!(text.contains("Nothing was looked up yet"), "{text}");
        found(&place, State::Different, 0);
        let text = told(&place, Some("Home.example.")).unwrap();
        assert!(
            text.contains("something else is there.\n;   another\n"),
            "{text}"
        );
        let words = told(&place, Some("other.example")).unwrap_err();
        assert!(
            words.ends_with("The box's domains: home.example."),
            "{words}"
        );
    }

    #[test]
    fn the_page_gets_one_domain_s_records_and_may_ask_for_another_look() {
        let (place, _folder) = here();
        Settings::own(&place.outbound, ["home.example", "other.example"]).unwrap();
        keep(&place);
        found(&place, State::Several, 0);
        let ask = |request| match answer(&place, request) {
            Reply::Records(records) => records,
            other => panic!("{other:?}"),
        };
        let seen = ask(RecordsRequest::See);
        assert_eq!(seen.domain.as_deref(), Some("home.example"));
        assert!(seen.looked.is_some());
        assert_eq!(seen.records.len(), 9);
        assert_eq!(seen.records[0].value, "the public address of your home");
        assert_eq!(seen.records[4].found, "another");
        let domain = || "other.example".into();
        let other = ask(RecordsRequest::Domain { domain: domain() });
        assert!(
            other
                .records
                .iter()
                .all(|one| !one.name.ends_with("home.example"))
        );
        let domain = "far.example".into();
        assert!(matches!(
            answer(&place, RecordsRequest::Domain { domain }),
            Reply::Refused { .. }
        ));
        ask(RecordsRequest::LookAgain);
        assert_eq!(Wanted::read(&wanted_folder(&place)).unwrap().asked, 1);
    }

    #[test]
    fn the_next_key_is_wished_for_only_when_others_know_it() {
        let (place, folder) = here();
        let wish = folder.path().join("keys/roll");
        let words = roll(&place).unwrap_err();
        assert!(words.contains("has not looked"), "{words}");
        found(&place, State::Missing, 0);
        let words = roll(&place).unwrap_err();
        assert!(words.contains("of the present key: missing"), "{words}");
        found(&place, State::There, roll::LONG_ENOUGH - 1);
        let words = roll(&place).unwrap_err();
        assert!(words.ends_with("Nothing was changed."), "{words}");
        assert!(!wish.exists());
        found(&place, State::There, roll::LONG_ENOUGH);
        assert!(roll(&place).unwrap().contains("take the old key's away"));
        assert_eq!(fs::read_to_string(wish).unwrap().trim(), "bb".repeat(32));
    }

    #[test]
    fn a_time_is_told_as_a_calendar_has_it() {
        for (seconds, words) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (u64::MAX, "4147-08-20 07:32 UTC"),
            (1_796_001_300, "2026-11-30 01:15 UTC"),
        ] {
            assert_eq!(date(seconds), words);
        }
    }
}

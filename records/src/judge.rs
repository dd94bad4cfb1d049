//! Whether an answer of the DNS is what is wanted.

use crate::record::{Purpose, Record};
use crate::untrusted::printable;
use serde::{Deserialize, Serialize};

/// The most values of an answer that are told, and the longest part of each, in bytes.
const TOLD: (usize, usize) = (3, 120);

/// What the DNS says of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether DNSSEC proves it (the AD bit, RFC 6840 section 5.7).
    pub secure: bool,
    /// The data of each record, written as in [`Record::value`].
    pub values: Vec<String>,
}

/// How a record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it is wanted.
    There,
    /// There, but the names are not signed, so that it does not count for DANE.
    Unsigned,
    /// Not there.
    Missing,
    /// Another one is there in its place.
    Different,
    /// There are several where only one may be; others then believe none.
    Several,
    /// The DNS did not answer.
    Unknown,
}

impl State {
    /// For the owner.
    pub fn words(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Unsigned => "there, but the domain is not signed (DNSSEC)",
            Self::Missing => "missing",
            Self::Different => "something else is there",
            Self::Several => "there are several, and only one may be",
            Self::Unknown => "the DNS did not answer",
        }
    }
}

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it was found.
    pub state: State,
    /// What is there instead: printable, a few of them, shortened.
    pub found: Vec<String>,
}

/// Judges the answer about `record`, one of `all` that are wanted.
pub fn judge(record: &Record, all: &[Record], answer: &Answer) -> Finding {
    let values: Vec<&String> = match record.purpose {
        Purpose::Spf => kept(answer, |text| begins(text, "v=spf1", ' ')),
        Purpose::Dmarc => kept(answer, |text| begins(text, "v=DMARC1", ';')),
        Purpose::StsRecord => kept(answer, |text| begins(text, "v=STSv1", ';')),
        Purpose::TlsReports => kept(answer, |text| begins(text, "v=TLSRPTv1", ';')),
        _ => answer.values.iter().collect(),
    };
    let same = |value: &&&String| is_same(record, value);
    let is_there = values.iter().any(|value| same(&value));
    let state = match record.purpose {
        // Any will do: the box does not know its own.
        Purpose::Address if values.is_empty() => State::Missing,
        Purpose::Address => State::There,
        // Any number of keys may be there; it is wrong only if none is the box's.
        Purpose::TlsaPresent | Purpose::TlsaNext => {
            let beside = |value: &&String| {
                let mut others = all.iter().filter(|one| one.name == record.name);
                others.any(|other| is_same(other, value))
            };
            match is_there {
                true => State::There,
                false if values.iter().all(beside) => State::Missing,
                false => State::Different,
            }
        }
        // Mail may go to each of them, and the box's policy allows one.
        Purpose::Mx => match values.len() {
            0 => State::Missing,
            _ if values.iter().all(|value| is_same(record, value)) => State::There,
            _ => State::Different,
        },
        _ => match values.len() {
            0 => State::Missing,
            1 if is_there => State::There,
            1 => State::Different,
            _ => State::Several,
        },
    };
    let state = match state {
        State::There if record.purpose.wants_signature() && !answer.secure => State::Unsigned,
        state => state,
    };
    let found = match state {
        State::There | State::Unsigned => Vec::new(),
        _ => told(&values),
    };
    Finding { state, found }
}

fn kept(answer: &Answer, is: impl Fn(&str) -> bool) -> Vec<&String> {
    answer.values.iter().filter(|text| is(text)).collect()
}

/// Whether a text is of this kind: its first tag, and the end or what separates it from
/// the next one (RFC 7208 section 4.5, RFC 7489 section 6.4).
fn begins(text: &str, tag: &str, separator: char) -> bool {
    match text.get(..tag.len()) {
        Some(start) if start.eq_ignore_ascii_case(tag) => {
            let rest = &text[tag.len()..];
            let rest = if separator == ';' {
                rest.trim_start()
            } else {
                rest
            };
            rest.is_empty() || rest.starts_with(separator)
        }
        _ => false,
    }
}

/// Whether a value says what the record says, however it is written.
fn is_same(record: &Record, value: &str) -> bool {
    let name = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    match record.purpose {
        Purpose::Address => true,
        // The preference is the owner's.
        Purpose::Mx => {
            let host = |text: &str| text.split_whitespace().nth(1).map(name);
            host(&record.value) == host(value)
        }
        Purpose::StsHost => name(&record.value) == name(value),
        Purpose::Spf => {
            let words = |text: &str| -> Vec<String> {
                let words = text.split_whitespace();
                words.map(str::to_ascii_lowercase).collect()
            };
            words(&record.value) == words(value)
        }
        Purpose::TlsaPresent | Purpose::TlsaNext => record.value.eq_ignore_ascii_case(value),
        // Tags: blanks may stand around them, and in a key; a semicolon at the end.
        _ => {
            let bare = |text: &str| -> String {
                let text: String = text.split_ascii_whitespace().collect();
                text.trim_end_matches(';').to_owned()
            };
            bare(&record.value) == bare(value)
        }
    }
}

fn told(values: &[&String]) -> Vec<String> {
    let (most, longest) = TOLD;
    let some = values.iter().take(most);
    some.map(|value| printable(value, longest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Different, Missing, Several, There, Unsigned};

    fn record(purpose: Purpose, value: &str) -> Record {
        Record {
            purpose,
            name: "a.example".into(),
            value: value.into(),
        }
    }

    fn judged(record: &Record, values: &[&str]) -> State {
        judge(record, std::slice::from_ref(record), &answer(values)).state
    }

    fn answer(values: &[&str]) -> Answer {
        Answer {
            secure: true,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn one_spf_record_counts_and_two_count_as_none() {
        let spf = record(Purpose::Spf, "v=spf1 mx -all");
        for (state, values) in [
            (There, &["v=spf1 mx -all"][..]),
            (There, &["v=SPF1  MX -all ", "another text"]),
            (Missing, &[]),
            (Missing, &["v=spf10 mx -all"]),
            (Different, &["v=spf1 mx ~all"]),
            (Different, &["v=spf1"]),
            (Several, &["v=spf1 mx -all", "v=spf1 a -all"]),
            (Several, &["v=spf1 mx -all", "v=spf1 mx -all"]),
        ] {
            assert_eq!(judged(&spf, values), state, "{values:?}");
        }
    }

    #[test]
    fn mail_must_go_to_the_box_alone() {
        let mx = record(Purpose::Mx, "10 box.example");
        for (state, values) in [
            (There, &["10 box.example"][..]),
            (There, &["5 Box.example."]),
            (Missing, &[]),
            (Different, &["10 box.example", "20 other.example"]),
            (Different, &["0 ."]),
        ] {
            assert_eq!(judged(&mx, values), state, "{values:?}");
        }
    }

    #[test]
    fn a_key_may_be_written_with_blanks_and_must_be_the_same_key() {
        let key = record(Purpose::DkimPresent, "v=DKIM1; k=rsa; p=AbC");
        for (state, values) in [
            (There, &["v=DKIM1; k=rsa; p=AbC"][..]),
            (There, &["v=DKIM1;k=rsa;p=Ab C;"]),
            (Different, &["v=DKIM1; k=rsa; p=abc"]),
            (Missing, &[]),
            (Several, &["v=DKIM1; k=rsa; p=AbC", "v=DKIM1; p=D"]),
        ] {
            assert_eq!(judged(&key, values), state, "{values:?}");
        }
    }

    #[test]
    fn other_texts_at_the_same_name_are_not_looked_at() {
        for (purpose, value) in [
            (Purpose::Dmarc, "v=DMARC1; p=reject; rua=mailto:a@a.example"),
            (Purpose::StsRecord, "v=STSv1; id=0a;"),
            (Purpose::TlsReports, "v=TLSRPTv1; rua=mailto:a@a.example"),
        ] {
            let record = record(purpose, value);
            let tag = value.split(';').next().unwrap();
            let other = format!("{tag} ; other=1");
            assert_eq!(judged(&record, &[value, "a text"]), There);
            assert_eq!(judged(&record, &[&format!("{tag}0; x=1")]), Missing);
            assert_eq!(judged(&record, &[&other]), Different);
            assert_eq!(judged(&record, &[value, &other]), Several);
        }
    }

    #[test]
    fn of_two_keys_each_is_judged_by_itself() {
        let present = record(Purpose::TlsaPresent, "3 1 1 aa");
        let next = record(Purpose::TlsaNext, "3 1 1 bb");
        let all = [present.clone(), next.clone()];
        let of = |record: &Record, values: &[&str]| judge(record, &all, &answer(values)).state;
        assert_eq!(of(&present, &["3 1 1 AA", "3 1 1 bb"]), There);
        assert_eq!(of(&next, &["3 1 1 aa", "3 1 1 bb"]), There);
        assert_eq!(of(&next, &["3 1 1 aa"]), Missing);
        assert_eq!(of(&next, &["3 1 1 aa", "3 1 1 cc"]), Different);
        assert_eq!(of(&present, &[]), Missing);
    }

    #[test]
    fn what_dane_needs_counts_only_when_it_is_signed() {
        let unsigned = |values: &[&str]| Answer {
            secure: false,
            ..answer(values)
        };
        for (purpose, value, state) in [
            (Purpose::TlsaPresent, "3 1 1 aa", Unsigned),
            (Purpose::Mx, "10 box.example", Unsigned),
            (Purpose::Address, "192.0.2.1", Unsigned),
            (Purpose::Spf, "v=spf1 mx -all", There),
        ] {
            let record = record(purpose, value);
            let found = judge(&record, &[], &unsigned(&[value]));
            assert_eq!(found.state, state, "{purpose:?}");
            assert_eq!(judge(&record, &[], &unsigned(&[])).state, Missing);
        }
        let alias = record(Purpose::StsHost, "box.example");
        assert_eq!(judged(&alias, &["box.example"]), There);
        assert_eq!(judged(&alias, &["192.0.2.9"]), Different);
    }

    #[test]
    fn what_is_told_of_another_s_record_is_short_and_printable() {
        let key = record(Purpose::DkimPresent, "v=DKIM1; p=A");
        let long = format!("\u{1b}[31m{}", "x".repeat(999));
        let found = judge(&key, &[], &answer(&[&long, "2", "3", "4"]));
        assert_eq!(found.state, Several);
        assert_eq!(found.found.len(), 3);
        assert_eq!(found.found[0].len(), 120);
        assert!(found.found[0].starts_with("?[31mxx"), "{:?}", found.found);
        let there = judge(&key, &[], &answer(&["v=DKIM1; p=A"]));
        assert!(there.found.is_empty());
    }
}

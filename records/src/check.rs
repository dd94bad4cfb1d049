//! Asks the box's own resolver for every record that is wanted.

use crate::found::{Found, One};
use crate::judge::{Answer, State, judge};
use crate::record::{Kind, Purpose, Record};
use crate::wanted::Wanted;
use hickory_proto::rr::{RData, RecordType};
use std::collections::BTreeMap;
use std::time::Duration;
use tls_policy::dns::{Dns, DnsError};

/// A round of questions.
pub struct Round<'a> {
    dns: &'a Dns,
    /// What was asked already: several records have one name.
    asked: BTreeMap<(String, &'static str), Result<Answer, String>>,
}

/// Asks for all that is wanted, at `now` (seconds since 1970). What was there `before`,
/// `since` then, and is there now, has been there meanwhile.
pub fn all(dns: &Dns, wanted: &Wanted, now: u64, before: &Found, since: Option<Duration>) -> Found {
    let mut round = Round {
        dns,
        asked: BTreeMap::new(),
    };
    let records = wanted.records.iter().map(|record| {
        let (state, found) = match round.answer(record, wanted.hostname.as_deref()) {
            Ok(answer) => {
                let judged = judge(record, &wanted.records, &answer);
                (judged.state, judged.found)
            }
            Err(why) => {
                eprintln!("{why}");
                (State::Unknown, Vec::new())
            }
        };
        let held = match (state, before.of(record)) {
            (State::There, Some(one)) if one.state == State::There => {
                one.held + since.unwrap_or_default().as_secs()
            }
            _ => 0,
        };
        One {
            record: record.clone(),
            state,
            found,
            held,
        }
    });
    Found {
        records: records.collect(),
        checked: now,
        asked: wanted.asked,
    }
}

impl Round<'_> {
    fn answer(&mut self, record: &Record, host: Option<&str>) -> Result<Answer, String> {
        let name = record.name.as_str();
        match (record.purpose, host) {
            (Purpose::StsHost, Some(host)) => self.alias(name, host),
            _ => self.ask(name, record.kind()),
        }
    }

    /// Where a name leads, as a CNAME record would say: to the host, by whatever records,
    /// when it has the host's addresses and no others.
    fn alias(&mut self, name: &str, host: &str) -> Result<Answer, String> {
        let mut answer = self.ask(name, Kind::Address)?;
        let mut there = self.ask(host, Kind::Address)?.values;
        answer.values.sort_unstable();
        there.sort_unstable();
        if !there.is_empty() && answer.values == there {
            answer.values = vec![host.to_owned()];
        }
        // All addresses are one answer.
        answer.values = match answer.values.is_empty() {
            true => Vec::new(),
            false => vec![answer.values.join(" ")],
        };
        Ok(answer)
    }

    fn ask(&mut self, name: &str, kind: Kind) -> Result<Answer, String> {
        let key = (name.to_owned(), kind.word());
        if let Some(answer) = self.asked.get(&key) {
            return answer.clone();
        }
        let answer = self.look(name, kind).map_err(|error| error.to_string());
        self.asked.insert(key, answer.clone());
        answer
    }

    fn look(&self, name: &str, kind: Kind) -> Result<Answer, DnsError> {
        let types: &[RecordType] = match kind {
            Kind::Address => &[RecordType::A, RecordType::AAAA],
            Kind::Cname => &[RecordType::CNAME],
            Kind::Mx => &[RecordType::MX],
            Kind::Txt => &[RecordType::TXT],
            Kind::Tlsa => &[RecordType::TLSA],
        };
        let mut whole = Answer {
            secure: true,
            values: Vec::new(),
        };
        for kind in types {
            let answer = self.dns.ask(name, *kind)?;
            whole.secure &= answer.secure;
            whole
                .values
                .extend(answer.records.iter().filter_map(written));
        }
        Ok(whole)
    }
}

/// The data as in [`Record::value`].
fn written(data: &RData) -> Option<String> {
    Some(match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::CNAME(name) => name.0.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::TXT(text) => String::from_utf8_lossy(&text.txt_data.concat()).into_owned(),
        RData::TLSA(key) => {
            let (usage, selector) = (u8::from(key.cert_usage), u8::from(key.selector));
            let data = key.cert_data.iter().map(|byte| format!("{byte:02x}"));
            let data: String = data.collect();
            format!("{usage} {selector} {} {data}", u8::from(key.matching))
        }
        _ => return None,
    })
}

//! What is wanted and what was found, in lines for people and for a zone file at once:
//! all but the records is behind a semicolon (RFC 1035 section 5.1).

use crate::found::Found;
use crate::wanted::Wanted;
use std::fmt::Write;

/// All of it, as `projectx records` prints it, for the host and one domain or for all.
/// `when` is the time of the last look in words.
pub fn zone(wanted: &Wanted, found: Option<&Found>, domain: Option<&str>, when: &str) -> String {
    let mut text = String::new();
    let _ = match &wanted.hostname {
        Some(host) => writeln!(text, "; Others know this box as {host}."),
        None => writeln!(
            text,
            "; The box has no name that the world knows yet, so most records can't be said. \
             Publish\n; no MX, SPF or DMARC record for it: others would turn your mail away."
        ),
    };
    if wanted.domains.is_empty() {
        text += "; Nobody has mail here yet: under \"People\" on the box's page the first address \
                 brings a domain.\n";
    }
    let _ = match found {
        Some(_) => writeln!(text, "; Last looked at {when}."),
        None => writeln!(text, "; Nothing was looked up yet."),
    };
    for record in wanted.of_domain(domain) {
        let _ = writeln!(text, "\n; {}", record.purpose.sentence());
        match found.and_then(|found| found.of(record)) {
            Some(one) => {
                let _ = writeln!(text, "; Found: {}.", one.state.words());
                for value in &one.found {
                    let _ = writeln!(text, ";   {value}");
                }
            }
            None => text += "; Not looked up yet.\n",
        }
        text += &record.zone_line();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::One;
    use crate::judge::State;
    use crate::wanted::Domain;

    fn domain(name: &str) -> Domain {
        Domain {
            name: name.into(),
            number: 1,
            dkim: Vec::new(),
        }
    }

    #[test]
    fn each_record_is_told_with_what_it_is_for_and_what_is_there() {
        let domains = [domain("a.example"), domain("b.a.example")];
        let wanted = Wanted::of("box.example.org", None, &domains);
        let record = wanted.records.iter().find(|one| one.value.contains("spf1"));
        let found = Found {
            records: vec![One {
                record: record.unwrap().clone(),
                state: State::Different,
                found: vec!["v=spf1 a -all".into()],
                held: 0,
            }],
            ..Found::default()
        };
        let text = zone(&wanted, Some(&found), Some("a.example"), "today");
        assert!(
            text.starts_with(
                "; Others know this box as box.example.org.\n; Last looked at today.\n"
            )
        );
        let spf = "\n; Says that the box alone sends mail of this domain.\n\
                   ; Found: something else is there.\n;   v=spf1 a -all\n\
                   a.example. 3600 IN TXT \"v=spf1 mx -all\"\n";
        assert!(text.contains(spf), "{text}");
        assert!(
            text.contains("; Not looked up yet.\na.example. 3600 IN MX"),
            "{text}"
        );
        assert!(text.contains("; box.example.org. 3600 IN A"), "{text}");
        assert!(!text.contains("b.a.example"), "{text}");
        assert!(zone(&wanted, None, None, "").contains("\nb.a.example. 3600 IN MX"));
    }

    #[test]
    fn a_box_without_a_name_says_so_and_warns() {
        let text = zone(&Wanted::of("projectx.local", None, &[]), None, None, "");
        assert!(text.contains("no name that the world knows yet"), "{text}");
        assert!(text.contains("Nobody has mail here yet"), "{text}");
        assert!(text.lines().all(|line| line.starts_with(';')), "{text}");
    }
}

//! What a session may see of the box's records in the DNS. It changes none.

use serde::{Deserialize, Serialize};

/// Part of [`crate::Request::Records`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "records", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RecordsRequest {
    /// Those of the host and of the first domain.
    See,
    /// Those of the host and of another domain.
    Domain {
        /// One of the list.
        domain: String,
    },
    /// Look again whether they are there, and show what was found until now.
    LookAgain,
}

/// As many domains as an answer has room for.
pub const MOST_DOMAINS: usize = 20;

/// What is wanted and what was found, for the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// The name that others know the box by; `None` until it has one.
    pub hostname: Option<String>,
    /// The box's domains, [`MOST_DOMAINS`] at most.
    pub domains: Vec<String>,
    /// Whose records are shown, beside the host's; `None` when nobody has mail here.
    pub domain: Option<String>,
    /// When was looked last, `2026-11-25 17:00 UTC`; `None` for not yet.
    pub looked: Option<String>,
    /// The host's, then the domain's: 13 at most.
    pub records: Vec<Record>,
}

/// One record, as a provider's form takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it is for.
    pub sentence: String,
    /// Its whole name.
    pub name: String,
    /// `A`, `CNAME`, `MX`, `TXT` or `TLSA`.
    pub kind: String,
    /// Its data, or what it is in words where the box does not know it.
    pub value: String,
    /// What was found, in words.
    pub state: String,
    /// What is there instead: printable ASCII, 400 at most.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, wire};

    #[test]
    fn the_longest_records_of_the_longest_domains_fit_a_line() {
        let domain = "x".repeat(253);
        let record = Record {
            sentence: "x".repeat(110),
            name: format!("px10-ed25519._domainkey.{domain}"),
            kind: "CNAME".into(),
            value: "x".repeat(600),
            state: "x".repeat(60),
            // Each takes two bytes in JSON.
            found: "\"".repeat(400),
        };
        let reply = Reply::Records(Records {
            hostname: Some(domain.clone()),
            domains: vec![domain.clone(); MOST_DOMAINS],
            domain: Some(domain),
            looked: Some("2026-11-25 17:00 UTC".into()),
            records: vec![record; 13],
        });
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &reply).unwrap();
        // The console adds some words, and pads it to a multiple of 1024.
        assert!(bytes.len() < wire::MAX_LINE - 1024, "{}", bytes.len());
        assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
    }
}

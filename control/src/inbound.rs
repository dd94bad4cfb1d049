//! What a session may see and set of mail from others, and what others report.

use serde::{Deserialize, Serialize};

/// Part of [`crate::Request::Inbound`]. Every text is as it was typed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "inbound", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InboundRequest {
    /// What is set, and who was refused.
    See,
    /// Ask this block list about everybody who writes.
    Block {
        /// Its zone in DNS.
        zone: String,
    },
    /// Ask it no more.
    Unblock {
        /// One in the list.
        zone: String,
    },
    /// Believe what this forwarder says of a message that it passed on (ARC).
    Trust {
        /// Its domain.
        domain: String,
    },
    /// Believe it no more.
    Mistrust {
        /// One in the list.
        domain: String,
    },
    /// What others report of the mail of the box's domains.
    Reports,
}

/// What is set, and who was refused, for the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// Zones of block lists, eight at most.
    pub block_lists: Vec<String>,
    /// Domains of forwarders that are believed, eight at most.
    pub trusted: Vec<String>,
    /// Who offered mail without TLS and was refused, the latest first; 100 at most.
    pub refused: Vec<RefusedPeer>,
}

/// A mail server, or what there was, that was refused for want of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedPeer {
    /// Its address; of IPv6 the network, `2001:db8:1:2::/64` say.
    pub from: String,
    /// How often.
    pub times: u64,
    /// When last: minutes in UTC, `2026-11-25 17:00`.
    pub last: String,
}

/// What others report, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// The latest first; 100 at most.
    pub lines: Vec<ReportLine>,
}

/// What one report says, as its sender claims it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportLine {
    /// The day on which it came, `2026-11-25`.
    pub came: String,
    /// Printable ASCII without `"` and `\`, 240 at most.
    pub words: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, wire};

    #[test]
    fn the_longest_answers_fit_a_line() {
        let refused = RefusedPeer {
            from: "2001:db8:1111:2222::/64".into(),
            times: u64::MAX,
            last: "2026-11-25 17:00".into(),
        };
        let line = ReportLine {
            came: "2026-11-25".into(),
            words: "x".repeat(240),
        };
        for reply in [
            Reply::Inbound(Inbound {
                block_lists: vec!["x".repeat(180); 8],
                trusted: vec!["x".repeat(180); 8],
                refused: vec![refused; 100],
            }),
            Reply::Reports(Reports {
                lines: vec![line; 100],
            }),
        ] {
            let mut bytes = Vec::new();
            wire::write(&mut bytes, &reply).unwrap();
            // The console adds some words, and pads it to a multiple of 1024.
            assert!(bytes.len() < wire::MAX_LINE - 1024, "{}", bytes.len());
            assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
        }
    }
}

//! What a session may see and set of mail on its way out.

use serde::{Deserialize, Serialize};

/// Part of [`crate::Request::Outbound`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outbound", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutboundRequest {
    /// What is set.
    See,
    /// Demand less for mail to one domain.
    Except {
        /// As it was typed.
        domain: String,
        /// How much less.
        allow: Allow,
    },
    /// Demand everything again for mail to one domain.
    RemoveException {
        /// One in the list.
        domain: String,
    },
    /// When a message that can't be sent comes back, and when its sender is told that
    /// it waits. Both as they were typed.
    SetHours {
        /// Hours.
        give_up: String,
        /// Hours.
        warn: String,
    },
}

/// What is set, for the page. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// At most 100, in the order of arrival.
    pub exceptions: Vec<Exception>,
    /// After how many hours a message that can't be sent comes back.
    pub give_up_after_hours: u32,
    /// After how many hours its sender is told that it still waits.
    pub warn_after_hours: u32,
}

/// One domain, for which less is demanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// In lower case.
    pub domain: String,
    /// How much less.
    pub allow: Allow,
}

/// How much less is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// TLS, with any certificate.
    AnyCertificate,
    /// No TLS, where the other side has none.
    Plaintext,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, wire};

    #[test]
    fn a_full_list_of_the_longest_domains_fits_a_line() {
        let longest = Exception {
            domain: "x".repeat(253),
            allow: Allow::AnyCertificate,
        };
        let reply = Reply::Outbound(Outbound {
            exceptions: vec![longest; 100],
            give_up_after_hours: u32::MAX,
            warn_after_hours: u32::MAX,
        });
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &reply).unwrap();
        assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
    }
}

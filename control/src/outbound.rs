//! What a session may see and set of mail on its way out.

use crate::secret::Secret;
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
    /// Give all mail to the world to a provider's server.
    SetSmarthost {
        /// Its name, as it was typed.
        host: String,
        /// Its port.
        port: SmarthostPort,
        /// As it was typed.
        login: String,
        /// Never in an answer.
        password: Secret,
    },
    /// Send straight to the other mail servers again.
    RemoveSmarthost,
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
    /// The provider's server that takes all mail to the world, if there is one.
    pub smarthost: Option<Smarthost>,
}

/// A smarthost without its password, which is in no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smarthost {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: SmarthostPort,
    /// The login.
    pub login: String,
}

/// The ports that a smarthost may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmarthostPort {
    /// TLS from the first byte.
    #[serde(rename = "465")]
    ImplicitTls,
    /// STARTTLS, always demanded.
    #[serde(rename = "587")]
    StartTls,
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
    use crate::{Reply, Request, wire};

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
            smarthost: Some(Smarthost {
                host: "x".repeat(253),
                port: SmarthostPort::StartTls,
                // Each takes two bytes in JSON.
                login: "\"".repeat(256),
            }),
        });
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &reply).unwrap();
        assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
    }

    #[test]
    fn the_password_of_a_smarthost_survives_the_wire_and_does_not_show() {
        let what = OutboundRequest::SetSmarthost {
            host: "smtp.example.org".into(),
            port: SmarthostPort::StartTls,
            login: "anna".into(),
            password: Secret::new("of the provider".into()),
        };
        let session = Secret::new("s".into());
        let request = Request::Outbound { session, what };
        let shown = format!("{request:?}");
        assert!(!shown.contains("of the provider"), "{shown}");
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &request).unwrap();
        match wire::read(&mut bytes.as_slice()).unwrap() {
            Request::Outbound {
                what: OutboundRequest::SetSmarthost { port, password, .. },
                ..
            } => {
                let read = (port, password.expose());
                assert_eq!(read, (SmarthostPort::StartTls, "of the provider"));
            }
            other => panic!("{other:?}"),
        }
    }
}

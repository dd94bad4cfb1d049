//! What root on the box may ask about the sandboxes and about the box's records in the
//! DNS, by the program `projectx`. It only reads, but for [`SandboxRequest::RollMailKey`].
//! The console has no part in it: its link speaks [`crate::Request`].

use serde::{Deserialize, Serialize};

/// Where the supervisor listens; only root may connect.
pub const SOCKET: &str = "/run/projectx/sandboxes";

/// One a connection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sandboxes", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SandboxRequest {
    /// All that run, with their scores.
    List,
    /// What one may do.
    Show {
        /// Its name, `smtp-in` say.
        service: String,
    },
    /// The records that the box needs in the DNS, and what is there.
    Records {
        /// For this domain only; `None` for all.
        domain: Option<String>,
    },
    /// Make port 25's next key the present one, if others can know it by now.
    RollMailKey,
}

/// The answer to any of them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SandboxReply {
    /// What was asked for, in lines for people.
    Told {
        /// Ends with a line's end.
        text: String,
    },
    /// Why there is no answer and what to do.
    Refused {
        /// For people.
        words: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, wire};

    #[test]
    fn a_request_survives_the_wire_and_the_console_s_link_knows_none() {
        for sent in [
            SandboxRequest::List,
            SandboxRequest::Show {
                service: "smtp-in".into(),
            },
            SandboxRequest::Records {
                domain: Some("example.org".into()),
            },
            SandboxRequest::RollMailKey,
        ] {
            let mut bytes = Vec::new();
            wire::write(&mut bytes, &sent).unwrap();
            let read: SandboxRequest = wire::read(&mut bytes.as_slice()).unwrap();
            assert_eq!(read, sent);
            assert!(wire::read::<Request>(&mut bytes.as_slice()).is_err());
        }
    }
}

//! What a session may do with the people who have mail on the box.

use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// Part of [`crate::Request::People`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "people", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PeopleRequest {
    /// Who has mail here.
    List,
    /// Give somebody new an address and an empty mailbox.
    Add {
        /// `local@domain`, as it was typed.
        address: String,
        /// For the mail program.
        password: Secret,
    },
    /// Give somebody another password.
    SetPassword {
        /// Somebody in the list.
        address: String,
        /// The new one.
        password: Secret,
    },
    /// Close somebody's mailbox; the mail stays on the disk.
    Remove {
        /// Somebody in the list.
        address: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, Request, wire};

    const ADDRESS: &str = "änna\n\"@example.org";

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    fn over_the_wire(sent: &Request) -> Request {
        let mut bytes = Vec::new();
        wire::write(&mut bytes, sent).unwrap();
        wire::read(&mut bytes.as_slice()).unwrap()
    }

    fn people_over_the_wire(what: PeopleRequest) -> PeopleRequest {
        let session = secret("s");
        match over_the_wire(&Request::People { session, what }) {
            Request::People { session, what } => {
                assert_eq!(session.expose(), "s");
                what
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_proof_survives_the_wire() {
        match over_the_wire(&Request::Prove {
            passphrase: secret("Zwölf"),
            session: secret("s"),
        }) {
            Request::Prove {
                passphrase,
                session,
            } => assert_eq!((passphrase.expose(), session.expose()), ("Zwölf", "s")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_request_about_people_survives_the_wire() {
        assert!(matches!(
            people_over_the_wire(PeopleRequest::List),
            PeopleRequest::List
        ));
        match people_over_the_wire(PeopleRequest::Add {
            address: ADDRESS.into(),
            password: secret("p"),
        }) {
            PeopleRequest::Add { address, password } => {
                assert_eq!((address.as_str(), password.expose()), (ADDRESS, "p"));
            }
            other => panic!("{other:?}"),
        }
        match people_over_the_wire(PeopleRequest::SetPassword {
            address: ADDRESS.into(),
            password: secret("q"),
        }) {
            PeopleRequest::SetPassword { address, password } => {
                assert_eq!((address.as_str(), password.expose()), (ADDRESS, "q"));
            }
            other => panic!("{other:?}"),
        }
        match people_over_the_wire(PeopleRequest::Remove {
            address: ADDRESS.into(),
        }) {
            PeopleRequest::Remove { address } => assert_eq!(address, ADDRESS),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_has_no_session_or_is_not_listed_is_refused() {
        for text in [
            r#"{"request":"people","what":{"people":"list"}}"#,
            r#"{"request":"people","session":"s"}"#,
            r#"{"request":"people","session":"s","what":{"people":"erase","address":"a"}}"#,
            r#"{"request":"prove","passphrase":"p"}"#,
        ] {
            let error = wire::read::<Request>(&mut text.as_bytes());
            assert!(error.is_err(), "{text}");
        }
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let what = PeopleRequest::Add {
            address: "anna@example.org".into(),
            password: secret("annas-password"),
        };
        let session = secret("session-secret");
        let shown = format!("{:?}", Request::People { session, what });
        assert!(!shown.contains("session-secret"), "{shown}");
        assert!(!shown.contains("annas-password"), "{shown}");
    }

    #[test]
    fn a_full_list_of_the_longest_addresses_fits_a_line() {
        let longest = "x".repeat(64 + 1 + 189);
        let reply = Reply::People {
            addresses: vec![longest; 100],
        };
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &reply).unwrap();
        assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
    }
}

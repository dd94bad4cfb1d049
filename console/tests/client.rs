//! The client that the boot tests use, against the server.
#![cfg(feature = "client")]

use console::people::About;
use console::{Assets, Listeners, State, client, serve};
use control::{Disk, PeopleRequest, Refusal, Reply, Request, Secret, Status, wire};
use std::io::BufReader;
use std::os::unix::net::UnixStream;

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// Starts a box that is claimed with one passphrase; returns its URL.
fn start() -> String {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || supervise(&theirs));
    let (address_in, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        ours.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let bind = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let listeners = Listeners {
                page: bind().await,
                tls: bind().await,
            };
            let address = listeners.page.local_addr().unwrap();
            address_in.send(address).unwrap();
            let control = tokio::net::UnixStream::from_std(ours).unwrap();
            let nacl = "".into();
            serve(control, listeners, Assets { nacl }).await
        })
    });
    format!("http://{}", address.recv().unwrap())
}

fn supervise(stream: &UnixStream) {
    let mut reader = BufReader::new(stream);
    let mut disk = Disk::Unclaimed;
    let mut proved = Vec::new();
    let mut addresses = Vec::new();
    while let Ok(request) = wire::read(&mut reader) {
        let right = |given: &Secret| given.expose() == "correct horse";
        let reply = match request {
            Request::Status => Reply::Status(Status {
                disk,
                setup_code_needed: true,
                claimable: true,
                retry_after: 0,
                recovery_key: true,
                reset_code: None,
                reset_asked: false,
                name: "projectx".into(),
                damage: Vec::new(),
            }),
            Request::Claim {
                passphrase,
                setup_code: Some(code),
            } if right(&passphrase) && code.expose() == "blue-7" => {
                disk = Disk::Locked;
                Reply::RecoveryKey {
                    words: Secret::new(WORDS.into()),
                }
            }
            Request::ConfirmRecoveryKey { recovery_key } if recovery_key.expose() == WORDS => {
                Reply::Done
            }
            Request::Unlock { passphrase } if right(&passphrase) => {
                disk = Disk::Open;
                Reply::Done
            }
            Request::Prove {
                passphrase,
                session,
            } if right(&passphrase) => {
                proved.push(session);
                Reply::Done
            }
            Request::People { session, what }
                if proved.iter().any(|s| s.expose() == session.expose()) =>
            {
                people(&mut addresses, what)
            }
            Request::People { .. } => Reply::Refused {
                refusal: Refusal::NoSession,
                words: "Who are you?".into(),
                retry_after: 0,
            },
            Request::PageCertificate { .. } | Request::Restart | Request::PowerOff => Reply::Done,
            _ => Reply::Refused {
                refusal: Refusal::TooSoon,
                words: "Please wait.".into(),
                retry_after: 4,
            },
        };
        wire::write(&mut &*stream, &reply).unwrap();
    }
}

fn people(addresses: &mut Vec<String>, what: PeopleRequest) -> Reply {
    match what {
        PeopleRequest::List => {}
        PeopleRequest::Add { address, password } => {
            assert_eq!(password.expose(), "annas password");
            addresses.push(address);
        }
        PeopleRequest::SetPassword { address, password } => {
            assert_eq!(password.expose(), "another password");
            assert!(addresses.contains(&address));
        }
        PeopleRequest::Remove { address } => addresses.retain(|known| *known != address),
    }
    let addresses = addresses.clone();
    Reply::People { addresses }
}

#[test]
fn the_client_looks_after_people_once_it_has_proved_the_passphrase() {
    let url = start();
    let people = client::People::new(&url);
    let anna = "anna@example.org";
    for refused in [people.list().unwrap(), people.remove(anna).unwrap()] {
        assert_eq!((refused.http_status, refused.ok), (401, false));
        assert_eq!(refused.told.about, Some(About::Session));
        assert_eq!(refused.told.words, "Who are you?");
    }
    let wrong = people.prove("wrong horse").unwrap();
    assert_eq!((wrong.http_status, wrong.retry_after), (429, 4));
    assert_eq!(wrong.told.about, Some(About::Passphrase));
    assert!(people.prove("correct horse").unwrap().ok);
    let there = |answered: client::PeopleAnswered| {
        assert!(answered.ok, "{answered:?}");
        answered.told.addresses.unwrap()
    };
    assert!(there(people.list().unwrap()).is_empty());
    let password = "annas password";
    assert_eq!(there(people.add(anna, password).unwrap()), [anna]);
    let password = "another password";
    assert_eq!(there(people.set_password(anna, password).unwrap()), [anna]);
    assert!(there(people.remove(anna).unwrap()).is_empty());
    let stranger = client::People::new(&url).list().unwrap();
    assert_eq!(stranger.told.addresses, None);
}

#[test]
fn the_client_claims_unlocks_and_restarts() {
    let url = start();
    assert_eq!(client::status(&url).unwrap().state, State::Unclaimed);
    let claimed = client::claim(&url, "correct horse", Some("blue-7")).unwrap();
    assert!(claimed.ok, "{claimed:?}");
    let words = claimed.recovery_key.unwrap();
    assert_eq!(words, WORDS);
    let confirmed = client::confirm_recovery_key(&url, &words).unwrap();
    assert!(confirmed.ok && confirmed.recovery_key.is_none());
    assert_eq!(client::page(&url).unwrap().state, "locked");
    assert!(client::unlock(&url, "correct horse").unwrap().ok);
    assert_eq!(client::status(&url).unwrap().state, State::Open);
    assert!(client::power(&url, "restart").unwrap().ok);
    assert!(client::power(&url, "off").unwrap().ok);
}

#[test]
fn a_refusal_reaches_the_client_with_its_wait() {
    let url = start();
    let refused = client::claim(&url, "correct horse", None).unwrap();
    assert_eq!((refused.http_status, refused.ok), (429, false));
    assert_eq!(
        (refused.words.as_str(), refused.retry_after),
        ("Please wait.", 4)
    );
}

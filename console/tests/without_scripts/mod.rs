//! The same box for a browser without scripts: forms of HTML over TLS.

use crate::support::tls::{encoded, hidden};
use crate::support::{Box, Response, refused};
use control::{Disk, PeopleRequest, Refusal, Reply, Request, Secret};
use rustls::version;
use std::io::{Read, Write};
use std::time::Duration;

const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" & \\ 100%";
const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

impl Box {
    /// A token, from the front page.
    fn token(&self) -> String {
        hidden(&self.get_tls("/").body, "token")
    }

    /// Gives the passphrase by the form of the front page.
    fn unlock(&self) -> Response {
        let fields = [("token", &*self.token()), ("passphrase", PASSPHRASE)];
        self.form("/unlock", &fields)
    }
}

#[test]
fn both_versions_of_tls_serve_the_page_with_the_certificate_that_was_told() {
    let console = Box::start(Disk::Locked);
    let told = console.certificate.recv().unwrap();
    for version in [&version::TLS12, &version::TLS13] {
        let mut stream = console.connect_tls(version);
        let head = b"GET / HTTP/1.1\r\nHost: projectx.local\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let certificate = &stream.conn.peer_certificates().unwrap()[0];
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let hexadecimal = |byte: &u8| format!("{byte:02x}");
        let digest: String = digest.as_ref().iter().map(hexadecimal).collect();
        assert_eq!(digest, told);
    }
    // The page over HTTP shows it too, and where to go.
    let page = console.get("/").body.replace(':', "").to_lowercase();
    assert!(page.contains(&told), "{page}");
    assert!(page.contains("https//projectx.local/"), "{page}");
}

#[test]
fn a_passphrase_from_a_form_reaches_the_supervisor_unchanged() {
    let console = Box::start(Disk::Locked);
    console.replies.send(Reply::Done).unwrap();
    let response = console.unlock();
    assert_eq!(response.status, 200, "{}", response.body);
    assert!(response.head.contains("content-type: text/html"));
    assert!(response.body.contains("The disk is open."));
    match console.requests.recv().unwrap() {
        Request::Unlock { passphrase } => assert_eq!(passphrase.expose(), PASSPHRASE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_form_of_the_page_can_be_sent_as_it_stands() {
    let console = Box::start(Disk::Locked);
    let response = console.get_tls("/");
    assert!(
        response.head.contains("form-action 'self'"),
        "{}",
        response.head
    );
    for there in ["method=\"post\" action=\"/unlock\"", "name=\"passphrase\""] {
        assert!(response.body.contains(there), "{there}: {}", response.body);
    }
    let sheet = console.get_tls("/no-script.css");
    assert_eq!(sheet.status, 200);
}

#[test]
fn a_form_over_plain_http_is_refused_and_not_read() {
    let console = Box::start(Disk::Locked);
    for page in ["/", "/forgot"] {
        let page = console.get(page);
        for bad in [
            "action=",
            "method=",
            " name=\"passphrase\"",
            "name=\"token\"",
        ] {
            assert!(!page.body.contains(bad), "{bad}: {}", page.body);
        }
        assert!(page.head.contains("form-action 'none'"), "{}", page.head);
    }
    let token = console.token();
    let head = "POST /unlock HTTP/1.1\r\nHost: projectx.local\r\n\
                Content-Type: application/x-www-form-urlencoded";
    let fields = [("token", &*token), ("passphrase", PASSPHRASE)];
    let response = console.send(head, encoded(&fields).as_bytes());
    assert_eq!(response.status, 415, "{}", response.body);
    assert!(
        response.body.contains("without protection"),
        "{}",
        response.body
    );
    assert!(response.body.contains("https://projectx.local/"));
    assert!(console.asked_nothing());
    // Nor is the body waited for: the answer comes before it.
    let mut stream = std::net::TcpStream::connect(console.address).unwrap();
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).unwrap();
    write!(stream, "{head}\r\nContent-Length: 500\r\n\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 415");
    // The token was not used up by it.
    console.replies.send(Reply::Done).unwrap();
    assert_eq!(console.form("/unlock", &fields).status, 200);
}

#[test]
fn a_form_needs_a_token_that_is_used_once() {
    let console = Box::start(Disk::Locked);
    console.replies.send(Reply::Done).unwrap();
    let token = console.token();
    let fields = [("token", &*token), ("passphrase", PASSPHRASE)];
    assert_eq!(console.form("/unlock", &fields).status, 200);
    let again = console.form("/unlock", &fields);
    assert_eq!(again.status, 403);
    assert!(again.body.contains("too old or was used already"));
    // It comes with the form for another try.
    assert_ne!(hidden(&again.body, "token"), token);
    let wrong = [("token", "AAAA"), ("passphrase", PASSPHRASE)];
    assert_eq!(console.form("/unlock", &wrong).status, 403);
    let none = [("passphrase", PASSPHRASE)];
    assert_eq!(console.form("/unlock", &none).status, 400);
    assert!(console.requests.recv().is_ok());
    assert!(console.asked_nothing());
}

#[test]
fn a_form_from_another_site_is_refused() {
    let console = Box::start(Disk::Locked);
    let token = console.token();
    let fields = [("token", &*token), ("passphrase", PASSPHRASE)];
    for header in [
        "Origin: https://example.org",
        "Origin: null",
        "Origin: http://projectx.local",
        "Sec-Fetch-Site: cross-site",
    ] {
        let response = console.form_with("/unlock", header, &fields);
        assert_eq!(response.status, 403, "{header}");
        assert!(response.body.contains("another site"), "{}", response.body);
    }
    let head = "POST /unlock HTTP/1.1\r\nHost: example.org\r\n\
                Content-Type: application/x-www-form-urlencoded";
    let rebound = console.send_tls(head, encoded(&fields).as_bytes());
    assert_eq!(rebound.status, 421);
    assert!(console.asked_nothing());
}

#[test]
fn a_wrong_passphrase_is_told_above_the_form_with_the_wait() {
    let console = Box::start(Disk::Locked);
    let wrong = refused(Refusal::WrongPassphrase, 4);
    console.replies.send(wrong).unwrap();
    let response = console.unlock();
    assert_eq!(response.status, 401);
    assert!(response.head.contains("\r\nretry-after: 4"));
    for there in [
        "Words for a person.",
        "Please wait 4 s",
        "action=\"/unlock\"",
    ] {
        assert!(response.body.contains(there), "{there}: {}", response.body);
    }
    // Whose script would load the address of the answer anew.
    assert!(!response.body.contains("<script"), "{}", response.body);
    assert!(!response.body.contains("Boxk"), "{}", response.body);
    let token = hidden(&response.body, "token");
    console.replies.send(Reply::Done).unwrap();
    let fields = [("token", &*token), ("passphrase", PASSPHRASE)];
    assert_eq!(console.form("/unlock", &fields).status, 200);
}

#[test]
fn a_claim_is_typed_twice_and_shows_the_recovery_key_once() {
    let console = Box::start(Disk::Unclaimed);
    let claim = |again: &str| {
        let fields = [
            ("token", &*console.token()),
            ("setup_code", " blue-7"),
            ("passphrase", PASSPHRASE),
            ("again", again),
        ];
        console.form("/claim", &fields)
    };
    let different = claim("something else");
    assert_eq!(different.status, 400);
    assert!(different.body.contains("not the same"));
    assert!(console.asked_nothing());
    let words = || Reply::RecoveryKey {
        words: Secret::new(WORDS.into()),
    };
    console.replies.send(words()).unwrap();
    let claimed = claim(PASSPHRASE);
    assert_eq!(claimed.status, 200);
    match console.requests.recv().unwrap() {
        Request::Claim {
            passphrase,
            setup_code: Some(code),
        } => assert_eq!((passphrase.expose(), code.expose()), (PASSPHRASE, "blue-7")),
        other => panic!("{other:?}"),
    }
    for word in WORDS.split(' ') {
        assert!(claimed.body.contains(&format!("<li>{word}</li>")), "{word}");
    }
    assert!(claimed.body.contains("<svg") && claimed.head.contains("no-store"));
    for page in ["/", "/keys", "/claim"] {
        assert!(!console.get_tls(page).body.contains("sausage"), "{page}");
    }
}

#[test]
fn the_paper_is_confirmed_by_two_of_its_words() {
    let console = Box::start(Disk::Open);
    console
        .replies
        .send(Reply::RecoveryKey {
            words: Secret::new(WORDS.into()),
        })
        .unwrap();
    let fields = [("token", &*console.token()), ("old", PASSPHRASE)];
    let shown = console.form("/keys/recovery", &fields);
    assert!(console.requests.recv().is_ok());
    let confirm = |page: &str, wrong: &str| {
        let places = hidden(page, "places");
        let (one, two) = places.split_once(' ').unwrap();
        let word = |place: &str| {
            let place: usize = place.parse().unwrap();
            WORDS.split(' ').nth(place - 1).unwrap().to_owned()
        };
        let fields = [
            ("token", &*hidden(page, "token")),
            ("recovery_key", &*hidden(page, "recovery_key")),
            ("places", &*places),
            ("one", &*word(one)),
            ("two", &*(word(two) + wrong)),
        ];
        console.form("/keys/confirm", &fields)
    };
    let mistaken = confirm(&shown.body, "x");
    assert_eq!(mistaken.status, 400);
    assert!(mistaken.body.contains("Look at your paper"));
    assert!(mistaken.body.contains("<li>sausage</li>"));
    assert!(console.asked_nothing());
    console.replies.send(Reply::Done).unwrap();
    let confirmed = confirm(&mistaken.body, "");
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    assert!(confirmed.body.contains("Keep the paper"));
    match console.requests.recv().unwrap() {
        Request::ConfirmRecoveryKey { recovery_key } => assert_eq!(recovery_key.expose(), WORDS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_passphrase_and_a_recovery_come_by_form_too() {
    let console = Box::start(Disk::Open);
    let twice = [("new", "another one"), ("again", "another one")];
    for (path, first) in [
        ("/keys/passphrase", ("old", PASSPHRASE)),
        ("/recover", ("recovery_key", WORDS)),
    ] {
        console.replies.send(Reply::Done).unwrap();
        let token = console.token();
        let [new, again] = twice;
        let response = console.form(path, &[("token", &token), first, new, again]);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        match console.requests.recv().unwrap() {
            Request::ChangePassphrase { old, new } => {
                assert_eq!((old.expose(), new.expose()), (PASSPHRASE, "another one"));
            }
            Request::Recover {
                recovery_key,
                passphrase,
            } => {
                let given = (recovery_key.expose(), passphrase.expose());
                assert_eq!(given, (WORDS, "another one"));
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn a_form_with_too_little_or_too_much_is_refused() {
    let console = Box::start(Disk::Open);
    for (path, fields) in [
        ("/unlock", &[][..]),
        ("/unlock", &[("passphrase", PASSPHRASE), ("old", "a")]),
        ("/keys/passphrase", &[("new", "another one")]),
        ("/keys/recovery", &[("old", "a"), ("new", "b")]),
        ("/restart", &[("passphrase", PASSPHRASE)]),
        ("/people/add", &[("address", "a@example.org")]),
    ] {
        let token = console.token();
        let fields = [&[("token", &*token)], fields].concat();
        assert_eq!(console.form(path, &fields).status, 400, "{path}");
    }
    assert!(console.asked_nothing());
}

#[test]
fn restart_power_off_and_erasure_come_by_form_too() {
    let console = Box::start(Disk::Locked);
    for (path, fields) in [
        ("/restart", &[][..]),
        ("/power", &[]),
        ("/factory-reset", &[("sure", "Erase")]),
    ] {
        console.replies.send(Reply::Done).unwrap();
        let token = console.token();
        let fields = [&[("token", &*token)], fields].concat();
        let response = console.form(path, &fields);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert!(
            !response.body.contains("<form"),
            "{path}: {}",
            response.body
        );
    }
    assert!(matches!(console.requests.recv(), Ok(Request::Restart)));
    assert!(matches!(console.requests.recv(), Ok(Request::PowerOff)));
    assert!(matches!(console.requests.recv(), Ok(Request::FactoryReset)));
    let fields = [("token", &*console.token()), ("sure", "no")];
    assert_eq!(console.form("/factory-reset", &fields).status, 400);
    assert!(console.asked_nothing());
}

#[test]
fn people_are_looked_after_by_forms_with_a_session_in_the_page() {
    let console = Box::start(Disk::Open);
    let people = |addresses: &[&str]| Reply::People {
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
    };
    let page = console.get_tls("/people").body;
    let session = hidden(&page, "session");
    assert_ne!(session, hidden(&console.get_tls("/people").body, "session"));
    assert!(!console.get("/people").body.contains("name=\"session\""));
    console.replies.send(Reply::Done).unwrap();
    console.replies.send(people(&[])).unwrap();
    let fields = [
        ("token", &*hidden(&page, "token")),
        ("session", &*session),
        ("passphrase", PASSPHRASE),
    ];
    let listed = console.form("/people/prove", &fields);
    assert!(
        listed.body.contains("Nobody has an address yet"),
        "{}",
        listed.body
    );
    match console.requests.recv().unwrap() {
        Request::Prove {
            passphrase,
            session: given,
        } => assert_eq!(
            (passphrase.expose(), given.expose()),
            (PASSPHRASE, &*session)
        ),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        console.requests.recv().unwrap(),
        Request::People {
            what: PeopleRequest::List,
            ..
        }
    ));
    assert_eq!(hidden(&listed.body, "session"), session);

    let fields = [
        ("token", &*hidden(&listed.body, "token")),
        ("session", &*session),
        ("address", " anna@example.org "),
        ("password", "Annas Paßwort"),
    ];
    console.replies.send(people(&["anna@example.org"])).unwrap();
    let added = console.form("/people/add", &fields);
    for there in ["was added", "anna@example.org", "action=\"/people/remove\""] {
        assert!(added.body.contains(there), "{there}: {}", added.body);
    }
    match console.requests.recv().unwrap() {
        Request::People {
            what: PeopleRequest::Add { address, password },
            ..
        } => {
            let given = (&*address, password.expose());
            assert_eq!(given, ("anna@example.org", "Annas Paßwort"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_that_is_over_leads_back_to_the_passphrase() {
    let console = Box::start(Disk::Open);
    for (refusals, status, there) in [
        (&[Refusal::NoSession][..], 401, "action=\"/people/prove\""),
        (
            &[Refusal::BadAddress, Refusal::NoSession],
            400,
            "action=\"/people/prove\"",
        ),
        (
            &[Refusal::NotReady, Refusal::NotReady],
            503,
            "action=\"/people/list\"",
        ),
    ] {
        for refusal in refusals {
            console.replies.send(refused(*refusal, 0)).unwrap();
        }
        let fields = [
            ("token", &*console.token()),
            ("session", "S"),
            ("address", "anna@example.org"),
        ];
        let response = console.form("/people/remove", &fields);
        assert_eq!(response.status, status, "{refusals:?}");
        assert!(response.body.contains("Words for a person."));
        assert!(response.body.contains(there), "{there}: {}", response.body);
        for _ in refusals {
            assert!(console.requests.recv().is_ok());
        }
    }
}

#[test]
fn the_scripts_work_over_tls_as_well() {
    let console = Box::start(Disk::Locked);
    let head = "POST /restart HTTP/1.1\r\nHost: projectx.local\r\n\
                Content-Type: application/json\r\nOrigin: https://projectx.local";
    console.replies.send(Reply::Done).unwrap();
    let body = format!("{{\"token\":\"{}\"}}", console.token());
    let response = console.send_tls(head, body.as_bytes());
    assert_eq!(response.status, 200);
    assert!(response.json()["ok"].as_bool().unwrap());
}

#[test]
fn who_does_not_finish_the_handshake_is_let_go_and_others_are_served() {
    let console = Box::start(Disk::Locked);
    let mut mute = std::net::TcpStream::connect(console.tls_address).unwrap();
    let limit = Some(Duration::from_secs(15));
    mute.set_read_timeout(limit).unwrap();
    assert_eq!(console.get_tls("/").status, 200);
    let mut rest = Vec::new();
    mute.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

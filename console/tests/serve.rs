//! The server as a browser meets it: HTTP over 127.0.0.1, with a pretended
//! supervisor at the other end of the control stream.

mod others;
mod outbound;
mod support;
mod without_scripts;

use console::keys::Paper;
use console::sealed::{AnswerKey, Contents, KeysContents, PeopleContents, SealedBox, seal};
use control::{Disk, PeopleRequest, Refusal, Reply, Request, Secret};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::{Box, Response, refused};

const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" \\ jagen";

impl Box {
    /// A good post of the passphrase for this path.
    fn sealed(&self, path: &str) -> Value {
        let (token, key) = self.page();
        let sealed = sealed(&key, path, &token);
        json!({ "token": token, "box": sealed })
    }
}

fn sealed(key: &str, path: &str, token: &str) -> SealedBox {
    let contents = Contents {
        purpose: path.into(),
        token: token.into(),
        passphrase: Secret::new(PASSPHRASE.into()),
        setup_code: Some(Secret::new("blue-7".into())),
    };
    seal(key, &contents).unwrap().0
}

const SESSION: &str = "the session's 32 random bytes, as 44 letters";
const ANNA: &str = "anna@example.org";
const ANNAS: &str = "Annas \"Paßwort\"";

/// What each form about people carries.
fn people_contents(path: &str) -> PeopleContents {
    let secret = |text: &str| Some(Secret::new(text.into()));
    let of = |paths: &[&str]| paths.contains(&path);
    PeopleContents {
        session: secret(SESSION),
        passphrase: of(&["/people/prove"])
            .then_some(PASSPHRASE)
            .and_then(secret),
        address: of(&["/people/add", "/people/password", "/people/remove"]).then(|| ANNA.into()),
        password: of(&["/people/add", "/people/password"])
            .then_some(ANNAS)
            .and_then(secret),
        ..PeopleContents::default()
    }
}

impl Box {
    /// A good token around contents that name it, and what opens the answer.
    fn sealed_post<T: Serialize>(&self, contents: impl FnOnce(String) -> T) -> (Value, AnswerKey) {
        let (token, key) = self.page();
        let (sealed, opens) = seal(&key, &contents(token.clone())).unwrap();
        (json!({ "token": token, "box": sealed }), opens)
    }

    fn people_post(&self, path: &str, contents: PeopleContents) -> (Value, AnswerKey) {
        self.sealed_post(|token| PeopleContents {
            purpose: path.into(),
            token,
            ..contents
        })
    }

    /// Posts it; the answer, and what it tells its asker.
    fn people(&self, path: &str) -> (Response, Value) {
        self.told(path, self.people_post(path, people_contents(path)))
    }

    fn told(&self, path: &str, (body, opens): (Value, AnswerKey)) -> (Response, Value) {
        let response = self.post(path, &body);
        let sealed = serde_json::from_value(response.json()["box"].clone()).unwrap();
        (response, opens.open(&sealed).unwrap())
    }
}

#[test]
fn a_sealed_passphrase_reaches_the_supervisor_unchanged() {
    let console = Box::start(Disk::Locked);
    console.replies.send(Reply::Done).unwrap();
    let response = console.post("/unlock", &console.sealed("/unlock"));
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.json()["ok"], true);
    match console.requests.recv().unwrap() {
        Request::Unlock { passphrase } => assert_eq!(passphrase.expose(), PASSPHRASE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_carries_the_setup_code() {
    let console = Box::start(Disk::Unclaimed);
    console.replies.send(Reply::Done).unwrap();
    assert_eq!(
        console.post("/claim", &console.sealed("/claim")).status,
        200
    );
    match console.requests.recv().unwrap() {
        Request::Claim {
            passphrase,
            setup_code: Some(code),
        } => assert_eq!((passphrase.expose(), code.expose()), (PASSPHRASE, "blue-7")),
        other => panic!("{other:?}"),
    }
}

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

impl Box {
    fn keys_post(&self, path: &str, contents: KeysContents) -> (Value, AnswerKey) {
        self.sealed_post(|token| KeysContents {
            purpose: path.into(),
            token,
            ..contents
        })
    }
}

/// What a form about the keys carries: old, new, recovery key.
fn keys_contents(old: bool, new: bool, recovery_key: bool) -> KeysContents {
    let secret = |there: bool, text: &str| there.then(|| Secret::new(text.into()));
    KeysContents {
        old: secret(old, PASSPHRASE),
        new: secret(new, "another one"),
        recovery_key: secret(recovery_key, WORDS),
        ..KeysContents::default()
    }
}

#[test]
fn a_recovery_key_is_readable_for_its_asker_only() {
    let console = Box::start(Disk::Open);
    let words = Secret::new(WORDS.into());
    console.replies.send(Reply::RecoveryKey { words }).unwrap();
    let (body, opens) = console.keys_post("/keys/recovery", keys_contents(true, false, false));
    let response = console.post("/keys/recovery", &body);
    assert_eq!(response.status, 200, "{}", response.body);
    for word in WORDS.split(' ') {
        assert!(!response.body.contains(word), "{word}");
    }
    let sealed = serde_json::from_value(response.json()["box"].clone()).unwrap();
    let paper: Paper = opens.open(&sealed).unwrap();
    assert_eq!(paper.words.expose(), WORDS);
    assert!(paper.path.expose().starts_with("M0 0h1v1h-1z"));
    match console.requests.recv().unwrap() {
        Request::NewRecoveryKey { passphrase } => assert_eq!(passphrase.expose(), PASSPHRASE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_form_about_the_keys_reaches_the_supervisor_unchanged() {
    let console = Box::start(Disk::Open);
    for (path, contents) in [
        ("/keys/passphrase", keys_contents(true, true, false)),
        ("/keys/confirm", keys_contents(false, false, true)),
        ("/recover", keys_contents(false, true, true)),
        ("/usb-key/on", keys_contents(true, false, false)),
        ("/usb-key/off", keys_contents(true, false, false)),
    ] {
        console.replies.send(Reply::Done).unwrap();
        let (body, _) = console.keys_post(path, contents);
        let response = console.post(path, &body);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        let (old, new, words) = match console.requests.recv().unwrap() {
            Request::ChangePassphrase { old, new } => (Some(old), Some(new), None),
            Request::ConfirmRecoveryKey { recovery_key } => (None, None, Some(recovery_key)),
            Request::TurnUsbKeyOn { passphrase } if path.ends_with("on") => {
                (Some(passphrase), None, None)
            }
            Request::TurnUsbKeyOff { passphrase } if path.ends_with("off") => {
                (Some(passphrase), None, None)
            }
            Request::Recover {
                recovery_key,
                passphrase,
            } => (None, Some(passphrase), Some(recovery_key)),
            other => panic!("{path}: {other:?}"),
        };
        for (given, expected) in [(old, PASSPHRASE), (new, "another one"), (words, WORDS)] {
            assert!(
                given.is_none_or(|given| given.expose() == expected),
                "{path}"
            );
        }
    }
}

#[test]
fn a_form_about_the_keys_with_too_little_or_too_much_is_refused() {
    let console = Box::start(Disk::Open);
    for path in [
        "/keys/passphrase",
        "/keys/recovery",
        "/keys/confirm",
        "/usb-key/on",
        "/usb-key/off",
        "/recover",
    ] {
        for contents in [
            keys_contents(false, false, false),
            keys_contents(true, true, true),
        ] {
            let (body, _) = console.keys_post(path, contents);
            assert_eq!(console.post(path, &body).status, 400, "{path}");
        }
    }
    assert!(console.asked_nothing());
}

#[test]
fn a_factory_reset_needs_a_token() {
    let console = Box::start(Disk::Locked);
    let post = |token: &str| {
        console
            .post("/factory-reset", &json!({ "token": token }))
            .status
    };
    assert_eq!(post("AAAA"), 403);
    assert!(console.asked_nothing());
    console.replies.send(Reply::Done).unwrap();
    assert_eq!(post(&console.page().0), 200);
    assert!(matches!(
        console.requests.recv().unwrap(),
        Request::FactoryReset
    ));
}

#[test]
fn the_pages_of_the_keys_are_there_in_their_state_only() {
    for (disk, keys, forgot) in [
        (Disk::Open, 200, 303),
        (Disk::Locked, 303, 200),
        (Disk::Damaged, 303, 200),
    ] {
        let console = Box::start(disk);
        assert_eq!(console.get("/keys").status, keys, "{disk:?}");
        assert_eq!(console.get("/forgot").status, forgot, "{disk:?}");
    }
}

#[test]
fn each_refusal_has_its_status_and_its_words() {
    let console = Box::start(Disk::Locked);
    for (refusal, status) in [
        (Refusal::WrongPassphrase, 401),
        (Refusal::BadPassphrase, 400),
        (Refusal::BadRecoveryKey, 400),
        (Refusal::TooSoon, 429),
        (Refusal::WrongSetupCode, 403),
        (Refusal::TooLate, 409),
        (Refusal::WrongState, 409),
        (Refusal::NoSession, 401),
        (Refusal::BadAddress, 400),
        (Refusal::BadTarget, 400),
        (Refusal::BadDomain, 400),
        (Refusal::BadHours, 400),
        (Refusal::BadHost, 400),
        (Refusal::BadLogin, 400),
        (Refusal::BadPassword, 400),
        (Refusal::NotReady, 503),
        (Refusal::Failed, 500),
    ] {
        console.replies.send(refused(refusal, 9)).unwrap();
        let response = console.post("/unlock", &console.sealed("/unlock"));
        assert_eq!(response.status, status, "{refusal:?}");
        assert!(
            response.head.contains("\r\nretry-after: 9"),
            "{}",
            response.head
        );
        let answer = response.json();
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["words"], "Words for a person.");
        assert_eq!(answer["retry_after"], 9);
    }
}

#[test]
fn the_answer_to_a_wrong_passphrase_carries_a_token_for_the_next_try() {
    let console = Box::start(Disk::Locked);
    console
        .replies
        .send(refused(Refusal::WrongPassphrase, 0))
        .unwrap();
    console.replies.send(Reply::Done).unwrap();
    let answer = console.post("/unlock", &console.sealed("/unlock")).json();
    let token = answer["token"].as_str().unwrap();
    let (_, key) = console.page();
    let again = json!({ "token": token, "box": sealed(&key, "/unlock", token) });
    assert_eq!(console.post("/unlock", &again).status, 200);
}

#[test]
fn restart_and_power_off_need_a_token_only() {
    let console = Box::start(Disk::Missing);
    for path in ["/restart", "/power"] {
        console.replies.send(Reply::Done).unwrap();
        let (token, _) = console.page();
        assert_eq!(console.post(path, &json!({ "token": token })).status, 200);
    }
    assert!(matches!(console.requests.recv().unwrap(), Request::Restart));
    assert!(matches!(
        console.requests.recv().unwrap(),
        Request::PowerOff
    ));
    assert_eq!(
        console.post("/power", &json!({ "token": "AAAA" })).status,
        403
    );
    let response = console.get("/power");
    assert_eq!(response.status, 303, "{}", response.body);
    assert!(
        response.head.contains("location: /\r\n"),
        "{}",
        response.head
    );
    assert!(console.asked_nothing());
}

#[test]
fn a_token_cannot_be_used_twice() {
    let console = Box::start(Disk::Locked);
    console
        .replies
        .send(refused(Refusal::WrongPassphrase, 0))
        .unwrap();
    let body = console.sealed("/unlock");
    assert_eq!(console.post("/unlock", &body).status, 401);
    let again = console.post("/unlock", &body);
    assert_eq!(again.status, 403);
    assert!(again.body.contains("reload the page"), "{}", again.body);
    assert!(console.requests.recv().is_ok());
    assert!(console.asked_nothing());
}

#[test]
fn a_recorded_box_cannot_be_sent_again_with_another_token_or_to_another_form() {
    let console = Box::start(Disk::Locked);
    let recorded = console.sealed("/unlock");
    let (token, _) = console.page();
    let replayed = json!({ "token": token, "box": recorded["box"] });
    assert_eq!(console.post("/unlock", &replayed).status, 400);
    assert_eq!(console.post("/claim", &recorded).status, 400);
    assert!(console.asked_nothing());
}

#[test]
fn a_tampered_box_is_refused() {
    let console = Box::start(Disk::Locked);
    for field in ["key", "nonce", "sealed"] {
        let mut body = console.sealed("/unlock");
        let text = body["box"][field].as_str().unwrap();
        let first = if text.starts_with('A') { "B" } else { "A" };
        body["box"][field] = format!("{first}{}", &text[1..]).into();
        assert_eq!(console.post("/unlock", &body).status, 400, "{field}");
    }
    assert!(console.asked_nothing());
}

#[test]
fn a_passphrase_in_clear_text_is_refused() {
    let console = Box::start(Disk::Locked);
    let (token, _) = console.page();
    let clear = json!({ "token": token, "passphrase": PASSPHRASE });
    assert_eq!(console.post("/unlock", &clear).status, 400);
    let mut beside = console.sealed("/unlock");
    beside["passphrase"] = PASSPHRASE.into();
    assert_eq!(console.post("/unlock", &beside).status, 400);
    let form = console.post_with(
        "/unlock",
        "Content-Type: application/x-www-form-urlencoded",
        b"passphrase=open+sesame",
    );
    assert_eq!(form.status, 415);
    assert_eq!(
        console.post("/unlock", &json!({ "token": token })).status,
        400
    );
    assert!(console.asked_nothing());
}

#[test]
fn a_host_that_is_not_ours_gets_421() {
    let console = Box::start(Disk::Locked);
    for head in [
        "GET / HTTP/1.1\r\nHost: example.org",
        "GET / HTTP/1.1\r\nHost: localhost",
        "GET / HTTP/1.1\r\nHost: projectx.local\r\nHost: example.org",
        "GET / HTTP/1.0",
        "POST /unlock HTTP/1.1\r\nHost: projectx.local.example.org",
    ] {
        let response = console.send(head, b"");
        assert_eq!(response.status, 421, "{head}");
        // It is told its name some time after it began.
        let names = ["http://projectx.local", "http://attic.local"];
        assert!(names.iter().any(|name| response.body.contains(name)));
        assert!(!response.body.contains("data-token"));
    }
    for host in ["attic.local", "attic-2.local:80", "127.0.0.1", "[::1]:80"] {
        let response = console.send(&format!("GET / HTTP/1.1\r\nHost: {host}"), b"");
        assert_eq!(response.status, 200, "{host}");
    }
    // The supervisor has told it the name by now.
    let response = console.send("GET / HTTP/1.1\r\nHost: example.org", b"");
    assert!(response.body.contains("http://attic.local"));
}

#[test]
fn a_post_from_another_site_is_refused() {
    let console = Box::start(Disk::Locked);
    for header in [
        "Origin: http://example.org",
        "Origin: null",
        "Origin: http://projectx.local:8080",
        "Origin: http://projectx.local\r\nOrigin: http://example.org",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        let body = console.sealed("/unlock").to_string();
        let headers = format!("Content-Type: application/json\r\n{header}");
        let response = console.post_with("/unlock", &headers, body.as_bytes());
        assert_eq!(response.status, 403, "{header}");
        assert!(response.body.contains("another site"), "{}", response.body);
    }
    assert!(console.asked_nothing());
    console.replies.send(Reply::Done).unwrap();
    let body = console.sealed("/unlock").to_string();
    let headers = "Content-Type: application/json\r\nOrigin: http://projectx.local\r\n\
                   Sec-Fetch-Site: same-origin";
    assert_eq!(
        console
            .post_with("/unlock", headers, body.as_bytes())
            .status,
        200
    );
}

#[test]
fn a_body_over_8_kib_is_refused() {
    let console = Box::start(Disk::Locked);
    let mut body = console.sealed("/unlock");
    body["box"]["sealed"] = "A".repeat(8 * 1024).into();
    assert_eq!(console.post("/unlock", &body).status, 413);
    assert!(console.asked_nothing());
}

#[test]
fn every_answer_carries_the_protective_headers() {
    let console = Box::start(Disk::Locked);
    for path in [
        "/",
        "/status",
        "/style.css",
        "/page.js",
        "/people",
        "/people.js",
        "/addresses",
        "/addresses.js",
        "/inbound",
        "/inbound.js",
        "/reports",
        "/reports.js",
        "/records",
        "/records.js",
        "/outbound",
        "/outbound.js",
        "/nacl-fast.min.js",
        "/nothing",
    ] {
        let head = console.get(path).head;
        for line in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
            "cache-control: no-store",
            "x-frame-options: deny",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(
                head.contains(&format!("\r\n{line}")),
                "{path}: {line}\n{head}"
            );
        }
        assert!(!head.contains("access-control-"), "{path}: {head}");
    }
    assert_eq!(console.get("/nacl-fast.min.js").body, "/* nacl */");
    assert_eq!(console.get("/nothing").status, 404);
}

#[test]
fn no_page_or_answer_repeats_the_passphrase() {
    let console = Box::start(Disk::Locked);
    console
        .replies
        .send(refused(Refusal::WrongPassphrase, 0))
        .unwrap();
    let answer = console.post("/unlock", &console.sealed("/unlock")).body;
    let (page, status) = (console.get("/").body, console.get("/status").body);
    for text in [answer, page, status] {
        assert!(!text.contains("Boxkämpfer"), "{text}");
    }
}

#[test]
fn while_a_claim_runs_pages_load_and_say_working() {
    let console = Box::start(Disk::Unclaimed);
    assert_eq!(console.get("/status").json()["state"], "unclaimed");
    let body = console.sealed("/claim");
    let second = console.sealed("/claim");
    let claim = console.begin_post("/claim", &body);
    let request = console.requests.recv().unwrap();
    assert!(matches!(request, Request::Claim { .. }));
    let begun = Instant::now();
    assert_eq!(console.get("/status").json()["state"], "working");
    assert!(console.get("/").body.contains("data-state=\"working\""));
    assert_eq!(console.post("/claim", &second).status, 409);
    assert!(begun.elapsed() < Duration::from_secs(1));
    console.replies.send(Reply::Done).unwrap();
    assert_eq!(Response::read(claim).status, 200);
    assert_eq!(console.get("/status").json()["state"], "unclaimed");
}

#[test]
fn a_browser_that_leaves_during_a_claim_does_not_disturb_the_next_answer() {
    let console = Box::start(Disk::Locked);
    let stream = console.begin_post("/unlock", &console.sealed("/unlock"));
    assert!(console.requests.recv().is_ok());
    drop(stream);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(console.get("/status").json()["state"], "working");
    console.replies.send(Reply::Done).unwrap();
    let begun = Instant::now();
    while console.get("/status").json()["state"] != "locked" {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_silent_connection_is_closed_and_others_are_served_meanwhile() {
    let console = Box::start(Disk::Locked);
    let begun = Instant::now();
    let mut silent = TcpStream::connect(console.address).unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nHost: proj").unwrap();
    let mut mute = TcpStream::connect(console.address).unwrap();
    assert_eq!(console.get("/").status, 200);
    for stream in [&mut silent, &mut mute] {
        stream
            .set_read_timeout(Some(Duration::from_secs(15)))
            .unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_secs(14),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn the_server_ends_when_the_supervisor_is_gone() {
    let mut console = Box::start(Disk::Locked);
    let body = console.sealed("/unlock");
    // Without replies the pretended supervisor leaves at the next request.
    console.replies = channel().0;
    let _post = console.begin_post("/unlock", &body);
    let why = console.ended.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(why.contains("supervisor is gone"), "{why}");
}

const PEOPLE_PATHS: [&str; 5] = [
    "/people/prove",
    "/people/list",
    "/people/add",
    "/people/password",
    "/people/remove",
];

#[test]
fn each_form_about_people_reaches_the_supervisor_unchanged() {
    let console = Box::start(Disk::Open);
    for path in PEOPLE_PATHS {
        console.replies.send(Reply::Done).unwrap();
        let (response, told) = console.people(path);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert_eq!(response.json()["ok"], true, "{path}");
        assert_eq!(told["about"], Value::Null, "{path}");
        let (session, seen) = match console.requests.recv().unwrap() {
            Request::Prove {
                passphrase,
                session,
            } => {
                assert_eq!(passphrase.expose(), PASSPHRASE);
                (session, "/people/prove")
            }
            Request::People { session, what } => match what {
                PeopleRequest::List => (session, "/people/list"),
                PeopleRequest::Add { address, password } => {
                    assert_eq!((address.as_str(), password.expose()), (ANNA, ANNAS));
                    (session, "/people/add")
                }
                PeopleRequest::SetPassword { address, password } => {
                    assert_eq!((address.as_str(), password.expose()), (ANNA, ANNAS));
                    (session, "/people/password")
                }
                PeopleRequest::Remove { address } => {
                    assert_eq!(address, ANNA);
                    (session, "/people/remove")
                }
            },
            other => panic!("{other:?}"),
        };
        assert_eq!((session.expose(), seen), (SESSION, path));
    }
}

#[test]
fn addresses_and_words_travel_sealed_in_both_directions() {
    let console = Box::start(Disk::Open);
    let people = Reply::People {
        addresses: vec![ANNA.into(), "ben@example.org".into()],
    };
    let taken = Reply::Refused {
        refusal: Refusal::BadAddress,
        words: format!("{ANNA} exists already."),
        retry_after: 0,
    };
    console.replies.send(people).unwrap();
    console.replies.send(taken).unwrap();
    let (listed, told) = console.people("/people/list");
    assert_eq!(told["addresses"], json!([ANNA, "ben@example.org"]));
    let (refused, told) = console.people("/people/add");
    assert_eq!((refused.status, &told["about"]), (400, &"address".into()));
    assert_eq!(told["words"], format!("{ANNA} exists already."));
    let (body, _) = console.people_post("/people/add", people_contents("/people/add"));
    for text in [listed.body, refused.body, body.to_string()] {
        for secret in ["anna", "example", "Paßwort", "session"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn each_refusal_about_people_is_told_beside_its_field() {
    let console = Box::start(Disk::Open);
    for (refusal, status, about) in [
        (Refusal::WrongPassphrase, 401, "passphrase"),
        (Refusal::TooSoon, 429, "passphrase"),
        (Refusal::NoSession, 401, "session"),
        (Refusal::BadAddress, 400, "address"),
        (Refusal::BadTarget, 400, "to"),
        (Refusal::BadDomain, 400, "domain"),
        (Refusal::BadHours, 400, "hours"),
        (Refusal::BadHost, 400, "host"),
        (Refusal::BadLogin, 400, "login"),
        (Refusal::BadPassword, 400, "password"),
        (Refusal::NotReady, 503, "starting"),
        (Refusal::WrongState, 409, "box"),
        (Refusal::Failed, 500, "box"),
    ] {
        console.replies.send(refused(refusal, 9)).unwrap();
        let (response, told) = console.people("/people/prove");
        assert_eq!(response.status, status, "{refusal:?}");
        assert!(response.head.contains("\r\nretry-after: 9"));
        let answer = response.json();
        assert_eq!(
            (&answer["ok"], &answer["retry_after"]),
            (&json!(false), &json!(9))
        );
        assert_eq!(told["about"], about, "{refusal:?}");
        assert_eq!(told["words"], "Words for a person.");
        assert_eq!(told["addresses"], Value::Null);
    }
}

#[test]
fn a_form_about_people_that_lacks_something_or_has_too_much_is_refused() {
    let console = Box::start(Disk::Open);
    for path in PEOPLE_PATHS {
        let contents = || people_contents(path);
        let without_session = PeopleContents {
            session: None,
            ..contents()
        };
        let with_everything = PeopleContents {
            passphrase: Some(Secret::new(PASSPHRASE.into())),
            address: Some(ANNA.into()),
            password: Some(Secret::new(ANNAS.into())),
            ..contents()
        };
        for wrong in [without_session, with_everything] {
            let (body, _) = console.people_post(path, wrong);
            assert_eq!(console.post(path, &body).status, 400, "{path}");
        }
        // A box made for one form, sent to the next.
        let (body, _) = console.people_post("/people/none", contents());
        assert_eq!(console.post(path, &body).status, 400, "{path}");
        let (token, _) = console.page();
        let clear = json!({ "token": token, "address": ANNA, "password": ANNAS });
        assert_eq!(console.post(path, &clear).status, 400, "{path}");
        assert_eq!(console.get(path).status, 303, "{path}");
    }
    assert!(console.asked_nothing());
}

#[test]
fn another_site_cannot_touch_the_people() {
    let console = Box::start(Disk::Open);
    for path in PEOPLE_PATHS {
        let (body, _) = console.people_post(path, people_contents(path));
        for header in ["Origin: http://example.org", "Sec-Fetch-Site: cross-site"] {
            let headers = format!("Content-Type: application/json\r\n{header}");
            let response = console.post_with(path, &headers, body.to_string().as_bytes());
            assert_eq!(response.status, 403, "{path}: {header}");
        }
        let used = json!({ "token": "AAAA", "box": body["box"] });
        assert_eq!(console.post(path, &used).status, 403, "{path}");
    }
    let foreign = console.send("GET /people HTTP/1.1\r\nHost: example.org", b"");
    assert_eq!(foreign.status, 421);
    assert!(console.asked_nothing());
}

#[test]
fn the_page_of_the_people_is_there_only_while_the_disk_is_open() {
    let open = Box::start(Disk::Open).get("/people");
    assert_eq!(open.status, 200);
    assert!(open.body.contains("data-post=\"/people/prove\""));
    for disk in [Disk::Unclaimed, Disk::Locked, Disk::Working, Disk::Missing] {
        let response = Box::start(disk).get("/people");
        assert_eq!(response.status, 303, "{disk:?}");
        assert!(response.head.contains("\r\nlocation: /\r\n"), "{disk:?}");
    }
}

#[test]
fn while_a_passphrase_is_proved_other_pages_stay_as_they_are() {
    let console = Box::start(Disk::Open);
    let path = "/people/prove";
    let (body, _) = console.people_post(path, people_contents(path));
    let (second, _) = console.people_post(path, people_contents(path));
    let proof = console.begin_post(path, &body);
    assert!(console.requests.recv().is_ok());
    let begun = Instant::now();
    assert_eq!(console.get("/status").json()["state"], "open");
    assert_eq!(console.get("/people").status, 200);
    assert_eq!(console.post(path, &second).status, 409);
    assert!(begun.elapsed() < Duration::from_secs(1));
    console.replies.send(Reply::Done).unwrap();
    assert_eq!(Response::read(proof).status, 200);
}

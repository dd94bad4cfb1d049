//! Mail on its way out: by a page's script, and by forms of HTML over TLS.

use crate::support::tls::hidden;
use crate::support::{Box, Response, refused};
use console::sealed::AnswerKey;
use control::outbound::{Allow, Exception, Smarthost, SmarthostPort};
use control::{Disk, Outbound, OutboundRequest, Refusal, Reply, Request};
use serde_json::{Value, json};

const SESSION: &str = "the session's 32 random bytes, as 44 letters";
const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" jagen";

/// What each form carries, but for the session.
fn forms() -> Vec<(&'static str, Value)> {
    vec![
        ("/outbound/see", json!({})),
        (
            "/outbound/except",
            json!({ "domain": "old.example", "allow": "plaintext" }),
        ),
        ("/outbound/demand", json!({ "domain": "old.example" })),
        ("/outbound/hours", json!({ "give_up": "72", "warn": " 6" })),
        (
            "/outbound/smarthost",
            json!({
                "host": "smtp.example.org", "port": "465", "login": "anna", "password": "Paßwort"
            }),
        ),
        ("/outbound/straight", json!({})),
    ]
}

/// What was asked for, as a form would say it.
fn asked(request: Request) -> (&'static str, Value) {
    let Request::Outbound { session, what } = request else {
        panic!("{request:?}");
    };
    assert_eq!(session.expose(), SESSION);
    match what {
        OutboundRequest::See => ("/outbound/see", json!({})),
        OutboundRequest::Except { domain, allow } => (
            "/outbound/except",
            json!({ "domain": domain, "allow": allow }),
        ),
        OutboundRequest::RemoveException { domain } => {
            ("/outbound/demand", json!({ "domain": domain }))
        }
        OutboundRequest::SetHours { give_up, warn } => (
            "/outbound/hours",
            json!({ "give_up": give_up, "warn": warn }),
        ),
        OutboundRequest::SetSmarthost {
            host,
            port,
            login,
            password,
        } => (
            "/outbound/smarthost",
            json!({ "host": host, "port": port, "login": login, "password": password }),
        ),
        OutboundRequest::RemoveSmarthost => ("/outbound/straight", json!({})),
    }
}

fn some() -> Outbound {
    Outbound {
        exceptions: vec![Exception {
            domain: "old.example".into(),
            allow: Allow::Plaintext,
        }],
        give_up_after_hours: 72,
        warn_after_hours: 6,
        smarthost: Some(Smarthost {
            host: "smtp.example.org".into(),
            port: SmarthostPort::StartTls,
            login: "anna".into(),
        }),
    }
}

impl Box {
    fn outbound_post(&self, path: &str, mut contents: Value) -> (Value, AnswerKey) {
        self.sealed_post(|token| {
            contents["for"] = path.into();
            contents["token"] = token.into();
            contents
        })
    }

    fn outbound(&self, path: &str, mut contents: Value) -> (Response, Value) {
        contents["session"] = SESSION.into();
        self.told(path, self.outbound_post(path, contents))
    }
}

#[test]
fn each_form_about_mail_to_others_reaches_the_supervisor_unchanged_and_its_answer_is_sealed() {
    let console = Box::start(Disk::Open);
    for (path, contents) in forms() {
        console.replies.send(Reply::Outbound(some())).unwrap();
        let (response, told) = console.outbound(path, contents.clone());
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert_eq!(told["about"], Value::Null, "{path}");
        assert_eq!(told["outbound"], serde_json::to_value(some()).unwrap());
        assert!(!response.body.contains("example"), "{}", response.body);
        assert_eq!(asked(console.requests.recv().unwrap()), (path, contents));
    }
}

#[test]
fn a_form_about_mail_to_others_that_lacks_something_or_has_too_much_is_refused() {
    let console = Box::start(Disk::Open);
    for (path, contents) in forms() {
        let whole = |mut contents: Value| {
            contents["session"] = SESSION.into();
            contents
        };
        let mut too_much = whole(contents.clone());
        too_much["passphrase"] = PASSPHRASE.into();
        let mut wrong = vec![contents.clone(), too_much];
        for name in contents.as_object().unwrap().keys() {
            let mut too_little = whole(contents.clone());
            too_little.as_object_mut().unwrap().remove(name);
            wrong.push(too_little);
            let mut nonsense = whole(contents.clone());
            nonsense[name] = 7.into();
            wrong.push(nonsense);
        }
        for wrong in wrong {
            let (body, _) = console.outbound_post(path, wrong);
            assert_eq!(console.post(path, &body).status, 400, "{path}");
        }
        // A box made for one form, sent to another.
        let (body, _) = console.outbound_post("/outbound/none", whole(contents.clone()));
        assert_eq!(console.post(path, &body).status, 400, "{path}");
        let (token, _) = console.page();
        let mut clear = whole(contents);
        clear["token"] = token.into();
        assert_eq!(console.post(path, &clear).status, 400, "{path}");
        assert_eq!(console.get(path).status, 303, "{path}");
    }
    assert!(console.asked_nothing());
}

#[test]
fn another_site_cannot_touch_mail_to_others() {
    let console = Box::start(Disk::Open);
    for (path, mut contents) in forms() {
        contents["session"] = SESSION.into();
        let (body, _) = console.outbound_post(path, contents);
        for header in ["Origin: http://example.org", "Sec-Fetch-Site: cross-site"] {
            let headers = format!("Content-Type: application/json\r\n{header}");
            let response = console.post_with(path, &headers, body.to_string().as_bytes());
            assert_eq!(response.status, 403, "{path}: {header}");
        }
        let used = json!({ "token": "AAAA", "box": body["box"] });
        assert_eq!(console.post(path, &used).status, 403, "{path}");
    }
    let foreign = console.send("GET /outbound HTTP/1.1\r\nHost: example.org", b"");
    assert_eq!(foreign.status, 421);
    assert!(console.asked_nothing());
}

#[test]
fn the_page_of_mail_to_others_is_there_only_while_the_disk_is_open() {
    let open = Box::start(Disk::Open).get("/outbound");
    assert_eq!(open.status, 200);
    assert!(open.body.contains("data-post=\"/outbound/prove\""));
    for disk in [Disk::Unclaimed, Disk::Locked, Disk::Working, Disk::Missing] {
        let response = Box::start(disk).get("/outbound");
        assert_eq!(response.status, 303, "{disk:?}");
        assert!(response.head.contains("\r\nlocation: /\r\n"), "{disk:?}");
    }
}

#[test]
fn without_scripts_the_passphrase_leads_to_what_is_set_and_a_form_changes_it() {
    let console = Box::start(Disk::Open);
    let page = console.get_tls("/outbound").body;
    assert!(!page.contains("old.example\""), "{page}");
    let session = hidden(&page, "session");
    console.replies.send(Reply::Done).unwrap();
    console.replies.send(Reply::Outbound(some())).unwrap();
    let fields = [
        ("token", &*hidden(&page, "token")),
        ("session", &*session),
        ("passphrase", PASSPHRASE),
    ];
    let seen = console.form("/outbound/prove", &fields);
    assert_eq!(seen.status, 200, "{}", seen.body);
    let removes = "name=\"domain\" value=\"old.example\"";
    assert!(seen.body.contains(removes), "{}", seen.body);
    assert!(matches!(
        console.requests.recv().unwrap(),
        Request::Prove { .. }
    ));
    assert!(matches!(
        console.requests.recv().unwrap(),
        Request::Outbound {
            what: OutboundRequest::See,
            ..
        }
    ));
    let fields = [
        ("token", &*hidden(&seen.body, "token")),
        ("session", &*session),
        ("domain", "older.example"),
        ("allow", "any-certificate"),
    ];
    // What was refused shows above what is set still.
    let no = refused(Refusal::BadDomain, 0);
    console.replies.send(no).unwrap();
    console.replies.send(Reply::Outbound(some())).unwrap();
    let after = console.form("/outbound/except", &fields);
    assert_eq!(after.status, 400);
    for there in ["Words for a person.", removes] {
        assert!(after.body.contains(there), "{there}: {}", after.body);
    }
    match console.requests.recv().unwrap() {
        Request::Outbound {
            what: OutboundRequest::Except { domain, allow },
            session: given,
        } => {
            let given = (&*domain, allow, given.expose());
            assert_eq!(given, ("older.example", Allow::AnyCertificate, &*session));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_scripts_a_session_that_is_over_leads_back_to_the_passphrase_of_the_same_page() {
    let console = Box::start(Disk::Open);
    for (refusals, status, there) in [
        (&[Refusal::NoSession][..], 401, "action=\"/outbound/prove\""),
        (
            &[Refusal::NotReady, Refusal::NotReady],
            503,
            "action=\"/outbound/see\"",
        ),
    ] {
        for refusal in refusals {
            console.replies.send(refused(*refusal, 0)).unwrap();
        }
        let page = console.get_tls("/outbound").body;
        let fields = [
            ("token", &*hidden(&page, "token")),
            ("session", "S"),
            ("domain", "old.example"),
        ];
        let response = console.form("/outbound/demand", &fields);
        assert_eq!(response.status, status, "{refusals:?}");
        assert!(response.body.contains(there), "{there}: {}", response.body);
    }
}

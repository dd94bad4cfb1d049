//! Mail on its way out: by a page's script, and by forms of HTML over TLS. What must be
//! refused for every page is in `others`.

use crate::others::SESSION;
use crate::support::tls::hidden;
use crate::support::{Box, refused};
use control::outbound::{Allow, Exception, Smarthost, SmarthostPort};
use control::{Disk, Outbound, OutboundRequest, Refusal, Reply, Request};
use serde_json::{Value, json};

const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" jagen";

/// What each form carries, but for the session.
pub fn forms() -> Vec<(&'static str, Value)> {
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

#[test]
fn each_form_about_mail_to_others_reaches_the_supervisor_unchanged_and_its_answer_is_sealed() {
    let console = Box::start(Disk::Open);
    for (path, contents) in forms() {
        console.replies.send(Reply::Outbound(some())).unwrap();
        let (response, told) = console.others(path, contents.clone());
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert_eq!(told["about"], Value::Null, "{path}");
        assert_eq!(told["outbound"], serde_json::to_value(some()).unwrap());
        assert!(!response.body.contains("example"), "{}", response.body);
        assert_eq!(asked(console.requests.recv().unwrap()), (path, contents));
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

//! The other addresses, mail from others and what they report: by a page's script, and
//! by forms of HTML over TLS. And what is refused for these pages and for mail to others
//! (`outbound`) alike.

use crate::outbound;
use crate::support::tls::hidden;
use crate::support::{Box, Response, refused};
use console::sealed::AnswerKey;
use control::addresses::{Alias, CatchAll, Outside};
use control::inbound::{RefusedPeer, ReportLine};
use control::records::Record;
use control::{
    AddressesRequest, Disk, Inbound, InboundRequest, OtherAddresses, Records, RecordsRequest,
    Refusal, Reply, Reports, Request,
};
use serde_json::{Value, json};

pub const SESSION: &str = "the session's 32 random bytes, as 44 letters";
const PASSPHRASE: &str = "Zwölf \"Boxkämpfer\" jagen";
const PAGES: [&str; 4] = ["/addresses", "/inbound", "/reports", "/records"];

/// What each form carries, but for the session.
fn forms() -> Vec<(&'static str, Value)> {
    vec![
        ("/addresses/see", json!({})),
        (
            "/addresses/alias",
            json!({ "address": "sales@example.org", "person": "anna@example.org" }),
        ),
        (
            "/addresses/outside",
            json!({
                "address": "club@example.org", "person": "anna@example.org",
                "to": "bob@far.example, eve@far.example"
            }),
        ),
        (
            "/addresses/remove",
            json!({ "address": "sales@example.org" }),
        ),
        (
            "/addresses/catch-all",
            json!({ "domain": "example.org", "person": "anna@example.org" }),
        ),
        (
            "/addresses/no-catch-all",
            json!({ "domain": "example.org" }),
        ),
        ("/inbound/see", json!({})),
        ("/inbound/block", json!({ "domain": " BL.example" })),
        ("/inbound/unblock", json!({ "domain": "bl.example" })),
        ("/inbound/trust", json!({ "domain": "lists.example" })),
        ("/inbound/mistrust", json!({ "domain": "lists.example" })),
        ("/reports/see", json!({})),
        ("/records/see", json!({})),
        ("/records/again", json!({})),
        ("/records/domain", json!({ "domain": "b.example" })),
    ]
}

/// Those of mail to others too.
fn all_forms() -> Vec<(&'static str, Value)> {
    forms().into_iter().chain(outbound::forms()).collect()
}

/// What was asked for, as a form would say it.
fn asked(request: Request) -> (&'static str, Value) {
    let what = match request {
        Request::Addresses { session, what } => {
            assert_eq!(session.expose(), SESSION);
            return asked_of_addresses(what);
        }
        Request::Records { session, what } => {
            assert_eq!(session.expose(), SESSION);
            return match what {
                RecordsRequest::See => ("/records/see", json!({})),
                RecordsRequest::LookAgain => ("/records/again", json!({})),
                RecordsRequest::Domain { domain } => {
                    ("/records/domain", json!({ "domain": domain }))
                }
            };
        }
        Request::Inbound { session, what } => {
            assert_eq!(session.expose(), SESSION);
            what
        }
        other => panic!("{other:?}"),
    };
    match what {
        InboundRequest::See => ("/inbound/see", json!({})),
        InboundRequest::Block { zone } => ("/inbound/block", json!({ "domain": zone })),
        InboundRequest::Unblock { zone } => ("/inbound/unblock", json!({ "domain": zone })),
        InboundRequest::Trust { domain } => ("/inbound/trust", json!({ "domain": domain })),
        InboundRequest::Mistrust { domain } => ("/inbound/mistrust", json!({ "domain": domain })),
        InboundRequest::Reports => ("/reports/see", json!({})),
    }
}

fn asked_of_addresses(what: AddressesRequest) -> (&'static str, Value) {
    match what {
        AddressesRequest::See => ("/addresses/see", json!({})),
        AddressesRequest::AddAlias { address, person } => (
            "/addresses/alias",
            json!({ "address": address, "person": person }),
        ),
        AddressesRequest::AddOutside {
            address,
            person,
            to,
        } => (
            "/addresses/outside",
            json!({ "address": address, "person": person, "to": to }),
        ),
        AddressesRequest::Remove { address } => {
            ("/addresses/remove", json!({ "address": address }))
        }
        AddressesRequest::CatchAll { domain, person } => (
            "/addresses/catch-all",
            json!({ "domain": domain, "person": person }),
        ),
        AddressesRequest::NoCatchAll { domain } => {
            ("/addresses/no-catch-all", json!({ "domain": domain }))
        }
    }
}

fn addresses() -> OtherAddresses {
    OtherAddresses {
        aliases: vec![Alias {
            address: "sales@example.org".into(),
            person: "anna@example.org".into(),
        }],
        outside: vec![Outside {
            address: "club@example.org".into(),
            person: "anna@example.org".into(),
            to: vec!["bob@far.example".into()],
        }],
        catch_alls: vec![CatchAll {
            domain: "example.org".into(),
            person: "anna@example.org".into(),
        }],
        left_out: 0,
    }
}

fn inbound() -> Inbound {
    Inbound {
        block_lists: vec!["bl.example".into()],
        trusted: vec!["lists.example".into()],
        refused: vec![RefusedPeer {
            from: "192.0.2.77".into(),
            times: 3,
            last: "2026-11-25 17:00".into(),
        }],
    }
}

fn reports() -> Reports {
    Reports {
        lines: vec![ReportLine {
            came: "2026-11-25".into(),
            words: "TLS, far.example (proved), 3 fine".into(),
        }],
    }
}

fn records() -> Records {
    Records {
        hostname: Some("box.example".into()),
        domains: vec!["a.example".into(), "b.example".into()],
        domain: Some("a.example".into()),
        looked: Some("2026-11-25 17:00 UTC".into()),
        records: vec![Record {
            sentence: "What it is for.".into(),
            name: "_dmarc.a.example".into(),
            kind: "TXT".into(),
            value: "v=DMARC1; p=reject".into(),
            state: "missing".into(),
            found: String::new(),
        }],
    }
}

/// What the supervisor answers to a form at `path`; the key of it in what is told, and
/// what that key holds.
fn answer(path: &str) -> (Reply, &'static str, Value) {
    let value = |shown| serde_json::to_value(shown).unwrap();
    match path.split('/').nth(1).unwrap() {
        "addresses" => (
            Reply::Addresses(addresses()),
            "other",
            serde_json::to_value(addresses()).unwrap(),
        ),
        "inbound" => (Reply::Inbound(inbound()), "inbound", value(inbound())),
        "reports" => (
            Reply::Reports(reports()),
            "reports",
            serde_json::to_value(reports()).unwrap(),
        ),
        "records" => (
            Reply::Records(records()),
            "records",
            serde_json::to_value(records()).unwrap(),
        ),
        other => panic!("{other}"),
    }
}

impl Box {
    fn others_post(&self, path: &str, mut contents: Value) -> (Value, AnswerKey) {
        self.sealed_post(|token| {
            contents["for"] = path.into();
            contents["token"] = token.into();
            contents
        })
    }

    pub fn others(&self, path: &str, mut contents: Value) -> (Response, Value) {
        contents["session"] = SESSION.into();
        self.told(path, self.others_post(path, contents))
    }
}

#[test]
fn each_form_reaches_the_supervisor_unchanged_and_its_answer_is_sealed() {
    let console = Box::start(Disk::Open);
    for (path, contents) in forms() {
        let (reply, key, shown) = answer(path);
        console.replies.send(reply).unwrap();
        let (response, told) = console.others(path, contents.clone());
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert_eq!(told["about"], Value::Null, "{path}");
        assert_eq!(told[key], shown, "{path}");
        for word in ["example", "192.0.2", "fine"] {
            assert!(!response.body.contains(word), "{path}: {}", response.body);
        }
        assert_eq!(asked(console.requests.recv().unwrap()), (path, contents));
    }
}

#[test]
fn a_form_that_lacks_something_or_has_too_much_is_refused() {
    let console = Box::start(Disk::Open);
    for (path, contents) in all_forms() {
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
            let (body, _) = console.others_post(path, wrong);
            assert_eq!(console.post(path, &body).status, 400, "{path}");
        }
        // A box made for one form, sent to another.
        let (body, _) = console.others_post("/inbound/none", whole(contents.clone()));
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
fn another_site_cannot_touch_any_of_it() {
    let console = Box::start(Disk::Open);
    for (path, mut contents) in all_forms() {
        contents["session"] = SESSION.into();
        let (body, _) = console.others_post(path, contents);
        for header in ["Origin: http://example.org", "Sec-Fetch-Site: cross-site"] {
            let headers = format!("Content-Type: application/json\r\n{header}");
            let response = console.post_with(path, &headers, body.to_string().as_bytes());
            assert_eq!(response.status, 403, "{path}: {header}");
        }
        let used = json!({ "token": "AAAA", "box": body["box"] });
        assert_eq!(console.post(path, &used).status, 403, "{path}");
    }
    for page in PAGES.into_iter().chain(["/outbound"]) {
        let foreign = console.send(&format!("GET {page} HTTP/1.1\r\nHost: example.org"), b"");
        assert_eq!(foreign.status, 421, "{page}");
    }
    assert!(console.asked_nothing());
}

#[test]
fn the_pages_are_there_only_while_the_disk_is_open() {
    let open = Box::start(Disk::Open);
    for page in PAGES.into_iter().chain(["/outbound"]) {
        let shown = open.get(page);
        assert_eq!(shown.status, 200, "{page}");
        let prove = format!("data-post=\"{page}/prove\"");
        assert!(shown.body.contains(&prove), "{page}: {}", shown.body);
        assert_eq!(open.get(&format!("{page}.js")).status, 200, "{page}");
    }
    for disk in [Disk::Unclaimed, Disk::Locked, Disk::Working, Disk::Missing] {
        let console = Box::start(disk);
        for page in PAGES.into_iter().chain(["/outbound"]) {
            let response = console.get(page);
            assert_eq!(response.status, 303, "{disk:?}");
            assert!(response.head.contains("\r\nlocation: /\r\n"), "{disk:?}");
        }
    }
}

#[test]
fn without_scripts_the_passphrase_leads_to_what_there_is() {
    let console = Box::start(Disk::Open);
    for (page, word) in [
        ("/addresses", "sales@example.org</strong>"),
        ("/inbound", "192.0.2.77</strong>"),
        ("/reports", "far.example (proved), 3 fine"),
        ("/records", "_dmarc.a.example</code>"),
    ] {
        let asks = console.get_tls(page).body;
        assert!(!asks.contains(word), "{asks}");
        let session = hidden(&asks, "session");
        let fields = [
            ("token", &*hidden(&asks, "token")),
            ("session", &*session),
            ("passphrase", PASSPHRASE),
        ];
        console.replies.send(Reply::Done).unwrap();
        console.replies.send(answer(page).0).unwrap();
        let seen = console.form(&format!("{page}/prove"), &fields);
        assert_eq!(seen.status, 200, "{}", seen.body);
        assert!(seen.body.contains(word), "{page}: {}", seen.body);
        assert!(matches!(
            console.requests.recv().unwrap(),
            Request::Prove { .. }
        ));
        let look = console.requests.recv().unwrap();
        let path = format!("{page}/see");
        match look {
            Request::Addresses { what, .. } => assert_eq!(asked_of_addresses(what).0, path),
            Request::Records { what, .. } => {
                assert!(matches!(what, RecordsRequest::See) && page == "/records");
            }
            Request::Inbound { what, .. } => assert!(
                matches!(
                    (what, page),
                    (InboundRequest::See, "/inbound") | (InboundRequest::Reports, "/reports")
                ),
                "{page}"
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_scripts_a_form_changes_it_and_a_refusal_is_told_above_what_there_is() {
    let console = Box::start(Disk::Open);
    let page = console.get_tls("/addresses").body;
    let fields = [
        ("token", &*hidden(&page, "token")),
        ("session", SESSION),
        ("address", "club@example.org"),
        ("person", "anna@example.org"),
        ("to", "bob@far.example"),
    ];
    console.replies.send(answer("/addresses").0).unwrap();
    let added = console.form("/addresses/outside", &fields);
    assert!(
        added.body.contains("is passed on from now on"),
        "{}",
        added.body
    );
    assert!(added.body.contains("club@example.org"), "{}", added.body);
    let expected = json!({
        "address": "club@example.org", "person": "anna@example.org", "to": "bob@far.example"
    });
    assert_eq!(
        asked(console.requests.recv().unwrap()),
        ("/addresses/outside", expected)
    );

    console
        .replies
        .send(refused(Refusal::BadDomain, 0))
        .unwrap();
    console.replies.send(answer("/inbound").0).unwrap();
    let fields = [
        ("token", &*hidden(&added.body, "token")),
        ("session", SESSION),
        ("domain", "localhost"),
    ];
    let told = console.form("/inbound/block", &fields);
    assert_eq!(told.status, 400, "{}", told.body);
    for there in ["Words for a person.", "bl.example", "192.0.2.77"] {
        assert!(told.body.contains(there), "{there}: {}", told.body);
    }
}

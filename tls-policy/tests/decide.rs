//! What is demanded, with a resolver and a web server that the test plays.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_proto::rr::rdata::{A, MX, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use outbound::settings::{Allow, Exception, Settings};
use rcgen::{CertificateParams, KeyPair};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};
use tls_policy::cache::{Cache, Kept};
use tls_policy::decide::{Decide, Demand};
use tls_policy::dns::Dns;
use tls_policy::fetch::Fetch;
use tls_policy::serve::answer;
use tls_policy::socketmap::{Answer, Question};
use tls_policy::sts;

/// Name, type, whether it is signed, and the record; what is not here does not exist.
type Zone = Vec<(&'static str, RecordType, bool, RData)>;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn mx(of: &'static str, secure: bool, host: &str) -> (&'static str, RecordType, bool, RData) {
    let record = MX::new(10, name(&format!("{host}.")));
    (of, RecordType::MX, secure, RData::MX(record))
}

fn a(of: &'static str, secure: bool) -> (&'static str, RecordType, bool, RData) {
    let address = RData::A(A(Ipv4Addr::LOCALHOST));
    (of, RecordType::A, secure, address)
}

fn tlsa(of: &'static str, secure: bool) -> (&'static str, RecordType, bool, RData) {
    let (usage, selector, matching) = (CertUsage::DaneEe, Selector::Spki, Matching::Sha256);
    let record = TLSA::new(usage, selector, matching, vec![7; 32]);
    (of, RecordType::TLSA, secure, RData::TLSA(record))
}

fn txt(of: &'static str, text: &str) -> (&'static str, RecordType, bool, RData) {
    (
        of,
        RecordType::TXT,
        false,
        RData::TXT(TXT::new(vec![text.to_owned()])),
    )
}

/// A resolver that says this, and SERVFAIL for names in `broken`.
fn resolver(zone: Zone, broken: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            reply(&mut stream.unwrap(), &zone, broken);
        }
    });
    address
}

fn reply(stream: &mut TcpStream, zone: &Zone, broken: &[&str]) -> Option<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).ok()?;
    let mut answer = Message::from_vec(&bytes).unwrap();
    assert!(answer.metadata.authentic_data && answer.metadata.recursion_desired);
    let question = answer.queries[0].clone();
    let asked = question.name().to_ascii().to_ascii_lowercase();
    let asked = asked.trim_end_matches('.');
    answer.metadata.message_type = hickory_proto::op::MessageType::Response;
    answer.metadata.authentic_data = false;
    if broken.contains(&asked) {
        answer.metadata.response_code = ResponseCode::ServFail;
    } else {
        let mut found = (zone.iter())
            .filter(|(of, kind, ..)| *of == asked && *kind == question.query_type())
            .peekable();
        if found.peek().is_none() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for (_, _, secure, data) in found {
            answer.metadata.authentic_data = *secure;
            let record = Record::from_rdata(question.name().clone(), 60, data.clone());
            answer.answers.push(record);
        }
    }
    let bytes = answer.to_vec().unwrap();
    stream.write_all(&(bytes.len() as u16).to_be_bytes()).ok()?;
    stream.write_all(&bytes).ok()
}

struct World {
    decide: Decide,
    folder: tempfile::TempDir,
}

fn world(zone: Zone, broken: &'static [&'static str]) -> World {
    let folder = tempfile::tempdir().unwrap();
    for part in ["sts", "settings"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    let key = KeyPair::generate().unwrap();
    let authority = CertificateParams::new(Vec::new()).unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.self_signed(&key).unwrap().pem()).unwrap();
    let dns = Dns::new(resolver(zone, broken));
    let decide = Decide {
        dns,
        fetch: Fetch::new(dns, &roots).unwrap(),
        cache: Cache::new(&folder.path().join("sts")),
        settings: folder.path().join("settings"),
    };
    World { decide, folder }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn keep(folder: &Path, domain: &str, id: &str, fetched: u64, mode: &str, mx: &str) {
    let text = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 1000\n");
    let kept = Kept {
        id: id.into(),
        fetched,
        policy: sts::parse(&text).unwrap(),
    };
    Cache::new(&folder.join("sts")).put(domain, &kept).unwrap();
}

#[test]
fn dane_counts_only_when_every_link_is_signed() {
    let zone = |mx_signed, a_signed, tlsa_signed| {
        vec![
            mx("d.example", mx_signed, "mx.d.example"),
            a("mx.d.example", a_signed),
            tlsa("_25._tcp.mx.d.example", tlsa_signed),
        ]
    };
    for (signed, demand) in [
        ((true, true, true), Demand::Dane),
        ((false, true, true), Demand::Certificate),
        ((true, false, true), Demand::Certificate),
        ((true, true, false), Demand::Certificate),
    ] {
        let world = world(zone(signed.0, signed.1, signed.2), &[]);
        assert_eq!(
            world.decide.demand("d.example").unwrap(),
            demand,
            "{signed:?}"
        );
    }
}

#[test]
fn one_server_with_dane_is_enough_and_one_that_is_unknown_makes_the_message_wait() {
    let zone = || {
        vec![
            mx("d.example", true, "a.d.example"),
            mx("d.example", true, "b.d.example"),
            a("a.d.example", true),
            a("b.d.example", true),
            tlsa("_25._tcp.b.d.example", true),
        ]
    };
    let all = world(zone(), &[]);
    assert_eq!(all.decide.demand("d.example").unwrap(), Demand::Dane);
    let first = world(zone(), &["_25._tcp.a.d.example"]);
    assert_eq!(first.decide.demand("d.example").unwrap(), Demand::Dane);
    let second = world(zone(), &["_25._tcp.b.d.example"]);
    let wait = second.decide.demand("d.example").unwrap_err().to_string();
    assert_eq!(wait, "_25._tcp.b.d.example: Server Failure");
}

#[test]
fn a_domain_that_cannot_be_looked_up_waits_and_is_never_sent_to_with_less() {
    let world = world(Vec::new(), &["d.example"]);
    world.decide.demand("d.example").unwrap_err();
    let question = |table: &str, key: &str| Question {
        table: table.into(),
        key: key.into(),
    };
    for (table, key) in [("policy", "d.example"), ("other", "d.example")] {
        let said = answer(&world.decide, &question(table, key));
        assert!(matches!(said, Answer::Later(_)), "{said:?}");
    }
    for key in [
        "a b",
        "[127.0.0.1]",
        "[127.0.0.1]:25",
        "[a.example",
        "[a]:x",
        "",
    ] {
        let said = answer(&world.decide, &question("policy", key));
        assert!(matches!(said, Answer::Later(_)), "{key}: {said:?}");
    }
    // Settings that can't be read are no exception.
    let path = world.folder.path().join("settings/settings.json");
    std::fs::write(path, "{").unwrap();
    for table in ["policy", "transport"] {
        let said = answer(&world.decide, &question(table, "ada@e.example"));
        assert!(matches!(said, Answer::Later(_)), "{said:?}");
    }
}

#[test]
fn an_exception_is_for_one_domain_and_the_box_s_own_domains_stay_here() {
    let world = world(Vec::new(), &[]);
    let folder = world.folder.path().join("settings");
    let mut settings = Settings::own(&folder, ["home.example"]).unwrap();
    for (domain, allow) in [
        ("old.example", Allow::AnyCertificate),
        ("clear.example", Allow::Plaintext),
    ] {
        let domain = domain.to_owned();
        settings.exceptions.push(Exception { domain, allow });
    }
    settings.write(&folder).unwrap();
    for (key, demand) in [
        ("old.example", Demand::AnyCertificate),
        ("Clear.Example", Demand::Plaintext),
        ("sub.clear.example", Demand::Certificate),
        ("learexample", Demand::Certificate),
    ] {
        assert_eq!(world.decide.demand(key).unwrap(), demand, "{key}");
    }
    for (key, said) in [
        (
            "anna@home.example",
            Answer::Found("lmtp:inet:127.0.0.1:24".into()),
        ),
        (
            "anna@Home.Example",
            Answer::Found("lmtp:inet:127.0.0.1:24".into()),
        ),
        ("anna@home.example@far.example", Answer::NotFound),
        ("anna@sub.home.example", Answer::NotFound),
        ("*", Answer::NotFound),
    ] {
        let question = Question {
            table: "transport".into(),
            key: key.into(),
        };
        assert_eq!(answer(&world.decide, &question), said, "{key}");
    }
}

#[test]
fn a_policy_that_was_fetched_counts_until_it_is_too_old_whoever_is_silent() {
    let zone = || vec![mx("s.example", false, "mx.s.example")];
    let named = Demand::Servers(vec!["mx.s.example".into()]);
    // The record is gone, or can't be had: section 5.1.
    for broken in [&[][..], &["_mta-sts.s.example"]] {
        let world = world(zone(), broken);
        keep(
            world.folder.path(),
            "s.example",
            "1",
            now(),
            "enforce",
            "mx.s.example",
        );
        let demand = world.decide.demand("s.example").unwrap();
        assert_eq!(demand, named, "{broken:?}");
    }
    let old = world(zone(), &[]);
    keep(
        old.folder.path(),
        "s.example",
        "1",
        now() - 1001,
        "enforce",
        "mx.s.example",
    );
    assert_eq!(old.decide.demand("s.example").unwrap(), Demand::Certificate);
    let testing = world(zone(), &[]);
    keep(
        testing.folder.path(),
        "s.example",
        "1",
        now(),
        "testing",
        "mx.s.example",
    );
    assert_eq!(
        testing.decide.demand("s.example").unwrap(),
        Demand::Certificate
    );
    // A policy for other servers: no certificate of the one that is there will do.
    let other = world(zone(), &[]);
    keep(
        other.folder.path(),
        "s.example",
        "1",
        now(),
        "enforce",
        "*.other.example",
    );
    let demand = other.decide.demand("s.example").unwrap();
    assert_eq!(demand, Demand::Servers(vec![".other.example".into()]));
}

#[test]
fn a_newer_policy_that_is_not_to_be_had_does_not_undo_the_one_that_is_kept() {
    let mut zone = vec![mx("s.example", false, "mx.s.example")];
    zone.push(txt("_mta-sts.s.example", "v=STSv1; id=2;"));
    // Nothing listens at port 443 of its address.
    zone.push(a("mta-sts.s.example", false));
    let first = world(zone.clone(), &[]);
    assert_eq!(
        first.decide.demand("s.example").unwrap(),
        Demand::Certificate
    );
    let kept = world(zone, &[]);
    keep(
        kept.folder.path(),
        "s.example",
        "1",
        now(),
        "enforce",
        "mx.s.example",
    );
    let named = Demand::Servers(vec!["mx.s.example".into()]);
    assert_eq!(kept.decide.demand("s.example").unwrap(), named);
}

#[test]
fn a_smarthost_is_known_by_the_name_that_the_owner_gave() {
    let zone = vec![
        a("smtp.provider.example", true),
        tlsa("_587._tcp.smtp.provider.example", true),
    ];
    let world = world(zone, &[]);
    let demand = |key: &str| world.decide.demand(key).unwrap();
    assert_eq!(demand("[smtp.provider.example]:587"), Demand::Dane);
    assert_eq!(demand("[smtp.provider.example]:465"), Demand::Smarthost);
}

#[test]
fn postfix_asks_over_one_connection_as_often_as_it_likes() {
    let world = world(vec![mx("d.example", false, "mx.d.example")], &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let decide = Arc::new(world.decide);
    thread::spawn(move || tls_policy::serve::serve(&listener, &decide));
    let mut stream = TcpStream::connect(address).unwrap();
    for _ in 0..2 {
        stream.write_all(b"16:policy d.example,").unwrap();
        let expected = "44:OK verify match=hostname servername=hostname,";
        let mut said = vec![0; expected.len()];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), expected);
    }
    // Nonsense ends the connection.
    stream.write_all(b"nonsense").unwrap();
    let end = stream.read(&mut [0; 1]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

//! Whole connections: a TLS client of another make, which believes one authority and
//! checks names as a sender of mail does, and the real signer with that authority's
//! chain.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned};
use signer::keys::Signer;
use site::{Table, sts};
use static_web::session::{Channels, Limits, run};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const NAME: &str = "mta-sts.home.example";
const BOX: &str = "box.home.example";

/// The volumes `web` and `keys`, and who is believed.
struct World {
    folder: tempfile::TempDir,
    authority: CertificateDer<'static>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        for name in ["web", "keys", "empty"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let domains = ["home.example", "other.example"];
        let table = Table::of(BOX, domains);
        table.keep(&folder.path().join("web")).unwrap();
        Signer::open(&keys, BOX).unwrap();

        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().der().clone();
        // As with a real one: the box asks with its own key, which stays where it is.
        let own = fs::read(keys.join("key.der")).unwrap();
        let own = KeyPair::try_from(own.as_slice()).unwrap();
        let names: Vec<String> = domains.iter().map(|domain| sts::host(domain)).collect();
        let request = CertificateParams::new(names).unwrap();
        let request = request.serialize_request(&own).unwrap();
        let request = CertificateSigningRequestParams::from_der(request.der()).unwrap();
        let signed = request.signed_by(&Issuer::new(params, key)).unwrap();
        fs::write(keys.join("chain.pem"), signed.pem()).unwrap();
        World { folder, authority }
    })
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (ours, listener.accept().unwrap().0)
}

/// A connection, and the line for the log at its end.
fn start(web: &str, limits: Limits) -> (TcpStream, JoinHandle<String>) {
    let world = world();
    let (client, connection) = tcp_pair();
    let (tls_sign, end) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let signer = Signer::open(&world.folder.path().join("keys"), BOX).unwrap();
        signer::serve::connection(end, &signer);
    });
    let folder = world.folder.path().join(web);
    let channels = Channels {
        connection,
        tls_sign,
    };
    let line = thread::spawn(move || run(channels, &folder, limits));
    (client, line)
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// TLS for this name; without it in the handshake when `sni` is off.
fn tls(plain: TcpStream, name: &str, sni: bool) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(world().authority.clone()).unwrap();
    // In the order of a client that would rather have the hybrid.
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![X25519MLKEM768, X25519],
        ..aws_lc_rs::default_provider()
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = sni;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, plain)
}

/// The whole answer, which ends with a close of TLS's own.
fn answer(stream: &mut Tls) -> String {
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

fn ask(request: &str) -> String {
    let (plain, _) = start("web", Limits::default());
    let mut stream = tls(plain, NAME, true);
    stream.write_all(request.as_bytes()).unwrap();
    answer(&mut stream)
}

/// Status and body.
fn parts(answer: &str) -> (&str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let status = head.strip_prefix("HTTP/1.1 ").expect(answer);
    assert!(head.contains("\r\nConnection: close"), "{head}");
    (&status[..3], body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n")
}

#[test]
fn the_policy_is_fetched_with_a_certificate_that_is_valid_for_the_name() {
    for (name, sni) in [(NAME, true), (NAME, false), ("mta-sts.other.example", true)] {
        let (plain, line) = start("web", Limits::default());
        let mut stream = tls(plain, name, sni);
        let request = format!("GET {} HTTP/1.1\r\nHost: {name}\r\n\r\n", sts::PATH);
        stream.write_all(request.as_bytes()).unwrap();
        let said = answer(&mut stream);
        assert!(said.contains("\r\nContent-Type: text/plain\r\n"), "{said}");
        assert_eq!(parts(&said), ("200", sts::policy(BOX).unwrap().as_str()));
        let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        drop(stream);
        assert_eq!(line.join().unwrap(), "127.0.0.1: 200");
    }
}

#[test]
fn a_name_that_the_certificate_lacks_is_the_client_s_to_refuse() {
    let (plain, line) = start("web", Limits::default());
    let mut stream = tls(plain, BOX, true);
    let error = stream.write_all(b"GET").unwrap_err().to_string();
    assert!(error.contains("certificate not valid for name"), "{error}");
    drop(stream);
    let line = line.join().unwrap();
    assert!(line.starts_with("127.0.0.1: connection ended: "), "{line}");
}

#[test]
fn every_other_request_gets_its_number_and_no_text() {
    let long = format!(
        "GET {} HTTP/1.1\r\nX: {}\r\n\r\n",
        sts::PATH,
        "x".repeat(9000)
    );
    let other = |host: &str| format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", sts::PATH);
    let policy = sts::PATH;
    for (request, status) in [
        (get("/"), "404"),
        (get("/.well-known/"), "404"),
        (get("/../../etc/passwd"), "404"),
        (get("/.well-known/../.well-known/mta-sts.txt"), "404"),
        (get("/%2e%2e/web/site.json"), "404"),
        (get(&format!("{policy}?a")), "404"),
        (
            format!("POST {policy} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 3\r\n\r\nabc"),
            "405",
        ),
        (
            format!("PUT {policy} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
            "405",
        ),
        (other("mta-sts.other.example"), "421"),
        (other("evil.example"), "421"),
        (other("128.66.0.25"), "421"),
        (format!("GET {policy} HTTP/1.1\r\n\r\n"), "400"),
        (format!("GET {policy} HTTP/1.0\r\n\r\n"), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
        ("\0\0\0\r\n\r\n".to_owned(), "400"),
        (long, "431"),
    ] {
        let said = ask(&request);
        assert_eq!(parts(&said), (status, ""), "{request:.90}");
        assert_eq!(said.contains("\r\nAllow: GET, HEAD\r\n"), status == "405");
    }
}

#[test]
fn head_and_http_1_0_and_a_whole_url_are_answered() {
    let policy = sts::policy(BOX).unwrap();
    let path = sts::PATH;
    let length = format!("\r\nContent-Length: {}\r\n", policy.len());
    for (request, body) in [
        (format!("HEAD {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), ""),
        (
            format!("GET {path} HTTP/1.0\r\nHost: {NAME}\r\n\r\n"),
            &policy,
        ),
        (
            format!("GET https://{NAME}{path} HTTP/1.1\r\nHost: x\r\n\r\n"),
            &policy,
        ),
        (
            format!("GET {path} HTTP/1.1\r\nHost: {NAME}:443\r\n\r\n"),
            &policy,
        ),
    ] {
        let said = ask(&request);
        assert_eq!(parts(&said), ("200", body), "{request}");
        assert!(said.contains(&length), "{said}");
    }
    // Of two requests at once only the first is answered.
    let said = ask(&(get(path) + &get(path)));
    assert_eq!(parts(&said), ("200", policy.as_str()));
}

#[test]
fn who_is_slow_is_told_so_and_who_says_nothing_is_not() {
    let limits = Limits {
        idle: Duration::from_millis(300),
        session: Duration::from_millis(900),
        ..Limits::default()
    };
    // Half a request, then silence.
    let (plain, line) = start("web", limits);
    let mut stream = tls(plain, NAME, true);
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert_eq!(parts(&answer(&mut stream)), ("408", ""));
    drop(stream);
    assert_eq!(line.join().unwrap(), "127.0.0.1: 408");
    // A byte every now and then.
    let (plain, line) = start("web", limits);
    let mut stream = tls(plain, NAME, true);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) && !line.is_finished() {
        if stream
            .write_all(b"G")
            .and_then(|()| stream.flush())
            .is_err()
        {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(line.join().unwrap(), "127.0.0.1: 408");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "the session's end"
    );
    // Nothing, before or in the handshake or after it.
    for handshake in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        let (mut plain, line) = start("web", limits);
        plain.write_all(handshake).unwrap();
        let line = line.join().unwrap();
        assert_eq!(line, "127.0.0.1: connection ended: operation would block");
    }
    let (plain, line) = start("web", limits);
    let mut stream = tls(plain, NAME, true);
    stream.flush().unwrap();
    let mut byte = [0];
    assert!(!matches!(stream.read(&mut byte), Ok(1)));
    let line = line.join().unwrap();
    assert_eq!(line, "127.0.0.1: connection ended: operation would block");
}

#[test]
fn what_is_no_tls_ends_the_connection() {
    let (mut plain, line) = start("web", Limits::default());
    plain.write_all(get(sts::PATH).as_bytes()).unwrap();
    let mut said = Vec::new();
    // An alert may be said; no text is.
    plain.read_to_end(&mut said).ok();
    assert!(!String::from_utf8_lossy(&said).contains("STSv1"));
    assert!(line.join().unwrap().contains("connection ended: "));
}

#[test]
fn without_a_table_nothing_is_shown() {
    let (plain, line) = start("empty", Limits::default());
    let mut stream = tls(plain, NAME, true);
    stream.write_all(get(sts::PATH).as_bytes()).unwrap();
    let said = answer(&mut stream);
    assert_eq!(parts(&said), ("503", ""));
    drop(stream);
    assert_eq!(line.join().unwrap(), "127.0.0.1: 503");
}

#[test]
fn a_path_never_becomes_a_file() {
    // Files that a careless server would show lie right there.
    let web = world().folder.path().join("web");
    fs::create_dir_all(web.join(".well-known")).unwrap();
    fs::write(web.join("secret.txt"), "secret").unwrap();
    fs::write(web.join(".well-known/other.txt"), "secret").unwrap();
    for path in ["/secret.txt", "/site.json", "/.well-known/other.txt"] {
        assert_eq!(parts(&ask(&get(path))), ("404", ""), "{path}");
    }
}

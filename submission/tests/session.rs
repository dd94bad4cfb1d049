//! Whole sessions: a real TLS client and the real signers, and a test that plays
//! Dovecot and Postfix. What Postfix gets is verified by mail-auth.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::TokioResolver;
use mail_auth::hickory_resolver::config::ResolverConfig;
use mail_auth::hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use outbound::settings::Settings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, SignatureScheme, StreamOwned,
};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fs;
use std::hash::Hash;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use submission::session::{Begin, Channels, Limits, run};

const LETTER: &str = "From: Anna <anna@home.example>\r\nTo: bob@far.example\r\nSubject: a  folded\r\n\tsubject\r\n\r\n.a dot first, a blank last \r\n\r\n..two\r\n\r\n\r\n";
const RIGHT: &str = "anna@home.example\0the right password";

/// The keys of home.example and of TLS, made once: it takes seconds.
fn keys() -> &'static Path {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for part in ["dkim", "outbound", "tls"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        Settings::own(&folder.path().join("outbound"), ["home.example"]).unwrap();
        signer::keys::self_signed_pem(&folder.path().join("tls"), "mail.home.example").unwrap();
        dkim(folder.path()).prepare();
        folder
    });
    folder.path()
}

fn dkim(folder: &Path) -> signer::dkim::Signer {
    signer::dkim::Signer::new(&folder.join("dkim"), &folder.join("outbound"))
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let patience = Some(Duration::from_secs(60));
    ours.set_read_timeout(patience).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// What Postfix was given: its commands, then the message.
type Given = (Vec<String>, Vec<u8>);

struct Ends {
    queued: Receiver<Given>,
    line: thread::JoinHandle<String>,
}

/// A session, and its other ends.
fn start(begin: Begin) -> (TcpStream, Ends) {
    let folder = keys();
    let (client, connection) = tcp_pair();
    let (tls_sign, end) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let signer = signer::keys::Signer::open_pem(&folder.join("tls")).unwrap();
        signer::serve::connection(end, &signer);
    });
    let (dkim_sign, end) = UnixStream::pair().unwrap();
    thread::spawn(move || signer::dkim::connection(end, &dkim(folder)));
    let (sasl, end) = tcp_pair();
    thread::spawn(move || dovecot(end));
    let (queue, end) = tcp_pair();
    let (tell, queued) = channel();
    thread::spawn(move || postfix(end, &tell));
    let channels = Channels {
        connection,
        tls_sign,
        sasl,
        dkim_sign,
        queue,
    };
    let line = thread::spawn(move || run(channels, "mail.home.example", begin, Limits::default()));
    (client, Ends { queued, line })
}

fn dovecot(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    let greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\nCOOKIE\tx\nDONE\n";
    writer.write_all(greeting.as_bytes()).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split('\t').collect();
        let ["AUTH", id, "PLAIN", .., response] = words[..] else {
            continue;
        };
        // A password that went through the clear is not even looked at.
        assert!(words.contains(&"secured"), "{line}");
        let response = response.strip_prefix("resp=").unwrap();
        let said = STANDARD.decode(response).unwrap();
        let answer = match said == format!("\0{RIGHT}").as_bytes() {
            true => format!("OK\t{id}\tuser=anna@home.example\taddresses=info@home.example\n"),
            false => format!("FAIL\t{id}\tuser=x\n"),
        };
        writer.write_all(answer.as_bytes()).unwrap();
    }
}

/// Refuses recipients called `refused`, and the message `later`.
fn postfix(stream: TcpStream, tell: &Sender<Given>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut commands = Vec::new();
    writer.write_all(b"220 postfix ESMTP\r\n").unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_owned();
        commands.push(line.clone());
        let reply = match line.as_str() {
            "DATA" => "354 go on",
            "EHLO mail.home.example" => "250-postfix\r\n250 8BITMIME",
            line if line.contains("<refused@") => "550 5.1.1 nobody",
            _ => "250 2.0.0 yes",
        };
        writer.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
        if line == "DATA" {
            let mut message = Vec::new();
            loop {
                let mut line = Vec::new();
                reader.read_until(b'\n', &mut line).unwrap();
                if line == b".\r\n" {
                    break;
                }
                message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            let later = message.windows(5).any(|word| word == b"later");
            let reply = if later {
                "451 4.3.0 disk"
            } else {
                "250 2.0.0 queued"
            };
            writer.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
            tell.send((std::mem::take(&mut commands), message)).unwrap();
        }
    }
}

/// A session as its mail program sees it.
struct Client<S> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        let stream = BufReader::new(stream);
        Self { stream }
    }

    /// A reply; those of several lines with " | " between.
    fn reply(&mut self) -> String {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return "closed".into();
            }
            said.push(line.trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return said.join(" | ");
            }
        }
    }

    fn say(&mut self, line: &str) -> String {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        stream.flush().unwrap();
        self.reply()
    }

    #[track_caller]
    fn talk(&mut self, dialogue: &[(&str, &str)]) {
        for (line, reply) in dialogue {
            assert_eq!(self.say(line), *reply, "to {line:?}");
        }
    }

    fn login(&mut self) {
        self.say("EHLO phone");
        let response = STANDARD.encode(format!("\0{RIGHT}"));
        let reply = self.say(&format!("AUTH PLAIN {response}"));
        assert_eq!(reply, "235 2.7.0 Welcome");
    }

    /// Sends a message after DATA.
    fn send(&mut self, message: &str) -> String {
        assert_eq!(
            self.say("DATA"),
            "354 End the message with a dot on its own line"
        );
        let stuffed = message.replace("\r\n.", "\r\n..");
        self.say(&format!("{stuffed}."))
    }
}

/// TLS with the box's own certificate and no other.
fn tls(plain: TcpStream) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    tls_of(plain, rustls::crypto::ring::default_provider())
}

/// The same with the client's own library and groups.
fn tls_of(
    plain: TcpStream,
    provider: CryptoProvider,
) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let text = fs::read(keys().join("tls/certificate.pem")).unwrap();
    let own = <CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(&text);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Own(own.unwrap())))
        .with_no_client_auth();
    let name = ServerName::try_from("mail.home.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Client::new(StreamOwned::new(connection, plain))
}

#[derive(Debug)]
struct Own(CertificateDer<'static>);

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(shown, &self.0);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A session with TLS from the first byte, and a login.
fn logged_in() -> (Client<StreamOwned<ClientConnection, TcpStream>>, Ends) {
    let (plain, ends) = start(Begin::Tls);
    let mut client = tls(plain);
    assert_eq!(client.reply(), "220 mail.home.example ESMTP");
    client.login();
    (client, ends)
}

/// What mail-auth says of each signature of a message, with the published records:
/// the selector, and whether it holds.
fn verified(message: &[u8]) -> Vec<(String, bool)> {
    let text = fs::read_to_string(keys().join("dkim/home.example/records")).unwrap();
    let records = text.lines().map(|line| {
        let (name, record) = line.split_once(' ').unwrap();
        let key = DomainKey::parse(record.as_bytes());
        (format!("{name}.").into_boxed_str(), key.into())
    });
    let records = Records(records.collect());
    let parsed = AuthenticatedMessage::parse(message).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(async {
        let nowhere = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let resolver = TokioResolver::builder_with_config(nowhere, TokioRuntimeProvider::default())
            .with_tls_config(tls)
            .build()
            .unwrap();
        let authenticator = MessageAuthenticator(resolver);
        let parameters = Parameters::new(&parsed).with_txt_cache(&records);
        let outputs = authenticator.verify_dkim(parameters).await;
        let outputs = outputs.iter().map(|output| {
            let selector = output.signature().unwrap().s.to_string();
            (selector, *output.result() == DkimResult::Pass)
        });
        outputs.collect()
    })
}

/// Records by their names, with the last dot.
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, key: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

#[test]
fn a_message_is_signed_twice_and_in_the_queue_before_it_is_acknowledged() {
    let (mut client, ends) = logged_in();
    client.talk(&[
        (
            "MAIL FROM:<anna@home.example> BODY=8BITMIME SIZE=200",
            "250 2.1.0 OK",
        ),
        ("RCPT TO:<bob@far.example>", "250 2.1.5 OK"),
        ("RCPT TO:<refused@far.example>", "550 5.1.1 nobody"),
        ("RCPT TO:<cleo@far.example>", "250 2.1.5 OK"),
    ]);
    assert_eq!(client.send(LETTER), "250 2.0.0 In the queue");
    let (commands, message) = ends.queued.recv().unwrap();
    assert_eq!(
        commands,
        [
            "EHLO mail.home.example",
            "MAIL FROM:<anna@home.example> BODY=8BITMIME",
            "RCPT TO:<bob@far.example>",
            "RCPT TO:<refused@far.example>",
            "RCPT TO:<cleo@far.example>",
            "DATA"
        ]
    );
    let text = String::from_utf8(message.clone()).unwrap();
    let (_, body) = LETTER.split_once("\r\n\r\n").unwrap();
    assert!(text.ends_with(body), "{text}");
    assert!(!text.contains("127.0.0.1"), "{text}");
    let both = |holds| {
        [
            ("px1-rsa".to_owned(), holds),
            ("px1-ed25519".to_owned(), holds),
        ]
    };
    let sorted = |mut found: Vec<(String, bool)>| {
        found.sort_by(|one, other| other.cmp(one));
        found
    };
    assert_eq!(sorted(verified(&message)), both(true));
    // A letter of the body, or one field more, and neither holds.
    for changed in [
        text.replace("a blank last", "a blank lasT"),
        text.replace("From: Anna", "From: Eve"),
        text.replace("\r\nSubject:", "\r\nSubject: another\r\nSubject:"),
    ] {
        let found = sorted(verified(changed.as_bytes()));
        assert_eq!(found, both(false), "{changed}");
    }
    assert_eq!(
        client.say("QUIT"),
        "221 2.0.0 mail.home.example closes the connection"
    );
    assert_eq!(
        ends.line.join().unwrap(),
        "127.0.0.1: anna@home.example sent 1, done"
    );
}

#[test]
fn a_login_goes_over_the_hybrid_and_over_no_group_that_is_not_taken() {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    let of = |groups: &[&'static dyn SupportedKxGroup]| CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    };
    for (groups, agreed) in [
        (
            &[X25519MLKEM768, X25519, SECP256R1][..],
            NamedGroup::X25519MLKEM768,
        ),
        (&[SECP256R1, X25519MLKEM768], NamedGroup::X25519MLKEM768),
        (&[SECP256R1, X25519], NamedGroup::X25519),
    ] {
        let (plain, _ends) = start(Begin::Tls);
        let mut client = tls_of(plain, of(groups));
        assert_eq!(client.reply(), "220 mail.home.example ESMTP");
        client.login();
        let connection = &client.stream.get_ref().conn;
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, agreed);
    }
    let (plain, _ends) = start(Begin::Tls);
    let mut client = tls_of(plain, of(&[SECP256R1]));
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.to_string(), "received fatal alert: HandshakeFailure");
}

#[test]
fn more_than_one_message_goes_and_one_that_is_refused_leaves_no_trace() {
    let (mut client, ends) = logged_in();
    let later = LETTER.replace("two", "later");
    for (message, reply) in [
        (
            LETTER.replace("anna@", "ben@"),
            "550 5.7.1 The field From must have your own address and no other",
        ),
        (later, "451 4.3.0 Try again later"),
        (LETTER.replace("anna@", "info@"), "250 2.0.0 In the queue"),
    ] {
        client.talk(&[
            ("MAIL FROM:<info@home.example>", "250 2.1.0 OK"),
            ("RCPT TO:<bob@far.example>", "250 2.1.5 OK"),
        ]);
        assert_eq!(client.send(&message), reply);
    }
    let (commands, _) = ends.queued.recv().unwrap();
    // The first one never came to DATA, and Postfix was told so.
    let words: Vec<&str> = commands.iter().map(|line| &line[..4]).collect();
    assert_eq!(
        words,
        ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]
    );
}

#[test]
fn nobody_sends_without_a_login_or_under_another_s_address() {
    let (plain, _ends) = start(Begin::Tls);
    let mut client = tls(plain);
    client.reply();
    client.talk(&[
        ("MAIL FROM:<anna@home.example>", "530 5.7.0 Authentication required"),
        ("DATA", "530 5.7.0 Authentication required"),
        ("AUTH PLAIN AA==", "503 5.5.1 AUTH comes once, after EHLO and before MAIL"),
        ("EHLO phone", "250-mail.home.example | 250-PIPELINING | 250-SIZE 36700160 | 250-8BITMIME | 250-ENHANCEDSTATUSCODES | 250 AUTH PLAIN LOGIN"),
        ("AUTH CRAM-MD5", "504 5.5.4 AUTH PLAIN or AUTH LOGIN"),
        ("AUTH PLAIN", "334"),
        ("*", "501 5.7.0 Cancelled"),
        ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
        (&STANDARD.encode("anna@home.example"), "334 UGFzc3dvcmQ6"),
        (&STANDARD.encode("the right password"), "235 2.7.0 Welcome"),
        ("AUTH PLAIN AA==", "503 5.5.1 AUTH comes once, after EHLO and before MAIL"),
        ("MAIL FROM:<ben@home.example>", "553 5.7.1 This is not your address"),
        ("MAIL FROM:<anna@far.example>", "553 5.7.1 This is not your address"),
        ("RCPT TO:<bob@far.example>", "503 5.5.1 MAIL first"),
        ("MAIL FROM:<Anna@Home.Example> SIZE=36700161", "552 5.3.4 Message too big"),
        ("MAIL FROM:<anna@home.example> RET=FULL", "555 5.5.4 A parameter is not offered"),
        ("MAIL FROM:<Anna@Home.Example>", "250 2.1.0 OK"),
        ("MAIL FROM:<anna@home.example>", "503 5.5.1 MAIL was sent already"),
        ("DATA", "554 5.5.1 No valid recipients"),
        ("RCPT TO:<bob>", "501 5.1.3 Not a forward-path"),
        ("STARTTLS", "503 5.5.1 TLS is on already"),
        ("ETRN x", "502 5.5.1 Command not offered"),
        ("RSET", "250 2.0.0 Forgotten"),
        ("DATA", "503 5.5.1 MAIL first"),
    ]);
}

#[test]
fn before_tls_no_password_is_asked_for_or_taken() {
    let (plain, ends) = start(Begin::StartTls);
    let mut client = Client::new(plain.try_clone().unwrap());
    assert_eq!(client.reply(), "220 mail.home.example ESMTP");
    client.talk(&[
        ("EHLO phone", "250-mail.home.example | 250-PIPELINING | 250-SIZE 36700160 | 250-8BITMIME | 250-ENHANCEDSTATUSCODES | 250 STARTTLS"),
        ("AUTH PLAIN AA==", "538 5.7.11 A password goes only through TLS"),
        ("MAIL FROM:<anna@home.example>", "530 5.7.0 Must issue a STARTTLS command first"),
        ("RCPT TO:<bob@far.example>", "530 5.7.0 Must issue a STARTTLS command first"),
        ("DATA", "530 5.7.0 Must issue a STARTTLS command first"),
        ("STARTTLS now", "501 5.5.4 This command has no parameters"),
        ("STARTTLS", "220 2.0.0 Go ahead"),
    ]);
    let mut client = tls(plain);
    // What was said in the clear is forgotten (RFC 3207 section 4.2).
    let reply = client.say("AUTH PLAIN AA==");
    assert_eq!(
        reply,
        "503 5.5.1 AUTH comes once, after EHLO and before MAIL"
    );
    client.login();
    client.say("QUIT");
    assert_eq!(
        ends.line.join().unwrap(),
        "127.0.0.1: anna@home.example sent 0, done"
    );
}

#[test]
fn what_follows_starttls_in_the_clear_ends_the_connection() {
    let (plain, ends) = start(Begin::StartTls);
    let mut client = Client::new(plain);
    client.reply();
    let reply = client.say("STARTTLS\r\nEHLO phone");
    assert_eq!(reply, "554 5.5.1 Nothing may follow STARTTLS");
    assert_eq!(client.reply(), "closed");
    let line = ends.line.join().unwrap();
    assert_eq!(line, "127.0.0.1: nobody sent 0, plain text after STARTTLS");
}

#[test]
fn after_three_wrong_passwords_the_connection_ends() {
    let (plain, _ends) = start(Begin::Tls);
    let mut client = tls(plain);
    client.reply();
    client.say("EHLO phone");
    let wrong = STANDARD.encode("\0anna@home.example\0another password");
    for _ in 0..3 {
        let reply = client.say(&format!("AUTH PLAIN {wrong}"));
        assert_eq!(reply, "535 5.7.8 Login or password is wrong");
    }
    assert_eq!(client.reply(), "421 4.7.0 Too many errors");
    assert_eq!(client.reply(), "closed");
}

#[test]
fn a_bare_line_feed_or_a_message_that_is_too_big_is_refused_and_the_session_goes_on() {
    let (mut client, ends) = logged_in();
    let huge = format!("{LETTER}{}", "x\r\n".repeat(12_300_000));
    for (message, reply) in [
        (
            LETTER.replace("two\r\n", "two\n"),
            "550 5.6.0 A line ends with CR LF, not with one of them",
        ),
        (huge, "552 5.3.4 Message too big"),
    ] {
        client.talk(&[
            ("MAIL FROM:<anna@home.example>", "250 2.1.0 OK"),
            ("RCPT TO:<bob@far.example>", "250 2.1.5 OK"),
        ]);
        assert_eq!(client.send(&message), reply);
    }
    client.say("QUIT");
    assert_eq!(
        ends.line.join().unwrap(),
        "127.0.0.1: anna@home.example sent 0, done"
    );
}

//! Whole sessions: a real TLS client, the real signer, and a test that plays the
//! resolver, the gate and SpamAssassin.

use base64::Engine;
use channels::deliver::{self, Outcome};
use channels::{recipient_check, spam_check::MAX_MESSAGE};
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_auth::hickory_resolver::proto::op::{Message, ResponseCode};
use mail_auth::hickory_resolver::proto::rr::rdata::{A, PTR, TXT};
use mail_auth::hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use nix::fcntl::{FcntlArg, fcntl};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use signer::keys::Signer;
use smtp_in::session::{Came, Channels, Identity, Limits, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Name, type, text; a name that is not here does not exist.
type Zone = Vec<(String, RecordType, String)>;

/// What the other ends answer.
struct Play {
    zone: Option<Zone>,
    verdict: &'static str,
    outcome: Outcome,
    limits: Limits,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            zone: Some(Vec::new()),
            verdict: "score=0.1 required=5.0 tests=A,B\n",
            outcome: Outcome::Delivered,
            limits: Limits::default(),
        }
    }
}

/// A session as its client sees it.
struct Client<S> {
    stream: BufReader<S>,
}

struct Ends {
    delivered: Receiver<Vec<u8>>,
    scanned: Receiver<Vec<u8>>,
    log: thread::JoinHandle<(String, Came)>,
}

fn identity() -> Identity {
    Identity {
        sandbox: "smtp-in-17".into(),
        made: "2026-11-24T17:00:25.007Z".into(),
        used: "2026-11-24T17:01:25.007Z".into(),
    }
}

/// What stands on top of each message with this verdict.
fn receipt(verdict: &str) -> String {
    format!(
        "X-ProjectX-Receipt: sandbox=smtp-in-17;\r\n\tmade=2026-11-24T17:00:25.007Z; used=2026-11-24T17:01:25.007Z;\r\n\tverdict={verdict}\r\n"
    )
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

fn start(play: Play) -> (Client<TcpStream>, Ends) {
    let (client, connection) = tcp_pair();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let limits = play.limits;
    let (channels, delivered, scanned) = played(play, connection);
    let log = thread::spawn(move || run(channels, "mx.example", &identity(), limits));
    let mut client = Client {
        stream: BufReader::new(client),
    };
    assert_eq!(client.reply(), "220 mx.example ESMTP");
    let ends = Ends {
        delivered,
        scanned,
        log,
    };
    (client, ends)
}

/// The channels, with the other ends played; then what was delivered and scanned.
fn played(play: Play, connection: TcpStream) -> (Channels, Receiver<Vec<u8>>, Receiver<Vec<u8>>) {
    let (dns, dns_end) = tcp_pair();
    let zone = play.zone;
    thread::spawn(move || zone.map(|zone| resolve(dns_end, &zone)));
    let (tls_sign, tls_end) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::open(folder.path(), "mx.example").unwrap();
        signer::serve::connection(tls_end, &signer);
    });
    let (recipient_check, mut gate) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        while let Ok(Some(question)) = recipient_check::read(&mut gate) {
            if question.recipient.starts_with("trouble@") {
                return;
            }
            if question.recipient.starts_with("slow@") {
                thread::sleep(Duration::from_millis(600));
                let _too_late = recipient_check::answer(&mut gate, false);
                continue;
            }
            let yes = question.recipient.ends_with("@box.example");
            recipient_check::answer(&mut gate, yes).unwrap();
        }
    });
    let (scanned_in, scanned) = channel();
    let (spam_check, mut spam_end) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let mut length = [0; 4];
        spam_end.read_exact(&mut length).unwrap();
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        spam_end.read_exact(&mut message).unwrap();
        scanned_in.send(message).unwrap();
        spam_end.write_all(play.verdict.as_bytes()).unwrap();
    });
    let (delivered_in, delivered) = channel();
    let (deliver, mut deliver_end) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        if let Ok(Some(envelope)) = deliver::read_envelope(&mut deliver_end) {
            let mut message = vec![0; envelope.size as usize];
            deliver_end.read_exact(&mut message).unwrap();
            delivered_in.send(message).unwrap();
            deliver::answer(&mut deliver_end, &play.outcome).unwrap();
        }
    });
    let channels = Channels {
        connection,
        dns,
        tls_sign,
        recipient_check,
        spam_check,
        deliver,
    };
    (channels, delivered, scanned)
}

fn resolve(mut stream: TcpStream, zone: &Zone) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes).unwrap();
        let query = Message::from_vec(&bytes).unwrap();
        let asked = query.queries[0].clone();
        let name = asked.name().to_ascii().to_ascii_lowercase();
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_query(asked.clone());
        let known: Vec<_> = zone.iter().filter(|(owner, ..)| *owner == name).collect();
        if known.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for (_, kind, text) in known {
            if *kind == asked.query_type() {
                let data = match kind {
                    RecordType::A => RData::A(A(text.parse().unwrap())),
                    RecordType::PTR => RData::PTR(PTR(Name::from_ascii(text).unwrap())),
                    _ => RData::TXT(TXT::new(vec![text.clone()])),
                };
                answer.add_answer(Record::from_rdata(asked.name().clone(), 60, data));
            }
        }
        let bytes = answer.to_vec().unwrap();
        stream
            .write_all(&(bytes.len() as u16).to_be_bytes())
            .unwrap();
        stream.write_all(&bytes).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return text.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, text: &str) -> String {
        self.raw(format!("{text}\r\n").as_bytes());
        self.reply()
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
        self.stream.get_mut().flush().unwrap();
    }

    /// MAIL, RCPT and DATA with `message`, which ends with CR LF.
    fn send(&mut self, sender: &str, message: &[u8]) -> String {
        assert_eq!(self.say(&format!("MAIL FROM:<{sender}>")), "250 2.1.0 OK");
        assert_eq!(self.say("RCPT TO:<me@box.example>"), "250 2.1.5 OK");
        assert!(self.say("DATA").starts_with("354 "));
        self.raw(&[message, b".\r\n"].concat());
        self.reply()
    }
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
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

type Tls = Client<StreamOwned<ClientConnection, TcpStream>>;

fn secure(
    mut client: Client<TcpStream>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Tls {
    assert!(client.say("STARTTLS").starts_with("220 "));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let name = ServerName::try_from("mx.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = StreamOwned::new(connection, client.stream.into_inner());
    let mut client = Client {
        stream: BufReader::new(stream),
    };
    assert!(
        client
            .say("EHLO client.example")
            .starts_with("250-mx.example")
    );
    client
}

fn started(play: Play) -> (Tls, Ends) {
    let (client, ends) = start(play);
    (secure(client, &rustls::version::TLS13), ends)
}

const PLAIN: &[u8] = b"From: <a@sender.example>\r\nSubject: x\r\n\r\nbody\r\n";

#[test]
fn before_tls_each_command_has_its_reply() {
    let (mut client, _ends) = start(Play::default());
    let long = format!("NOOP {}", "x".repeat(1000));
    let starttls = "530 5.7.0 Must issue a STARTTLS command first";
    for (said, reply) in [
        (
            "EHLO client.example",
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 36700160\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-LIMITS MAILMAX=1\r\n250 STARTTLS",
        ),
        ("HELO client.example", "250 mx.example"),
        (
            "EHLO bad(name",
            "501 5.5.4 The name must be a host name or an address literal",
        ),
        ("EHLO", "501 5.5.2 Syntax error"),
        ("MAIL FROM:<a@b.example>", starttls),
        ("RCPT TO:<me@box.example>", starttls),
        ("DATA", starttls),
        ("NOOP", "250 2.0.0 OK"),
        ("RSET", "250 2.0.0 Forgotten"),
        ("VRFY me", "252 2.1.5 Send it and see"),
        ("HELP", "214 2.0.0 RFC 5321"),
        ("BOGUS", "500 5.5.2 Command not known"),
        ("AUTH PLAIN AAAA", "502 5.5.1 Command not offered"),
        ("BDAT 5 LAST", "502 5.5.1 Command not offered"),
        ("STARTTLS now", "501 5.5.4 This command has no parameters"),
        (&long, "500 5.5.6 Line too long"),
        (
            "NOOP \u{e4}",
            "500 5.5.2 A command is printable ASCII and ends with CR LF",
        ),
        ("NOOP\nQUIT", "500 5.5.2 A command ends with CR LF"),
        ("", "221 2.0.0 mx.example closes the connection"),
    ] {
        let got = if said.is_empty() {
            client.reply()
        } else {
            client.say(said)
        };
        assert_eq!(got, reply, "{said}");
    }
}

#[test]
fn after_tls_each_command_has_its_reply() {
    let (mut client, _ends) = started(Play::default());
    let unsupported = "555 5.5.4 A parameter is not offered";
    for (said, reply) in [
        (
            "EHLO client.example",
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 36700160\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 LIMITS MAILMAX=1",
        ),
        ("STARTTLS", "503 5.5.1 TLS is on already"),
        ("RCPT TO:<me@box.example>", "503 5.5.1 MAIL first"),
        ("DATA", "503 5.5.1 MAIL first"),
        (
            "MAIL FROM:<a@b.example> SIZE=36700161",
            "552 5.3.4 Message too big",
        ),
        ("MAIL FROM:<a@b.example> SMTPUTF8", unsupported),
        ("MAIL FROM:<a@b.example> RET=FULL", unsupported),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", unsupported),
        ("MAIL FROM:<a>", "501 5.1.7 Not a reverse-path"),
        ("MAIL FROM a@b.example", "501 5.5.2 Syntax error"),
        (
            "MAIL FROM:<a@b.example> SIZE=36700160 BODY=8BITMIME",
            "250 2.1.0 OK",
        ),
        ("MAIL FROM:<a@b.example>", "503 5.5.1 MAIL was sent already"),
        ("DATA", "554 5.5.1 No valid recipients"),
        ("RCPT TO:<>", "501 5.1.3 Not a forward-path"),
        ("RCPT TO:<me@box.example> NOTIFY=NEVER", unsupported),
        (
            "RCPT TO:<nobody@other.example>",
            "550 5.1.1 No such mailbox here",
        ),
        ("RCPT TO:<me@box.example>", "250 2.1.5 OK"),
        ("RCPT TO:<trouble@box.example>", "451 4.3.0 Try again later"),
        ("RSET", "250 2.0.0 Forgotten"),
        ("MAIL FROM:<>", "250 2.1.0 OK"),
        ("DATA x", "501 5.5.4 This command has no parameters"),
        ("QUIT", "221 2.0.0 mx.example closes the connection"),
    ] {
        assert_eq!(client.say(said), reply, "{said}");
    }
}

#[test]
fn a_message_arrives_byte_for_byte_below_the_added_headers() {
    let zone = vec![
        (
            "1.0.0.127.in-addr.arpa.".into(),
            RecordType::PTR,
            "client.example.".into(),
        ),
        ("client.example.".into(), RecordType::A, "127.0.0.1".into()),
        (
            "sender.example.".into(),
            RecordType::TXT,
            "v=spf1 exists:%{i}.yes.example -all".into(),
        ),
        (
            "127.0.0.1.yes.example.".into(),
            RecordType::A,
            "192.0.2.1".into(),
        ),
    ];
    let (mut client, ends) = started(Play {
        zone: Some(zone),
        ..Play::default()
    });
    let kept = "From: <a@sender.example>\r\nSubject: x\r\n\r\n..two\r\n\0\u{e4}\r\n\r\n";
    let spoofed = format!(
        "X-Spam-Flag: NO\r\nX-ProjectX-Receipt: sandbox=smtp-in-1\r\nAuthentication-Results: mx.example; dkim=pass\r\n{}",
        kept.replace("..two", "...two")
    );
    assert_eq!(
        client.send("a@sender.example", spoofed.as_bytes()),
        "250 2.0.0 Delivered"
    );
    assert_eq!(
        client.say("MAIL FROM:<a@b.example>"),
        "421 4.7.0 One message a connection"
    );
    let message = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
    let added = message.strip_suffix(kept).unwrap();
    let added = added.strip_prefix(&receipt("no junk")).unwrap();
    assert!(!added.contains("X-ProjectX"), "{added}");
    assert!(added.starts_with("X-Spam-Flag: NO\r\nX-Spam-Status: No, score=0.1 required=5.0\r\n\ttests=A,\r\n\tB\r\nAuthentication-Results: mx.example;\r\n\tiprev=pass"), "{added}");
    assert!(
        added.contains("\r\n\tspf=pass") && added.contains("smtp.mailfrom=a@sender.example"),
        "{added}"
    );
    assert!(added.contains("\r\nReceived: from client.example (client.example [127.0.0.1])\r\n\t(using TLSv1.3 with cipher TLS13_"), "{added}");
    assert!(
        added.contains("\r\n\tfor <me@box.example>;\r\n\t"),
        "{added}"
    );
    assert!(!added.contains("dkim=pass"));
    let scanned = String::from_utf8(ends.scanned.recv().unwrap()).unwrap();
    assert!(scanned.starts_with("Authentication-Results: ") && scanned.ends_with(kept));
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: delivered".to_owned(), Came::Delivered)
    );
}

#[test]
fn every_outcome_of_a_message_has_its_reply() {
    let later = "451 4.3.0 Try again later";
    let refused = |words: &str| Outcome::Refused(words.to_owned());
    for (message, outcome, reply, came) in [
        (PLAIN, Outcome::Later("full".into()), later, Came::Later),
        (
            PLAIN,
            refused("too\r\n250 odd"),
            "550 5.2.0 too250 odd",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\ny\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\n.\r\ny\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
        (
            b"a: b\r\n\r\nx\r.\r\n",
            Outcome::Delivered,
            "550 5.6.0 A line ends with CR LF, not with one of them",
            Came::Refused,
        ),
    ] {
        let (mut client, ends) = started(Play {
            outcome,
            ..Play::default()
        });
        assert_eq!(client.send("", message), reply);
        // The connection breaks: what the message came to stands.
        drop(client);
        assert_eq!(ends.log.join().unwrap().1, came);
    }
}

#[test]
fn a_message_over_the_limit_is_refused_and_a_large_one_is_scanned_in_part() {
    let (mut client, ends) = started(Play {
        zone: None,
        ..Play::default()
    });
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    assert_eq!(
        client.send("", &line.repeat(37_000)),
        "552 5.3.4 Message too big"
    );
    assert_eq!(
        client.say("QUIT"),
        "221 2.0.0 mx.example closes the connection"
    );
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: refused: too big".to_owned(), Came::Refused)
    );
    let (mut client, ends) = started(Play {
        verdict: "junk\n",
        ..Play::default()
    });
    let large = [PLAIN, &line.repeat(600)].concat();
    assert_eq!(client.send("", &large), "250 2.0.0 Delivered");
    assert_eq!(ends.scanned.recv().unwrap().len(), MAX_MESSAGE);
    let expected = receipt("unknown") + "X-Spam-Status: unknown\r\nAuth";
    let delivered = ends.delivered.recv().unwrap();
    assert!(delivered.starts_with(expected.as_bytes()));
}

/// The `Authentication-Results` of a message sent through a session.
fn results(zone: Option<Zone>, message: &[u8]) -> Result<String, String> {
    let (mut client, ends) = started(Play {
        zone,
        ..Play::default()
    });
    let reply = client.send("a@sender.example", message);
    if reply != "250 2.0.0 Delivered" {
        return Err(reply);
    }
    let text = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
    Ok(text.split("Received: ").next().unwrap().to_owned())
}

#[test]
fn spf_dkim_and_dmarc_are_judged_and_dns_trouble_loses_nothing() {
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = base64::engine::general_purpose::STANDARD.encode(pair.public_key());
    let key = Ed25519Key::from_pkcs8_der(pkcs8.as_ref()).unwrap();
    let signature = DkimSigner::from_key(key)
        .domain("sender.example")
        .selector("s")
        .headers(["From", "Subject"])
        .sign(PLAIN)
        .unwrap();
    let mut signed = Vec::new();
    signature.write_header(&mut signed);
    signed.extend_from_slice(PLAIN);
    let broken = [&signed[..], b"more\r\n"].concat();

    let txt = |name: &str, text: &str| (name.to_owned(), RecordType::TXT, text.to_owned());
    let zone = || {
        vec![
            txt(
                "s._domainkey.sender.example.",
                &format!("v=DKIM1; k=ed25519; p={public}"),
            ),
            txt("_dmarc.sender.example.", "v=DMARC1; p=reject"),
            txt(
                "sender.example.",
                "v=spf1 ip4:192.0.2.1 exists:no.example -all",
            ),
        ]
    };
    let good = results(Some(zone()), &signed).unwrap();
    for part in [
        "dkim=pass",
        "spf=fail",
        "dmarc=pass",
        "header.from=sender.example",
        "iprev=fail",
    ] {
        assert!(good.contains(part), "{part}: {good}");
    }
    let refusal = "550 5.7.1 Refused by the DMARC policy of sender.example";
    assert_eq!(results(Some(zone()), &broken).unwrap_err(), refusal);
    assert_eq!(results(Some(zone()), PLAIN).unwrap_err(), refusal);
    let mut lenient = zone();
    lenient.retain(|(name, ..)| !name.starts_with("_dmarc."));
    let changed = results(Some(lenient), &broken).unwrap();
    assert!(changed.contains("dkim=fail (body hash"), "{changed}");
    let nothing = results(Some(Vec::new()), PLAIN).unwrap();
    assert!(
        nothing.contains("spf=none") && nothing.ends_with(";\r\n\tdkim=none\r\n"),
        "{nothing}"
    );
    let trouble = results(None, &signed).unwrap();
    for part in ["dkim=temperror", "spf=temperror", "dmarc=temperror"] {
        assert!(trouble.contains(part), "{part}: {trouble}");
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_that_of_the_next_recipient() {
    let limits = Limits {
        answer: Duration::from_millis(300),
        ..Limits::default()
    };
    let (mut client, _ends) = started(Play {
        limits,
        ..Play::default()
    });
    assert_eq!(client.say("MAIL FROM:<a@sender.example>"), "250 2.1.0 OK");
    let later = "451 4.3.0 Try again later";
    assert_eq!(client.say("RCPT TO:<slow@box.example>"), later);
    // The late "no" is there by now; this mailbox exists.
    thread::sleep(Duration::from_millis(600));
    assert_eq!(client.say("RCPT TO:<me@box.example>"), later);
}

#[test]
fn spam_is_marked() {
    let verdict = "score=9.0 required=5.0 tests=GTUBE\n";
    let (mut client, ends) = started(Play {
        verdict,
        ..Play::default()
    });
    assert_eq!(client.send("", PLAIN), "250 2.0.0 Delivered");
    let message = ends.delivered.recv().unwrap();
    let message = String::from_utf8(message).unwrap();
    let added = message.strip_prefix(&receipt("junk")).unwrap();
    assert!(
        added.starts_with("X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=9.0 required=5.0\r\n")
    );
    drop(client);
    assert_eq!(ends.log.join().unwrap().1, Came::Junk);
}

#[test]
fn a_connection_without_a_message_came_to_nothing_and_one_that_breaks_is_told_apart() {
    let (mut client, ends) = started(Play::default());
    client.say("QUIT");
    assert_eq!(ends.log.join().unwrap().1, Came::Nothing);
    let (mut client, ends) = started(Play::default());
    client.say("MAIL FROM:<a@sender.example>");
    client.say("RCPT TO:<me@box.example>");
    client.say("DATA");
    client.raw(b"Subject: cut");
    drop(client);
    assert_eq!(ends.log.join().unwrap().1, Came::Broken);
}

#[test]
fn plain_text_after_starttls_is_never_taken_over() {
    let (mut client, ends) = start(Play::default());
    client.raw(b"EHLO c.example\r\nSTARTTLS\r\nMAIL FROM:<a@b.example>\r\n");
    client.reply();
    assert_eq!(client.reply(), "554 5.5.1 Nothing may follow STARTTLS");
    assert_eq!(client.reply(), "");
    assert_eq!(
        ends.log.join().unwrap(),
        (
            "127.0.0.1: plain text after STARTTLS".to_owned(),
            Came::Nothing
        )
    );
}

#[test]
fn tls12_works_and_there_are_at_most_100_recipients() {
    let (client, _ends) = start(Play::default());
    let mut client = secure(client, &rustls::version::TLS12);
    client.say("MAIL FROM:<>");
    for number in 0..100 {
        let said = format!("RCPT TO:<r{number}@box.example>");
        assert_eq!(client.say(&said), "250 2.1.5 OK");
    }
    assert_eq!(
        client.say("RCPT TO:<more@box.example>"),
        "452 4.5.3 Too many recipients"
    );
}

#[test]
fn a_silent_client_is_told_so() {
    let limits = Limits {
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let (mut client, ends) = start(Play {
        limits,
        ..Play::default()
    });
    assert_eq!(client.reply(), "421 4.4.2 Idle for too long");
    assert_eq!(
        ends.log.join().unwrap(),
        ("127.0.0.1: idle".to_owned(), Came::Nothing)
    );
}

/// Gives the program its descriptors as the supervisor does: they come with
/// numbers from 20 on and are moved to 3 and on.
const START: &str = r#"exec 3<&$1 4<&$2 5<&$3 6<&$4 7<&$5 8<&$6
LISTEN_PID=$$ exec "$0" mx.example smtp-in-5 2026-11-24T17:00:25.007Z"#;

#[test]
fn the_program_takes_a_message_from_swaks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let swaks = Command::new("swaks")
        .args(["--server", &server, "--tls", "--helo", "client.example"])
        .args(["--from", "a@sender.example", "--to", "me@box.example"])
        .args(["--header", "Subject: from swaks", "--body", "hello"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (channels, delivered, _scanned) = played(Play::default(), listener.accept().unwrap().0);
    let descriptors: [OwnedFd; 6] = [
        channels.connection.into(),
        channels.dns.into(),
        channels.tls_sign.into(),
        channels.recipient_check.into(),
        channels.spam_check.into(),
        channels.deliver.into(),
    ];
    let numbers: Vec<String> = descriptors
        .iter()
        .map(|fd| fcntl(fd, FcntlArg::F_DUPFD(20)).unwrap().to_string())
        .collect();
    let program = Command::new("bash")
        .args(["-c", START, env!("CARGO_BIN_EXE_smtp-in")])
        .args(&numbers)
        .env("LISTEN_FDS", "6")
        .env(
            "LISTEN_FDNAMES",
            "connection:dns:tls-sign:recipient-check:spam-check:deliver",
        )
        .output()
        .unwrap();
    let talk = swaks.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&talk.stdout);
    assert!(talk.contains("250 2.0.0 Delivered"), "{talk}");
    let message = String::from_utf8(delivered.recv().unwrap()).unwrap();
    assert!(message.contains("\r\nSubject: from swaks\r\n"), "{message}");
    let log = String::from_utf8_lossy(&program.stderr);
    assert_eq!(log, "127.0.0.1: delivered\n");
    assert_eq!(
        program.status.code(),
        Some(10),
        "apps/email/app.yaml: delivered"
    );
    let (first, rest) = message.split_once(";\r\n\tmade=").unwrap();
    assert_eq!(first, "X-ProjectX-Receipt: sandbox=smtp-in-5");
    let (made, rest) = rest.split_once("; used=").unwrap();
    let (used, rest) = rest.split_once(";\r\n\tverdict=no junk\r\n").unwrap();
    assert!(rest.starts_with("X-Spam-Flag: NO\r\n"), "{rest}");
    // Of one form, so that they can be compared.
    assert!(made < used && made.len() == used.len(), "{made} {used}");
}

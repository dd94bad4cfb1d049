//! A real TLS client, the real signer, and what plays the resolver, the gate and
//! SpamAssassin.

use channels::deliver::{self, Outcome};
use channels::recipient_check;
use channels::rules::{self, Rules};
use mail_auth::hickory_resolver::proto::op::{Message, ResponseCode};
use mail_auth::hickory_resolver::proto::rr::rdata::{A, PTR, TXT};
use mail_auth::hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use nix::fcntl::{FcntlArg, fcntl};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use signer::keys::Signer;
use smtp_in::session::{Came, Channels, Identity, Limits, run};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Name, type, text; a name that is not here does not exist.
pub type Zone = Vec<(String, RecordType, String)>;

/// What the other ends answer.
pub struct Play {
    pub zone: Option<Zone>,
    pub verdict: &'static str,
    pub outcome: Outcome,
    pub limits: Limits,
    pub rules: Rules,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            zone: Some(Vec::new()),
            verdict: "score=0.1 required=5.0 tests=A,B\n",
            outcome: Outcome::Delivered,
            limits: Limits::default(),
            rules: Rules::default(),
        }
    }
}

/// A session as its client sees it.
pub struct Client<S> {
    pub stream: BufReader<S>,
}

pub struct Ends {
    pub delivered: Receiver<Vec<u8>>,
    pub scanned: Receiver<Vec<u8>>,
    pub log: thread::JoinHandle<(String, Came)>,
}

pub fn identity() -> Identity {
    Identity {
        sandbox: "smtp-in-17".into(),
        made: "2026-11-24T17:00:25.007Z".into(),
        used: "2026-11-24T17:01:25.007Z".into(),
    }
}

/// What stands on top of each message with this verdict.
pub fn receipt(verdict: &str) -> String {
    format!(
        "X-ProjectX-Receipt: sandbox=smtp-in-17;\r\n\tmade=2026-11-24T17:00:25.007Z; used=2026-11-24T17:01:25.007Z;\r\n\tverdict={verdict}\r\n"
    )
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

pub fn start(play: Play) -> (Client<TcpStream>, Ends) {
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
pub fn played(
    play: Play,
    connection: TcpStream,
) -> (Channels, Receiver<Vec<u8>>, Receiver<Vec<u8>>) {
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
    let rules = play.rules;
    thread::spawn(move || {
        rules::say(&mut gate, &rules).unwrap();
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

pub fn resolve(mut stream: TcpStream, zone: &Zone) {
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
                    // Strings of at most 255 octets (RFC 1035 section 3.3).
                    _ => {
                        let strings = text.as_bytes().chunks(255);
                        RData::TXT(TXT::from_bytes(strings.collect()))
                    }
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
    pub fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(_) => text.push_str(&line),
                Err(error) => return format!("({})", error.kind()),
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return text.trim_end().to_owned();
            }
        }
    }

    pub fn say(&mut self, text: &str) -> String {
        self.raw(format!("{text}\r\n").as_bytes());
        self.reply()
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.try_raw(bytes).unwrap();
    }

    pub fn try_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// MAIL, RCPT and DATA with `message`, which ends with CR LF.
    pub fn send(&mut self, sender: &str, message: &[u8]) -> String {
        assert_eq!(self.say(&format!("MAIL FROM:<{sender}>")), "250 2.1.0 OK");
        assert_eq!(self.say("RCPT TO:<me@box.example>"), "250 2.1.5 OK");
        assert!(self.say("DATA").starts_with("354 "));
        self.raw(&[message, b".\r\n"].concat());
        self.reply()
    }
}

#[derive(Debug)]
pub struct AnyCertificate;

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

pub type Tls = Client<StreamOwned<ClientConnection, TcpStream>>;

pub fn secure(
    client: Client<TcpStream>,
    version: &'static rustls::SupportedProtocolVersion,
) -> Tls {
    let mut client = handshake(client, version, rustls::crypto::ring::default_provider());
    assert!(
        client
            .say("EHLO client.example")
            .starts_with("250-mx.example")
    );
    client
}

/// A client that takes any certificate and may resume.
pub fn client_config(
    version: &'static rustls::SupportedProtocolVersion,
    provider: CryptoProvider,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.enable_early_data = true;
    config
}

/// STARTTLS, with the client's own version and groups.
pub fn handshake(
    mut client: Client<TcpStream>,
    version: &'static rustls::SupportedProtocolVersion,
    provider: CryptoProvider,
) -> Tls {
    assert!(client.say("STARTTLS").starts_with("220 "));
    let config = client_config(version, provider);
    let name = ServerName::try_from("mx.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = StreamOwned::new(connection, client.stream.into_inner());
    Client {
        stream: BufReader::new(stream),
    }
}

pub fn started(play: Play) -> (Tls, Ends) {
    let (client, ends) = start(play);
    (secure(client, &rustls::version::TLS13), ends)
}

/// Gives the program its descriptors as the supervisor does: they come with
/// numbers from 20 on and are moved to 3 and on.
const START: &str = r#"exec 3<&$1 4<&$2 5<&$3 6<&$4 7<&$5 8<&$6
LISTEN_PID=$$ exec "$0" mx.example smtp-in-5 2026-11-24T17:00:25.007Z"#;

/// One program is started at a time: no other gets descriptors that are not its own.
static STARTS: Mutex<()> = Mutex::new(());

/// Starts the real program on these channels.
pub fn program(channels: Channels) -> Child {
    let _one = STARTS.lock().unwrap();
    let descriptors: [OwnedFd; 6] = [
        channels.connection.into(),
        channels.dns.into(),
        channels.tls_sign.into(),
        channels.recipient_check.into(),
        channels.spam_check.into(),
        channels.deliver.into(),
    ];
    let numbers = descriptors
        .each_ref()
        .map(|fd| fcntl(fd, FcntlArg::F_DUPFD(20)).unwrap());
    let child = Command::new("bash")
        .args(["-c", START, env!("CARGO_BIN_EXE_smtp-in")])
        .args(numbers.map(|number| number.to_string()))
        .env("LISTEN_FDS", "6")
        .env(
            "LISTEN_FDNAMES",
            "connection:dns:tls-sign:recipient-check:spam-check:deliver",
        )
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for number in numbers {
        nix::unistd::close(number).unwrap();
    }
    child
}

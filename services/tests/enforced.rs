//! The real smtp-in, static-web, report and signer in the real sandbox, each under the
//! policy that the image holds: static programs, as on the box. They need
//! root, Linux 6.12 or later, and openssl as the client.

use channels::deliver::{self, Outcome};
use channels::recipient_check;
use channels::rules::{self, Rules};
use manifest::App;
use sandbox::policy::{Arch, compile};
use sandbox::{Child, Exit, spawn};
use services::{FIRST, Place, descriptors, spec};
use site::Table;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

const FIRST_ID: u32 = 1_000_000;
const HOSTNAME: &str = "mx.example";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with the programs, built static for this machine.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("static");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--bins", "--target", &triple])
            .args(["--package", "smtp-in", "--package", "signer"])
            .args(["--package", "static-web", "--package", "reports"])
            .arg("--target-dir")
            .arg(&target)
            // STATIC in xtask/src/image/programs.rs.
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                "-Ctarget-feature=+crt-static\x1f--cfg\x1fgetrandom_backend=\"linux_getrandom\"",
            )
            .current_dir(repository())
            .status()
            .unwrap();
        assert!(status.success(), "the programs are not built");
        target.join(triple).join("debug")
    })
}

/// The app's image and its volumes, as on the box.
struct Box {
    app: App,
    folder: tempfile::TempDir,
}

impl Box {
    fn new() -> Self {
        let email = repository().join("apps/email");
        let text = fs::read_to_string(email.join("app.yaml")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let made = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(&path).unwrap();
            path
        };
        for name in ["smtp-in", "signer", "static-web", "report"] {
            let root = made(&format!("image/roots/{name}"));
            // Not copied by this process: see copy_probe in sandbox/tests.
            let copied = Command::new("install")
                .args(["-m", "0711"])
                .arg(programs().join(name))
                .arg(&root)
                .status();
            assert!(copied.unwrap().success());
            for place in ["dev", "keys", "tls", "private-tls", "web"] {
                fs::create_dir(root.join(place)).unwrap();
            }
            for device in ["null", "zero", "random"] {
                File::create(root.join("dev").join(device)).unwrap();
            }
            let policy = format!("{name}.seccomp");
            let text = fs::read_to_string(email.join("policies").join(&policy)).unwrap();
            let compiled = compile(&policy, &text, Arch::HERE).unwrap().to_bytes();
            let policies = made("image/policies");
            fs::write(policies.join(format!("{name}.bpf")), compiled).unwrap();
            fs::write(policies.join(&policy), text).unwrap();
        }
        for volume in ["keys", "tls", "private-tls", "web-keys"] {
            let path = made(&format!("volumes/{volume}"));
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            let owner = Some(FIRST_ID + 1000);
            chown(&path, owner, owner).unwrap();
        }
        // The supervisor's own, as on the box.
        let web = made("volumes/web");
        let table = Table::of("box.example", ["home.example"]);
        table.keep(&web).unwrap();
        Self {
            app: manifest::read("app.yaml", &text).unwrap(),
            folder,
        }
    }

    /// Starts a service with these descriptors, and a pipe as its log: of files
    /// it may write none.
    fn start(&self, name: &str, fds: Vec<(&str, OwnedFd)>) -> Service {
        let service = self.app.service(name).unwrap();
        let place = Place {
            image: self.folder.path().join("image"),
            volumes: self.folder.path().join("volumes"),
            hostname: HOSTNAME.into(),
            first_id: FIRST_ID,
            cgroups: None,
            instance: String::new(),
        };
        let names: Vec<&str> = fds.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, descriptors(&self.app, service));
        let mut numbered: Vec<(OwnedFd, i32)> = (FIRST..)
            .zip(fds)
            .map(|(number, (_, fd))| (fd, number))
            .collect();
        let (mut log, written) = std::io::pipe().unwrap();
        numbered.push((written.into(), 2));
        let spec = spec(&self.app, service, &place).unwrap();
        let child = spawn(&spec, numbered).unwrap_or_else(|error| panic!("{error}"));
        let log = thread::spawn(move || {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        });
        Service { child, log }
    }

    /// A signer, and connections to its channel.
    fn signer(&self, name: &str, channel: &str) -> (Service, impl Fn() -> UnixStream) {
        let socket = self.folder.path().join(channel);
        let listener = UnixListener::bind(&socket).unwrap();
        let signer = self.start(name, vec![(channel, listener.into())]);
        (signer, move || UnixStream::connect(&socket).unwrap())
    }
}

struct Service {
    child: Child,
    log: thread::JoinHandle<String>,
}

impl Service {
    /// Whether the kernel filters its calls: 2 is SECCOMP_MODE_FILTER, proc(5).
    fn is_filtered(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.pid())).unwrap();
        status.lines().any(|line| line == "Seccomp:\t2")
    }

    /// How it ended by itself within ten seconds, with what it said.
    fn end(mut self) -> (Option<Exit>, String) {
        let until = Instant::now() + Duration::from_secs(10);
        let exit = loop {
            match self.child.try_wait().unwrap() {
                None if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                other => break other,
            }
        };
        // One that still runs ends here.
        drop(self.child);
        (exit, self.log.join().unwrap())
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// Answers each query of DNS over TCP that the name does not exist.
fn no_such_name(mut stream: TcpStream) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        // QR, RA and NXDOMAIN: RFC 1035, section 4.1.1.
        message[2] |= 0x80;
        message[3] = 0x83;
        stream.write_all(&[&length[..], &message].concat()).unwrap();
    }
}

/// What smtp-in's other ends got.
struct Ends {
    recipient: thread::JoinHandle<String>,
    scanned: thread::JoinHandle<Vec<u8>>,
    delivered: thread::JoinHandle<Vec<u8>>,
}

/// smtp-in for `connection`, with the gate, the resolver and SpamAssassin played.
fn smtp_in(here: &Box, connection: TcpStream, tls_sign: UnixStream) -> (Service, Ends) {
    let (dns, resolver) = tcp_pair();
    thread::spawn(move || no_such_name(resolver));
    let (check, mut check_end) = UnixStream::pair().unwrap();
    let recipient = thread::spawn(move || {
        rules::say(&mut check_end, &Rules::default()).unwrap();
        let question = recipient_check::read(&mut check_end).unwrap().unwrap();
        recipient_check::answer(&mut check_end, true).unwrap();
        question.recipient
    });
    let (spam, mut spam_end) = UnixStream::pair().unwrap();
    let scanned = thread::spawn(move || {
        let mut length = [0; 4];
        spam_end.read_exact(&mut length).unwrap();
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        spam_end.read_exact(&mut message).unwrap();
        let verdict = b"score=0.1 required=5.0 tests=A\n";
        spam_end.write_all(verdict).unwrap();
        message
    });
    let (deliver, mut deliver_end) = UnixStream::pair().unwrap();
    let delivered = thread::spawn(move || {
        let envelope = deliver::read_envelope(&mut deliver_end).unwrap().unwrap();
        let mut message = vec![0; usize::try_from(envelope.size).unwrap()];
        deliver_end.read_exact(&mut message).unwrap();
        deliver::answer(&mut deliver_end, &Outcome::Delivered).unwrap();
        message
    });
    let service = here.start(
        "smtp-in",
        vec![
            ("connection", connection.into()),
            ("dns", dns.into()),
            ("tls-sign", tls_sign.into()),
            ("recipient-check", check.into()),
            ("spam-check", spam.into()),
            ("deliver", deliver.into()),
        ],
    );
    let ends = Ends {
        recipient,
        scanned,
        delivered,
    };
    (service, ends)
}

/// openssl, which says EHLO and STARTTLS itself and shows what comes after.
struct Client {
    program: std::process::Child,
    input: ChildStdin,
    replies: BufReader<std::process::ChildStdout>,
}

impl Client {
    fn dial(address: &str, version: &str) -> Self {
        let mut program = Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", "-quiet", "-crlf", version])
            .args(["-connect", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            input: program.stdin.take().unwrap(),
            replies: BufReader::new(program.stdout.take().unwrap()),
            program,
        }
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.replies.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, text: &str) -> String {
        writeln!(self.input, "{text}").unwrap();
        self.reply()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

#[test]
fn a_message_over_tls_needs_no_call_that_the_policies_lack() {
    let here = Box::new();
    let (mut signer, connect) = here.signer("signer", "tls-sign");
    for version in ["-tls1_3", "-tls1_2"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut client = Client::dial(&address, version);
        let connection = listener.accept().unwrap().0;
        let (service, ends) = smtp_in(&here, connection, connect());
        assert!(service.is_filtered() && signer.is_filtered());

        let ehlo = client.say("EHLO client.example");
        assert_eq!(ehlo, "250 LIMITS MAILMAX=1 RCPTMAX=100", "{version}");
        assert_eq!(client.say("MAIL FROM:<a@sender.example>"), "250 2.1.0 OK");
        assert_eq!(client.say("RCPT TO:<me@box.example>"), "250 2.1.5 OK");
        assert!(client.say("DATA").starts_with("354 "));
        let message = "From: <a@sender.example>\nDKIM-Signature: v=1; a=rsa-sha256; \
                       d=sender.example; s=s; h=from; bh=AA==; b=AA==\n\nbody\n.";
        assert_eq!(client.say(message), "250 2.0.0 Delivered", "{version}");
        let bye = "221 2.0.0 mx.example closes the connection";
        assert_eq!(client.say("QUIT"), bye, "{version}");

        let (exit, log) = service.end();
        // "delivered" of its outcomes in apps/email/app.yaml.
        assert_eq!(exit, Some(Exit::Code(10)), "{version}: {log}");
        assert_eq!(ends.recipient.join().unwrap(), "me@box.example");
        for message in [ends.scanned, ends.delivered] {
            let message = message.join().unwrap();
            assert!(message.ends_with(b"\r\n\r\nbody\r\n"), "{version}");
        }
        // The signer ends with its listener alone, never by a call.
        assert_eq!(signer.child.try_wait().unwrap(), None, "{version}");
    }
}

#[test]
fn a_file_for_a_stranger_needs_no_call_that_the_policies_lack() {
    let here = Box::new();
    let (mut signer, connect) = here.signer("web-signer", "web-tls-sign");
    for (version, request, answer) in [
        ("-tls1_3", "GET", "mx: box.example\r\n"),
        ("-tls1_2", "HEAD", "HTTP/1.1 200 OK\r\n"),
        ("-tls1_3", "POST", "HTTP/1.1 405 Method Not Allowed\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut program = Command::new("openssl")
            .args(["s_client", "-quiet", version, "-connect", &address])
            .args(["-servername", "mta-sts.home.example"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let connection = listener.accept().unwrap().0;
        let service = here.start(
            "static-web",
            vec![
                ("connection", connection.into()),
                ("web-tls-sign", connect().into()),
            ],
        );
        assert!(service.is_filtered() && signer.is_filtered());
        let mut input = program.stdin.take().unwrap();
        let lines = "/.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.home.example\r\n\r\n";
        write!(input, "{request} {lines}").unwrap();
        let mut said = String::new();
        let mut output = program.stdout.take().unwrap();
        output.read_to_string(&mut said).unwrap();
        assert!(said.contains(answer), "{version} {request}: {said}");
        drop(input);
        program.wait().unwrap();
        let (exit, log) = service.end();
        assert_eq!(exit, Some(Exit::Code(0)), "{version}: {log}");
        assert_eq!(signer.child.try_wait().unwrap(), None, "{version}");
    }
}

#[test]
fn a_report_needs_no_call_that_the_policy_lacks_and_a_bomb_no_memory() {
    let here = Box::new();
    for (name, said) in [
        (
            "google-dmarc.eml",
            "report: DMARC 2026-11-23 to 2026-11-23, google.com (proved), calls itself \
             google.com, about home.example: 12 messages fine, 3 failed (3 of them kept \
             out): 203.0.113.9 2, 2001:db8::7 1\n",
        ),
        ("bomb.eml", ""),
        ("broken.eml", ""),
        ("", ""),
    ] {
        let message = match name {
            "" => Vec::new(),
            name => fs::read(repository().join("reports/tests/mail").join(name)).unwrap(),
        };
        let (mut gate, end) = UnixStream::pair().unwrap();
        let service = here.start("report", vec![("report", end.into())]);
        assert!(service.is_filtered(), "{name}");
        channels::report::hand_over(&mut gate, &message).unwrap();
        let (exit, log) = service.end();
        assert_eq!((exit, &*log), (Some(Exit::Code(0)), said), "{name}");
    }
}

#[test]
fn the_certificate_of_imap_is_made_under_the_signer_s_policy() {
    let here = Box::new();
    for _first_and_second in 0..2 {
        let (exit, log) = here.start("imap-certificate", vec![]).end();
        assert_eq!(exit, Some(Exit::Code(0)), "{log}");
    }
    let tls = here.folder.path().join("volumes/tls");
    for name in ["certificate.pem", "key.pem"] {
        let text = fs::read_to_string(tls.join(name)).unwrap();
        assert!(text.starts_with("-----BEGIN "), "{text}");
    }
}

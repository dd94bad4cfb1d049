//! The phone page, which anybody in the home network reaches, and the stream between it
//! and the supervisor, which is root.

use crate::loopback::heard;
use console::form::Form;
use console::sealed::{Contents, PeopleContents, SealedBox, SessionKey, seal};
use console::{Assets, Listeners, serve};
use control::sandboxes::{SandboxReply, SandboxRequest};
use control::{Disk, Reply, Request, Secret, Status, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long an answer to what may be a whole request is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Requests that reached the supervisor and are none that anybody may make.
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Whatever is sent to port 80 gets HTTP or nothing, every page has its policy, and
/// nothing but a question about the state reaches the supervisor: nobody here has a
/// token.
///
/// # Panics
/// When that does not hold.
pub fn http(input: &[u8]) {
    let mut stream = TcpStream::connect(*page()).expect("the page");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.write_all(input).ok();
    // What has no end is waited for, which is tested elsewhere.
    if !input.windows(4).any(|four| four == b"\r\n\r\n") {
        stream.shutdown(Shutdown::Write).ok();
    }
    let answer = heard(stream);
    assert_eq!(
        REACHED.load(Ordering::Relaxed),
        0,
        "it reached the supervisor"
    );
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    assert!(head.starts_with("HTTP/1."), "{head}");
    let head = head.to_ascii_lowercase();
    if head.contains("content-type: text/html") || head.contains("\r\nlocation:") {
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{head}"
        );
        assert!(head.contains("cache-control: no-store"), "{head}");
    }
    assert!(!head.contains("access-control-allow"), "{head}");
    if let Some((_, place)) = head.split_once("\r\nlocation: ") {
        // Within the page itself.
        assert!(place.starts_with('/') && !place.starts_with("//"), "{head}");
    }
}

/// The real server with a supervisor that knows the state and nothing else.
fn page() -> &'static SocketAddr {
    static PAGE: OnceLock<SocketAddr> = OnceLock::new();
    PAGE.get_or_init(|| {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        std::thread::spawn(move || supervisor(theirs));
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (page, tls) = (listen(), listen());
        let address = page.local_addr().expect("its address");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                for listener in [&page, &tls] {
                    listener.set_nonblocking(true).expect("no waiting");
                }
                ours.set_nonblocking(true).expect("no waiting");
                let control = tokio::net::UnixStream::from_std(ours).expect("a stream");
                let listeners = Listeners {
                    page: tokio::net::TcpListener::from_std(page).expect("a listener"),
                    tls: tokio::net::TcpListener::from_std(tls).expect("a listener"),
                };
                let assets = Assets {
                    nacl: b"// nacl".to_vec().into(),
                };
                panic!("{}", serve(control, listeners, assets).await);
            });
        });
        address
    })
}

fn supervisor(mut stream: UnixStream) {
    while let Ok(request) = wire::read::<Request>(&mut stream) {
        let reply = match request {
            Request::Status => Reply::Status(Status {
                disk: Disk::Unclaimed,
                setup_code_needed: false,
                claimable: true,
                retry_after: 0,
                recovery_key: false,
                reset_code: None,
                reset_asked: false,
                name: "projectx".into(),
                damage: Vec::new(),
            }),
            Request::PageCertificate { .. } => Reply::Done,
            _ => {
                REACHED.fetch_add(1, Ordering::Relaxed);
                Reply::Done
            }
        };
        if wire::write(&mut stream, &reply).is_err() {
            return;
        }
    }
}

/// A field of a form is found by its name and written again means the same.
///
/// # Panics
/// When that does not hold.
pub fn form(input: &[u8]) {
    let Ok(mut form) = Form::parse(input) else {
        return;
    };
    for name in ["passphrase", "old", "new", "address", "setup_code"] {
        if let Some(value) = form.get(name) {
            let percent = |byte: u8| format!("%{byte:02X}");
            let written: String = value.expose().bytes().map(percent).collect();
            let again = Form::parse(format!("{name}={written}").as_bytes()).ok();
            let again = again.expect("a form");
            assert_eq!(again.get(name), Some(value));
        }
    }
    if form.settle().is_err() {
        return;
    }
    for taken in ["again", "sure", "places"] {
        // Each once: one that stands twice is a field too much for every form.
        let first = form.take(taken);
        assert!(first.is_none() || String::from_utf8_lossy(input).contains('&'));
    }
    if let Ok(contents) = form.contents::<Contents>("/claim", "T") {
        assert_eq!((&*contents.purpose, &*contents.token), ("/claim", "T"));
    }
}

/// A box that nobody sealed to this page never opens, and one that somebody did says
/// what was put into it.
///
/// # Panics
/// When that does not hold.
pub fn sealed(input: &[u8]) {
    let key = SessionKey::generate();
    if let Ok(sealed) = serde_json::from_slice::<SealedBox>(input) {
        let opened = key.open::<PeopleContents>(&sealed, "/people/prove", "T");
        let error = opened.expect_err("it opened").to_string();
        assert!(error.starts_with("sealed box: ") && error.len() < 200);
        // An answer to such a key opens for whoever has it, or is none.
        key.answer(&sealed, &"x").ok();
    }
    let words = String::from_utf8_lossy(input);
    let contents = Contents {
        purpose: "/claim".into(),
        token: "T".into(),
        passphrase: Secret::new(words.clone().into_owned()),
        setup_code: None,
    };
    let (mut sealed, answer) = seal(&key.public(), &contents).expect("a box");
    let opened = key
        .open::<Contents>(&sealed, "/claim", "T")
        .expect("it opens");
    assert_eq!(opened.passphrase.expose(), words);
    assert!(key.open::<Contents>(&sealed, "/unlock", "T").is_err());
    assert!(key.open::<Contents>(&sealed, "/claim", "U").is_err());
    let told = key.answer(&sealed, &words).expect("an answer");
    assert_eq!(answer.open::<String>(&told).expect("it opens"), words);
    sealed.nonce = told.nonce;
    assert!(key.open::<Contents>(&sealed, "/claim", "T").is_err());
}

/// A message between the page, the supervisor and root's program is one line that is
/// read as it was meant, and what is none is not repeated in the error.
///
/// # Panics
/// When that does not hold.
pub fn control(input: &[u8]) {
    again::<Request>(input);
    again::<Reply>(input);
    again::<SandboxRequest>(input);
    again::<SandboxReply>(input);
}

fn again<T: Serialize + DeserializeOwned>(mut input: &[u8]) {
    let written = |message: &T| {
        let mut line = Vec::new();
        let done = wire::write(&mut line, message);
        done.ok().map(|()| line)
    };
    match wire::read::<T>(&mut input) {
        Ok(message) => {
            // Escapes may make it too long.
            let Some(line) = written(&message) else {
                return;
            };
            let end = line.iter().position(|byte| *byte == b'\n');
            assert_eq!(end, Some(line.len() - 1));
            let same = wire::read::<T>(&mut line.as_slice()).expect("our own line");
            assert_eq!(written(&same), Some(line));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.len() < 120 && !said.contains(char::is_control),
                "{said}"
            );
        }
    }
}

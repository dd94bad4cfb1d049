//! What Dovecot sends by itself, with the real signer, and a test that plays Dovecot and
//! Postfix.

use outbound::settings::Settings;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};
use submission::forward::{Channels, run};

const PASSED_ON: &str = "X-Sieve-Redirected-From: anna@home.example\r\nX-ProjectX-Receipt: x\r\nFrom: ada@far.example\r\n\r\n.a dot\r\n";
const AWAY: &str = "From: <anna@home.example>\r\nTo: <ada@far.example>\r\nSubject: Away\r\nDate: Sun, 29 Nov 2026 16:42:43 +0000\r\nAuto-Submitted: auto-replied (vacation)\r\n\r\nI am away.\r\n";

/// The keys and settings of home.example, made once: it takes seconds.
fn keys() -> &'static Path {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for part in ["dkim", "outbound"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        Settings::own(&folder.path().join("outbound"), ["home.example"]).unwrap();
        folder
    });
    folder.path()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    (ours, listener.accept().unwrap().0)
}

/// What Postfix heard.
type Heard = JoinHandle<String>;

/// A Postfix that answers `reply` to a whole message.
fn postfix(stream: TcpStream, reply: &'static str) -> Heard {
    spawn(move || {
        let mut writer = stream.try_clone().unwrap();
        let mut heard = String::new();
        let mut in_message = false;
        writer.write_all(b"220 postfix ESMTP\r\n").unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            heard += &format!("{line}\n");
            let said = match line.as_str() {
                "." if in_message => {
                    in_message = false;
                    reply
                }
                _ if in_message => continue,
                "DATA" => {
                    in_message = true;
                    "354 go on"
                }
                _ => "250 yes",
            };
            writer.write_all(format!("{said}\r\n").as_bytes()).unwrap();
        }
        heard
    })
}

struct Dovecot {
    stream: BufReader<TcpStream>,
    heard: Heard,
    line: JoinHandle<String>,
    begun: Instant,
}

impl Dovecot {
    fn start(settings: &Path, reply: &'static str) -> Self {
        let (client, connection) = tcp_pair();
        let (dkim_sign, end) = UnixStream::pair().unwrap();
        let folder = keys();
        spawn(move || {
            let signer = signer::dkim::Signer::new(&folder.join("dkim"), &folder.join("outbound"));
            signer::dkim::connection(end, &signer);
        });
        let (queue, end) = tcp_pair();
        let heard = postfix(end, reply);
        let channels = Channels {
            connection,
            dkim_sign,
            queue,
            settings: settings.to_owned(),
        };
        let begun = Instant::now();
        let line = spawn(move || run(channels, "mail.home.example"));
        let mut dovecot = Self {
            stream: BufReader::new(client),
            heard,
            line,
            begun,
        };
        assert_eq!(dovecot.reply(), "220 mail.home.example ESMTP");
        assert!(dovecot.say("EHLO dovecot").ends_with("ENHANCEDSTATUSCODES"));
        dovecot
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, line: &str) -> String {
        let line = format!("{line}\r\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        self.reply()
    }

    fn send(&mut self, from: &str, to: &str, message: &str) -> String {
        let from = format!("MAIL FROM:<{from}> SIZE={}", message.len());
        assert_eq!(self.say(&from), "250 2.1.0 OK");
        assert_eq!(self.say(&format!("RCPT TO:<{to}>")), "250 2.1.5 OK");
        let second = self.say("RCPT TO:<second@far.example>");
        assert_eq!(second, "452 4.5.3 One recipient in one connection");
        assert!(self.say("DATA").starts_with("354 "));
        let stuffed = message.replace("\r\n.", "\r\n..");
        self.say(&format!("{stuffed}."))
    }

    /// What Postfix heard, and the line of the log.
    fn end(mut self) -> (String, String) {
        assert_eq!(
            self.say("MAIL FROM:<anna@home.example>"),
            "503 5.5.1 One message in one connection"
        );
        assert_eq!(self.say("QUIT"), "221 2.0.0 Done");
        let line = self.line.join().unwrap();
        // So many an hour, and no more.
        assert!(self.begun.elapsed() >= Duration::from_secs(1));
        (self.heard.join().unwrap(), line)
    }
}

#[test]
fn what_is_passed_on_is_in_the_queue_before_dovecot_hears_250() {
    let mut dovecot = Dovecot::start(&keys().join("outbound"), "250 queued");
    let reply = dovecot.send("anna@home.example", "bob@other.example", PASSED_ON);
    assert_eq!(reply, "250 2.0.0 In the queue");
    let (heard, line) = dovecot.end();
    assert_eq!(
        heard,
        "EHLO mail.home.example\nMAIL FROM:<anna@home.example> BODY=8BITMIME\nRCPT TO:<bob@other.example>\nDATA\nX-Sieve-Redirected-From: anna@home.example\nFrom: ada@far.example\n\n..a dot\n.\n"
    );
    assert_eq!(line, "a message passed on, in the queue");
}

#[test]
fn a_reply_is_signed_and_leaves_with_the_empty_sender() {
    let mut dovecot = Dovecot::start(&keys().join("outbound"), "250 queued");
    let reply = dovecot.send("anna@home.example", "ada@far.example", AWAY);
    assert_eq!(reply, "250 2.0.0 In the queue");
    let (heard, line) = dovecot.end();
    assert!(heard.contains("\nMAIL FROM:<> "), "{heard}");
    assert_eq!(heard.matches("DKIM-Signature:").count(), 2, "{heard}");
    assert!(heard.contains("d=home.example"), "{heard}");
    assert_eq!(line, "a reply, in the queue");
}

#[test]
fn what_the_queue_does_not_take_is_not_taken() {
    for (said, heard) in [
        ("451 4.3.0 disk", "451 4.3.0 Try again later"),
        ("554 5.6.0 no such\u{7f}thing", "550 5.6.0 no suchthing"),
    ] {
        let mut dovecot = Dovecot::start(&keys().join("outbound"), said);
        let reply = dovecot.send("", "bob@other.example", PASSED_ON);
        assert_eq!(reply, heard);
        let (_, line) = dovecot.end();
        assert_eq!(line, format!("not sent: {heard}"));
    }
}

#[test]
fn nothing_of_a_stranger_s_and_nothing_else_gets_to_the_queue() {
    let empty = tempfile::tempdir().unwrap();
    let own = keys().join("outbound");
    for (settings, from, message, start) in [
        (own.as_path(), "ada@far.example", PASSED_ON, "550 5.7.1 "),
        (
            &own,
            "anna@home.example",
            "Subject: x\r\n\r\n",
            "550 5.7.1 ",
        ),
        (
            &own,
            "anna@home.example",
            "Subject: x\r\n\r\na\nb\r\n",
            "550 5.6.0 ",
        ),
        // A box without a domain of its own.
        (empty.path(), "anna@home.example", PASSED_ON, "550 5.7.1 "),
    ] {
        let mut dovecot = Dovecot::start(settings, "250 queued");
        let reply = dovecot.send(from, "bob@other.example", message);
        assert!(reply.starts_with(start), "{reply}");
        let (heard, _) = dovecot.end();
        assert_eq!(heard, "", "{reply}");
    }
    // Settings that can't be read: not now.
    fs::write(empty.path().join("settings.json"), "{").unwrap();
    let mut dovecot = Dovecot::start(empty.path(), "250 queued");
    let reply = dovecot.send("", "bob@other.example", PASSED_ON);
    assert_eq!(reply, "451 4.3.0 Try again later");
    assert_eq!(dovecot.end().0, "");
}

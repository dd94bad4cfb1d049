//! What Debian's Dovecot with our configuration sends by itself, with a test in the
//! place of the service that takes it.

mod support;

use channels::deliver::Outcome;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use support::Mail;

/// Envelope sender, recipient, message.
type Sent = (String, String, String);

/// A service `forward` that answers each message with what it is told to.
struct Forward {
    sent: Receiver<Sent>,
    reply: Arc<Mutex<&'static str>>,
}

impl Forward {
    /// In the network of this thread, which is Dovecot's.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:2526").unwrap();
        let (tell, sent) = channel();
        let reply = Arc::new(Mutex::new("250 2.0.0 In the queue"));
        let said = Arc::clone(&reply);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &tell, &said);
            }
        });
        Self { sent, reply }
    }

    fn next(&self) -> Sent {
        self.sent.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn is_quiet(&self) -> bool {
        self.sent.try_recv().is_err()
    }
}

fn serve(stream: &TcpStream, tell: &Sender<Sent>, reply: &Mutex<&'static str>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // In one piece; Dovecot does not wait for what is said at its end.
    let say = |text: &str| {
        (&*stream).write_all(format!("{text}\r\n").as_bytes()).ok();
    };
    let path = |line: &str| {
        let (_, rest) = line.split_once('<').unwrap();
        rest.split_once('>').unwrap().0.to_owned()
    };
    let (mut from, mut to) = (String::new(), String::new());
    say("220 forward ESMTP");
    while let Some(line) = lines.next() {
        match line.split(' ').next().unwrap() {
            "MAIL" => from = path(&line),
            "RCPT" => to = path(&line),
            "DATA" => {
                say("354 go on");
                let message = lines.by_ref().take_while(|line| line != ".");
                let message: Vec<String> = message.collect();
                tell.send((from.clone(), to.clone(), message.join("\n")))
                    .unwrap();
                say(*reply.lock().unwrap());
                continue;
            }
            "QUIT" => return say("221 bye"),
            _ => {}
        }
        say("250 ok");
    }
}

fn message(to: &str, extra: &str, number: u32) -> String {
    format!(
        "{extra}From: s@x.example\r\nTo: {to}\r\nMessage-ID: <{number}@x.example>\r\nSubject: s\r\nX-ProjectX-Receipt: sandbox=smtp-in-1\r\n\r\nbody {number}\r\n"
    )
}

#[test]
fn an_alias_to_outside_is_passed_on_or_refused_and_never_lost() {
    let mail = Mail::start("outside");
    let forward = Forward::start();
    let to = "far@box.example";
    let deliver = |extra: &str, number| {
        let message = message(to, extra, number);
        mail.deliver_with(&[to], message.as_bytes(), None).0
    };
    assert_eq!(deliver("", 1), Outcome::Delivered);
    for expected in ["bob@far.example", "cleo@third.example"] {
        let (from, to, message) = forward.next();
        assert_eq!((&*from, &*to), ("anna@box.example", expected));
        assert!(message.contains("X-Sieve-Redirected-From: anna@box.example"));
        assert!(message.ends_with("body 1"), "{message}");
    }
    assert_eq!(mail.read("anna", "INBOX;UID=1"), "");

    // The queue is away: so is the message, and its sender comes again.
    *forward.reply.lock().unwrap() = "451 4.3.0 Try again later";
    assert!(matches!(deliver("", 2), Outcome::Later(..)));
    forward.next();
    assert_eq!(mail.read("anna", "INBOX;UID=1"), "");
    // What may not be passed on is for the person whose alias it is.
    *forward.reply.lock().unwrap() = "554 5.4.6 Passed on too often";
    assert_eq!(deliver("", 3), Outcome::Delivered);
    forward.next();
    assert!(mail.read("anna", "INBOX;UID=1").ends_with("body 3\r\n"));
    // So is what has come back, and junk; neither is even tried.
    let looped = "X-Sieve-Redirected-From: anna@box.example\r\n";
    assert_eq!(deliver(looped, 4), Outcome::Delivered);
    assert!(mail.read("anna", "INBOX;UID=2").ends_with("body 4\r\n"));
    assert_eq!(deliver("X-Spam-Flag: YES\r\n", 5), Outcome::Delivered);
    assert!(mail.read("anna", "Junk;UID=1").ends_with("body 5\r\n"));
    assert!(forward.is_quiet());
}

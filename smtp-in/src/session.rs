//! The dialogue (RFC 5321) from greeting to goodbye.

use crate::authenticate::{self, Envelope};
use crate::command::{self, Command};
use crate::headers::{self, Received};
use crate::tls;
use crate::wire::{Data, Line, Timed, Wire};
use channels::deliver::{self, Outcome};
use channels::recipient_check::{self, Question};
use channels::spam_check;
use mail_parser::DateTime;
use rustls::{ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The largest message that is taken, in bytes (RFC 1870).
pub const MAX_MESSAGE: usize = 35 << 20;
/// After so many refused commands a client is a guesser.
const MAX_ERRORS: usize = 20;

/// All that the program can reach.
pub struct Channels {
    /// The client.
    pub connection: TcpStream,
    /// The resolver, for DNS over TCP.
    pub dns: TcpStream,
    /// The signer.
    pub tls_sign: UnixStream,
    /// The gate, for recipients.
    pub recipient_check: UnixStream,
    /// One child of SpamAssassin.
    pub spam_check: UnixStream,
    /// The gate, for the message.
    pub deliver: UnixStream,
}

/// Who it is and since when, for the receipt of a message.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The id of its sandbox, `smtp-in-17`.
    pub sandbox: String,
    /// When the sandbox was made: RFC 3339.
    pub made: String,
    /// When it began to serve its connection: RFC 3339.
    pub used: String,
}

/// What a session came to. Its number is the program's exit code, all that the
/// supervisor learns of it (`outcomes` in apps/email/app.yaml).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Came {
    /// No message was sent.
    Nothing = 0,
    /// A message was delivered.
    Delivered = 10,
    /// A message was delivered that is held for junk.
    Junk = 11,
    /// A message was refused.
    Refused = 12,
    /// A message was put off.
    Later = 13,
    /// The connection ended in the middle.
    Broken = 14,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Silence of the client (RFC 5321 section 4.5.3.2.7).
    pub idle: Duration,
    /// The whole session, until the message is there.
    pub session: Duration,
    /// An answer of the signer or about a recipient.
    pub answer: Duration,
    /// A verdict.
    pub verdict: Duration,
    /// The delivery: longer than the gate waits for Dovecot, or a message that
    /// was stored would be refused and come again (RFC 5321 section 4.5.3.2.6).
    pub delivery: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(5 * 60),
            session: Duration::from_secs(10 * 60),
            answer: Duration::from_secs(30),
            verdict: Duration::from_secs(90),
            delivery: Duration::from_secs(6 * 60),
        }
    }
}

/// Runs the session and returns its line for the log: the peer and how it ended,
/// nothing that the client said; and what it came to.
pub fn run(
    channels: Channels,
    hostname: &str,
    identity: &Identity,
    limits: Limits,
) -> (String, Came) {
    let peer = match channels.connection.peer_addr() {
        Ok(address) => address.ip().to_canonical(),
        Err(error) => return (format!("no peer: {error}"), Came::Broken),
    };
    // What became of a message stands, however the connection ends after it.
    let mut came = None;
    match talk(channels, hostname, identity, limits, peer, &mut came) {
        Ok(how) => (format!("{peer}: {how}"), came.unwrap_or(Came::Nothing)),
        Err(error) => {
            let line = format!("{peer}: connection ended: {}", error.kind());
            (line, came.unwrap_or(Came::Broken))
        }
    }
}

fn talk(
    channels: Channels,
    hostname: &str,
    identity: &Identity,
    limits: Limits,
    peer: IpAddr,
    came: &mut Option<Came>,
) -> io::Result<&'static str> {
    for (stream, limit) in [
        (&channels.tls_sign, limits.answer),
        (&channels.recipient_check, limits.answer),
        (&channels.spam_check, limits.verdict),
        (&channels.deliver, limits.delivery),
    ] {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
    }
    let Channels {
        connection,
        dns,
        tls_sign,
        recipient_check,
        spam_check,
        deliver,
    } = channels;
    let plain = Timed {
        socket: connection,
        idle: limits.idle,
        deadline: Instant::now() + limits.session,
    };
    let mut session = Session {
        hostname,
        identity,
        peer,
        tls: None,
        helo: None,
        mail: None,
        had_message: false,
        dns: Some(dns),
        recipient_check: Some(recipient_check),
        spam_check,
        deliver,
        how: "no message",
        came,
    };
    let mut wire = Wire::new(plain);
    wire.send(&format!("220 {hostname} ESMTP"))?;
    if session.commands(&mut wire)? == Next::Close {
        return Ok(session.how);
    }
    let Some(config) = tls::config(tls_sign) else {
        wire.send("454 4.7.0 TLS is not available now")?;
        return Ok("no answer from the signer");
    };
    wire.send("220 2.0.0 Go ahead")?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut plain = wire.stream;
    while connection.is_handshaking() {
        connection.complete_io(&mut plain)?;
    }
    session.tls = describe(&connection);
    session.helo = None;
    session.mail = None;
    let mut wire = Wire::new(StreamOwned::new(connection, plain));
    session.commands(&mut wire)?;
    wire.stream.conn.send_close_notify();
    // The client may be gone already; what it was told stands.
    let _ = wire.stream.flush();
    Ok(session.how)
}

fn describe(connection: &ServerConnection) -> Option<String> {
    let version = match connection.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let cipher = connection.negotiated_cipher_suite()?.suite().as_str()?;
    Some(format!("{version} with cipher {cipher}"))
}

/// What comes after the commands on one stream.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Close,
    StartTls,
}

struct Session<'a> {
    hostname: &'a str,
    identity: &'a Identity,
    peer: IpAddr,
    /// Version and cipher, once there is TLS.
    tls: Option<String>,
    helo: Option<String>,
    /// Reverse-path and approved forward-paths.
    mail: Option<(String, Vec<String>)>,
    had_message: bool,
    dns: Option<TcpStream>,
    /// Gone after the first question without an answer: one that comes late
    /// would be taken for the answer to the next question.
    recipient_check: Option<UnixStream>,
    spam_check: UnixStream,
    deliver: UnixStream,
    how: &'static str,
    came: &'a mut Option<Came>,
}

impl Session<'_> {
    fn commands<S: Read + Write>(&mut self, wire: &mut Wire<S>) -> io::Result<Next> {
        let mut errors = 0;
        loop {
            let line = match wire.line() {
                Err(error) if is_timeout(&error) => {
                    self.how = "idle";
                    wire.send("421 4.4.2 Idle for too long")?;
                    return Ok(Next::Close);
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Next::Close),
                other => other?,
            };
            let parsed = match &line {
                Line::Whole(line) => command::parse(line),
                Line::TooLong => Err("500 5.5.6 Line too long"),
                Line::Bare => Err("500 5.5.2 A command ends with CR LF"),
            };
            let reply = match parsed {
                Ok(Command::Quit) => {
                    wire.send(&format!(
                        "221 2.0.0 {} closes the connection",
                        self.hostname
                    ))?;
                    return Ok(Next::Close);
                }
                Ok(Command::StartTls) if self.tls.is_some() => "503 5.5.1 TLS is on already".into(),
                Ok(Command::StartTls) if wire.has_more() => {
                    // RFC 3207 section 4 and CVE-2011-0411: not a byte may be
                    // taken over from the plain text.
                    self.how = "plain text after STARTTLS";
                    wire.send("554 5.5.1 Nothing may follow STARTTLS")?;
                    return Ok(Next::Close);
                }
                Ok(Command::StartTls) => return Ok(Next::StartTls),
                Ok(Command::Mail { .. }) if self.had_message => {
                    wire.send("421 4.7.0 One message a connection")?;
                    return Ok(Next::Close);
                }
                Ok(Command::Data) => match self.may_send() {
                    Err(reply) => reply.to_owned(),
                    Ok(()) => {
                        wire.send("354 End the message with a dot on its own line")?;
                        let data = match wire.data(MAX_MESSAGE) {
                            Err(error) if is_timeout(&error) => {
                                self.how = "idle in a message";
                                *self.came = Some(Came::Broken);
                                wire.send("421 4.4.2 Idle for too long")?;
                                return Ok(Next::Close);
                            }
                            other => other?,
                        };
                        #[cfg(feature = "planted")]
                        if crate::exploit::runs(&data, wire)? {
                            return Ok(Next::Close);
                        }
                        self.message(data)
                    }
                },
                Ok(command) => self.answer(command),
                Err(reply) => reply.to_owned(),
            };
            errors += usize::from(reply.starts_with('5'));
            wire.send(&reply)?;
            if errors > MAX_ERRORS {
                self.how = "too many errors";
                wire.send("421 4.7.0 Too many errors")?;
                return Ok(Next::Close);
            }
        }
    }

    /// The reply to a command that changes only the session's state.
    fn answer(&mut self, command: Command) -> String {
        match command {
            Command::Hello { host, extended } => {
                self.helo = Some(host);
                self.mail = None;
                if extended {
                    self.extensions()
                } else {
                    format!("250 {}", self.hostname)
                }
            }
            Command::Mail { .. } | Command::Rcpt(_) if self.tls.is_none() => {
                "530 5.7.0 Must issue a STARTTLS command first".to_owned()
            }
            Command::Mail { from, size } => self.mail(from, size).to_owned(),
            Command::Rcpt(recipient) => self.recipient(recipient).to_owned(),
            Command::Reset => {
                self.mail = None;
                "250 2.0.0 Forgotten".to_owned()
            }
            Command::Verify => "252 2.1.5 Send it and see".to_owned(),
            Command::Help => "214 2.0.0 RFC 5321".to_owned(),
            Command::Noop | Command::Quit | Command::StartTls | Command::Data => {
                "250 2.0.0 OK".to_owned()
            }
        }
    }

    fn extensions(&self) -> String {
        let mut lines = vec![
            self.hostname.to_owned(),
            "PIPELINING".to_owned(),
            format!("SIZE {MAX_MESSAGE}"),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
            "LIMITS MAILMAX=1".to_owned(),
        ];
        if self.tls.is_none() {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        lines[last].insert_str(0, "250 ");
        for line in &mut lines[..last] {
            line.insert_str(0, "250-");
        }
        lines.join("\r\n")
    }

    fn mail(&mut self, from: String, size: usize) -> &'static str {
        if self.helo.is_none() {
            return "503 5.5.1 EHLO first";
        }
        if self.mail.is_some() {
            return "503 5.5.1 MAIL was sent already";
        }
        if size > MAX_MESSAGE {
            return "552 5.3.4 Message too big";
        }
        self.mail = Some((from, Vec::new()));
        "250 2.1.0 OK"
    }

    fn recipient(&mut self, recipient: String) -> &'static str {
        let Some((sender, recipients)) = &mut self.mail else {
            return "503 5.5.1 MAIL first";
        };
        if recipients.len() == deliver::MAX_RECIPIENTS {
            return "452 4.5.3 Too many recipients";
        }
        let question = Question {
            sender: sender.clone(),
            recipient,
        };
        let Some(stream) = &mut self.recipient_check else {
            return "451 4.3.0 Try again later";
        };
        match recipient_check::ask(stream, &question) {
            Ok(true) => {
                recipients.push(question.recipient);
                "250 2.1.5 OK"
            }
            Ok(false) => "550 5.1.1 No such mailbox here",
            Err(_) => {
                self.recipient_check = None;
                "451 4.3.0 Try again later"
            }
        }
    }

    fn may_send(&self) -> Result<(), &'static str> {
        if self.tls.is_none() {
            return Err("530 5.7.0 Must issue a STARTTLS command first");
        }
        match &self.mail {
            None => Err("503 5.5.1 MAIL first"),
            Some((_, recipients)) if recipients.is_empty() => Err("554 5.5.1 No valid recipients"),
            Some(_) => Ok(()),
        }
    }

    /// The reply to a message that was read to its end.
    fn message(&mut self, data: Data) -> String {
        self.had_message = true;
        let (came, how, reply) = match (data, self.mail.take(), self.dns.take()) {
            (Data::Bare, ..) => (
                Came::Refused,
                "refused: bare CR or LF",
                "550 5.6.0 A line ends with CR LF, not with one of them".to_owned(),
            ),
            (Data::TooBig, ..) => (
                Came::Refused,
                "refused: too big",
                "552 5.3.4 Message too big".to_owned(),
            ),
            (Data::Whole(message), Some((sender, recipients)), Some(dns)) => {
                self.accept(&message, &sender, &recipients, dns)
            }
            (Data::Whole(_), ..) => (
                Came::Later,
                "no state",
                "451 4.3.0 Try again later".to_owned(),
            ),
        };
        self.how = how;
        *self.came = Some(came);
        reply
    }

    fn accept(
        &mut self,
        message: &[u8],
        sender: &str,
        recipients: &[String],
        dns: TcpStream,
    ) -> (Came, &'static str, String) {
        let helo = self.helo.as_deref().unwrap_or("unknown");
        let envelope = Envelope {
            peer: self.peer,
            helo,
            sender,
        };
        let findings = authenticate::check(dns, self.hostname, &envelope, message);
        if let Some(domain) = findings
            .as_ref()
            .and_then(|found| found.rejected_by.as_ref())
        {
            let reply = format!("550 5.7.1 Refused by the DMARC policy of {}", plain(domain));
            return (Came::Refused, "refused: DMARC", reply);
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let received = Received {
            helo,
            reverse_name: findings
                .as_ref()
                .and_then(|found| found.reverse_name.as_deref()),
            peer: self.peer,
            hostname: self.hostname,
            tls: self.tls.as_deref().unwrap_or("no TLS"),
            id: &format!("{:X}", since.as_nanos()),
            recipient: match recipients {
                [only] => Some(only),
                _ => None,
            },
            date: &DateTime::from_timestamp(since.as_secs() as i64).to_rfc822(),
        };
        let results = findings.as_ref().map_or_else(
            || format!("Authentication-Results: {}; none\r\n", self.hostname),
            |found| found.header.clone(),
        );
        let mut whole = (results + &received.field()).into_bytes();
        whole.extend_from_slice(&headers::strip(message, self.hostname));
        let verdict = spam_check::ask(&mut self.spam_check, &whole).ok();
        let receipt = headers::Receipt {
            sandbox: &self.identity.sandbox,
            made: &self.identity.made,
            used: &self.identity.used,
        };
        let mut marked = receipt.field(verdict.as_ref()).into_bytes();
        marked.extend(headers::spam(verdict.as_ref()).into_bytes());
        marked.append(&mut whole);
        let junk = verdict.as_ref().is_some_and(spam_check::Verdict::is_spam);
        let delivered = if junk { Came::Junk } else { Came::Delivered };
        match deliver::send(&mut self.deliver, sender, recipients, &marked) {
            Ok(Outcome::Delivered) => (delivered, "delivered", "250 2.0.0 Delivered".to_owned()),
            Ok(Outcome::Refused(words)) => (
                Came::Refused,
                "refused by the gate",
                format!("550 5.2.0 {}", plain(&words)),
            ),
            Ok(Outcome::Later(_)) => (Came::Later, "later", "451 4.3.0 Try again later".to_owned()),
            Err(_) => (
                Came::Later,
                "no answer from the gate",
                "451 4.3.0 Try again later".to_owned(),
            ),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// `text` as it may stand in a reply.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| (' '..='~').contains(letter))
        .take(200)
        .collect()
}

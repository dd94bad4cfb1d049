//! The dialogue from greeting to goodbye.

use crate::message::{self, Stamp};
use crate::queue::{Queue, Said};
use crate::sasl::{self, Login, Sasl};
use channels::dkim_sign::{self, Reply};
use channels::recipient_check::is_path;
use mail_parser::DateTime;
use rustls::{ServerConnection, StreamOwned};
use smtp_proto::Request;
use smtp_wire::{Data, Line, Wire, has_bare};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tls_server::Timed;

/// The largest message, in bytes (RFC 1870).
pub const MAX_MESSAGE: usize = 35 << 20;
/// The most recipients of one message (RFC 5321 section 4.5.3.1.8 wants 100).
pub const MAX_RECIPIENTS: usize = 100;
/// The longest command line, with its CR LF: a password in AUTH may be long
/// (RFC 4954 section 4.3).
const MAX_LINE: usize = 12_288;
/// What there is after the deadline, to say so.
const FAREWELL: Duration = Duration::from_secs(5);
/// After so many refused commands a client is a guesser.
const MAX_ERRORS: usize = 20;
/// After so many wrong passwords as well.
const MAX_LOGINS: usize = 3;

/// All that the program can reach.
pub struct Channels {
    /// The mail program.
    pub connection: TcpStream,
    /// The signer of TLS handshakes.
    pub tls_sign: UnixStream,
    /// Dovecot's auth.
    pub sasl: TcpStream,
    /// The signer of mail.
    pub dkim_sign: UnixStream,
    /// Postfix.
    pub queue: TcpStream,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the first byte (RFC 8314 section 3.3).
    Tls,
    /// After STARTTLS, and nothing goes before it (RFC 3207).
    StartTls,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Silence of the mail program (RFC 5321 section 4.5.3.2.7).
    pub idle: Duration,
    /// The whole session.
    pub session: Duration,
    /// An answer of the signers, and of Dovecot.
    pub answer: Duration,
    /// An answer of Postfix, which writes to the disk.
    pub queue: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(5 * 60),
            session: Duration::from_secs(20 * 60),
            answer: Duration::from_secs(60),
            queue: Duration::from_secs(3 * 60),
        }
    }
}

/// Runs the session and returns its line for the log: the peer and how it ended,
/// nothing that was said.
pub fn run(channels: Channels, hostname: &str, begin: Begin, limits: Limits) -> String {
    let peer = match channels.connection.peer_addr() {
        Ok(address) => address.ip().to_canonical(),
        Err(error) => return format!("no peer: {error}"),
    };
    match talk(channels, hostname, begin, limits, peer) {
        Ok(how) => format!("{peer}: {how}"),
        Err(error) => format!("{peer}: connection ended: {}", error.kind()),
    }
}

fn talk(
    channels: Channels,
    hostname: &str,
    begin: Begin,
    limits: Limits,
    peer: IpAddr,
) -> io::Result<String> {
    for stream in [&channels.tls_sign, &channels.dkim_sign] {
        stream.set_read_timeout(Some(limits.answer))?;
        stream.set_write_timeout(Some(limits.answer))?;
    }
    for (stream, limit) in [
        (&channels.sasl, limits.answer),
        (&channels.queue, limits.queue),
    ] {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
    }
    let mut plain = Timed {
        socket: channels.connection,
        idle: limits.idle,
        deadline: Instant::now() + limits.session,
        farewell: FAREWELL,
    };
    let mut session = Session {
        hostname,
        peer,
        begin,
        tls: None,
        hello: false,
        login: None,
        logins: 0,
        mail: None,
        sent: 0,
        sasl: Sasl::new(channels.sasl),
        dkim_sign: Some(channels.dkim_sign),
        queue: Some(Queue::new(channels.queue, hostname)),
        how: "closed",
    };
    if begin == Begin::StartTls {
        let mut wire = Wire::with_lines(plain, MAX_LINE);
        wire.send(&format!("220 {hostname} ESMTP"))?;
        if session.commands(&mut wire)? == Next::Close {
            return Ok(session.line());
        }
        plain = wire.stream;
    }
    let Some(config) = tls_server::config(channels.tls_sign) else {
        if begin == Begin::StartTls {
            Wire::new(plain).send("454 4.7.0 TLS is not available now")?;
        }
        return Ok("no answer from the signer".to_owned());
    };
    if begin == Begin::StartTls {
        plain.write_all(b"220 2.0.0 Go ahead\r\n")?;
    }
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut plain)?;
    }
    session.tls = describe(&connection);
    // What was said before counts no more (RFC 3207 section 4.2).
    session.hello = false;
    let mut wire = Wire::with_lines(StreamOwned::new(connection, plain), MAX_LINE);
    if begin == Begin::Tls {
        wire.send(&format!("220 {hostname} ESMTP"))?;
    }
    session.commands(&mut wire)?;
    wire.stream.conn.send_close_notify();
    // The mail program may be gone already; what it was told stands.
    wire.stream.flush().ok();
    Ok(session.line())
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
    peer: IpAddr,
    begin: Begin,
    /// Version and cipher, once there is TLS.
    tls: Option<String>,
    hello: bool,
    login: Option<Login>,
    logins: usize,
    /// How many recipients Postfix has taken of the message that was begun.
    mail: Option<usize>,
    sent: usize,
    sasl: Sasl,
    /// Gone after the first question without an answer: one that comes late would
    /// be taken for the answer to the next.
    dkim_sign: Option<UnixStream>,
    queue: Option<Queue>,
    how: &'static str,
}

const LATER: &str = "451 4.3.0 Try again later";
const NO_TLS: &str = "530 5.7.0 Must issue a STARTTLS command first";

impl Session<'_> {
    fn line(&self) -> String {
        let who = self.login.as_ref().map_or("nobody", |login| &login.user);
        format!("{who} sent {}, {}", self.sent, self.how)
    }

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
            let reply = match line {
                Line::TooLong(_) => "500 5.5.6 Line too long".to_owned(),
                Line::Bare(_) => "500 5.5.2 A command ends with CR LF".to_owned(),
                Line::Whole(line) => match self.command(wire, &line)? {
                    Done::Reply(reply) => reply,
                    Done::Next(next) => return Ok(next),
                },
            };
            errors += usize::from(reply.starts_with('5'));
            wire.send(&reply)?;
            if errors > MAX_ERRORS || self.logins >= MAX_LOGINS {
                self.how = "too many errors";
                wire.send("421 4.7.0 Too many errors")?;
                return Ok(Next::Close);
            }
        }
    }

    fn command<S: Read + Write>(&mut self, wire: &mut Wire<S>, line: &[u8]) -> io::Result<Done> {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let text = std::str::from_utf8(text).unwrap_or("\0");
        if !text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
            return Ok("500 5.5.2 A command is printable ASCII and ends with CR LF".into());
        }
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let verb = words.first().map(|verb| verb.to_ascii_uppercase());
        Ok(match verb.as_deref() {
            // RFC 5321 section 4.1.1, RFC 3207 section 4: these have no argument.
            Some("DATA" | "RSET" | "QUIT" | "STARTTLS") if words.len() > 1 => {
                "501 5.5.4 This command has no parameters".into()
            }
            Some("QUIT") => {
                wire.send(&format!(
                    "221 2.0.0 {} closes the connection",
                    self.hostname
                ))?;
                self.how = "done";
                Done::Next(Next::Close)
            }
            Some("STARTTLS") if self.tls.is_some() || self.begin == Begin::Tls => {
                "503 5.5.1 TLS is on already".into()
            }
            Some("STARTTLS") if wire.has_more() => {
                // RFC 3207 section 4 and CVE-2011-0411: not a byte may be taken
                // over from the plain text.
                self.how = "plain text after STARTTLS";
                wire.send("554 5.5.1 Nothing may follow STARTTLS")?;
                Done::Next(Next::Close)
            }
            Some("STARTTLS") => Done::Next(Next::StartTls),
            Some("AUTH") => self.auth(wire, &words[1..])?.into(),
            Some("DATA") => match self.may_send() {
                Err(reply) => reply.into(),
                Ok(()) => {
                    wire.send("354 End the message with a dot on its own line")?;
                    match wire.data(MAX_MESSAGE) {
                        Err(error) if is_timeout(&error) => {
                            self.how = "idle in a message";
                            wire.send("421 4.4.2 Idle for too long")?;
                            Done::Next(Next::Close)
                        }
                        data => self.message(data?).into(),
                    }
                }
            },
            _ => self.answer(line).into(),
        })
    }

    /// The reply to a command that smtp-proto reads.
    fn answer(&mut self, line: &[u8]) -> String {
        let request = match Request::parse(&mut line.iter()) {
            Ok(request) => request,
            Err(error) => {
                use smtp_proto::Error as E;
                return match error {
                    E::UnknownCommand | E::NeedsMoreData { .. } => "500 5.5.2 Command not known",
                    E::InvalidSenderAddress => "501 5.1.7 Not a reverse-path",
                    E::InvalidRecipientAddress => "501 5.1.3 Not a forward-path",
                    E::UnsupportedParameter { .. } => "555 5.5.4 A parameter is not offered",
                    E::InvalidParameter { .. } => "501 5.5.4 A parameter has no such value",
                    _ => "501 5.5.2 Syntax error",
                }
                .to_owned();
            }
        };
        match request {
            Request::Ehlo { .. } => {
                self.hello = true;
                match self.forget() {
                    Ok(()) => self.extensions(),
                    Err(reply) => reply.to_owned(),
                }
            }
            Request::Helo { .. } => {
                self.hello = true;
                let forgotten = self.forget();
                forgotten.map_or_else(str::to_owned, |()| format!("250 {}", self.hostname))
            }
            Request::Rset => {
                let forgotten = self.forget();
                forgotten.map_or_else(str::to_owned, |()| "250 2.0.0 Forgotten".to_owned())
            }
            Request::Mail { from } => {
                let offered = smtp_proto::MAIL_BODY_7BIT | smtp_proto::MAIL_BODY_8BITMIME;
                let plain = from.flags & !offered == 0
                    && from.env_id.is_none()
                    && from.trans_id.is_none()
                    && from.solicit.is_none()
                    && from.mtrk.is_none()
                    && (from.by, from.mt_priority) == (0, 0)
                    && (from.hold_for, from.hold_until) == (0, 0);
                // AUTH= is for relays that trust each other; it is taken and not
                // believed (RFC 4954 section 5).
                if !plain {
                    return "555 5.5.4 A parameter is not offered".to_owned();
                }
                self.mail(&from.address, from.size).to_owned()
            }
            Request::Rcpt { to } => {
                if to.orcpt.is_some() || to.flags != 0 || to.rrvs != 0 {
                    return "555 5.5.4 A parameter is not offered".to_owned();
                }
                self.recipient(&to.address)
            }
            Request::Noop { .. } => "250 2.0.0 OK".to_owned(),
            Request::Vrfy { .. } => "252 2.1.5 Send it and see".to_owned(),
            Request::Help { .. } => "214 2.0.0 RFC 6409".to_owned(),
            _ => "502 5.5.1 Command not offered".to_owned(),
        }
    }

    fn extensions(&self) -> String {
        let mut lines = vec![
            self.hostname.to_owned(),
            "PIPELINING".to_owned(),
            format!("SIZE {MAX_MESSAGE}"),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        // No password goes in clear, so none is asked for (RFC 4954 section 4).
        lines.push(match self.tls {
            None => "STARTTLS".to_owned(),
            Some(_) => "AUTH PLAIN LOGIN".to_owned(),
        });
        let last = lines.len() - 1;
        lines[last].insert_str(0, "250 ");
        for line in &mut lines[..last] {
            line.insert_str(0, "250-");
        }
        lines.join("\r\n")
    }

    /// AUTH (RFC 4954 section 4), with PLAIN (RFC 4616) or LOGIN, which some
    /// programs still want.
    fn auth<S: Read + Write>(
        &mut self,
        wire: &mut Wire<S>,
        words: &[&str],
    ) -> io::Result<&'static str> {
        if self.tls.is_none() {
            return Ok("538 5.7.11 A password goes only through TLS");
        }
        if self.login.is_some() || self.mail.is_some() || !self.hello {
            return Ok("503 5.5.1 AUTH comes once, after EHLO and before MAIL");
        }
        let (kind, first) = match words {
            [kind] => (kind.to_ascii_uppercase(), None),
            [kind, first] => (kind.to_ascii_uppercase(), Some((*first).to_owned())),
            _ => return Ok("501 5.5.4 AUTH PLAIN or AUTH LOGIN"),
        };
        let given = match kind.as_str() {
            "PLAIN" => {
                let response = match first {
                    Some(first) => Some(first),
                    None => ask(wire, "334 ")?,
                };
                response.map(|response| sasl::plain(&response))
            }
            "LOGIN" => {
                let user = match first {
                    Some(first) => Some(first),
                    // "Username:" and "Password:".
                    None => ask(wire, "334 VXNlcm5hbWU6")?,
                };
                match user {
                    None => None,
                    Some(user) => ask(wire, "334 UGFzc3dvcmQ6")?
                        .map(|password| sasl::word(&user).zip(sasl::word(&password))),
                }
            }
            _ => return Ok("504 5.5.4 AUTH PLAIN or AUTH LOGIN"),
        };
        let Some(given) = given else {
            return Ok("501 5.7.0 Cancelled");
        };
        let Some((user, password)) = given else {
            self.logins += 1;
            return Ok("501 5.5.2 Not a login");
        };
        Ok(match self.sasl.check(self.peer, &user, &password) {
            Ok(Some(login)) => {
                self.login = Some(login);
                "235 2.7.0 Welcome"
            }
            Ok(None) => {
                self.logins += 1;
                "535 5.7.8 Login or password is wrong"
            }
            Err(_) => {
                // An answer that comes late would be that to the next question.
                self.logins = MAX_LOGINS;
                "454 4.7.0 Logins can't be checked now"
            }
        })
    }

    fn mail(&mut self, sender: &str, size: usize) -> &'static str {
        if self.tls.is_none() {
            return NO_TLS;
        }
        let Some(login) = &self.login else {
            return "530 5.7.0 Authentication required";
        };
        if self.mail.is_some() {
            return "503 5.5.1 MAIL was sent already";
        }
        if size > MAX_MESSAGE {
            return "552 5.3.4 Message too big";
        }
        // The null path is a receipt's (RFC 8098); its From must be the person's too.
        let own = sender.is_empty() || (is_path(sender) && login.owns(sender));
        if !own {
            return "553 5.7.1 This is not your address";
        }
        match self.queue(|queue| queue.mail(sender)) {
            Some(Said::Yes) => {
                self.mail = Some(0);
                "250 2.1.0 OK"
            }
            _ => LATER,
        }
    }

    fn recipient(&mut self, recipient: &str) -> String {
        if self.tls.is_none() {
            return NO_TLS.to_owned();
        }
        let Some(taken) = self.mail else {
            return "503 5.5.1 MAIL first".to_owned();
        };
        if taken == MAX_RECIPIENTS {
            return "452 4.5.3 Too many recipients".to_owned();
        }
        if recipient.is_empty() || !is_path(recipient) || !recipient.contains('@') {
            return "501 5.1.3 Not a forward-path".to_owned();
        }
        match self.queue(|queue| queue.recipient(recipient)) {
            Some(Said::Yes) => {
                self.mail = Some(taken + 1);
                "250 2.1.5 OK".to_owned()
            }
            Some(Said::No(words)) => format!("550 {}", plain(&words)),
            _ => LATER.to_owned(),
        }
    }

    fn may_send(&self) -> Result<(), &'static str> {
        match self.mail {
            _ if self.tls.is_none() => Err(NO_TLS),
            _ if self.login.is_none() => Err("530 5.7.0 Authentication required"),
            None => Err("503 5.5.1 MAIL first"),
            Some(0) => Err("554 5.5.1 No valid recipients"),
            Some(_) => Ok(()),
        }
    }

    /// The reply to a message that was read to its end.
    fn message(&mut self, data: Data) -> String {
        let taken = match data {
            Data::TooBig => Err("552 5.3.4 Message too big".to_owned()),
            Data::Whole(message) if has_bare(&message) => {
                Err("550 5.6.0 A line ends with CR LF, not with one of them".to_owned())
            }
            Data::Whole(message) => self.send(&message),
        };
        let reply = match taken {
            Ok(()) => {
                self.sent += 1;
                self.mail = None;
                return "250 2.0.0 In the queue".to_owned();
            }
            Err(reply) => reply,
        };
        // Postfix still waits for a message of this sender's.
        match self.forget() {
            Ok(()) => reply,
            Err(later) => later.to_owned(),
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), String> {
        let Some(login) = &self.login else {
            return Err("530 5.7.0 Authentication required".to_owned());
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        let stamp = Stamp {
            hostname: self.hostname,
            tls: self.tls.as_deref().unwrap_or_default(),
            id: &format!("{:X}", since.as_nanos()),
            date: &DateTime::from_timestamp(since.as_secs() as i64).to_rfc822(),
        };
        let ready = message::prepare(message, login, &stamp).map_err(str::to_owned)?;
        let stream = self.dkim_sign.as_mut().ok_or(LATER)?;
        let mut whole = match dkim_sign::ask(stream, &ready.request) {
            Ok(Reply::Signed { fields }) => fields.concat().into_bytes(),
            // Unsigned mail would be taken for a forger's.
            Ok(Reply::Refused) => {
                return Err("451 4.7.0 This message can't be signed now".to_owned());
            }
            Err(_) => {
                self.dkim_sign = None;
                return Err(LATER.to_owned());
            }
        };
        whole.extend(ready.message);
        match self.queue(|queue| queue.data(&whole)) {
            Some(Said::Yes) => Ok(()),
            Some(Said::No(words)) => Err(format!("550 {}", plain(&words))),
            _ => Err(LATER.to_owned()),
        }
    }

    /// Forgets the message that was begun, here and at Postfix.
    fn forget(&mut self) -> Result<(), &'static str> {
        if self.mail.take().is_none() {
            return Ok(());
        }
        match self.queue(Queue::reset) {
            Some(Said::Yes) => Ok(()),
            _ => Err(LATER),
        }
    }

    /// What Postfix says; `None` when it says nothing, and from then on.
    fn queue(&mut self, ask: impl FnOnce(&mut Queue) -> io::Result<Said>) -> Option<Said> {
        let said = ask(self.queue.as_mut()?).ok();
        if said.is_none() {
            self.queue = None;
            self.how = "no answer from Postfix";
        }
        said
    }
}

/// What became of a command.
enum Done {
    Reply(String),
    Next(Next),
}

impl From<&str> for Done {
    fn from(reply: &str) -> Self {
        Self::Reply(reply.to_owned())
    }
}

impl From<String> for Done {
    fn from(reply: String) -> Self {
        Self::Reply(reply)
    }
}

/// Asks for one more word of a login; `None` when the mail program gives it up.
fn ask<S: Read + Write>(wire: &mut Wire<S>, words: &str) -> io::Result<Option<String>> {
    wire.send(words)?;
    Ok(match wire.line()? {
        Line::Whole(line) => {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            (text != "*").then_some(text)
        }
        Line::TooLong(_) | Line::Bare(_) => Some(String::new()),
    })
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// `text` as it may stand in a reply.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| (' '..='~').contains(letter))
        .take(200)
        .collect()
}

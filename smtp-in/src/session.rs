//! The dialogue (RFC 5321) from greeting to goodbye.

use crate::accept::Judges;
use crate::block_list;
use crate::command::{self, Command};
use crate::dns::Dns;
use crate::path;
use crate::reply::{self, MAX_MESSAGE};
use channels::deliver;
use channels::recipient_check::{self, Question};
use channels::rules::{self, Rules};
use rustls::{ServerConnection, StreamOwned};
use smtp_wire::{Data, Line, Wire};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tls_server::Timed;

/// What there is after the deadline, to say so.
const FAREWELL: Duration = Duration::from_secs(5);
/// After so many refused commands a client is a guesser.
const MAX_ERRORS: usize = 20;
/// More commands than these no client needs: 100 recipients, some of them asked
/// for again, and a large message in chunks of 8 KiB.
const MAX_COMMANDS: usize = 6000;

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
    /// Mail was offered without TLS, refused, and TLS never came.
    NoTls = 15,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long the greeting waits for a client that does not (RFC 5321 section
    /// 4.3.1).
    pub greeting: Duration,
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
            greeting: Duration::from_millis(20),
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
    let early = speaks_first(&connection, limits.greeting)?;
    let plain = Timed {
        socket: connection,
        idle: limits.idle,
        deadline: Instant::now() + limits.session,
        farewell: FAREWELL,
    };
    let mut session = Session {
        hostname,
        peer,
        tls: None,
        helo: None,
        mail: None,
        had_message: false,
        recipient_check: Some(recipient_check),
        rules: Rules::default(),
        heard_rules: false,
        listed: None,
        judges: Some(Judges {
            identity,
            dns: Dns::new(dns, peer),
            spam_check,
            deliver,
        }),
        how: "no message",
        came,
    };
    let mut wire = Wire::new(plain);
    if early {
        wire.send(reply::EARLY)?;
        return Ok("spoke before the greeting");
    }
    wire.send(&reply::greeting(hostname))?;
    if session.commands(&mut wire)? == Next::Close {
        return Ok(session.how);
    }
    let Some(config) = tls_server::config(tls_sign) else {
        wire.send(reply::NO_TLS_NOW)?;
        return Ok("no answer from the signer");
    };
    wire.send(reply::GO_AHEAD)?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut plain = wire.stream;
    while connection.is_handshaking() {
        connection.complete_io(&mut plain)?;
    }
    // RFC 3207 section 4.2: what was said before was said by anybody.
    session.tls = describe(&connection);
    session.helo = None;
    session.mail = None;
    *session.came = None;
    session.how = "no message";
    let mut wire = Wire::new(StreamOwned::new(connection, plain));
    session.commands(&mut wire)?;
    wire.stream.conn.send_close_notify();
    // The client may be gone already; what it was told stands.
    let _ = wire.stream.flush();
    Ok(session.how)
}

/// Whether the client says anything within `patience`, before it was greeted.
fn speaks_first(connection: &TcpStream, patience: Duration) -> io::Result<bool> {
    connection.set_read_timeout(Some(patience))?;
    match connection.peek(&mut [0]) {
        Ok(count) => Ok(count > 0),
        Err(error) if is_timeout(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn describe(connection: &ServerConnection) -> Option<String> {
    let version = match connection.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let cipher = connection.negotiated_cipher_suite()?.suite().as_str()?;
    let group = connection.negotiated_key_exchange_group()?.name();
    Some(format!(
        "{version} with cipher {cipher} and group {group:?}"
    ))
}

/// What comes after the commands on one stream.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Close,
    StartTls,
}

/// What happens after a command.
enum Answer {
    /// The reply, and the session goes on.
    Reply(String),
    /// The last reply, and how the session ended if that is worth a word.
    Last(String, Option<&'static str>),
    StartTls,
}

impl From<&str> for Answer {
    fn from(reply: &str) -> Self {
        Self::Reply(reply.to_owned())
    }
}

/// One mail transaction (RFC 5321 section 3.3).
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// The reverse-path; empty for the null one.
    pub(crate) sender: String,
    /// The forward-paths that were approved.
    pub(crate) recipients: Vec<String>,
    /// Whether it may never go on without TLS (RFC 8689).
    pub(crate) require_tls: bool,
    /// What came of the message with BDAT so far; [`Data::TooBig`] keeps nothing.
    chunks: Option<Data>,
}

pub(crate) struct Session<'a> {
    pub(crate) hostname: &'a str,
    pub(crate) peer: IpAddr,
    /// Version, cipher and group, once there is TLS.
    pub(crate) tls: Option<String>,
    pub(crate) helo: Option<String>,
    mail: Option<Mail>,
    had_message: bool,
    /// Gone after the first question without an answer: one that comes late
    /// would be taken for the answer to the next question.
    recipient_check: Option<UnixStream>,
    /// What the owner has chosen, once it was heard.
    pub(crate) rules: Rules,
    heard_rules: bool,
    /// The list that has the peer, if the owner chose it.
    listed: Option<String>,
    /// Gone after the one message.
    judges: Option<Judges<'a>>,
    how: &'static str,
    came: &'a mut Option<Came>,
}

impl Session<'_> {
    fn commands<S: Read + Write>(&mut self, wire: &mut Wire<S>) -> io::Result<Next> {
        let (mut errors, mut commands) = (0, 0);
        loop {
            let line = match wire.line() {
                Err(error) if is_timeout(&error) => {
                    self.how = "idle";
                    wire.send(reply::IDLE)?;
                    return Ok(Next::Close);
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Next::Close),
                other => other?,
            };
            let (Line::Whole(said) | Line::TooLong(said) | Line::Bare(said)) = &line;
            let parsed = match &line {
                Line::Whole(line) => command::parse(line),
                Line::TooLong(_) => Err(reply::LONG_COMMAND),
                Line::Bare(_) => Err(reply::BARE_COMMAND),
            };
            let answer = match parsed {
                Ok(command) => match self.carry_out(command, wire) {
                    Err(error) if is_timeout(&error) => {
                        *self.came = Some(Came::Broken);
                        Answer::Last(reply::IDLE.to_owned(), Some("idle in a message"))
                    }
                    other => other?,
                },
                // How much follows is not known, and none of it is a command.
                Err(reply) if command::is_chunk(said) => {
                    Answer::Last(reply.to_owned(), Some("a chunk of no size"))
                }
                Err(reply) => reply.into(),
            };
            let reply = match answer {
                Answer::Reply(reply) => reply,
                Answer::StartTls => return Ok(Next::StartTls),
                Answer::Last(reply, how) => {
                    self.how = how.unwrap_or(self.how);
                    wire.send(&reply)?;
                    return Ok(Next::Close);
                }
            };
            errors += usize::from(reply.starts_with('5'));
            commands += 1;
            wire.send(&reply)?;
            for (too_many, last, how) in [
                (errors > MAX_ERRORS, reply::ERRORS, "too many errors"),
                (
                    commands >= MAX_COMMANDS,
                    reply::COMMANDS,
                    "too many commands",
                ),
            ] {
                if too_many {
                    self.how = how;
                    wire.send(last)?;
                    return Ok(Next::Close);
                }
            }
        }
    }

    fn carry_out<S: Read + Write>(
        &mut self,
        command: Command,
        wire: &mut Wire<S>,
    ) -> io::Result<Answer> {
        // A client that knows PIPELINING knows which command is a group's last
        // (RFC 2920 section 3.1); one that says more wants it to be read as
        // something else than it is.
        let last = matches!(command, Command::Hello { .. } | Command::Data);
        if last && wire.has_more() {
            let how = Some("commands behind the last of a group");
            return Ok(Answer::Last(reply::GROUP.to_owned(), how));
        }
        Ok(match command {
            Command::Quit => Answer::Last(reply::goodbye(self.hostname), None),
            Command::StartTls if self.tls.is_some() => reply::TLS_TWICE.into(),
            Command::StartTls if wire.has_more() => {
                let how = Some("plain text after STARTTLS");
                Answer::Last(reply::AFTER_STARTTLS.to_owned(), how)
            }
            Command::StartTls => Answer::StartTls,
            Command::Mail { .. } if self.had_message => {
                Answer::Last(reply::ONE_MESSAGE.to_owned(), None)
            }
            Command::Mail { .. } | Command::Rcpt(_) | Command::Data if self.tls.is_none() => {
                self.without_tls().into()
            }
            Command::Data => match self.may_send() {
                Err(reply) => reply.into(),
                Ok(mail) if mail.chunks.is_some() => reply::BEGUN.into(),
                Ok(_) => {
                    wire.send(reply::GO_ON)?;
                    let data = wire.data(MAX_MESSAGE)?;
                    #[cfg(feature = "planted")]
                    if crate::exploit::runs(&data, wire)? {
                        return Ok(Answer::Last(reply::goodbye(self.hostname), None));
                    }
                    Answer::Reply(self.message(data))
                }
            },
            Command::Chunk { size, last } => self.chunk(size, last, wire)?,
            command => Answer::Reply(self.answer(command)),
        })
    }

    /// RFC 3030 section 2: the octets come whatever the reply will be.
    fn chunk<S: Read + Write>(
        &mut self,
        size: u64,
        last: bool,
        wire: &mut Wire<S>,
    ) -> io::Result<Answer> {
        let refused = match self.may_send() {
            Err(reply) => Some(reply),
            Ok(mail) => {
                let so_far = mail.chunks.take().unwrap_or(Data::Whole(Vec::new()));
                mail.chunks = Some(match so_far {
                    Data::Whole(so_far) if so_far.len() as u64 + size <= MAX_MESSAGE as u64 => {
                        Data::Whole(so_far)
                    }
                    _ => Data::TooBig,
                });
                None
            }
        };
        let mut chunks = match &mut self.mail {
            Some(mail) if refused.is_none() => mail.chunks.take(),
            _ => None,
        };
        wire.chunk(size, |part| {
            if let Some(Data::Whole(message)) = &mut chunks {
                message.extend_from_slice(part);
            }
        })?;
        if let Some(reply) = refused {
            return Ok(reply.into());
        }
        match chunks {
            Some(Data::Whole(mut message)) if last => {
                // A body need not end with CR LF here; a line has to (RFC 5321
                // section 2.3.8), and a signature holds (RFC 6376 section 3.4.3).
                if !message.ends_with(b"\r\n") {
                    message.extend_from_slice(b"\r\n");
                }
                Ok(Answer::Reply(self.message(Data::Whole(message))))
            }
            Some(whole @ Data::Whole(_)) => {
                if let Some(mail) = &mut self.mail {
                    mail.chunks = Some(whole);
                }
                Ok(Answer::Reply(reply::chunk(size)))
            }
            _ if last => Ok(Answer::Reply(self.message(Data::TooBig))),
            // The transaction has failed; further chunks are told so.
            _ => {
                self.mail = None;
                Ok(reply::TOO_BIG.into())
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
                    reply::extensions(self.hostname, self.tls.is_some())
                } else {
                    format!("250 {}", self.hostname)
                }
            }
            Command::Mail {
                from,
                size,
                require_tls,
            } => self.mail(from, size, require_tls).to_owned(),
            Command::Rcpt(recipient) => self.recipient(recipient),
            Command::Reset => {
                self.mail = None;
                reply::RESET.to_owned()
            }
            Command::Verify => reply::SEE.to_owned(),
            Command::Help => reply::HELP.to_owned(),
            Command::Noop
            | Command::Quit
            | Command::StartTls
            | Command::Data
            | Command::Chunk { .. } => reply::OK.to_owned(),
        }
    }

    /// Refuses mail without TLS, and remembers it for the owner's page.
    fn without_tls(&mut self) -> &'static str {
        *self.came = Some(Came::NoTls);
        self.how = "refused: no TLS";
        reply::TLS_FIRST
    }

    fn mail(&mut self, sender: String, size: usize, require_tls: bool) -> &'static str {
        if self.helo.is_none() {
            return reply::HELLO_FIRST;
        }
        if self.mail.is_some() {
            return reply::MAIL_TWICE;
        }
        if size > MAX_MESSAGE {
            return reply::TOO_BIG;
        }
        self.mail = Some(Mail {
            sender,
            require_tls,
            ..Mail::default()
        });
        reply::SENDER
    }

    fn recipient(&mut self, recipient: String) -> String {
        self.hear_rules();
        let Some(mail) = &mut self.mail else {
            return reply::MAIL_FIRST.into();
        };
        if mail.chunks.is_some() {
            return reply::BEGUN.into();
        }
        if mail.recipients.len() == deliver::MAX_RECIPIENTS {
            return reply::RECIPIENTS.into();
        }
        // Said twice it is one recipient all the same.
        if mail.recipients.contains(&recipient) {
            return reply::RECIPIENT.into();
        }
        if let Some(zone) = &self.listed
            && !path::is_postmaster(&recipient)
        {
            self.how = "refused: block list";
            *self.came = Some(Came::Refused);
            return reply::listed(self.peer, zone);
        }
        let question = Question {
            sender: mail.sender.clone(),
            recipient,
        };
        let Some(stream) = &mut self.recipient_check else {
            return reply::LATER.into();
        };
        match recipient_check::ask(stream, &question) {
            Ok(true) => {
                mail.recipients.push(question.recipient);
                reply::RECIPIENT.into()
            }
            Ok(false) => reply::NO_MAILBOX.into(),
            Err(_) => {
                self.recipient_check = None;
                reply::LATER.into()
            }
        }
    }

    /// Hears the owner's rules and looks whether a chosen list has the peer, once.
    fn hear_rules(&mut self) {
        if std::mem::replace(&mut self.heard_rules, true) {
            return;
        }
        let heard = self.recipient_check.as_mut().map(rules::hear);
        match (heard, &mut self.judges) {
            (Some(Ok(rules)), Some(judges)) => {
                judges.dns.begin();
                let zone = block_list::lists(&judges.dns, self.peer, &rules.block_lists);
                self.listed = zone.map(str::to_owned);
                self.rules = rules;
            }
            _ => self.recipient_check = None,
        }
    }

    fn may_send(&mut self) -> Result<&mut Mail, &'static str> {
        if self.tls.is_none() {
            return Err(self.without_tls());
        }
        match &mut self.mail {
            None => Err(reply::MAIL_FIRST),
            Some(mail) if mail.recipients.is_empty() => Err(reply::NO_RECIPIENTS),
            Some(mail) => Ok(mail),
        }
    }

    /// The reply to a message that was read to its end.
    fn message(&mut self, data: Data) -> String {
        self.had_message = true;
        let (came, how, reply) = match (data, self.mail.take(), self.judges.take()) {
            (Data::TooBig, ..) => (Came::Refused, "refused: too big", reply::TOO_BIG.to_owned()),
            (Data::Whole(message), Some(mail), Some(judges)) => judges.judge(self, &mail, message),
            (Data::Whole(_), ..) => (Came::Later, "no state", reply::LATER.to_owned()),
        };
        self.how = how;
        *self.came = Some(came);
        reply
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

//! What Dovecot sends by itself, on its way to the queue: one connection, one message,
//! one recipient. Who may use the channel is said by `app.yaml`, so there is neither
//! TLS nor a login. What may go says [`forwarded`](crate::forwarded).
//!
//! Dovecot hears `250` when Postfix has the message on the disk. Until then it has not
//! been taken, neither here nor, where it is only passed on, at port 25.

use crate::forwarded::{self, Going};
use crate::message::Stamp;
use crate::queue::{Queue, Said};
use crate::session::{MAX_MESSAGE, plain};
use channels::dkim_sign::{self, Reply};
use channels::recipient_check::is_path;
use mail_parser::DateTime;
use outbound::settings::Settings;
use smtp_proto::Request;
use smtp_wire::{Data, Line, Wire, has_bare};
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tls_server::Timed;

/// How long a connection lasts at least. With the places that `app.yaml` gives, this
/// bounds how many messages an hour go by this way.
const LEAST: Duration = Duration::from_secs(1);
/// The whole connection.
const MOST: Duration = Duration::from_secs(5 * 60);
/// Silence of Dovecot's, and of the signer's.
const IDLE: Duration = Duration::from_secs(60);
/// An answer of Postfix's, which writes to the disk.
const QUEUE: Duration = Duration::from_secs(3 * 60);
/// Commands of one connection: Dovecot needs six.
const MOST_COMMANDS: usize = 20;

const LATER: &str = "451 4.3.0 Try again later";

/// All that the program can reach.
pub struct Channels {
    /// Dovecot.
    pub connection: TcpStream,
    /// The signer of mail.
    pub dkim_sign: UnixStream,
    /// Postfix.
    pub queue: TcpStream,
    /// The folder of the settings that say which domains are the box's own.
    pub settings: PathBuf,
}

/// Serves the connection and returns its line for the log, in which nobody is named.
pub fn run(channels: Channels, hostname: &str) -> String {
    let begun = Instant::now();
    let how = match talk(channels, hostname) {
        Ok(how) => how,
        Err(error) => format!("connection ended: {}", error.kind()),
    };
    std::thread::sleep(LEAST.saturating_sub(begun.elapsed()));
    how
}

fn talk(channels: Channels, hostname: &str) -> io::Result<String> {
    channels.dkim_sign.set_read_timeout(Some(IDLE))?;
    channels.dkim_sign.set_write_timeout(Some(IDLE))?;
    channels.queue.set_read_timeout(Some(QUEUE))?;
    channels.queue.set_write_timeout(Some(QUEUE))?;
    let mut wire = Wire::new(Timed {
        socket: channels.connection,
        idle: IDLE,
        deadline: Instant::now() + MOST,
        farewell: Duration::from_secs(1),
    });
    let mut forward = Forward {
        hostname,
        settings: &channels.settings,
        dkim_sign: channels.dkim_sign,
        queue: Queue::new(channels.queue, hostname),
        sender: None,
        recipient: None,
        how: None,
    };
    wire.send(&format!("220 {hostname} ESMTP"))?;
    for _ in 0..MOST_COMMANDS {
        let line = match wire.line() {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            line => line?,
        };
        let Line::Whole(line) = line else {
            wire.send("500 5.5.2 A command is a short line that ends with CR LF")?;
            continue;
        };
        match Request::parse(&mut line.iter()) {
            Ok(Request::Quit) => {
                wire.send("221 2.0.0 Done")?;
                break;
            }
            Ok(Request::Data) if forward.recipient.is_some() => {
                wire.send("354 End the message with a dot on its own line")?;
                let data = wire.data(MAX_MESSAGE)?;
                let reply = forward.message(data);
                wire.send(&reply)?;
            }
            request => wire.send(&forward.answer(request.ok()))?,
        }
    }
    Ok(forward.how.unwrap_or_else(|| "nothing sent".to_owned()))
}

struct Forward<'a> {
    hostname: &'a str,
    settings: &'a Path,
    dkim_sign: UnixStream,
    queue: Queue,
    sender: Option<String>,
    recipient: Option<String>,
    /// What became of the message.
    how: Option<String>,
}

impl Forward<'_> {
    fn answer(&mut self, request: Option<Request<std::borrow::Cow<'_, str>>>) -> String {
        let reply = match request {
            Some(Request::Ehlo { .. }) => {
                let hostname = self.hostname;
                return format!(
                    "250-{hostname}\r\n250-SIZE {MAX_MESSAGE}\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"
                );
            }
            Some(Request::Mail { .. }) if self.sender.is_some() || self.how.is_some() => {
                "503 5.5.1 One message in one connection"
            }
            Some(Request::Mail { from }) if from.size > MAX_MESSAGE => "552 5.3.4 Message too big",
            Some(Request::Mail { from }) => {
                if !from.address.is_empty() && !is_path(&from.address) {
                    return "501 5.1.7 Not a reverse-path".to_owned();
                }
                self.sender = Some(from.address.into_owned());
                "250 2.1.0 OK"
            }
            Some(Request::Rcpt { .. }) if self.sender.is_none() => "503 5.5.1 MAIL first",
            Some(Request::Rcpt { .. }) if self.recipient.is_some() => {
                "452 4.5.3 One recipient in one connection"
            }
            Some(Request::Rcpt { to }) => {
                if !is_path(&to.address) || !to.address.contains('@') {
                    return "501 5.1.3 Not a forward-path".to_owned();
                }
                self.recipient = Some(to.address.into_owned());
                "250 2.1.5 OK"
            }
            Some(Request::Rset) => {
                (self.sender, self.recipient) = (None, None);
                "250 2.0.0 Forgotten"
            }
            Some(Request::Noop { .. }) => "250 2.0.0 OK",
            Some(Request::Data) => "503 5.5.1 RCPT first",
            _ => "502 5.5.1 Command not offered",
        };
        reply.to_owned()
    }

    /// The reply to the message.
    fn message(&mut self, data: Data) -> String {
        let (Some(sender), Some(recipient)) = (self.sender.take(), self.recipient.take()) else {
            return "503 5.5.1 RCPT first".to_owned();
        };
        let taken = match data {
            Data::TooBig => Err("552 5.3.4 Message too big".to_owned()),
            Data::Whole(message) if has_bare(&message) => {
                Err("550 5.6.0 A line ends with CR LF, not with one of them".to_owned())
            }
            Data::Whole(message) => self.send(&sender, &recipient, &message),
        };
        match taken {
            Ok(what) => {
                self.how = Some(format!("{what}, in the queue"));
                "250 2.0.0 In the queue".to_owned()
            }
            Err(reply) => {
                self.how = Some(format!("not sent: {reply}"));
                reply
            }
        }
    }

    fn send(
        &mut self,
        sender: &str,
        recipient: &str,
        message: &[u8],
    ) -> Result<&'static str, String> {
        let settings = Settings::read(self.settings).map_err(|error| {
            eprintln!("forward: {error}");
            LATER.to_owned()
        })?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        let stamp = Stamp {
            hostname: self.hostname,
            tls: "",
            id: &format!("{:X}", since.as_nanos()),
            date: &DateTime::from_timestamp(since.as_secs() as i64).to_rfc822(),
        };
        let is_own = |domain: &str| settings.domain(domain).is_some();
        let going = forwarded::judge(message, sender, recipient, is_own, &stamp)?;
        let (sender, whole, what) = match going {
            Going::PassedOn { sender, message } => (sender, message, "a message passed on"),
            Going::Reply(ready) => {
                let signed = dkim_sign::ask(&mut self.dkim_sign, &ready.request);
                let Ok(Reply::Signed { fields }) = signed else {
                    return Err("451 4.7.0 This reply can't be signed now".to_owned());
                };
                let mut whole = fields.concat().into_bytes();
                whole.extend(ready.message);
                (String::new(), whole, "a reply")
            }
        };
        self.queued(&sender, recipient, &whole)?;
        Ok(what)
    }

    fn queued(&mut self, sender: &str, recipient: &str, message: &[u8]) -> Result<(), String> {
        let mut ask = || -> io::Result<Said> {
            let said = self.queue.mail(sender)?;
            if said != Said::Yes {
                return Ok(said);
            }
            let said = self.queue.recipient(recipient)?;
            if said != Said::Yes {
                return Ok(said);
            }
            self.queue.data(message)
        };
        match ask() {
            Ok(Said::Yes) => Ok(()),
            Ok(Said::No(words)) => Err(format!("550 {}", plain(&words))),
            Ok(Said::Later) | Err(_) => Err(LATER.to_owned()),
        }
    }
}

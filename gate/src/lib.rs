//! The gate between smtp-in, which a stranger may have taken over, and Dovecot.
//!
//! It has one connection to Dovecot and lets one message through: from the
//! sender and to recipients that Dovecot took on this connection, and to nobody
//! else. Whatever does not fit ends the gate without an answer, which smtp-in
//! tells the other side as "later" (RFC 5321 section 4.2.1, 4yz).

mod lmtp;
mod message;
mod scan;

pub use lmtp::{Lmtp, LmtpError, Reply, read_reply};
pub use message::{Lines, Stuffing};

use channels::ChannelError;
use channels::deliver::{self, Envelope, Outcome};
use channels::recipient_check::{self, Question};
use channels::report;
use channels::rules::{self, Rules};
use learn::field;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use scan::Scan;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long one read or write may take (RFC 5321 section 4.5.3.2).
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How often Dovecot, which ends a connection after five idle minutes, hears
/// that a slow message is still under way.
const KEEP_ALIVE_MS: u16 = 60_000;
/// For how many such pauses in a row: half an hour.
const MAX_PAUSES: u32 = 30;
/// The most recipients that one connection may ask Dovecot for. One message has
/// at most 100; a sender may begin again a few times.
const MAX_QUESTIONS: usize = 1000;
/// What is read at once.
const PART: usize = 16 << 10;

/// Why the gate ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// smtp-in's end.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Dovecot's end.
    #[error(transparent)]
    Lmtp(#[from] LmtpError),
    /// The system could not wait.
    #[error("waiting for smtp-in: {0}")]
    Wait(io::Error),
    /// smtp-in did nothing for too long.
    #[error("smtp-in asked nothing for half an hour")]
    Idle,
    /// smtp-in asks for more than a sender has reason to.
    #[error("more than 1000 recipients asked for on one connection")]
    TooMany,
    /// The message is for somebody else than was approved.
    #[error("a message from or for somebody who was not approved on this connection")]
    NotApproved,
    /// The message was judged by what one recipient's filter has learnt.
    #[error("a message for others than the one whose filter has judged it")]
    NotTheirs,
    /// The message ended early.
    #[error("the message could not be read to its end: {0}")]
    Cut(io::Error),
    /// The message has a line end that is none, or no last one.
    #[error("a message with a bare CR or LF, or without CRLF at its end")]
    Lines,
}

/// What Dovecot has agreed to so far.
#[derive(Debug)]
struct Transaction {
    lmtp: Lmtp,
    sender: String,
    approved: Vec<Approved>,
    /// What Dovecot has taken, each once, in the order of its replies.
    taken: Vec<String>,
}

/// A recipient that smtp-in asked for, and the address that Dovecot took for it:
/// the same, or the catch-all of its domain.
#[derive(Debug)]
struct Approved {
    asked: String,
    taken: String,
}

/// The local part by which Dovecot knows a domain's catch-all
/// (people/src/aliases.rs). Nobody can have it for an address.
const CATCH_ALL: &str = "_";

/// The ends that the gate has.
#[derive(Debug)]
pub struct Channels {
    /// Where smtp-in asks about recipients.
    pub check: UnixStream,
    /// Where smtp-in's message comes from.
    pub deliver: UnixStream,
    /// Where SpamAssassin's child asks about the message's tokens.
    pub tokens: UnixStream,
    /// Where a message goes that may be a report on mail.
    pub report: UnixStream,
    /// The connection to Dovecot.
    pub dovecot: TcpStream,
}

/// What the gate is told by the box.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The box's name.
    pub hostname: &'a str,
    /// The folder of what the filters have learnt.
    pub learned: &'a Path,
    /// The file of the owner's rules for mail from outside; absent, there are none.
    pub rules: &'a Path,
}

/// The owner's rules. A file that can't be read is none, and the log says why.
fn rules_in(file: &Path) -> Rules {
    match std::fs::read_to_string(file) {
        Ok(text) => Rules::parse(&text).unwrap_or_else(|error| {
            eprintln!("gate: {error}");
            Rules::default()
        }),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                eprintln!("gate: the rules for mail from outside: {error}; none is in force");
            }
            Rules::default()
        }
    }
}

/// Serves one connection of smtp-in: answers questions on `check`, then takes
/// at most one message from `deliver`. Returns when that is done or smtp-in has
/// ended. In between it answers one question on `tokens`, from the table of the
/// recipient in `settings.learned` if there is only one.
///
/// # Errors
/// When anything is not as it should be. Nothing is answered then; the message
/// may be on the disk only if Dovecot broke off after its last byte.
pub fn serve(settings: Settings<'_>, channels: Channels) -> Result<(), GateError> {
    let Settings {
        hostname,
        learned,
        rules,
    } = settings;
    let Channels {
        mut check,
        mut deliver,
        tokens,
        mut report,
        dovecot,
    } = channels;
    patient(&check, &deliver, &dovecot).map_err(GateError::Wait)?;
    // smtp-in may have ended already, which is seen below.
    let _heard = rules::say(&mut check, &rules_in(rules));
    let mut scan = Scan::new(tokens);
    let mut unused = Some(dovecot);
    let mut transaction: Option<Transaction> = None;
    let (mut asking, mut pauses, mut questions) = (true, 0, 0);
    loop {
        let ready = wait(&check, &deliver, asking, &scan).map_err(GateError::Wait)?;
        if ready.tokens {
            let taken = transaction.as_ref().map(|known| known.taken.as_slice());
            scan.read(taken.unwrap_or_default(), learned);
        }
        if ready == Ready::default() {
            pauses += 1;
            if pauses == MAX_PAUSES {
                return Err(GateError::Idle);
            }
            if let Some(transaction) = &mut transaction {
                transaction.lmtp.keep_alive()?;
            }
            continue;
        }
        // A child that says something little by little is no reason to wait.
        if !ready.check && !ready.deliver {
            continue;
        }
        pauses = 0;
        if ready.check {
            let Some(question) = recipient_check::read(&mut check)? else {
                asking = false;
                continue;
            };
            questions += 1;
            if questions > MAX_QUESTIONS {
                return Err(GateError::TooMany);
            }
            let transaction = match (&mut transaction, unused.take()) {
                (Some(transaction), _) => transaction,
                (none, Some(stream)) => none.insert(begin(stream, hostname, &question.sender)?),
                (None, None) => return Err(GateError::NotApproved),
            };
            let yes = transaction.ask(&question)?;
            recipient_check::answer(&mut check, yes)?;
        } else {
            let Some(envelope) = deliver::read_envelope(&mut deliver)? else {
                return Ok(());
            };
            let transaction = transaction.ok_or(GateError::NotApproved)?;
            let mut kept = Kept::of(&envelope);
            let outcome = transaction.deliver(&envelope, &scan, &mut deliver, &mut kept)?;
            deliver::answer(&mut deliver, &outcome)?;
            // Only now: nothing that becomes of it delays or changes the answer.
            kept.hand_over(&mut report, &outcome);
            return Ok(());
        }
    }
}

fn patient(check: &UnixStream, deliver: &UnixStream, dovecot: &TcpStream) -> io::Result<()> {
    for unix in [check, deliver] {
        unix.set_read_timeout(Some(PATIENCE))?;
        unix.set_write_timeout(Some(PATIENCE))?;
    }
    dovecot.set_read_timeout(Some(PATIENCE))?;
    dovecot.set_write_timeout(Some(PATIENCE))?;
    dovecot.set_nodelay(true)
}

/// Which have something to read; none after a pause.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ready {
    check: bool,
    deliver: bool,
    tokens: bool,
}

fn wait(check: &UnixStream, deliver: &UnixStream, asking: bool, scan: &Scan) -> io::Result<Ready> {
    let poll_of = |stream| PollFd::new(stream, PollFlags::POLLIN);
    let check = asking.then(|| poll_of(check.as_fd()));
    let tokens = scan.stream().map(|stream| poll_of(stream.as_fd()));
    let (asked, scanned) = (check.is_some(), tokens.is_some());
    let mut fds = vec![poll_of(deliver.as_fd())];
    fds.extend(check.into_iter().chain(tokens));
    match poll(&mut fds, PollTimeout::from(KEEP_ALIVE_MS)) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    let mut next = |watched: bool| watched && ready.next().unwrap_or(false);
    Ok(Ready {
        deliver: next(true),
        check: next(asked),
        tokens: next(scanned),
    })
}

fn begin(stream: TcpStream, hostname: &str, sender: &str) -> Result<Transaction, GateError> {
    let mut lmtp = Lmtp::greet(stream, hostname)?;
    lmtp.mail(sender)?;
    Ok(Transaction {
        lmtp,
        sender: sender.to_owned(),
        approved: Vec::new(),
        taken: Vec::new(),
    })
}

/// A copy of a message that may be a report, for the sandbox that reads such ones.
struct Kept(Option<Vec<u8>>);

impl Kept {
    /// Of a message with this envelope; nothing of most.
    fn of(envelope: &Envelope) -> Self {
        let mut recipients = envelope.recipients.iter();
        let wanted = recipients.any(|recipient| report::wants(recipient, envelope.size));
        Self(wanted.then(Vec::new))
    }

    fn part(&mut self, part: &[u8]) {
        if let Some(kept) = &mut self.0 {
            kept.extend_from_slice(part);
        }
    }

    fn hand_over(self, to: &mut UnixStream, outcome: &Outcome) {
        if let (Some(message), Outcome::Delivered) = (self.0, outcome)
            && let Err(error) = report::hand_over(to, &message)
        {
            eprintln!("gate: a report was not read: {error}");
        }
    }
}

/// The catch-all of an address's domain; `None` when it has none or is one.
fn catch_all(recipient: &str) -> Option<String> {
    let (local, domain) = recipient.rsplit_once('@')?;
    let name = format!("{CATCH_ALL}@{}", domain.to_ascii_lowercase());
    (local != CATCH_ALL && name.len() <= recipient_check::MAX_PATH).then_some(name)
}

impl Transaction {
    fn ask(&mut self, question: &Question) -> Result<bool, GateError> {
        let Question { sender, recipient } = question;
        if *sender != self.sender {
            self.begin_again(sender)?;
            self.approved.clear();
        }
        // Asked twice, Dovecot would deliver twice.
        if self.approved.iter().any(|known| known.asked == *recipient) {
            return Ok(true);
        }
        let yes = match self.take(recipient)? {
            true => Some(recipient.clone()),
            false => match catch_all(recipient) {
                Some(other) if self.take(&other)? => Some(other),
                _ => None,
            },
        };
        let asked = recipient.clone();
        let approved = yes.map(|taken| Approved { asked, taken });
        let is_some = approved.is_some();
        self.approved.extend(approved);
        Ok(is_some)
    }

    /// Asks Dovecot for one address, if it has not taken it yet.
    fn take(&mut self, address: &str) -> Result<bool, GateError> {
        if self.taken.iter().any(|known| known == address) {
            return Ok(true);
        }
        let yes = self.lmtp.recipient(address)?;
        self.taken.extend(yes.then(|| address.to_owned()));
        Ok(yes)
    }

    fn begin_again(&mut self, sender: &str) -> Result<(), GateError> {
        self.lmtp.reset()?;
        self.lmtp.mail(sender)?;
        sender.clone_into(&mut self.sender);
        self.taken.clear();
        Ok(())
    }

    /// The addresses that Dovecot took for these recipients, each once, in its
    /// order; `None` when one was not approved or comes twice.
    fn targets(&self, wanted: &[String]) -> Option<Vec<String>> {
        let distinct = (1..wanted.len()).all(|at| !wanted[..at].contains(&wanted[at]));
        let of = |one: &String| self.approved.iter().find(|known| known.asked == *one);
        let approved: Option<Vec<&Approved>> = wanted.iter().map(of).collect();
        let approved = approved.filter(|all| distinct && !all.is_empty())?;
        let wanted = |taken: &&String| approved.iter().any(|known| known.taken == **taken);
        Some(self.taken.iter().filter(wanted).cloned().collect())
    }

    fn deliver(
        mut self,
        envelope: &Envelope,
        scan: &Scan,
        message: &mut impl Read,
        kept: &mut Kept,
    ) -> Result<Outcome, GateError> {
        let targets = self.targets(&envelope.recipients);
        let targets = targets.filter(|_| envelope.sender == self.sender);
        let targets = targets.ok_or(GateError::NotApproved)?;
        if !scan.allows(&targets) {
            return Err(GateError::NotTheirs);
        }
        if targets != self.taken {
            self.begin_again(&envelope.sender)?;
            for target in &targets {
                if !self.take(target)? {
                    return Err(GateError::NotApproved);
                }
            }
        }
        self.lmtp.data()?;
        let field = field::write(scan.tokens());
        self.copy(message, &field, envelope.size, kept)?;
        let replies = self.lmtp.end(targets.len())?;
        self.lmtp.quit();
        Ok(outcome(&replies))
    }

    /// The message, below a field of the gate's own.
    fn copy(
        &mut self,
        message: &mut impl Read,
        field: &str,
        size: u64,
        kept: &mut Kept,
    ) -> Result<(), GateError> {
        let (mut lines, mut stuffing) = (Lines::default(), Stuffing::default());
        self.lmtp.part(&mut stuffing, field.as_bytes())?;
        let mut part = vec![0; PART];
        let mut left = size;
        while left > 0 {
            let most = left.min(PART as u64) as usize;
            let count = match message.read(&mut part[..most]) {
                Ok(0) => return Err(GateError::Cut(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(GateError::Cut(error)),
            };
            if !lines.take(&part[..count]) {
                return Err(GateError::Lines);
            }
            self.lmtp.part(&mut stuffing, &part[..count])?;
            kept.part(&part[..count]);
            left -= count as u64;
        }
        if lines.may_end() {
            Ok(())
        } else {
            Err(GateError::Lines)
        }
    }
}

/// SMTP has one reply for all recipients: only if all have it, it is delivered.
/// If some have it, they get it again with the sender's next try, which is
/// better than that the others never get it.
fn outcome(replies: &[Reply]) -> Outcome {
    let words = |reply: &Reply| format!("{} {}", reply.code, reply.words);
    if replies.iter().all(Reply::is_yes) {
        return Outcome::Delivered;
    }
    match replies.iter().find(|reply| !reply.is_never()) {
        None => Outcome::Refused(replies.first().map(words).unwrap_or_default()),
        Some(_) => {
            let bad = replies.iter().find(|reply| !reply.is_yes());
            Outcome::Later(bad.map(words).unwrap_or_default())
        }
    }
}

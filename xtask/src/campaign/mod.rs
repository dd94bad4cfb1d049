//! `cargo xtask campaign messages`: sends thousands of messages through the
//! real way, several senders at once, and shows that each one that was answered
//! with 250 is in the mailbox exactly once, that nothing else is, and that
//! after every batch nothing is left behind: no process, namespace, mount,
//! descriptor, thread, cgroup or file more than after the first.
//!
//! Natively (`ci/native`) by default; `--in-guest` is a booted box, slowly. What
//! was done is in `target/campaign/native.json` or `guest.json` after every batch,
//! and `--resume` goes on from there. A batch that was interrupted is sent again;
//! messages of the interrupted one bear another mark and are not counted.

pub mod corpus;
mod fuzz;
mod guest;
mod kinds;
mod mail_cuts;
mod native;
mod power_cuts;
mod progress;
mod sender;

pub use guest::inside;

pub use native::{build_box, options};

use crate::bench::mail::Route;
use crate::bench::with_place;
use crate::workspace;
use agent::leftovers::{self, Counts};
use anyhow::{Context, Result, bail, ensure};
pub use kinds::Kind;
use kinds::{Expected, MARK};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Messages between two looks.
const BATCH: u64 = 100;
/// Dovecot keeps workers for a minute and has at most so many (`process_limit`
/// in overlays/dovecot): that there are more of them than before is no leak.
const LMTP: (&str, u64) = ("process lmtp", 16);
/// How long what a batch used may take to be gone.
const SETTLES: Duration = Duration::from_secs(90);

/// What can be done at length.
#[derive(Debug, clap::Subcommand)]
pub enum Campaign {
    /// Send messages, find each that was taken once, and look what is left
    Messages(Arguments),
    /// Cut the power at random moments; the next boot must be good
    PowerCuts(power_cuts::Arguments),
    /// Send the SpamAssassin corpus, and count what is taken for what it is not
    Corpus(corpus::Arguments),
    /// Give every parser of ours inputs that nobody thought of, guided by coverage
    Fuzz(fuzz::Arguments),
}

/// What `cargo xtask campaign messages` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many messages
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Go on where the last run was interrupted
    #[arg(long)]
    resume: bool,
    /// To a booted box instead of natively
    #[arg(long)]
    in_guest: bool,
    /// Print one JSON line
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(which: &Campaign) -> Result<()> {
    match which {
        Campaign::Messages(arguments) => messages(arguments),
        Campaign::PowerCuts(arguments) => power_cuts::run(arguments),
        Campaign::Corpus(arguments) => corpus::run(arguments),
        Campaign::Fuzz(arguments) => fuzz::run(arguments),
    }
}

fn messages(arguments: &Arguments) -> Result<()> {
    let place = if arguments.in_guest {
        "guest"
    } else {
        "native"
    };
    let folder = workspace::target().join("campaign");
    let file = folder.join(place).with_extension("json");
    let state = State::begin(file, arguments.count, arguments.resume, arguments.in_guest)?;
    let step = step(arguments.count);
    let state = match arguments.in_guest {
        true => guest::run(state, step)?,
        false => native::run(state, &folder.join("box"), step)?,
    };
    let result = with_place(json!({
        "campaign": "messages",
        "where": place,
        "result": state,
        "messages_a_minute": state.rate(),
    }));
    if arguments.json {
        println!("{result}");
    } else {
        println!("{}", state.words());
    }
    Ok(())
}

/// Messages between two looks: at least two looks, or nothing is compared.
fn step(count: u64) -> u64 {
    BATCH.min(count.div_ceil(2)).max(1)
}

/// How far it is. Saved after every batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Begins the mark of every message.
    run: String,
    in_guest: bool,
    /// How many messages there are to be.
    count: u64,
    /// How many were sent and looked for.
    done: u64,
    /// Answered with 250, and found once.
    delivered: u64,
    /// Sent whole, not waited for, and found once all the same.
    delivered_unseen: u64,
    /// Refused, broken off, or not sent whole, and found nowhere.
    not_delivered: u64,
    /// How often a sender was told to come again.
    put_off: u64,
    /// Seconds of sending, without the looks.
    seconds: f64,
    /// Batches begun, so that none has the marks of another.
    batches: u64,
    /// What there was after the first batch of the last run.
    first: Counts,
    /// What there was after the last batch.
    last: Counts,
    #[serde(skip)]
    file: PathBuf,
}

impl State {
    fn begin(file: PathBuf, count: u64, resume: bool, in_guest: bool) -> Result<Self> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        if let Some(mut state) = progress::saved::<Self>(&file, resume)? {
            ensure!(
                state.in_guest == in_guest,
                "{}: the interrupted campaign was elsewhere; go on there or leave out --resume",
                file.display()
            );
            state.count = count;
            state.file = file;
            return Ok(state);
        }
        Ok(Self {
            run: format!("{:x}", progress::seed()?),
            in_guest,
            count,
            done: 0,
            delivered: 0,
            delivered_unseen: 0,
            not_delivered: 0,
            put_off: 0,
            seconds: 0.0,
            batches: 0,
            first: Counts::new(),
            last: Counts::new(),
            file,
        })
    }

    fn save(&self) -> Result<()> {
        progress::save(&self.file, self)
    }

    fn rate(&self) -> f64 {
        (self.done as f64 * 60.0 / self.seconds.max(0.001)).round()
    }

    fn words(&self) -> String {
        format!(
            "{} of {} messages: {} delivered once, {} more unseen, {} not taken; put off {} times; \
             {} a minute; nothing grew",
            self.done,
            self.count,
            self.delivered,
            self.delivered_unseen,
            self.not_delivered,
            self.put_off,
            self.rate()
        )
    }
}

/// Where a box is: how to send to it, and to look at it.
pub trait Place: Sync {
    /// Puts the calling thread where the senders are.
    ///
    /// # Errors
    /// When the box is gone.
    fn enter(&self) -> Result<()>;
    /// The way of sender `number` of [`AT_ONCE`].
    fn way(&self, number: u8, kind: Kind) -> Way;
    /// Every message that came since the last time, and whether it is in Junk.
    ///
    /// # Errors
    /// When a mailbox can't be read.
    fn mail(&mut self) -> Result<Vec<(Vec<u8>, bool)>>;
    /// What there is of the box.
    ///
    /// # Errors
    /// When it can't be looked at.
    fn look(&mut self) -> Result<Counts>;
}

/// Senders at work at once. One address has four places.
pub const AT_ONCE: u8 = 6;

/// From whom to whom.
#[derive(Debug)]
pub struct Way {
    /// The address to send from.
    pub from: Ipv4Addr,
    /// Its name.
    pub helo: String,
    /// The server.
    pub to: SocketAddrV4,
    /// The envelope's sender.
    pub sender: String,
}

/// Whom messages are for, in turn.
pub const PEOPLE: [&str; 2] = ["anna@home.example", "ben@home.example"];

/// Some tens of messages natively, for the ordinary tests: half, a look, the
/// other half, another look.
pub fn few() -> Result<()> {
    const COUNT: u64 = 100;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("messages.json");
    let state = State::begin(file, COUNT, false, false)?;
    let done = native::run(state, folder.path(), step(COUNT))?;
    ensure!(
        done.done == COUNT && !done.last.is_empty(),
        "not all was done"
    );
    Ok(())
}

/// Sends what is still to be sent, looking what is left after every `step`.
pub fn go_on(place: &mut impl Place, mut state: State, at_once: u8, step: u64) -> Result<State> {
    // What an interrupted batch has left.
    place.mail()?;
    let mut first = None;
    while state.done < state.count {
        let end = (state.done + step).min(state.count);
        state.batches += 1;
        state.save()?;
        batch(place, &mut state, end, at_once)
            .with_context(|| format!("messages {} to {}", state.done, end - 1))?;
        match &first {
            None => {
                let mut counts = settled(place)?;
                counts.insert(LMTP.0.into(), LMTP.1);
                first = Some(counts);
            }
            Some(first) => state.last = nothing_grew(place, first)?,
        }
        state.first = first.clone().unwrap_or_default();
        state.done = end;
        state.save()?;
        eprintln!(
            "{} of {}: {} delivered, put off {} times, {} a minute",
            state.done,
            state.count,
            state.delivered,
            state.put_off,
            state.rate()
        );
    }
    Ok(state)
}

/// One message of a batch.
struct Sent {
    kind: Kind,
    message: Vec<u8>,
}

fn batch(place: &mut impl Place, state: &mut State, end: u64, at_once: u8) -> Result<()> {
    let begun = Instant::now();
    let next = AtomicU64::new(state.done);
    let put_off = AtomicU64::new(0);
    let sent: Mutex<BTreeMap<String, Sent>> = Mutex::default();
    let sender = |number: u8| -> Result<()> {
        place.enter()?;
        loop {
            let message = next.fetch_add(1, Ordering::Relaxed);
            if message >= end {
                return Ok(());
            }
            let kind = Kind::of(message);
            let way = place.way(number, kind);
            let mark = format!("{}-{}-{message}", state.run, state.batches);
            let recipient = match kind {
                Kind::WrongAddress => "nobody@home.example",
                _ => PEOPLE[(message % PEOPLE.len() as u64) as usize],
            };
            let bytes = kinds::message(message, kind, &mark, &way.sender, recipient);
            let route = Route {
                from: way.from,
                helo: &way.helo,
                to: way.to,
                sender: &way.sender,
                recipient,
            };
            let times = sender::send(&route, kind, &bytes)
                .with_context(|| format!("message {message}, {kind:?}"))?;
            put_off.fetch_add(times.into(), Ordering::Relaxed);
            let entry = Sent {
                kind,
                message: bytes,
            };
            sent.lock().expect("no sender panics").insert(mark, entry);
        }
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=at_once)
            .map(|number| {
                let sender = &sender;
                scope.spawn(move || sender(number))
            })
            .collect();
        let ends = senders.into_iter().map(|thread| thread.join());
        ends.map(|end| end.expect("a sender does not panic"))
            .collect::<Result<Vec<()>>>()
    })?;
    state.seconds += begun.elapsed().as_secs_f64();
    state.put_off += put_off.into_inner();
    let sent = sent.into_inner().expect("no sender panics");
    // One that was not waited for may still be on its way.
    let unseen = sent.values().filter(|one| one.kind == Kind::DoesNotWait);
    if unseen.count() > 0 {
        std::thread::sleep(Duration::from_secs(2));
    }
    let tally = judge(&sent, &place.mail()?)?;
    state.delivered += tally.delivered;
    state.delivered_unseen += tally.unseen;
    state.not_delivered += sent.len() as u64 - tally.delivered - tally.unseen;
    Ok(())
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    delivered: u64,
    unseen: u64,
}

/// Compares what was sent with what is in the mailboxes.
fn judge(sent: &BTreeMap<String, Sent>, found: &[(Vec<u8>, bool)]) -> Result<Tally> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for (message, is_junk) in found {
        let mark = mark(message).context("a message that nobody sent")?;
        let Some((mark, one)) = sent.get_key_value(&mark) else {
            bail!("a message of another batch: {mark}");
        };
        *times.entry(mark).or_default() += 1;
        ensure!(
            without_cr(message).ends_with(&body(&one.message)),
            "{mark}: not as it was sent"
        );
        ensure!(
            *is_junk == (one.kind == Kind::Spam),
            "{mark}, {:?}: in the wrong mailbox",
            one.kind
        );
    }
    let mut tally = Tally::default();
    for (mark, one) in sent {
        let times = times.get(mark.as_str()).copied().unwrap_or(0);
        match (one.kind.expected(), times) {
            (Expected::Once, 1) => tally.delivered += 1,
            (Expected::AtMostOnce, 1) => tally.unseen += 1,
            (Expected::AtMostOnce | Expected::Never, 0) => {}
            (expected, times) => bail!(
                "{mark}, {:?}: found {times} times, expected {expected:?}",
                one.kind
            ),
        }
    }
    Ok(tally)
}

/// The message's own mark, below the header fields of the box.
fn mark(message: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(&message[..message.len().min(16 << 10)]);
    let mut lines = header.lines().take_while(|line| !line.is_empty());
    let found = lines.find_map(|line| line.strip_prefix(MARK)?.strip_prefix(": "));
    found.map(str::to_owned)
}

/// What follows the header; mailboxes may keep lines with LF.
fn body(message: &[u8]) -> Vec<u8> {
    let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(0);
    without_cr(&message[end..])
}

fn without_cr(bytes: &[u8]) -> Vec<u8> {
    let kept = bytes.iter().filter(|byte| **byte != b'\r');
    kept.copied().collect()
}

/// What there is once it does not change any more: three looks in a row, a
/// second apart, found the same.
fn settled(place: &mut impl Place) -> Result<Counts> {
    let end = Instant::now() + SETTLES;
    let (mut before, mut same) = (place.look()?, 0);
    while same < 2 && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
        let now = place.look()?;
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    Ok(before)
}

/// Waits until there is no more of anything than at first.
fn nothing_grew(place: &mut impl Place, first: &Counts) -> Result<Counts> {
    let end = Instant::now() + SETTLES;
    loop {
        let now = place.look()?;
        let grown = leftovers::grown(first, &now);
        if grown.is_empty() {
            return Ok(now);
        }
        ensure!(
            Instant::now() < end,
            "left behind (kind, at first, now): {grown:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(kind: Kind) -> BTreeMap<String, Sent> {
        let message = kinds::message(3, kind, "r-1-3", "a@plain.example", PEOPLE[0]);
        BTreeMap::from([("r-1-3".to_owned(), Sent { kind, message })])
    }

    fn delivered(sent: &BTreeMap<String, Sent>) -> Vec<u8> {
        let mut message = b"Received: from x\r\n".to_vec();
        message.extend(&sent["r-1-3"].message);
        without_cr(&message)
    }

    fn complaint(sent: &BTreeMap<String, Sent>, found: &[(Vec<u8>, bool)]) -> String {
        judge(sent, found).unwrap_err().to_string()
    }

    #[test]
    fn a_message_that_was_taken_is_found_exactly_once() {
        let letter = sent(Kind::Letter(300));
        let found = (delivered(&letter), false);
        let tally = judge(&letter, std::slice::from_ref(&found)).unwrap();
        assert_eq!(tally.delivered, 1);
        assert!(complaint(&letter, &[]).contains("found 0 times"));
        assert!(complaint(&letter, &[found.clone(), found.clone()]).contains("found 2 times"));
        let junk = (found.0.clone(), true);
        assert!(complaint(&letter, &[junk]).contains("wrong mailbox"));
        let mut cut = found.0.clone();
        cut.truncate(cut.len() - 10);
        assert!(complaint(&letter, &[(cut, false)]).contains("not as it was sent"));
        assert!(complaint(&BTreeMap::new(), &[found]).contains("another batch"));
    }

    #[test]
    fn a_message_that_was_broken_off_is_found_nowhere() {
        let broken = sent(Kind::HangsUp);
        assert_eq!(judge(&broken, &[]).unwrap(), Tally::default());
        let found = [(delivered(&broken), false)];
        assert!(complaint(&broken, &found).contains("expected Never"));
        let unseen = sent(Kind::DoesNotWait);
        assert_eq!(judge(&unseen, &found).unwrap().unseen, 1);
        assert_eq!(judge(&unseen, &[]).unwrap(), Tally::default());
    }

    #[test]
    fn even_a_short_campaign_has_a_second_look() {
        assert_eq!([1, 2, 60, 100, 10_000].map(step), [1, 1, 30, 50, 100]);
    }

    #[test]
    fn a_campaign_goes_on_where_it_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("messages.json");
        let mut state = State::begin(file.clone(), 500, false, false).unwrap();
        (state.done, state.batches) = (200, 3);
        state.save().unwrap();
        let again = State::begin(file.clone(), 900, true, false).unwrap();
        assert_eq!((again.done, again.batches, again.count), (200, 3, 900));
        assert_eq!(again.run, state.run);
        assert!(State::begin(file.clone(), 900, true, true).is_err());
        assert_eq!(State::begin(file, 9, false, false).unwrap().done, 0);
    }
}

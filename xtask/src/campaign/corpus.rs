//! `cargo xtask campaign corpus`: the public mail corpus of SpamAssassin goes
//! through the real way, natively (`ci/native`), and lands in Inbox or Junk or is
//! refused; that gives false positives and false negatives. Then the mailbox's
//! owner sorts half of it, from which the filter learns, and the other half is sent
//! again.
//!
//! What the owner does is what people do: files wanted mail from the Inbox to
//! Archive, takes wanted mail out of Junk, puts unwanted mail into Junk. Spam that
//! is in Junk already stays there and teaches nothing.
//!
//! What was done is in `target/campaign/corpus.json` after every batch, and
//! `--resume` goes on from there; an interrupted batch is sent again.
//!
//! With `--in-guest` it is done in a booted box ([`guest`]), with fewer messages and in
//! one go.
//!
//! Limits: the messages are more than twenty years old, and those who wrote the
//! rules had them, so spam of today is another matter. They come from an address
//! of this world's, for which SPF passes, whatever their header says; no rule of
//! SpamAssassin's sees that, as it asks no DNS. No domain in their headers has a
//! policy (DMARC) or a key (DKIM), so nothing is refused for that. Most bear the
//! `Received` fields of their time, by which their dates are right; where there are
//! none the date is wrong by 23 years, which counts against them. So these are
//! figures to compare with their like, before a change and after it.

pub mod guest;
pub mod owner;
pub mod package;
pub mod plan;
pub mod tally;

use super::{AT_ONCE, native::options, progress};
use crate::bench::mail::{Route, smtp};
use crate::bench::with_place;
use crate::image;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use learn::store;
use native::{BOX, Native, Person, sender_name};
use package::{Kind, Message};
use plan::{Batch, Half, Step};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tally::Tally;

/// A message that is put off is sent so often, and so long apart; then the reply
/// counts as one that refuses it.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);
/// Where a person's mail lies, below the home.
const INBOX: [&str; 2] = ["Maildir/new", "Maildir/cur"];
const JUNK: [&str; 2] = ["Maildir/.Junk/new", "Maildir/.Junk/cur"];
const ARCHIVE: [&str; 2] = ["Maildir/.Archive/new", "Maildir/.Archive/cur"];

/// What `cargo xtask campaign corpus` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many messages, taken evenly from all; without it, all, or 50 in a guest
    #[arg(long)]
    count: Option<usize>,
    /// Go on where the last run was interrupted
    #[arg(long, conflicts_with = "in_guest")]
    resume: bool,
    /// In a booted box instead of natively
    #[arg(long)]
    in_guest: bool,
    /// Print one JSON line too
    #[arg(long)]
    json: bool,
}

/// How far it is. Saved after every batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    package: String,
    /// How many messages there are in the sample.
    count: usize,
    /// Batches that are done.
    done: usize,
    /// What became of messages: by step, half and kind.
    tallies: BTreeMap<String, Tally>,
    /// Wanted and unwanted messages that the filter has learnt from.
    learnt: (u32, u32),
    /// Seconds of sending.
    seconds: f64,
}

impl State {
    fn begin(file: &Path, count: usize, resume: bool) -> Result<Self> {
        if let Some(state) = progress::saved::<Self>(file, resume)? {
            ensure!(
                state.count == count && state.package == package::NAME,
                "{}: the interrupted campaign was of {} messages of {}; go on with as many \
                 or leave out --resume",
                file.display(),
                state.count,
                state.package
            );
            return Ok(state);
        }
        Ok(Self {
            package: package::NAME.into(),
            count,
            done: 0,
            tallies: BTreeMap::new(),
            learnt: (0, 0),
            seconds: 0.0,
        })
    }

    fn tally(&self, step: Step, halves: &[Half], kind: Kind) -> Tally {
        let mut sum = Tally::default();
        for half in halves {
            if let Some(one) = self.tallies.get(&key(step, *half, kind)) {
                sum.add(one);
            }
        }
        sum
    }

    fn words(&self) -> String {
        let mut lines = vec![format!("{} messages of {}", self.count, self.package)];
        for (what, step, halves) in [
            (
                "before, all",
                Step::Before,
                &[Half::Taught, Half::Tried][..],
            ),
            (
                "before, the half that is tried again",
                Step::Before,
                &[Half::Tried],
            ),
            ("after, the same half", Step::After, &[Half::Tried]),
        ] {
            for (name, kind) in [("ham", Kind::Ham), ("spam", Kind::Spam)] {
                let words = self.tally(step, halves, kind).words(kind);
                lines.push(format!("{what}: {name}: {words}"));
            }
        }
        let (ham, spam) = self.learnt;
        lines.push(format!(
            "learnt from {ham} wanted and {spam} unwanted messages; {:.0} s of sending",
            self.seconds
        ));
        lines.join("\n")
    }
}

fn key(step: Step, half: Half, kind: Kind) -> String {
    format!("{step:?} {half:?} {kind:?}").to_lowercase()
}

/// Runs it.
///
/// # Errors
/// When the corpus can't be had, or the box takes a message and has it nowhere.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = workspace::target().join("campaign");
    let mut messages = package::fetch(&folder.join("corpus-package"))?;
    let in_guest = arguments.in_guest.then_some(guest::USUAL);
    if let Some(count) = arguments.count.or(in_guest) {
        let chosen = plan::sample(count, messages.len());
        messages = chosen.map(|place| messages[place].clone()).collect();
    }
    if arguments.in_guest {
        let state = guest::run(messages)?;
        return say(&state, arguments, "guest");
    }
    let file = folder.join("corpus.json");
    let mut state = State::begin(&file, messages.len(), arguments.resume)?;
    let kinds: Vec<Kind> = messages.iter().map(|message| message.kind).collect();
    let batches = plan::plan(&kinds);
    if state.done < batches.len() {
        let place = folder.join("corpus");
        if state.done == 0 {
            // What an earlier campaign's filter has learnt.
            match fs::remove_dir_all(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| place.display().to_string());
                }
                _ => {}
            }
        }
        let household = Household::start(&place)?;
        for (number, batch) in batches.iter().enumerate().skip(state.done) {
            household
                .go_through(batch, &messages, &mut state)
                .with_context(|| format!("batch {number}, {batch:?}"))?;
            state.done = number + 1;
            progress::save(&file, &state)?;
            eprintln!(
                "{} of {} batches, {:?}",
                state.done,
                batches.len(),
                batch.step
            );
        }
        household.native.stop()?;
    }
    say(&state, arguments, "native")
}

fn say(state: &State, arguments: &Arguments, place: &str) -> Result<()> {
    println!("{}", state.words());
    if arguments.json {
        let result = json!({ "campaign": "corpus", "where": place, "result": state });
        println!("{}", with_place(result));
    }
    Ok(())
}

/// A box with the person to whom all is sent.
struct Household {
    native: Native,
    person: Person,
    home: PathBuf,
    /// Where what was delivered waits until its owner sorts it. Beside the
    /// mailboxes, so that a file only changes its name.
    kept: PathBuf,
}

impl Household {
    fn start(folder: &Path) -> Result<Self> {
        let image = image::native::make("email")?;
        let kept = folder.join("kept");
        fs::create_dir_all(&kept).with_context(|| kept.display().to_string())?;
        let options = options(super::build_box()?, image, folder);
        let native = Native::start(&options)?;
        let person = options.people.into_iter().next().context("nobody")?;
        let home = native.home(&person.address)?.to_owned();
        Ok(Self {
            native,
            person,
            home,
            kept,
        })
    }

    fn go_through(&self, batch: &Batch, messages: &[Message], state: &mut State) -> Result<()> {
        // Of an interrupted batch.
        self.empty()?;
        if batch.step == Step::Teach {
            self.teach(batch)?;
            state.learnt = self.learnt()?;
        } else {
            let begun = Instant::now();
            let mut tally = self.send(batch, messages)?;
            state.seconds += begun.elapsed().as_secs_f64();
            self.sort_out(batch, &mut tally)?;
            let key = key(batch.step, batch.half, batch.kind);
            state.tallies.entry(key).or_default().add(&tally);
        }
        self.empty()
    }

    /// Sends a batch, from several addresses at once. What is returned has what was
    /// refused.
    fn send(&self, batch: &Batch, messages: &[Message]) -> Result<Tally> {
        send(batch, messages, AT_ONCE, |number, hand_over| {
            self.native.enter_internet()?;
            let helo = sender_name(number);
            let envelope = format!("ada@{}", native::names::DOMAIN);
            let route = Route {
                from: Ipv4Addr::new(128, 66, 1, number),
                helo: &helo,
                to: SocketAddrV4::new(BOX, 25),
                sender: &envelope,
                recipient: &self.person.address,
            };
            hand_over(&route)
        })
    }

    /// Counts what has come, and keeps it if its owner is to sort it.
    fn sort_out(&self, batch: &Batch, tally: &mut Tally) -> Result<()> {
        for (folders, is_junk) in [(INBOX, false), (JUNK, true)] {
            let kept = self.kept_for(batch, is_junk);
            if batch.half == Half::Taught {
                // Perhaps of an interrupted batch.
                fs::remove_dir_all(&kept).ok();
                fs::create_dir_all(&kept)?;
            }
            for path in files(&self.home, folders)? {
                tally.found(batch.kind, is_junk, &fs::read(&path)?);
                if batch.half == Half::Taught {
                    fs::rename(&path, kept.join(path.file_name().context("no name")?))?;
                }
            }
        }
        tally.is_of_all(batch.messages.len())
    }

    fn kept_for(&self, batch: &Batch, is_junk: bool) -> PathBuf {
        let first = batch.messages.first().copied().unwrap_or(0);
        let folder = if is_junk { "junk" } else { "inbox" };
        self.kept
            .join(format!("{:?}-{first}", batch.kind).to_lowercase())
            .join(folder)
    }

    /// Lays the messages of a batch back where they were, and lets the owner move
    /// those that are to be moved.
    fn teach(&self, batch: &Batch) -> Result<()> {
        let [inbox, junk] = [INBOX[0], JUNK[0]].map(|folder| self.home.join(folder));
        let in_inbox = lay(&self.kept_for(batch, false), &inbox)?;
        let to = match batch.kind {
            Kind::Ham => "Archive",
            Kind::Spam => "Junk",
        };
        if in_inbox > 0 {
            owner::moves(&self.native, &self.person, "INBOX", to)?;
        }
        let left = files(&self.home, INBOX)?.len();
        ensure!(left == 0, "{left} are still in the Inbox");
        if batch.kind == Kind::Ham && lay(&self.kept_for(batch, true), &junk)? > 0 {
            owner::moves(&self.native, &self.person, "Junk", "INBOX")?;
        }
        Ok(())
    }

    /// How many wanted and unwanted messages the filter knows.
    fn learnt(&self) -> Result<(u32, u32)> {
        let uid = self.home.file_name().context("no name")?;
        let volumes = self.home.ancestors().nth(2).context("no volumes")?;
        let table = store::read(&volumes.join("learned").join(uid))?;
        let messages = table.map(|table| table.messages()).unwrap_or_default();
        Ok((messages.ham, messages.spam))
    }

    fn empty(&self) -> Result<()> {
        for folders in [INBOX, JUNK, ARCHIVE] {
            for path in files(&self.home, folders)? {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// Sends a batch, from `at_once` places at once. Each is entered by `with_route`, which
/// is told the place's number and what to do with the route from there. What is returned
/// has what was refused.
fn send(
    batch: &Batch,
    messages: &[Message],
    at_once: u8,
    with_route: impl Fn(u8, &dyn Fn(&Route) -> Result<()>) -> Result<()> + Sync,
) -> Result<Tally> {
    let next = AtomicUsize::new(0);
    let refused: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let hand_over = |route: &Route| -> Result<()> {
        while let Some(place) = batch.messages.get(next.fetch_add(1, Ordering::Relaxed)) {
            let message = &messages[*place];
            let answer = deliver(route, &message.read()?)
                .with_context(|| message.path.display().to_string())?;
            if let Some(reply) = answer {
                let mut refused = refused.lock().expect("no sender panics");
                *refused.entry(reply).or_default() += 1;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (1..=at_once)
            .map(|number| {
                let (with_route, hand_over) = (&with_route, &hand_over);
                scope.spawn(move || with_route(number, hand_over))
            })
            .collect();
        let ends = senders.into_iter().map(|thread| thread.join());
        ends.map(|end| end.expect("a sender does not panic"))
            .collect::<Result<Vec<()>>>()
    })?;
    Ok(Tally {
        refused: refused.into_inner().expect("no sender panics"),
        ..Tally::default()
    })
}

/// Sends a message; what the box has said if it does not want it.
fn deliver(route: &Route, message: &[u8]) -> Result<Option<String>> {
    for tries in 1.. {
        let Err(error) = smtp::send(route, message) else {
            break;
        };
        let said = error.root_cause().to_string();
        match said.as_bytes() {
            [b'4', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] if tries < TRIES => sleep(PAUSE),
            [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] => return Ok(Some(said)),
            _ => bail!(error),
        }
    }
    Ok(None)
}

/// Links what is in one folder into another; how many there are. The first keeps
/// them, so that an interrupted batch can be done again.
fn lay(from: &Path, to: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let new = to.join(path.file_name().context("no name")?);
        fs::hard_link(&path, &new).with_context(|| new.display().to_string())?;
        count += 1;
    }
    Ok(count)
}

/// The files in some folders below a home; a folder may not be there yet.
fn files(home: &Path, folders: [&str; 2]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(home.join(folder)) else {
            continue;
        };
        for entry in entries {
            found.push(entry?.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_goes_on_with_as_many_messages_as_it_began_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("corpus.json");
        let mut state = State::begin(&file, 400, true).unwrap();
        state.done = 3;
        state.learnt = (20, 21);
        let tally = state
            .tallies
            .entry(key(Step::Before, Half::Tried, Kind::Ham));
        tally.or_default().junk = 7;
        progress::save(&file, &state).unwrap();
        assert_eq!(State::begin(&file, 400, true).unwrap(), state);
        assert_eq!(State::begin(&file, 400, false).unwrap().done, 0);
        let error = State::begin(&file, 500, true).unwrap_err().to_string();
        assert!(error.contains("was of 400 messages"), "{error}");
    }

    #[test]
    fn what_was_before_is_told_from_what_came_after_and_halves_add_up() {
        let mut state = State::begin(Path::new("/nowhere"), 8, false).unwrap();
        for (step, half, junk) in [
            (Step::Before, Half::Taught, 1),
            (Step::Before, Half::Tried, 2),
            (Step::After, Half::Tried, 4),
        ] {
            let tally = Tally {
                junk,
                ..Tally::default()
            };
            state.tallies.insert(key(step, half, Kind::Ham), tally);
        }
        let both = [Half::Taught, Half::Tried];
        let junk = |step, halves: &[Half]| state.tally(step, halves, Kind::Ham).junk;
        assert_eq!(junk(Step::Before, &both), 3);
        assert_eq!(junk(Step::Before, &[Half::Tried]), 2);
        assert_eq!(junk(Step::After, &both), 4);
        assert!(
            state
                .words()
                .contains("after, the same half: ham: 0 in the Inbox, 4 in Junk")
        );
    }
}

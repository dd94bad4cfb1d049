//! The corpus in a booted box, in the world of the boot tests of mail: nobody reaches
//! into its disk, so its owner does all by IMAP. What is tried comes first and is thrown
//! away, so that what is to be taught is alone in the mailbox.

use super::owner::Owner;
use super::package::{self, Message};
use super::plan::{Batch, Half, Step, plan_in_place};
use super::tally::Tally;
use super::{Route, State, key};
use crate::scenarios::{Lab, mail};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// How many messages when nobody says; each takes some two seconds.
pub const USUAL: usize = 50;
const ORDER: &str = "order.json";
const RESULT: &str = "result.json";
/// The address there that may send is one, and one address has four places.
const AT_ONCE: u8 = 3;
const FOLDERS: [&str; 2] = ["INBOX", "Junk"];

/// What the world gives: a mailbox of which is known what is in it, and its filter.
pub trait Mailbox {
    /// Everything in a folder, in the order of its UIDs.
    ///
    /// # Errors
    /// When it can't be read.
    fn folder(&self, name: &str) -> Result<Vec<Vec<u8>>>;

    /// Its owner, logged in.
    ///
    /// # Errors
    /// When that is refused.
    fn owner(&self) -> Result<Owner>;

    /// The way of a message to it.
    fn route(&self) -> Route<'static>;

    /// How many wanted and unwanted messages its filter has learnt from.
    ///
    /// # Errors
    /// When the box does not show that.
    fn learnt(&mut self) -> Result<(u32, u32)>;
}

/// Boots a box, or goes on from its kept moment, and does all with it.
pub(super) fn run(messages: Vec<Message>) -> Result<State> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let folder = workspace::target().join("test/corpus");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(ORDER), serde_json::to_vec(&messages)?)?;
    mail::corpus(&Lab::new(false)?, &folder)
        .with_context(|| format!("the serial log is in {}", folder.display()))?;
    let state = serde_json::from_slice(&fs::read(folder.join(RESULT))?)?;
    fs::remove_dir_all(&folder)?;
    Ok(state)
}

/// The part in the world: `folder` is the test's.
///
/// # Errors
/// When a message that was taken is not there, or the box says no.
pub fn inside(mailbox: &mut impl Mailbox, folder: &Path) -> Result<()> {
    let messages: Vec<Message> = serde_json::from_slice(&fs::read(folder.join(ORDER))?)?;
    let kinds: Vec<_> = messages.iter().map(|message| message.kind).collect();
    let mut state = State {
        package: package::NAME.into(),
        count: messages.len(),
        done: 0,
        tallies: BTreeMap::new(),
        learnt: (0, 0),
        seconds: 0.0,
    };
    let mut there = There::default();
    for batch in plan_in_place(&kinds) {
        if batch.step == Step::Teach {
            there.teach(mailbox, &batch)?;
            state.learnt = mailbox.learnt()?;
        } else {
            let begun = Instant::now();
            let route = mailbox.route();
            let mut tally =
                super::send(&batch, &messages, AT_ONCE, |_, hand_over| hand_over(&route))?;
            state.seconds += begun.elapsed().as_secs_f64();
            there.count(mailbox, &batch, &mut tally)?;
            let key = key(batch.step, batch.half, batch.kind);
            state.tallies.entry(key).or_default().add(&tally);
        }
        state.done += 1;
        eprintln!("  {}, {:?}, {:?}", state.done, batch.step, batch.kind);
    }
    fs::write(folder.join(RESULT), serde_json::to_vec(&state)?)?;
    Ok(())
}

/// What is in the mailbox.
#[derive(Debug, Default)]
struct There {
    /// How many messages each of [`FOLDERS`] has.
    seen: [usize; 2],
    /// Of the batches that are to be taught, in order: how many went where.
    to_teach: Vec<[usize; 2]>,
}

impl There {
    /// Counts what has come; what was only tried is thrown away.
    fn count(&mut self, mailbox: &impl Mailbox, batch: &Batch, tally: &mut Tally) -> Result<()> {
        let mut come = [0; 2];
        for (place, name) in FOLDERS.into_iter().enumerate() {
            let all = mailbox.folder(name)?;
            for message in all.iter().skip(self.seen[place]) {
                tally.found(batch.kind, name == "Junk", message);
                come[place] += 1;
            }
        }
        tally.is_of_all(batch.messages.len())?;
        if batch.half == Half::Taught {
            self.seen = [self.seen[0] + come[0], self.seen[1] + come[1]];
            self.to_teach.push(come);
            return Ok(());
        }
        let mut owner = mailbox.owner()?;
        for name in FOLDERS {
            owner.empties(name)?;
        }
        self.seen = [0; 2];
        owner.logout()
    }

    /// Lets the owner move those of a batch that are to be moved: they are the first in
    /// their folders, as those before them were moved to the end of another.
    fn teach(&mut self, mailbox: &impl Mailbox, batch: &Batch) -> Result<()> {
        let [in_inbox, in_junk] = self.to_teach.remove(0);
        let mut owner = mailbox.owner()?;
        let mut moves = |count: usize, from: &str, to: &str| -> Result<()> {
            let uids = owner.uids(from)?;
            let first = uids.get(..count).context("messages are missing")?;
            let set: Vec<String> = first.iter().map(u32::to_string).collect();
            match set.is_empty() {
                true => Ok(()),
                false => owner.moves(&set.join(","), from, to),
            }
        };
        match batch.kind {
            package::Kind::Ham => {
                moves(in_inbox, "INBOX", "Archive")?;
                moves(in_junk, "Junk", "INBOX")?;
            }
            package::Kind::Spam => moves(in_inbox, "INBOX", "Junk")?,
        }
        if self.to_teach.is_empty() {
            for name in FOLDERS {
                owner.empties(name)?;
            }
            self.seen = [0; 2];
        }
        owner.logout()
    }
}

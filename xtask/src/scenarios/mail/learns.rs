//! What a person moves, that person's filter learns, under that person's uid and
//! inside Dovecot's sandbox; from then on it judges that person's mail and
//! nobody else's, and what is taken back is forgotten.

use super::internet::MAIL;
use super::letter::{added_header, find};
use super::locked::{Process, processes};
use super::readers::{Person, curl, imap_move};
use super::senders::swaks;
use super::world::World;
use super::{ANNA, BEN, InsideArguments};
use crate::agent::Agent;
use anyhow::{Context, Result, ensure};
use channels::tokens::Counts;
use learn::{Table, field};
use std::thread;

const FROM: &str = "ada@sender.example";
/// As many of each kind as the filter wants before it says anything
/// (overlays/spamassassin/etc/spamassassin/local.cf).
const ENOUGH: u32 = 20;
/// Where the app's folders are, and what is learnt.
pub(super) const VOLUMES: &str = "/data/apps/email";
/// What begins the names of the rules that tell what a filter has learnt.
const BAYES: &str = "BAYES_";

/// What a message is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As friends write.
    Letter,
    /// What nobody asked for. SpamAssassin gives it some points, too few.
    Offer,
}

impl Kind {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Letter => &[
                "meeting", "Tuesday", "garden", "letter", "report", "train", "school", "photo",
                "weather", "river", "evening", "bicycle", "village", "draft", "comments", "Friday",
                "regards", "window", "summer", "bread",
            ],
            Self::Offer => &[
                "guarantee",
                "click",
                "offer",
                "limited",
                "winner",
                "cash",
                "bonus",
                "cheap",
                "pills",
                "unsubscribe",
                "today",
                "dollars",
                "discount",
                "order",
                "exclusive",
                "earn",
                "credit",
                "lowest",
                "refund",
                "prize",
            ],
        }
    }
}

/// A message, other words for each number; `id` begins its Message-ID.
fn message(kind: Kind, id: &str, number: u32) -> Vec<u8> {
    let words = kind.words();
    let mut state = number.wrapping_mul(2_654_435_761);
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        words[(state >> 16) as usize % words.len()]
    };
    let subject = [draw(), draw(), draw()].join(" ");
    // Capitals and no date are what gives an offer its points.
    let fields = match kind {
        Kind::Letter => format!("Subject: {subject}\r\nDate: {}\r\n", super::letter::now()),
        Kind::Offer => format!("Subject: {}\r\n", subject.to_uppercase()),
    };
    let body: Vec<&str> = (0..24).map(|_| draw()).collect();
    format!(
        "From: Ada Archer <{FROM}>\r\nTo: <someone@home.example>\r\n{fields}\
         Message-ID: <{id}.{number}@{}>\r\n\r\n{}\r\n",
        MAIL.name,
        body.join(" ")
    )
    .into_bytes()
}

/// A box, and the world around it.
struct Scene<'a> {
    world: &'a World,
    agent: Agent,
    /// The host's id for id 0 of Dovecot's namespace.
    first_id: u32,
}

impl Scene<'_> {
    /// Sends it and says nothing more of it than that it was taken.
    fn send(&self, to: &str, message: &[u8]) -> Result<()> {
        let session = swaks(&self.world.internet, MAIL, FROM, to, message)?;
        ensure!(
            session.verdict() == "250 2.0.0 Delivered",
            "{}",
            session.transcript
        );
        Ok(())
    }

    /// All that is in a folder.
    fn folder(&self, whose: Person, folder: &str) -> Result<Vec<Vec<u8>>> {
        curl(&self.world.internet, &self.world.folder, whose, folder)
    }

    /// What a message is judged that lies in this folder.
    fn judged_in(&self, whose: Person, folder: &str, sent: &[u8]) -> Result<String> {
        let messages = self.folder(whose, folder)?;
        let header = header(&messages, sent);
        status(&header.with_context(|| format!("{folder} of {}", whose.address))?)
    }

    /// Sends it to one person and returns what it is judged, in the folder where
    /// it has to be.
    fn judged(&self, whose: Person, folder: &str, sent: &[u8]) -> Result<String> {
        self.send(whose.address, sent)?;
        self.judged_in(whose, folder, sent)
    }

    /// The uid of a person in Dovecot's namespace.
    fn uid(&mut self, whose: Person) -> Result<u32> {
        let link = format!("{VOLUMES}/learned/{}", whose.address);
        Ok(self.agent.ask_text(&["link", &link])?.parse()?)
    }

    /// What the person's filter has learnt, which nobody else has written.
    fn table(&mut self, whose: Person) -> Result<Table> {
        let uid = self.uid(whose)?;
        let folder = format!("{VOLUMES}/learned/{uid}");
        let file = format!("{folder}/table");
        for path in [&folder, &file] {
            let owner = self.agent.ask_text(&["owner", path])?;
            let expected = (self.first_id + uid).to_string();
            ensure!(owner == expected, "{path} is {owner}'s, not {expected}'s");
        }
        Ok(Table::from_bytes(&self.agent.ask(&["read", &file])?)?)
    }

    /// That nothing was learnt for this person.
    fn has_learnt_nothing(&mut self, whose: Person) -> Result<()> {
        let folder = format!("{VOLUMES}/learned/{}", self.uid(whose)?);
        let files = self.agent.ask_text(&["list", &folder])?;
        ensure!(files.is_empty(), "in {folder}: {files}");
        Ok(())
    }
}

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    let ids = agent.ask_text(&["read", &format!("{VOLUMES}/ids")])?;
    let first = ids.lines().find_map(|line| line.strip_prefix("dovecot "));
    let first_id = first.context("dovecot's ids")?.parse()?;
    let mut scene = Scene {
        world: &world,
        agent,
        first_id,
    };
    who_sees_what_was_learnt(&mut scene.agent)?;

    // Before anything was learnt, for both alike.
    let before = scene.judged(ANNA, "INBOX", &message(Kind::Offer, "before", 1))?;
    ensure!(!before.contains(BAYES), "{before}");
    let to_ben = scene.judged(BEN, "INBOX", &message(Kind::Offer, "before", 2))?;
    ensure!(to_ben == before, "{to_ben}, and Anna's {before}");

    // Anna gets mail, and sorts it.
    let letters: Vec<_> = (0..ENOUGH)
        .map(|number| message(Kind::Letter, "letter", number))
        .collect();
    let offers: Vec<_> = (0..ENOUGH)
        .map(|number| message(Kind::Offer, "offer", number))
        .collect();
    for message in letters.iter().chain(&offers) {
        scene.send(ANNA.address, message)?;
    }
    scene.has_learnt_nothing(ANNA)?;
    ensure!(moves(&world, "letter.", "INBOX", "Archive")? == ENOUGH);
    learns_confined(&mut scene)?;
    let table = scene.table(ANNA)?;
    let enough = Counts {
        spam: ENOUGH,
        ham: ENOUGH,
    };
    ensure!(table.messages() == enough, "{:?}", table.messages());
    scene.has_learnt_nothing(BEN)?;

    // One more of the kind is Junk for her, and what it was for everybody else.
    let offer = message(Kind::Offer, "after", 100);
    let after = scene.judged(ANNA, "Junk", &offer)?;
    ensure!(after.contains("BAYES_99"), "{after}");
    let after = scene.judged(ANNA, "INBOX", &message(Kind::Letter, "after", 101))?;
    // How sure it is depends on the time and on other fields that all have.
    let wanted = ["BAYES_00", "BAYES_05", "BAYES_20"];
    ensure!(wanted.iter().any(|rule| after.contains(rule)), "{after}");
    let to_ben = scene.judged(BEN, "INBOX", &message(Kind::Offer, "after", 102))?;
    ensure!(to_ben == before, "{to_ben}, before {before}");
    let to_both = message(Kind::Offer, "after", 103);
    scene.send(&format!("{},{}", ANNA.address, BEN.address), &to_both)?;
    for whose in [ANNA, BEN] {
        let judged = scene.judged_in(whose, "INBOX", &to_both)?;
        ensure!(judged == before, "{judged}, before {before}");
    }
    // The filter does not learn from itself.
    ensure!(scene.table(ANNA)? == table, "a delivery was learnt from");

    // It was wrong: what she takes out of Junk is wanted.
    ensure!(moves(&world, "after.100", "Junk", "INBOX")? == 1);
    let messages = scene.table(ANNA)?.messages();
    ensure!((messages.spam, messages.ham) == (ENOUGH, ENOUGH + 1));
    // She takes back all of it, and nothing is left of what she had said.
    ensure!(moves(&world, "offer.", "Junk", "INBOX")? == ENOUGH);
    let table = scene.table(ANNA)?;
    let messages = table.messages();
    ensure!(
        (messages.spam, messages.ham) == (0, 2 * ENOUGH + 1),
        "{messages:?}"
    );
    let messages = scene.folder(ANNA, "INBOX")?;
    for sent in &offers {
        let header = header(&messages, sent)?;
        let tokens = field::find(header.as_bytes()).context("no tokens in a message")?;
        for token in tokens {
            let counts = table.counts(&token);
            ensure!(counts.spam == 0 && counts.ham > 0, "{token:?}: {counts:?}");
        }
    }
    let last = scene.judged(ANNA, "INBOX", &message(Kind::Offer, "last", 200))?;
    ensure!(last == before, "{last}, before {before}");
    scene.has_learnt_nothing(BEN)?;
    Ok(())
}

/// Lets Anna move the offers into Junk, and looks meanwhile at the program that
/// learns from one of them: hers, and confined as all of Dovecot is.
fn learns_confined(scene: &mut Scene<'_>) -> Result<()> {
    let uid = scene.first_id + scene.uid(ANNA)?;
    let (world, agent) = (scene.world, &mut scene.agent);
    let (moved, seen) = thread::scope(|scope| {
        let mover = scope.spawn(|| moves(world, "offer.", "INBOX", "Junk"));
        let mut seen = None;
        while seen.is_none() && !mover.is_finished() {
            // Stopped, it can be looked at; it is there for a moment only.
            if agent.ask(&["kill", "SIGSTOP", "learn"]).is_ok() {
                seen = Some(learner(agent));
                agent.ask(&["kill", "SIGCONT", "learn"]).ok();
            }
        }
        (mover.join(), seen)
    });
    let moved = moved.map_err(|_| anyhow::anyhow!("moving panicked"))??;
    ensure!(moved == ENOUGH, "{moved}");
    let process = seen.context("no process that learns was seen")??;
    super::locked::is_confined(&super::locked::app()?, &process)?;
    ensure!(process.sandbox == "dovecot", "in {}", process.sandbox);
    for name in ["Uid", "Gid"] {
        let ids = process.status.get(name).map(String::as_str);
        let expected = vec![uid.to_string(); 4].join("\t");
        ensure!(ids == Some(&expected), "{name} is {ids:?}, not {expected}");
    }
    let effective = process.status.get("CapEff").map(String::as_str);
    ensure!(
        effective == Some("0000000000000000"),
        "CapEff is {effective:?}"
    );
    Ok(())
}

/// The one that was stopped.
fn learner(agent: &mut Agent) -> Result<Process> {
    let pids = agent.ask_text(&["pids", "learn"])?;
    let pid = pids.lines().next().context("it has ended")?;
    super::locked::process(agent, pid)?.context("it is in no sandbox")
}

/// Dovecot alone may write what was learnt. The gate reads it. SpamAssassin,
/// which takes messages apart, does not have it: neither the zygote nor a child,
/// whose root is empty.
fn who_sees_what_was_learnt(agent: &mut Agent) -> Result<()> {
    let (mut gates, mut children) = (0, 0);
    for Process { sandbox, pid, .. } in processes(agent)? {
        let mounts = agent.ask_text(&["read", &format!("/proc/{pid}/mountinfo")])?;
        // proc_pid_mountinfo(5): the fifth field is where, the sixth how.
        let learned = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(4);
            (fields.next() == Some("/learned")).then(|| fields.next().unwrap_or_default())
        });
        let how = learned.map(|options| options.split(',').next().unwrap_or_default());
        let expected = match sandbox.split('-').next() {
            Some("dovecot") => Some("rw"),
            Some("gate") => Some("ro"),
            _ => None,
        };
        ensure!(
            how == expected,
            "{sandbox}: /learned is {how:?}, not {expected:?}:\n{mounts}"
        );
        gates += usize::from(expected == Some("ro"));
        // spamassassin-GENERATION-NUMBER
        if sandbox.starts_with("spamassassin-") && sandbox.matches('-').count() == 2 {
            let root = agent.ask_text(&["list", &format!("/proc/{pid}/root")])?;
            ensure!(root.is_empty(), "{sandbox} has {root}");
            children += 1;
        }
    }
    ensure!(
        gates > 0 && children > 0,
        "{gates} gates and {children} children were there"
    );
    Ok(())
}

/// Lets Anna move all messages whose Message-ID begins like this; how many.
fn moves(world: &World, id: &str, from: &str, to: &str) -> Result<u32> {
    let wanted = format!("<{id}");
    let done = imap_move(&world.internet, &world.folder, ANNA, [from, to], &wanted)?;
    let each = done.seconds / f64::from(done.count);
    eprintln!(
        "  {} from {from} to {to} at once: {:.1} s, {each:.2} s each",
        done.count, done.seconds
    );
    Ok(done.count)
}

/// The header that the box has given to a message that is among these.
fn header(messages: &[Vec<u8>], sent: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(sent);
    let id = text.lines().find(|line| line.starts_with("Message-ID"));
    added_header(find(messages, id.context("no Message-ID")?)?, sent)
}

/// What the message was judged: the field `X-Spam-Status`, unfolded.
fn status(header: &str) -> Result<String> {
    let (_, rest) = header
        .split_once("X-Spam-Status: ")
        .with_context(|| format!("not judged:\n{header}"))?;
    let mut lines = rest.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let folds = lines.take_while(|line| line.starts_with(['\t', ' ']));
    Ok(folds.fold(first, |all, line| all + line.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_with_its_folds_and_nothing_else() {
        let header =
            "X-Spam-Flag: NO\r\nX-Spam-Status: No, score=2.3\r\n\ttests=A,\r\n\tB\r\nX: y\r\n";
        assert_eq!(status(header).unwrap(), "No, score=2.3tests=A,B");
        status("X-Spam-Flag: NO\r\n").unwrap_err();
    }

    #[test]
    fn no_two_messages_are_the_same() {
        let all: std::collections::BTreeSet<_> = (0..200)
            .map(|number| {
                let text = message(Kind::Offer, "a", number);
                text.split(|byte| *byte == b'\n')
                    .rev()
                    .nth(1)
                    .unwrap()
                    .to_vec()
            })
            .collect();
        assert_eq!(all.len(), 200);
    }
}

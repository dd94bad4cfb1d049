//! Mail servers that have kept messages for days come all at once. A connection
//! takes one message only; yet each gets rid of its backlog in one run over its
//! queue, with nothing put off.

use super::internet::{EXIM, Host, POSTFIX};
use super::letter::{Letter, find, letter};
use super::readers::curl;
use super::senders::{Exim, Postfix, QueueRun};
use super::world::World;
use super::{ANNA, BEN, InsideArguments};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

const BACKLOG: usize = 50;
const DONE: QueueRun = QueueRun {
    delivered: BACKLOG,
    deferred: 0,
    failed: 0,
    waiting: 0,
};
/// For a whole backlog on a busy host.
const LIMIT: Duration = Duration::from_secs(600);

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let _machine = world.go_on(arguments, None)?;

    let exim = Exim::new(&world.internet, &world.folder)?;
    let from_exim = letters(EXIM, ANNA.address, "Exim");
    for letter in &from_exim {
        exim.queue("ada@sender.example", ANNA.address, &with_lf(letter))?;
    }
    let postfix = Postfix::start(&world.postfix, &world.folder)?;
    let from_postfix = letters(POSTFIX, BEN.address, "Postfix");
    for letter in &from_postfix {
        postfix.queue("ada@sender.example", BEN.address, &with_lf(letter))?;
    }
    ensure!(exim.waiting()? == BACKLOG, "Exim's queue");

    let begun = Instant::now();
    let run = exim.run_queue()?;
    ensure!(run == DONE, "Exim: {run}\n{}", exim.log()?);
    eprintln!("  Exim's backlog: {} s", begun.elapsed().as_secs());
    let begun = Instant::now();
    ensure!(postfix.waiting()? == BACKLOG, "Postfix's queue");
    postfix.run_queue()?;
    let run = postfix.wait(LIMIT)?;
    ensure!(run == DONE, "Postfix: {run}\n{}", postfix.log()?);
    eprintln!("  Postfix's backlog: {} s", begun.elapsed().as_secs());

    for (person, letters) in [(ANNA, from_exim), (BEN, from_postfix)] {
        let messages = curl(&world.internet, &world.folder, person, "INBOX")?;
        ensure!(
            messages.len() == BACKLOG,
            "{}: {}",
            person.address,
            messages.len()
        );
        for letter in letters {
            find(&messages, &letter.sentence).context(person.address)?;
        }
    }
    Ok(())
}

fn letters(host: Host, to: &str, name: &str) -> Vec<Letter> {
    (1..=BACKLOG)
        .map(|number| {
            letter(
                host,
                "ada@sender.example",
                to,
                &format!("{name} number {number} of it"),
            )
        })
        .collect()
}

/// As programs on one's own machine hand a message over.
fn with_lf(letter: &Letter) -> Vec<u8> {
    let mut bytes = letter.bytes.clone();
    bytes.retain(|byte| *byte != b'\r');
    bytes
}

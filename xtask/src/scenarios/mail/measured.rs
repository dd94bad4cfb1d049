//! The part of `cargo xtask bench mail` that happens in the world: the kept box
//! goes on and gets the messages, then the rival does, from the same host to the
//! same address. No time is judged; that every message arrived and went the way
//! that it is said to have gone is.

use super::internet::{BOX, MAIL};
use super::measured_outgoing::BothOutgoing;
use super::readers::curl;
use super::world::{World, wait_for_mail};
use super::{ANNA, InsideArguments, Part, enter};
use crate::agent::Agent;
use crate::bench::mail::{self, Both, Order, Route, Side, rival, smtp};
use crate::qemu::{Machine, Network};
use crate::scenarios::Lab;
use crate::scenarios::home_network::router;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use std::fs;
use std::net::SocketAddrV4;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

/// SPF lets [`MAIL`] send for this domain, and there is no DKIM to check.
pub(super) const SENDER: &str = "ada@plain.example";
/// Where the app's image shows the zygote (docs/architecture.md), and what it is.
const ZYGOTE: &str = "/run/apps/email/roots/spamassassin/usr/lib/projectx/zygote.pl";
const ZYGOTE_TEXT: &str =
    include_str!("../../../../overlays/spamassassin/usr/lib/projectx/zygote.pl");
/// Its line that scans, and the one that stands there when nothing shall be
/// scanned. The rule's name shows in the message's header.
const SCAN: &str = "my $line = verdict($message, 1);";
const NO_SCAN: &str = r#"my $line = "score=0.0 required=5.0 tests=BENCH_NOT_SCANNED\n";"#;
const MARK: &[u8] = b"BENCH_NOT_SCANNED";
/// How often it is looked whether the zygote has been started anew.
const TRIES: usize = 20;
pub(super) const ORDER: &str = "order.json";
pub(super) const RESULT: &str = "result.json";

/// Does what is ordered in worlds of their own, and returns what was measured.
pub fn measure(lab: &Lab, order: &Order) -> Result<Both> {
    let mut both: Both = in_a_world(lab, order, Part::Measured)?;
    let outgoing: BothOutgoing = in_a_world(lab, order, Part::MeasuredOutgoing)?;
    for (side, outgoing) in [
        (&mut both.the_box, outgoing.the_box),
        (&mut both.rival, outgoing.rival),
    ] {
        if let Some(side) = side {
            side.outgoing = outgoing;
        }
    }
    Ok(both)
}

fn in_a_world<T: DeserializeOwned>(lab: &Lab, order: &Order, part: Part) -> Result<T> {
    let folder = workspace::target().join("test/bench_mail");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(ORDER), serde_json::to_vec(order)?)?;
    let moment = match order.the_box {
        true => lab.mail_moment()?,
        false => folder.clone(),
    };
    enter(lab, part, &folder, &moment)
        .with_context(|| format!("the serial logs are in {}", folder.display()))?;
    let measured = serde_json::from_slice(&fs::read(folder.join(RESULT))?)?;
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(measured)
}

/// The part in the world.
pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let order: Order = serde_json::from_slice(&fs::read(arguments.folder.join(ORDER))?)?;
    let corpus = mail::messages(SENDER, ANNA.address);
    let route = Route {
        from: MAIL.address,
        helo: MAIL.name,
        to: SocketAddrV4::new(BOX, 25),
        sender: SENDER,
        recipient: ANNA.address,
    };
    let mut both = Both::default();
    let world = match order.the_box {
        true => World::again(arguments)?,
        false => World::new(arguments)?.0,
    };
    if order.the_box {
        let machine = world.go_on(arguments, None)?;
        let side = the_box(&world, machine, &route, &corpus, order.messages);
        both.the_box = Some(side.context("the box")?);
    }
    if let Some(files) = &order.rival {
        let network = Network::Tap(router::INTERFACE);
        let folder = &arguments.folder;
        let side = rival::measure(files, folder, network, &route, &corpus, order.messages);
        both.rival = Some(side.context("the rival")?);
    }
    fs::write(arguments.folder.join(RESULT), serde_json::to_vec(&both)?)?;
    Ok(())
}

fn the_box(
    world: &World,
    mut machine: Machine,
    route: &Route,
    corpus: &[Vec<u8>],
    count: usize,
) -> Result<Side> {
    let mut agent = Agent::connect(&mut machine)?;
    let memory_mb = mail::used(&mut agent)?;
    // Its 250 means that the message is in the mailbox: nothing to wait for.
    let (scanned, memory_peak_mb) = mail::peak(&Mutex::new(&mut agent), || {
        mail::measure(mail::incoming(route, corpus), count, |_| Ok(()))
    })?;
    let arrived = mailbox(world)?;
    ensure!(
        arrived.len() == 2 * count,
        "{} messages arrived",
        arrived.len()
    );
    let verdicts = arrived.iter().filter(|message| has(message, b"score="));
    let verdicts = verdicts.count();
    ensure!(verdicts == 2 * count, "{verdicts} messages have a verdict");

    let probes = lay_over_the_scan(world, &mut machine, &mut agent, route, &corpus[0])?;
    let not_scanned = mail::measure(mail::incoming(route, corpus), count, |_| Ok(()))?;
    let marked = marked(&mailbox(world)?);
    ensure!(
        marked == probes + 2 * count,
        "{marked} of {} messages went past the scan",
        probes + 2 * count
    );
    machine.cut_power()?;
    Ok(Side {
        memory_mb,
        memory_peak_mb,
        scanned,
        not_scanned,
        outgoing: None,
    })
}

/// Has the zygote started anew with children that answer at once. Returns how
/// many messages it took until one showed that.
pub(super) fn lay_over_the_scan(
    world: &World,
    machine: &mut Machine,
    agent: &mut Agent,
    route: &Route,
    message: &[u8],
) -> Result<usize> {
    let text = without_scan()?;
    agent.ask(&["lay-over", ZYGOTE, &text])?;
    agent.ask(&["kill", "SIGKILL", "perl"])?;
    for _ in 0..TRIES {
        wait_for_mail(machine)?;
        // Between two zygotes a message may be refused for now, or pass unread.
        let sent = smtp::send(route, message);
        let marked = marked(&mailbox(world)?);
        if sent.is_ok() && marked > 0 {
            return Ok(marked);
        }
        sleep(Duration::from_secs(5));
    }
    bail!("the zygote that was laid over scans on after {TRIES} tries")
}

fn without_scan() -> Result<String> {
    let text = ZYGOTE_TEXT.replace(SCAN, NO_SCAN);
    ensure!(
        text != ZYGOTE_TEXT,
        "zygote.pl has no line \"{SCAN}\" any more; change it here too"
    );
    Ok(text)
}

/// Everything that Anna got.
pub(super) fn mailbox(world: &World) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for folder in ["INBOX", "Junk"] {
        all.extend(curl(&world.internet, &world.folder, ANNA, folder)?);
    }
    Ok(all)
}

fn marked(messages: &[Vec<u8>]) -> usize {
    messages.iter().filter(|one| is_marked(one)).count()
}

/// Whether it went past the scan.
pub(super) fn is_marked(message: &[u8]) -> bool {
    has(message, MARK)
}

/// Whether the uppermost 2 KB, where the box's own header fields are, hold it.
fn has(message: &[u8], what: &[u8]) -> bool {
    let header = &message[..message.len().min(2048)];
    memchr::memmem::find(header, what).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zygote_has_the_line_that_is_replaced() {
        let text = without_scan().unwrap();
        assert!(text.contains("BENCH_NOT_SCANNED") && !text.contains(SCAN));
    }
}

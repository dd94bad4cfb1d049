//! The part of `cargo xtask bench isolation --in-guest` that happens in the world:
//! the kept box goes on, the test agent starts the process without a sandbox
//! beside it (`ci/unsandboxed`), and both ways get messages in turns.

use super::internet::{BOX, MAIL};
use super::measured::{SENDER, is_marked, lay_over_the_scan, mailbox};
use super::world::World;
use super::{ANNA, InsideArguments, Part, enter};
use crate::agent::Agent;
use crate::bench::isolation::{Measured, Order, PORTS, rounds, went_their_way};
use crate::bench::mail::messages;
use crate::bench::mail::smtp::{Route, send_timed};
use crate::qemu::Machine;
use crate::scenarios::Lab;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddrV4;

const ORDER: &str = "order.json";
const RESULT: &str = "result.json";
/// The program's name, and its name as a process.
const PROGRAM: &str = "unsandboxed";
/// Where the box has what the program needs, as the agent reaches it.
const SIGNER: &str = "/proc/1/root/run/projectx/channels/email/tls-sign";
const SPAMASSASSIN: &str = "/proc/1/root/run/apps/email/roots/spamassassin";
/// What it calls itself in the header, as the box does.
const HOSTNAME: &str = "projectx.local";
/// One Perl for the one processor.
const PERLS: &str = "1";

/// Does what is ordered in a world of its own, and returns what was measured.
/// `lab` brings the program.
pub fn measure(lab: &Lab, order: &Order) -> Result<Measured> {
    let folder = workspace::target().join("test/bench_isolation");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(ORDER), serde_json::to_vec(order)?)?;
    enter(lab, Part::Isolated, &folder, &lab.mail_moment()?)
        .with_context(|| format!("the serial log is in {}", folder.display()))?;
    let measured = serde_json::from_slice(&fs::read(folder.join(RESULT))?)?;
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(measured)
}

/// The part in the world.
pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let order: Order = serde_json::from_slice(&fs::read(arguments.folder.join(ORDER))?)?;
    let corpus = messages(SENDER, ANNA.address);
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    let measure = |machine: &Machine, agent: &mut Agent, scan: &str| {
        start(agent, scan)?;
        let used = || Ok(machine.processor_time()?);
        let both = rounds(&order, &corpus, used, |_, port, message| {
            send_timed(&route(port), message)
        });
        // Its Perl ends with its input.
        agent.ask(&["kill", "SIGKILL", PROGRAM])?;
        both
    };
    let scanned = measure(&machine, &mut agent, "scan").context("scanned")?;
    went_their_way(&order, mailbox(&world)?)?;
    let first = &corpus[0];
    let probes = lay_over_the_scan(&world, &mut machine, &mut agent, &route(PORTS[0]), first)?;
    let not_scanned = measure(&machine, &mut agent, "no-scan").context("not scanned")?;
    // In the order of their arrival, the probes first.
    let past = mailbox(&world)?.into_iter().filter(|one| is_marked(one));
    went_their_way(&order, past.skip(probes).collect())?;
    machine.cut_power()?;
    let measured = Measured {
        scanned,
        not_scanned,
    };
    fs::write(
        arguments.folder.join(RESULT),
        serde_json::to_vec(&measured)?,
    )?;
    Ok(())
}

fn start(agent: &mut Agent, scan: &str) -> Result<()> {
    let port = PORTS[1].to_string();
    let program = format!("/{PROGRAM}");
    let words = [&program, HOSTNAME, &port, SIGNER, SPAMASSASSIN, PERLS, scan];
    let said = agent.ask_text(&[&["start"], &words[..]].concat())?;
    ensure!(
        said == "ready",
        "the unsandboxed way does not start: {said:?}"
    );
    Ok(())
}

fn route(port: u16) -> Route<'static> {
    Route {
        from: MAIL.address,
        helo: MAIL.name,
        to: SocketAddrV4::new(BOX, port),
        sender: SENDER,
        recipient: ANNA.address,
    }
}

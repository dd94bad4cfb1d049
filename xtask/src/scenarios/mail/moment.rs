//! The moment from which every scenario goes on: a box that was claimed, has
//! the time and two people, and whose mail programs are at work.
//!
//! One thing in it is not as it ships: the key of the DNS root is the world's.
//! The test agent, which no image holds, lays it over the file in the running
//! box; the resolver is then killed and started again by the supervisor.

use super::readers::SERVER;
use super::world::{MAIL_LIMIT, World, page, wait_for_mail};
use super::{ANNA, BEN, InsideArguments, PASSPHRASE, Part, enter, people};
use crate::agent::Agent;
use crate::qemu::{Machine, PAGE_LIMIT, Start};
use crate::scenarios::Lab;
use crate::snapshot;
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the app's image shows Unbound's root (docs/architecture.md).
pub(super) const ROOT_KEY: &str = "/run/apps/email/roots/unbound/usr/share/dns/root.key";
/// How far the box's clock may be off, in seconds.
const SLACK: u64 = 60;

/// The kept moment's folder, for as long as the tests run.
#[derive(Debug)]
pub(in crate::scenarios) struct Moment(PathBuf);

impl Moment {
    /// Sets a box up, which takes a boot.
    pub(in crate::scenarios) fn make(lab: &Lab) -> Result<Self> {
        let folder = workspace::target().join("test/mail_moment");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut brought = super::rules::brought(&folder)?;
        for (path, node) in lab.brought.iter() {
            brought.put(path, node.clone());
        }
        let card = lab.card_with_agent_and(&folder, "", &brought, &[])?;
        snapshot::lay_over(&card, &folder.join("kept.qcow2"))?;
        enter(lab, Part::Moment, &folder, &folder).with_context(|| {
            let serial = folder.join("serial.log");
            format!("setting the box up; serial log: {}", serial.display())
        })?;
        Ok(Self(folder))
    }

    /// The card `kept.qcow2`, and the world that belongs to it.
    pub(in crate::scenarios) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        // What cannot be removed is removed before the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The part in the world.
pub(super) fn keep(arguments: &InsideArguments) -> Result<()> {
    let (world, anchor) = World::new(arguments)?;
    let card = arguments.folder.join("kept.qcow2");
    let mut machine = world.start_box(Start::PowerOnToSave, &card, None)?;
    machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
    let mut agent = Agent::connect(&mut machine)?;
    has_the_time(&mut machine, &mut agent)?;
    machine.wait_until("the page in the home network", MAIL_LIMIT, |_| {
        let state = client::status(&page()).ok().map(|shown| shown.state);
        Ok(state.filter(|state| *state == State::Unclaimed))
    })?;
    let answer = client::claim(&page(), PASSPHRASE, None)?;
    ensure!(answer.ok, "claiming the box: {answer:?}");
    if let Err(error) = wait_for_mail(&mut machine) {
        let journal = agent.ask_text(&["read", "/run/projectx/journal"]);
        return Err(error.context(journal.unwrap_or_default()));
    }
    believes(&mut machine, &mut agent, &anchor)?;
    for person in [ANNA, BEN] {
        people::add(&page(), PASSPHRASE, person)?;
    }
    wait_for_mail(&mut machine)?;
    fs::write(world.folder.join("imap.pem"), certificate()?)?;
    machine.save()?;
    Ok(())
}

/// Makes the box's resolver one that was started with this key of the root.
fn believes(machine: &mut Machine, agent: &mut Agent, anchor: &str) -> Result<()> {
    laid_over(machine, agent, (ROOT_KEY, anchor), "unbound")
}

/// Lays a text over a file of the image, and has the program that reads it started
/// anew.
pub(super) fn laid_over(
    machine: &mut Machine,
    agent: &mut Agent,
    (path, text): (&str, &str),
    program: &str,
) -> Result<()> {
    agent.ask(&["lay-over", path, text])?;
    start_anew(machine, agent, program)
}

/// Kills a program, which the supervisor then starts anew.
pub(super) fn start_anew(machine: &mut Machine, agent: &mut Agent, program: &str) -> Result<()> {
    let before = agent.ask_text(&["pids", program])?;
    agent.ask(&["kill", "SIGKILL", program])?;
    machine.wait_until("a program started anew", MAIL_LIMIT, |_| {
        let now = agent.ask_text(&["pids", program]).unwrap_or_default();
        Ok((!now.is_empty() && now != before).then_some(()))
    })?;
    Ok(())
}

fn has_the_time(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    machine.wait_until("the network's time on the box", MAIL_LIMIT, |_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_secs();
        let clock = agent.ask_text(&["clock"]).ok();
        let clock = clock.and_then(|text| text.parse::<u64>().ok());
        Ok(clock.filter(|clock| clock.abs_diff(now) < SLACK))
    })?;
    Ok(())
}

/// What the box shows on port 993.
fn certificate() -> Result<Vec<u8>> {
    let said = tool("openssl", "openssl")
        .args(["s_client", "-servername", SERVER, "-connect"])
        .arg(format!("{}:993", super::internet::BOX))
        .output()?;
    let text = String::from_utf8_lossy(&said);
    const END: &str = "-----END CERTIFICATE-----";
    let start = text
        .find("-----BEGIN")
        .context("no certificate on port 993")?;
    let end = text.find(END).context("half a certificate")? + END.len();
    Ok((text[start..end].to_owned() + "\n").into_bytes())
}

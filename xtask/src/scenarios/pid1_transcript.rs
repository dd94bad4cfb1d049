//! PID 1: what it does in which order, and that a box whose parts hang or die
//! comes back by itself. One card, two resets by the watchdog, one power-off.

use super::first_boot_virt::claim;
use super::{Lab, transcript};
use crate::agent::Agent;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use console::client;
use std::path::Path;
use std::time::Duration;

/// The watchdog's 15 s, the 10 s for which PID 1 still trusts a silent
/// supervisor, and a busy host.
const RESET_LIMIT: Duration = Duration::from_secs(90);
/// U-Boot says this once at each start.
const BANNER: &str = "U-Boot 20";
/// The last line of an undisturbed boot.
const HEALTHY: &str = "init: the supervisor is healthy";
/// Words that no kernel knows reach PID 1 as arguments and environment.
const UNKNOWN_WORDS: &str = "foo bar=1 single emergency - -x --help";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, UNKNOWN_WORDS)?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine
        .wait_for_page()
        .context("boot with unknown words on the kernel's command line")?;
    // Its last line of the boot may come after the page.
    machine.wait_for_serial(HEALTHY, 1, Duration::from_secs(30))?;
    let serial = machine.serial_text()?;
    transcript::compare("boot", &transcript::pid1_lines(&serial), lab.bless)?;

    let mut agent = Agent::connect(&mut machine)?;
    killed_supervisor(&mut machine, &mut agent).context("supervisor killed")?;
    agent.ask(&["kill", "SIGSTOP", "supervisor"])?;
    drop(agent);
    reset_by_the_watchdog(&mut machine, 2).context("supervisor stopped")?;

    let mut agent = Agent::connect(&mut machine)?;
    // The answer must be awaited: closing the line at once loses the request.
    agent.ask(&["freeze-pid1"])?;
    drop(agent);
    reset_by_the_watchdog(&mut machine, 3).context("PID 1 stopped")?;

    power_off_with_an_open_disk(&mut machine, lab).context("power-off by the page")
}

/// Another supervisor is started, and the page comes back with it.
fn killed_supervisor(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    let before = transcript::pid1_lines(&machine.serial_text()?).len();
    agent.ask(&["kill", "SIGKILL", "supervisor"])?;
    machine.wait_for_serial("projectx: page ready", 2, Duration::from_secs(60))?;
    machine.wait_for_page()?;
    let serial = machine.serial_text()?;
    let said = transcript::pid1_lines(&serial).split_off(before);
    ensure!(
        said.iter().any(|line| line.contains("supervisor")),
        "PID 1 said nothing about the supervisor: {said:?}"
    );
    ensure!(
        serial.matches(BANNER).count() == 1,
        "the whole box was reset instead"
    );
    Ok(())
}

/// The box starts anew, by no doing of ours, and reaches its page.
fn reset_by_the_watchdog(machine: &mut Machine, starts: usize) -> Result<()> {
    machine.wait_for_serial(BANNER, starts, RESET_LIMIT)?;
    machine.wait_for_serial("projectx: page ready", starts + 1, Duration::from_secs(120))?;
    machine.wait_for_page()?;
    Ok(())
}

/// The order of the shutdown, with a mounted encrypted disk to close.
fn power_off_with_an_open_disk(machine: &mut Machine, lab: &Lab) -> Result<()> {
    // Four supervisors so far: two in the first boot, one in each of the others.
    machine.wait_for_serial(HEALTHY, 4, Duration::from_secs(30))?;
    claim(machine, "a passphrase for the shutdown")?;
    let before = transcript::pid1_lines(&machine.serial_text()?).len();
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(Duration::from_secs(60))?;
    let serial = machine.serial_text()?;
    transcript::compare(
        "shutdown",
        &transcript::pid1_lines(&serial).split_off(before),
        lab.bless,
    )
}

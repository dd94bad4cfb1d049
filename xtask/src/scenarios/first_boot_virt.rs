//! A card's first day: flashed, claimed, written to, cut off, opened again.

use super::Lab;
use crate::agent::Agent;
use crate::card_image;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, bail, ensure};
use console::{State, client};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "correct horse battery staple";
const SENTENCE: &str = "The quick brown fox lives on the encrypted disk and nowhere else.";
const FILE: &str = "/data/test-sentence.txt";
/// What the page answers to a wrong passphrase.
const WRONG_PASSPHRASE: u16 = 401;
/// From the page's answer to the mounted disk, on a busy host.
const OPEN_LIMIT: Duration = Duration::from_secs(240);

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.flashed_card_with_agent(folder)?;
    let before = card_image::partition(&card, 1)?;
    first_day(lab, &card, folder).context("first boot")?;
    let after = card_image::partition(&card, 1)?;
    ensure!(
        before == after,
        "a flashed partition was changed: {before:?}, {after:?}"
    );
    after_the_power_cut(&card).context("the card after the power cut")?;
    second_day(lab, &card, folder).context("second boot")?;
    card_image::check_fat(&card).context("the card after power-off by the page")?;
    Ok(())
}

/// First boot: the owner sets a passphrase, a file is written, the plug pulled.
fn first_day(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    ensure!(
        client::status(&page)?.state == State::Unclaimed,
        "a fresh card has a passphrase"
    );
    refuses_to_restart(&page).context("a box that nobody has claimed")?;
    claim(&mut machine, PASSPHRASE)?;
    let mut agent = Agent::connect(&mut machine)?;
    the_console_is_confined(&mut agent).context("the console's sandbox")?;
    agent.ask(&["write", FILE, SENTENCE])?;
    machine.cut_power()?;
    Ok(())
}

/// What the kernel says of the page's process: a user of its own, no
/// capability, no way to more, a seccomp filter, limits, an empty network.
fn the_console_is_confined(agent: &mut Agent) -> Result<()> {
    const GROUP: &str = "/sys/fs/cgroup/services/console";
    let pid = agent.ask_text(&["read", &format!("{GROUP}/cgroup.procs")])?;
    let pid = pid.trim();
    let status = agent.ask_text(&["read", &format!("/proc/{pid}/status")])?;
    let status: Vec<String> = status
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for expected in [
        "Name: console",
        "Uid: 200000 200000 200000 200000",
        "Gid: 200000 200000 200000 200000",
        "Groups:",
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
    ] {
        ensure!(
            status.iter().any(|line| line == expected),
            "not \"{expected}\": {status:?}"
        );
    }
    for (limit, expected) in [
        ("memory.max", "33554432"),
        ("memory.swap.max", "0"),
        ("pids.max", "8"),
    ] {
        let value = agent.ask_text(&["read", &format!("{GROUP}/{limit}")])?;
        ensure!(
            value.trim() == expected,
            "{limit} is {value}, not {expected}"
        );
    }
    let network = agent.ask_text(&["read", &format!("/proc/{pid}/net/dev")])?;
    let interfaces: Vec<&str> = network
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    ensure!(
        interfaces == ["lo"],
        "the console sees the box's network: {interfaces:?}"
    );
    Ok(())
}

/// Nothing of the sentence is on the raw card, and the boot partition is clean.
fn after_the_power_cut(card: &Path) -> Result<()> {
    let boot = card_image::partition(card, 1)?;
    let data = card_image::partition(card, 2)?;
    ensure!(
        (boot.kind, data.kind) == (0x0c, 0xe8),
        "partition types: {boot:?}, {data:?}"
    );
    ensure!(
        boot.start + boot.sectors <= data.start,
        "partitions overlap: {boot:?}, {data:?}"
    );
    card_image::check_fat(card)?;
    ensure!(
        &card_image::first_bytes::<6>(card, data)? == b"LUKS\xba\xbe",
        "the second partition does not begin with a LUKS header"
    );
    for secret in [SENTENCE, PASSPHRASE] {
        for part in [boot, data] {
            if let Some(at) = card_image::find_bytes(card, part, secret.as_bytes())? {
                bail!("{secret:?} stands in the clear at byte {at} of {part:?}");
            }
        }
    }
    Ok(())
}

/// Second boot: a wrong passphrase, then the right one; the file is there.
fn second_day(lab: &Lab, card: &Path, folder: &Path) -> Result<()> {
    let mut machine = lab.start(Board::Virt, card, folder)?;
    machine.wait_for_page()?;
    let page = machine.page();
    ensure!(
        client::status(&page)?.state == State::Locked,
        "a claimed card comes up locked"
    );
    let mut waits = Vec::new();
    for _ in 0..3 {
        let wrong = client::unlock(&page, "incorrect horse battery staple")?;
        ensure!(
            wrong.http_status == WRONG_PASSPHRASE,
            "wrong passphrase: {wrong:?}"
        );
        waits.push(wrong.retry_after);
        let shown = client::status(&page)?;
        ensure!(
            shown.state == State::Locked,
            "after a wrong passphrase the disk is {shown:?}"
        );
        std::thread::sleep(Duration::from_secs(shown.retry_after + 1));
    }
    ensure!(
        waits[0] > 0 && waits[2] > waits[0],
        "the delay does not grow: {waits:?} s"
    );
    refuses_to_restart(&page).context("a box with wrong attempts")?;
    waits_outlive_the_supervisor(&mut machine, waits[2])?;
    let right = client::unlock(&page, PASSPHRASE)?;
    ensure!(right.ok, "the right passphrase was refused: {right:?}");
    wait_until_open(&mut machine)?;

    let mut agent = Agent::connect(&mut machine)?;
    ensure!(
        agent.ask_text(&["read", FILE])? == SENTENCE,
        "{FILE} is not what was written"
    );
    // The positive control: the sentence does stand in the opened volume. (The
    // search on the card has its own control, card_image's unit test.)
    let volume = opened_volume(&mut agent)?;
    let found = agent.ask_text(&["find-bytes", &volume, SENTENCE])?;
    ensure!(
        found != "none",
        "the sentence is not in the opened volume {volume}"
    );

    let answer = client::power(&page, "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(Duration::from_secs(60))?;
    Ok(())
}

/// Another supervisor counts on: the next wrong one costs twice as much as the last.
fn waits_outlive_the_supervisor(machine: &mut Machine, last: u64) -> Result<()> {
    let mut agent = Agent::connect(machine)?;
    agent.ask(&["kill", "SIGKILL", "supervisor"])?;
    drop(agent);
    machine.wait_for_serial("projectx: page ready", 2, OPEN_LIMIT)?;
    machine.wait_for_page()?;
    let page = machine.page();
    refuses_to_restart(&page).context("after the supervisor's end")?;
    let wrong = client::unlock(&page, "incorrect horse battery staple")?;
    ensure!(
        wrong.retry_after == 2 * last,
        "the waits began anew with another supervisor: {wrong:?} after {last} s"
    );
    std::thread::sleep(Duration::from_secs(wrong.retry_after + 1));
    Ok(())
}

/// A restart from afar would begin the 15 minutes, or the delays, anew.
fn refuses_to_restart(page: &str) -> Result<()> {
    let answer = client::power(page, "restart")?;
    ensure!(!answer.ok, "it restarts for whoever asks: {answer:?}");
    Ok(())
}

/// Sets the passphrase of a fresh box and waits until its disk is open.
pub(super) fn claim(machine: &mut Machine, passphrase: &str) -> Result<()> {
    claim_with_key(machine, passphrase).map(drop)
}

/// The same; the words of the recovery key, which nobody has confirmed.
pub(super) fn claim_with_key(machine: &mut Machine, passphrase: &str) -> Result<String> {
    let answer = client::claim(&machine.page(), passphrase, None)?;
    ensure!(answer.ok, "claiming a fresh box: {answer:?}");
    wait_until_open(machine)?;
    answer.recovery_key.context("claiming gave no recovery key")
}

fn wait_until_open(machine: &mut Machine) -> Result<()> {
    machine.wait_for_serial("projectx: unlocked", 1, OPEN_LIMIT)?;
    let state = client::status(&machine.page())?.state;
    ensure!(
        state == State::Open,
        "the box says unlocked and shows {state:?}"
    );
    Ok(())
}

/// The device node of the mapping called `data`; no udev makes names for them.
pub(super) fn opened_volume(agent: &mut Agent) -> Result<String> {
    for name in agent.ask_text(&["list", "/sys/block"])?.lines() {
        if name.starts_with("dm-")
            && agent.ask_text(&["read", &format!("/sys/block/{name}/dm/name")])? == "data"
        {
            return Ok(format!("/dev/{name}"));
        }
    }
    bail!("no device mapping is called data")
}

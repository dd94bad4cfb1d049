//! Two boxes in one home. One of them becomes `projectx-2.local`, is found by that name,
//! and says so on its page, on its screen and in `wifi-result.txt`; the other is
//! `projectx.local`. Which one, avahi decides by the records of both and not by who came
//! first (RFC 6762, section 8.2): here it was the box that had been there before.
//!
//! The machine `virt` has no screen, but Linux keeps the letters that would stand on it
//! (vcs(4)). What they look like, `rpi3_reaches_the_page` shows.

use super::Lab;
use super::home_network::{self, InsideArguments, NAME, Part, mdns, router};
use crate::agent::Agent;
use crate::qemu::{Board, Machine, Network, PAGE_LIMIT, Setup, Start};
use anyhow::{Context, Result, ensure};
use console::State;
use home_network::{eventually, get, page_answers};
use router::Router;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

const SECOND_NAME: &str = "projectx-2.local";
const CABLES: [&str; 2] = ["first", "second"];
/// What becomes of [`Network::Tap`] and [`Network::SecondTap`].
const HARDWARE: [&str; 2] = ["52:54:00:12:34:56", "52:54:00:12:34:57"];

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    // The log that is shown when the test fails is that of the second.
    let first = folder.join("first");
    fs::create_dir(&first).with_context(|| first.display().to_string())?;
    for folder in [&first, folder] {
        lab.card_with_agent(folder, "loglevel=5 printk.devkmsg=on")?;
    }
    home_network::enter(Part::SecondBox, lab, folder)
}

/// The test, in the home.
pub(super) fn inside(arguments: &InsideArguments) -> Result<()> {
    router::lay_cables(&CABLES)?;
    let router = Router::start(&arguments.folder, None)?;
    let start = |folder: &Path, network| -> Result<Machine> {
        let mut machine = Machine::start(&Setup {
            board: Board::Virt,
            card: folder.join("card.img"),
            start: Start::PowerOn,
            memory: 1024,
            serial: folder.join("serial.log"),
            virt_u_boot: arguments.u_boot.clone(),
            network,
            recording: None,
            stick: None,
        })?;
        machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
        Ok(machine)
    };
    let mut first = start(&arguments.folder.join("first"), Network::Tap(CABLES[0]))?;
    let first_address = address(&mut first, &router, HARDWARE[0])?;
    is_alone(&mut first, NAME, first_address, None)?;

    let mut second = start(&arguments.folder, Network::SecondTap(CABLES[1]))?;
    let second_address = address(&mut second, &router, HARDWARE[1])?;
    let mut addresses = [first_address, second_address];
    let renamed = eventually(&mut second, SECOND_NAME, || {
        let found = mdns::lookup(router::ADDRESS, SECOND_NAME)?;
        let has = addresses.map(|address| found.contains(&address.into()));
        let one = has.iter().position(|has| *has);
        ensure!(has != [true, true], "both are {SECOND_NAME}");
        one.with_context(|| format!("{SECOND_NAME} is {found:?}"))
    })?;
    eprintln!(
        "  the box that came {} took the other name",
        ["first", "second"][renamed]
    );
    let mut boxes = [first, second];
    if renamed == 0 {
        boxes.reverse();
        addresses.reverse();
    }
    let names = [(NAME, "projectx"), (SECOND_NAME, "projectx-2")];
    for (number, (name, title)) in names.into_iter().enumerate() {
        let (machine, address) = (&mut boxes[number], addresses[number]);
        is_alone(machine, name, address, Some(addresses[1 - number]))?;
        page_answers(machine, address.into(), name)?;
        calls_itself(address, title)?;
        says_so_everywhere(machine, name, address).context(name)?;
    }
    answers_to_no_other_name(addresses[1])?;
    Ok(())
}

/// The address that the router has given to this hardware.
fn address(machine: &mut Machine, router: &Router, hardware: &str) -> Result<Ipv4Addr> {
    eventually(machine, "an address by DHCP", || {
        let leases = router.leases();
        let lease = leases.iter().find(|lease| lease.hardware == hardware);
        Ok(lease.with_context(|| format!("{leases:?}"))?.address)
    })
}

/// The name is this box's and not the other's.
fn is_alone(
    machine: &mut Machine,
    name: &str,
    address: Ipv4Addr,
    other: Option<Ipv4Addr>,
) -> Result<()> {
    eventually(machine, &format!("the box's address for {name}"), || {
        let found = mdns::lookup(router::ADDRESS, name)?;
        let other = other.map(IpAddr::V4);
        ensure!(
            found.contains(&address.into()) && !found.iter().any(|one| Some(*one) == other),
            "{name} is {found:?}"
        );
        Ok(())
    })
}

/// The check against rebinding is not loosened by the number.
fn answers_to_no_other_name(address: Ipv4Addr) -> Result<()> {
    for name in [
        "example.org",
        "projectx-2.example.org",
        "projectx-two.local",
    ] {
        let (status, body) = get(address.into(), name)?;
        ensure!(
            status == 421 && body.contains(&format!("Open http://{SECOND_NAME} or")),
            "asked as {name}: {status}, {body}"
        );
    }
    Ok(())
}

/// The page's title.
fn calls_itself(address: Ipv4Addr, name: &str) -> Result<()> {
    let (_, body) = get(address.into(), &address.to_string())?;
    let title = format!("– {name}</title>");
    ensure!(
        body.contains(&title) && body.contains(State::Unclaimed.word()),
        "no {title}: {body}"
    );
    Ok(())
}

/// On the screen, and on the card after a minute.
fn says_so_everywhere(machine: &mut Machine, name: &str, address: Ipv4Addr) -> Result<()> {
    let mut agent = Agent::connect(machine)?;
    eventually(machine, "name and address on the screen", || {
        let screen = screen(&mut agent)?;
        for expected in [format!("http://{name}"), format!("http://{address}")] {
            let is_there = screen.iter().any(|line| line.ends_with(&expected));
            ensure!(is_there, "not {expected} on the screen: {screen:#?}");
        }
        Ok(())
    })?;
    let result = format!(
        "What became of the wireless network. The box writes this file; wifi.txt is yours.\r\n\
         \r\n\
         wifi.txt names no network, so the box uses the network cable.\r\n\
         The box's address there is {address}.\r\n\
         \r\n\
         Open http://{name} on a phone or computer in the same network.\r\n\
         If that name is not found (some Android phones), open http://{address}\r\n"
    );
    eventually(machine, "wifi-result.txt", || {
        let said = agent.ask(&["read", "/run/card/wifi-result.txt"])?;
        let said = String::from_utf8_lossy(&said);
        ensure!(said == result, "it says {said:?}");
        Ok(())
    })
}

/// The letters of the first console, a line each, without the blanks at its end.
fn screen(agent: &mut Agent) -> Result<Vec<String>> {
    // Four bytes a letter, one line after the other without a mark between them.
    let letters = agent.ask(&["read", "/dev/vcsu1"])?;
    let letters = letters.as_chunks::<4>().0.iter();
    let letters: Vec<char> = letters
        .map(|code| char::from_u32(u32::from_le_bytes(*code)).unwrap_or('?'))
        .collect();
    let line = |letters: &[char]| letters.iter().collect::<String>().trim_end().to_owned();
    Ok(letters.chunks(80).map(line).collect())
}

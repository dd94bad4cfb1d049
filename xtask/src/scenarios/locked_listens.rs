//! What a locked box listens to, in every network namespace that it has: the page and
//! what an address and a name in the home network need, and nothing else. The kernel's
//! own lists are read (proc_net(5)), and every port is tried by TCP from the box itself.
//!
//! Also: a box on a cable with an untouched `wifi.txt` says on the card where its page
//! is. (What the page's process could do if it were taken over: `ci/attacks`.)

use super::Lab;
use super::first_boot_virt::claim;
use crate::agent::Agent;
use crate::qemu::{Board, Machine};
use anyhow::{Context, Result, ensure};
use console::{State, client};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const PASSPHRASE: &str = "a box that is locked again";
/// The address that QEMU's network gives.
const ADDRESS: &str = "10.0.2.15";
/// All that may be open before the disk is: list, port, why. Of raw and packet sockets
/// the protocol stands for the port: UDP 17, ICMPv6 58, and 3 for any.
const EXPECTED: [(&str, u16, &str); 12] = [
    ("tcp", 80, "the page"),
    ("tcp6", 80, "the page"),
    ("tcp", 443, "the page over TLS"),
    ("tcp6", 443, "the page over TLS"),
    ("udp", 5353, "avahi: projectx.local"),
    ("udp6", 5353, "avahi: projectx.local"),
    ("udp", 68, "dhcpcd: the lease is renewed"),
    ("udp6", 546, "dhcpcd: the same by DHCPv6"),
    ("raw6", 58, "dhcpcd: routers announce themselves by ICMPv6"),
    ("raw", 17, "dhcpcd: sends from the lease's address"),
    ("raw6", 17, "dhcpcd: the same for DHCPv6"),
    ("packet", 3, "dhcpcd: DHCP and ARP, by a filter"),
];
/// Those that need not be there at any moment: they come with a lease or an answer.
const NOW_AND_THEN: [(&str, u16); 6] = [
    ("udp", 68),
    ("udp6", 546),
    ("raw6", 58),
    ("raw", 17),
    ("raw6", 17),
    ("packet", 3),
];
/// Ports that a socket is given to ask from, in `ip_local_port_range`.
const ASKING: std::ops::RangeInclusive<u16> = 32_768..=60_999;
const LISTS: [&str; 9] = [
    "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "packet",
];
const LIMIT: Duration = Duration::from_secs(120);
const RESULT: &str = "\
What became of the wireless network. The box writes this file; wifi.txt is yours.\r\n\
\r\n\
wifi.txt names no network, so the box uses the network cable.\r\n\
The box's address there is 10.0.2.15.\r\n\
\r\n\
Open http://projectx.local on a phone or computer in the same network.\r\n\
If that name is not found (some Android phones), open http://10.0.2.15\r\n";

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent(folder, "")?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    listens(&mut machine, State::Unclaimed)?;
    claim(&mut machine, PASSPHRASE)?;
    let answer = client::power(&machine.page(), "off")?;
    ensure!(answer.ok, "power-off: {answer:?}");
    machine.wait_for_power_off(LIMIT)?;

    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_page()?;
    listens(&mut machine, State::Locked)?;
    says_where_its_page_is(&mut machine)?;
    machine.cut_power()?;
    Ok(())
}

fn listens(machine: &mut Machine, state: State) -> Result<()> {
    let shown = client::status(&machine.page())?.state;
    ensure!(shown == state, "not {state:?} but {shown:?}");
    let mut agent = Agent::connect(machine)?;
    machine.wait_until("the box's address", LIMIT, |_| {
        let said = agent.ask_text(&["exec", "/usr/sbin/ip", "-4", "-o", "addr"]);
        Ok(said.ok().filter(|said| said.contains(ADDRESS)))
    })?;
    let open = open_sockets(&mut agent)?;
    eprintln!("  locked_listens, {state:?}: {open:?}");
    let allowed: BTreeSet<_> = EXPECTED.map(|(list, port, _)| (list, port)).into();
    for (list, port) in &open {
        let is_asking = list.starts_with("udp") && ASKING.contains(port);
        ensure!(
            is_asking || allowed.contains(&(list.as_str(), *port)),
            "{state:?}: {list} {port} is open, and nobody knows why: {open:?}"
        );
    }
    for expected in allowed.difference(&NOW_AND_THEN.into()) {
        let (list, port) = *expected;
        // One socket may serve both families.
        let is_there =
            open.contains(&(list.to_owned(), port)) || open.contains(&(format!("{list}6"), port));
        ensure!(is_there, "{state:?}: {expected:?} is not open: {open:?}");
    }
    let expected = EXPECTED.into_iter().filter(|(list, ..)| *list == "tcp");
    let expected: Vec<String> = expected.map(|(_, port, _)| port.to_string()).collect();
    let expected = expected.join(",");
    for address in [ADDRESS, "127.0.0.1", "::1"] {
        let tried = agent.ask_text(&["tcp-ports", address])?;
        ensure!(
            tried == expected,
            "{state:?}: by TCP {address} answers on {tried:?}"
        );
    }
    Ok(())
}

/// Every socket that takes what comes, in every network namespace.
fn open_sockets(agent: &mut Agent) -> Result<BTreeSet<(String, u16)>> {
    let mut namespaces = BTreeMap::new();
    for name in agent.ask_text(&["list", "/proc"])?.lines() {
        if name.parse::<u32>().is_err() {
            continue;
        }
        // Somebody may be gone meanwhile.
        if let Ok(namespace) = agent.ask_text(&["link", &format!("/proc/{name}/ns/net")]) {
            namespaces.entry(namespace).or_insert(name.to_owned());
        }
    }
    // The box's own, and the page's empty one.
    ensure!(namespaces.len() >= 2, "namespaces: {namespaces:?}");
    let mut open = BTreeSet::new();
    for pid in namespaces.values() {
        for list in LISTS {
            let text = match agent.ask_text(&["read", &format!("/proc/{pid}/net/{list}")]) {
                Ok(text) => text,
                // This kernel has no such protocol.
                Err(_) if list.starts_with("udplite") => continue,
                Err(error) => return Err(error).context(format!("{list} of process {pid}")),
            };
            open.extend(taking(list, &text)?);
        }
    }
    Ok(open)
}

/// The sockets of one list that take what comes: TCP's that listen, and all others that
/// are bound.
fn taking(list: &str, text: &str) -> Result<Vec<(String, u16)>> {
    const LISTENS: &str = "0A";
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = match list {
            "packet" => fields.get(3).copied(),
            _ => fields
                .get(1)
                .and_then(|local| Some(local.rsplit_once(':')?.1)),
        };
        let port = port.with_context(|| format!("/proc/net/{list}: {line}"))?;
        if !list.starts_with("tcp") || fields.get(3) == Some(&LISTENS) {
            found.push((list.to_owned(), u16::from_str_radix(port, 16)?));
        }
    }
    Ok(found)
}

/// By a cable, with nothing in `wifi.txt`, after a minute.
fn says_where_its_page_is(machine: &mut Machine) -> Result<()> {
    let mut agent = Agent::connect(machine)?;
    let mut last = None;
    let done = machine.wait_until("wifi-result.txt", LIMIT, |_| {
        last = agent.ask(&["read", "/run/card/wifi-result.txt"]).ok();
        Ok((last.as_deref() == Some(RESULT.as_bytes())).then_some(()))
    });
    done.with_context(|| format!("{:?}", last.map(String::from_utf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_from_who_is_connected() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            \x20  0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n\
            \x20  1: 0F02000A:0050 0202000A:C350 01 00000000:00000000 00:00000000 00000000\n";
        assert_eq!(taking("tcp", tcp).unwrap(), [("tcp".to_owned(), 80)]);
        let udp = "   sl  local_address rem_address   st tx_queue rx_queue\n\
            \x20 123: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000\n";
        assert_eq!(taking("udp", udp).unwrap(), [("udp".to_owned(), 5353)]);
        let packet = "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n\
            00000000f9d1c9d6 3 3 0806 2 1 0 107 4711\n";
        let expected = [("packet".to_owned(), 0x0806)];
        assert_eq!(taking("packet", packet).unwrap(), expected);
        assert!(taking("udp", "head\nnonsense\n").is_err());
    }
}

//! A box in a home: its addresses, its name and the time come from the router.
//!
//! The home is a network namespace with nothing in it but the router (dnsmasq),
//! two time servers and the box's cable; no route leads out. It has no name and
//! ends with the process in it, so nothing is left over even after a kill. That
//! process is this program again ([`inside`], started by [`apart`]).

pub(super) mod mdns;
pub(super) mod ntp;
pub(super) mod router;

use super::{Lab, apart};
use crate::agent::Agent;
use crate::qemu::{self, Board, Machine, Network, PAGE_LIMIT, QemuError, Setup, Start};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use ntp::TimeServer;
use router::{Lease, Router};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the time servers are ahead of the host.
const AHEAD: Duration = Duration::from_secs(10 * 24 * 3600);
/// The box may not have settled on an address or a time at once.
const LIMIT: Duration = Duration::from_secs(120);
/// Time that passes between a question and the comparison, emulation included.
const SLACK: u64 = 30;
pub(super) const NAME: &str = "projectx.local";

/// The boot tests that need a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// `home_network`
    HomeNetwork,
    /// `second_box`
    SecondBox,
}

/// What the process in the home needs to know.
#[derive(Debug, clap::Args)]
pub struct InsideArguments {
    /// Which test it is
    part: Part,
    /// The folder of the test, which holds the card
    pub(super) folder: PathBuf,
    /// The U-Boot of `virt`
    pub(super) u_boot: PathBuf,
}

/// Makes the card and has the test run inside.
pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    // The daemons' own words are on the serial console too.
    lab.card_with_agent(folder, "loglevel=5 printk.devkmsg=on")?;
    enter(Part::HomeNetwork, lab, folder)
}

/// Has a test run in a network namespace that ends with it.
pub(super) fn enter(part: Part, lab: &Lab, folder: &Path) -> Result<()> {
    // Without root rights a user namespace gives them in there.
    let user: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &[],
        false => &["--user", "--map-root-user"],
    };
    let part = part.to_possible_value().context("a part without a name")?;
    let words = [
        "in-home-network".as_ref(),
        part.get_name().as_ref(),
        folder.as_os_str(),
        lab.virt_u_boot.as_os_str(),
    ];
    apart::run(user, &words, folder)
}

/// A test, in the home.
pub fn inside(arguments: &InsideArguments) -> Result<()> {
    qemu::interrupted();
    match arguments.part {
        Part::HomeNetwork => one_box(arguments),
        Part::SecondBox => super::second_box::inside(arguments),
    }
}

fn one_box(arguments: &InsideArguments) -> Result<()> {
    router::lay_cable()?;
    let named_by_dhcp = TimeServer::start(router::ADDRESS.into(), AHEAD)?;
    let named_by_dns = TimeServer::start(router::PUBLIC_TIME.into(), AHEAD)?;
    let router = Router::start(&arguments.folder, None)?;
    let mut machine = Machine::start(&Setup {
        board: Board::Virt,
        card: arguments.folder.join("card.img"),
        start: Start::PowerOn,
        memory: 1024,
        serial: arguments.folder.join("serial.log"),
        virt_u_boot: arguments.u_boot.clone(),
        network: Network::Tap(router::INTERFACE),
        recording: None,
        stick: None,
    })?;
    machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
    let mut agent = Agent::connect(&mut machine)?;
    clock_stands_at_the_floor(&machine, &mut agent)?;
    named_by_dhcp.speak();

    let lease = given_address(&mut machine, &router)?;
    let made = address_from_the_prefix(&mut machine, &mut agent)?;
    for address in [IpAddr::V4(lease.address), IpAddr::V6(made)] {
        let literal = SocketAddr::new(address, 80).to_string();
        let literal = literal.trim_end_matches(":80");
        page_answers(&mut machine, address, literal)?;
    }
    let answered = name_resolves(&mut machine, &[lease.address.into(), made.into()])?;
    page_answers(&mut machine, lease.address.into(), NAME)?;
    let (status, _) = get(lease.address.into(), "example.org")?;
    ensure!(status == 421, "a foreign name got {status} instead of 421");
    resolvers_are_known(&mut machine, &mut agent)?;
    clocks_are_known(&mut machine, &mut agent)?;
    let waited = clock_has_the_networks_time(&mut machine, &mut agent)?;
    asked(&mut machine, &named_by_dns)?;
    eprintln!(
        "  {lease:?}, {made}; {NAME} is {answered:?}; network time after {} s",
        waited.as_secs()
    );
    Ok(())
}

/// Nobody has told the box the time yet: it has that of its making.
fn clock_stands_at_the_floor(machine: &Machine, agent: &mut Agent) -> Result<()> {
    ensure!(
        machine
            .serial_text()?
            .contains("projectx: clock raised to its floor"),
        "the clock was not raised to its floor"
    );
    let floor: u64 = agent
        .ask_text(&["read", "/usr/lib/projectx/build-time"])?
        .parse()?;
    let clock = clock(agent)?;
    ensure!(
        clock >= floor && clock - floor < PAGE_LIMIT.as_secs(),
        "before network time the clock is {clock}, the floor {floor}"
    );
    Ok(())
}

fn given_address(machine: &mut Machine, router: &Router) -> Result<Lease> {
    let lease = machine.wait_until("an address by DHCP", LIMIT, |_| Ok(router.leases().pop()))?;
    ensure!(
        lease.name == "projectx",
        "the router's list shows the box as {:?}",
        lease.name
    );
    // Otherwise the router takes it for another device at every start.
    ensure!(
        lease.client == format!("01:{}", lease.hardware),
        "the box asks the router for its address as {}",
        lease.client
    );
    Ok(lease)
}

fn address_from_the_prefix(machine: &mut Machine, agent: &mut Agent) -> Result<Ipv6Addr> {
    let prefix = &router::ADDRESS_6.segments()[..4];
    eventually(machine, "an address in the router's IPv6 prefix", || {
        let said = agent.ask_text(&["exec", "/usr/sbin/ip", "-6", "-o", "addr"])?;
        let found = said
            .split(['/', ' '])
            .filter_map(|word| word.parse::<Ipv6Addr>().ok())
            .find(|address| &address.segments()[..4] == prefix);
        found.with_context(|| said.clone())
    })
}

pub(super) fn page_answers(machine: &mut Machine, address: IpAddr, host: &str) -> Result<()> {
    let what = format!("the page at {address} as {host}");
    eventually(machine, &what, || {
        let (status, body) = get(address, host)?;
        ensure!(status == 200, "status {status}");
        ensure!(body.contains("data-state=\"unclaimed\""), "{body}");
        Ok(())
    })
}

fn name_resolves(machine: &mut Machine, expected: &[IpAddr]) -> Result<Vec<IpAddr>> {
    eventually(machine, "the box's addresses for its name", || {
        let found = mdns::lookup(router::ADDRESS, NAME)?;
        let complete = expected.iter().all(|address| found.contains(address));
        ensure!(complete, "{NAME} is {found:?}");
        Ok(found)
    })
}

/// Those named by DHCP and those named by IPv6, neither displacing the other.
fn resolvers_are_known(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    eventually(machine, "both resolvers of the router", || {
        let text = agent.ask_text(&["read", "/run/projectx/resolv.conf"])?;
        for resolver in [IpAddr::from(router::ADDRESS), router::ADDRESS_6.into()] {
            let line = format!("nameserver {resolver}");
            ensure!(text.lines().any(|l| l == line), "resolv.conf has:\n{text}");
        }
        Ok(())
    })
}

/// The one named by DHCP and the one named by DHCPv6.
fn clocks_are_known(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    eventually(machine, "both time servers of the router", || {
        let text = agent.ask_text(&["read", "/run/projectx/ntp/network.sources"])?;
        for server in [IpAddr::from(router::ADDRESS), router::ADDRESS_6.into()] {
            let line = format!("server {server} iburst");
            ensure!(text.lines().any(|l| l == line), "chrony is told:\n{text}");
        }
        Ok(())
    })
}

fn clock_has_the_networks_time(machine: &mut Machine, agent: &mut Agent) -> Result<Duration> {
    let begun = Instant::now();
    eventually(machine, "the network's time on the box's clock", || {
        let expected = (SystemTime::now() + AHEAD)
            .duration_since(UNIX_EPOCH)?
            .as_secs();
        let clock = clock(agent)?;
        ensure!(
            clock.abs_diff(expected) < SLACK,
            "the clock is {clock}, the network's {expected}"
        );
        Ok(())
    })?;
    Ok(begun.elapsed())
}

/// Without a time server from DHCP, the public ones are left: found by DNS.
fn asked(machine: &mut Machine, server: &TimeServer) -> Result<()> {
    eventually(machine, "a question to the public time servers", || {
        ensure!(server.asked() > 0, "nobody asked");
        Ok(())
    })
}

fn clock(agent: &mut Agent) -> Result<u64> {
    Ok(agent.ask_text(&["clock"])?.parse()?)
}

/// Tries until it works; what was wrong last is the error.
pub(super) fn eventually<T>(
    machine: &mut Machine,
    what: &str,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut last = None;
    let done = machine.wait_until(what, LIMIT, |_| match attempt() {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    match (done, last) {
        (Err(error @ QemuError::TimedOut { .. }), Some(last)) => {
            Err(last).context(error.to_string())
        }
        (done, _) => Ok(done?),
    }
}

/// The status and the rest of the answer to `GET /`.
pub(super) fn get(address: IpAddr, host: &str) -> Result<(u16, String)> {
    let ask = || -> io::Result<String> {
        let limit = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, 80), limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("http://{host}/ at {address}"))?;
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("no HTTP answer: {answer:?}"))?;
    Ok((status, answer))
}

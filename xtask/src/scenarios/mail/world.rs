//! A world for one box: home network, internet, and the programs in both.

use super::internet::{self, BOX};
use super::peers::{Daemon, Peers, Tree, WORLD};
use super::zone::{self, Names};
use super::{InsideArguments, sealed};
use crate::qemu::{Board, Machine, Network, Recording, Setup, Start};
use crate::scenarios::home_network::ntp::TimeServer;
use crate::scenarios::home_network::router::{self, Router};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// From unlock to each of the ports: the programs are loaded meanwhile.
pub(super) const MAIL_LIMIT: Duration = Duration::from_secs(180);

/// A world that is there until this is dropped.
#[derive(Debug)]
pub(super) struct World {
    /// Shared with all programs, at `/world`.
    pub(super) folder: PathBuf,
    /// Knot, Exim, swaks, the readers.
    pub(super) internet: Tree,
    /// Postfix.
    pub(super) postfix: Tree,
    serial: PathBuf,
    u_boot: PathBuf,
    _names: Names,
    _router: Router,
}

impl World {
    /// Makes a world with new keys, in the folder of the test, and returns the
    /// root's trust anchor too.
    pub(super) fn new(arguments: &InsideArguments) -> Result<(Self, String)> {
        let folder = arguments.folder.join("world");
        fs::create_dir_all(&folder)?;
        let (internet, postfix) = trees(&folder)?;
        let anchor = zone::make(&internet, &folder)?;
        Ok((Self::open(arguments, folder, internet, postfix)?, anchor))
    }

    /// The world that the box of the kept moment knows.
    pub(super) fn again(arguments: &InsideArguments) -> Result<Self> {
        let folder = arguments.folder.join("world");
        crate::tool::tool("cp", "coreutils")
            .arg("-a")
            .arg(arguments.moment.join("world"))
            .arg(&folder)
            .run()?;
        let (internet, postfix) = trees(&folder)?;
        Self::open(arguments, folder, internet, postfix)
    }

    fn open(
        arguments: &InsideArguments,
        folder: PathBuf,
        internet: Tree,
        postfix: Tree,
    ) -> Result<Self> {
        router::lay_cable()?;
        internet::settle(&zone::roots(&internet)?)?;
        let names = Names::serve(&internet, &folder)?;
        let router = Router::start(&folder, Some(BOX))?;
        TimeServer::start(router::ADDRESS.into(), Duration::ZERO)?.speak();
        Ok(Self {
            folder,
            internet,
            postfix,
            serial: arguments.folder.join("serial.log"),
            u_boot: arguments.u_boot.clone(),
            _names: names,
            _router: router,
        })
    }

    /// Plugs a box in.
    pub(super) fn start_box(
        &self,
        start: Start,
        card: &Path,
        recording: Option<Recording>,
    ) -> Result<Machine> {
        start_box(start, card, recording, &self.serial, &self.u_boot)
    }

    /// Lets a copy of the kept box go on.
    pub(super) fn go_on(
        &self,
        arguments: &InsideArguments,
        recording: Option<Recording>,
    ) -> Result<Machine> {
        resume(arguments, recording)
    }
}

/// Lets a copy of the kept box go on, in the home network that is there.
pub(super) fn resume(arguments: &InsideArguments, recording: Option<Recording>) -> Result<Machine> {
    let card = arguments.folder.join("kept.qcow2");
    let kept = arguments.moment.join("kept.qcow2");
    fs::copy(&kept, &card).with_context(|| kept.display().to_string())?;
    let serial = arguments.folder.join("serial.log");
    let mut machine = start_box(Start::Saved, &card, recording, &serial, &arguments.u_boot)?;
    wait_for_mail(&mut machine)?;
    Ok(machine)
}

/// Starts the box with this card.
pub(super) fn start_again(
    arguments: &InsideArguments,
    start: Start,
    card: &Path,
    recording: Option<Recording>,
) -> Result<Machine> {
    let serial = arguments.folder.join("serial.log");
    start_box(start, card, recording, &serial, &arguments.u_boot)
}

fn start_box(
    start: Start,
    card: &Path,
    recording: Option<Recording>,
    serial: &Path,
    u_boot: &Path,
) -> Result<Machine> {
    let recording = sealed::next(recording, serial.parent().unwrap_or(serial))?;
    Ok(Machine::start(&Setup {
        board: Board::Virt,
        card: card.to_owned(),
        start,
        memory: 1024,
        serial: serial.to_owned(),
        virt_u_boot: u_boot.to_owned(),
        network: Network::Tap(router::INTERFACE),
        recording,
        stick: None,
    })?)
}

/// The box's page.
pub(super) fn page() -> String {
    format!("http://{BOX}")
}

/// Waits until the box greets on ports 25 and 587, and lets one connect to those
/// that begin with TLS. A port may open before the others.
pub(super) fn wait_for_mail(machine: &mut Machine) -> Result<()> {
    for port in [25, 587] {
        let what = format!("a greeting on port {port}");
        machine.wait_until(&what, MAIL_LIMIT, |_| {
            Ok(greeting(port).filter(|said| said.starts_with("220 ")))
        })?;
    }
    for port in [465, 993] {
        let what = format!("a connection to port {port}");
        machine.wait_until(&what, MAIL_LIMIT, |_| Ok(connect(port).map(drop)))?;
    }
    Ok(())
}

fn greeting(port: u16) -> Option<String> {
    let stream = connect(port)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((BOX, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()
}

fn trees(folder: &Path) -> Result<(Tree, Tree)> {
    let internet = Tree::unpack(Peers::Internet)?;
    let postfix = Tree::unpack(Peers::Postfix)?;
    for tree in [&internet, &postfix] {
        tree.enter(folder)?;
    }
    Ok((internet, postfix))
}

/// Shows that the names of the world lead from the root down with every
/// signature good, and that a zone whose signatures are not is refused: asked
/// through an Unbound with the world's key, configured like the box's else.
pub(super) fn is_believed(arguments: &InsideArguments) -> Result<()> {
    let (world, anchor) = World::new(arguments)?;
    let real = world.internet.read("/usr/share/dns/root.key")?;
    for (port, key, believed) in [(5301, &anchor, true), (5302, &real, false)] {
        let _unbound = resolver(&world, port, key)?;
        let answer = ask(&world, port, "sender.example.")?;
        if believed {
            ensure!(answer.contains("status: NOERROR"), "{answer}");
            ensure!(flags(&answer).contains(&"ad"), "not validated: {answer}");
            ensure!(answer.contains("v=spf1 ip4:128.66."), "{answer}");
            let bogus = ask(&world, port, "bogus.example.")?;
            ensure!(bogus.contains("status: SERVFAIL"), "{bogus}");
        } else {
            ensure!(answer.contains("status: SERVFAIL"), "{answer}");
        }
    }
    Ok(())
}

fn resolver(world: &World, port: u16, key: &str) -> Result<Daemon> {
    fs::write(world.folder.join("root.key"), key)?;
    let text = include_str!("../../../../overlays/unbound/etc/unbound/unbound.conf")
        .replace("port: 53", &format!("port: {port}"))
        .replace("/usr/share/dns/root.key", &format!("{WORLD}/root.key"));
    fs::write(world.folder.join("unbound.conf"), text)?;
    let conf = format!("{WORLD}/unbound.conf");
    let mut command = world
        .internet
        .command(&["unbound", "-d", "-p", "-c", &conf]);
    let log = world.folder.join("unbound.log");
    let mut unbound = Daemon::start(&mut command, &log)?;
    for _ in 0..100 {
        if fs::read_to_string(&log)?.contains("start of service") {
            return Ok(unbound);
        }
        unbound
            .still_runs()
            .with_context(|| log.display().to_string())?;
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!("Unbound does not start: {}", fs::read_to_string(&log)?)
}

fn ask(world: &World, port: u16, name: &str) -> Result<String> {
    let said = world
        .internet
        .tool("kdig")
        .args([
            "+dnssec",
            "+tcp",
            "+timeout=20",
            "@127.0.0.1",
            "-p",
            &port.to_string(),
        ])
        .args([name, "TXT"])
        .output()?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The flags in what kdig prints: `;; Flags: qr rd ra ad; QUERY: …`.
fn flags(answer: &str) -> Vec<&str> {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix(";; Flags: "));
    let flags = line.and_then(|line| line.split(';').next());
    flags.unwrap_or_default().split(' ').collect()
}

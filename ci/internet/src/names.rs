//! The name servers: Knot, at the addresses of the real root servers and of one
//! more for what is below. Who asks the root finds all names with nothing
//! changed but the root's key. Everything is signed (DNSSEC, RFC 4033 and
//! following) in one chain, but for what [`crate::domains`] says.

use crate::daemon::Daemon;
use crate::domains::Domain;
use crate::namespace::Namespace;
use crate::tree::{Tree, WORLD};
use crate::zones::{self, HOME, HOME_RECORDS, Keys, NAME_SERVER, REVERSE};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

const FOLDER: &str = "dns";
/// Algorithm 13 is ECDSA P-256 with SHA-256 (RFC 6605), digest 2 SHA-256.
const DS: &str = " 13 2 ";

/// Names that are served until this is dropped.
#[derive(Debug)]
pub(crate) struct Names {
    _knot: Daemon,
    folder: PathBuf,
    serial: AtomicU32,
    anchor: String,
}

/// The addresses of the root servers.
pub(crate) fn roots(hints: &str) -> Vec<Ipv4Addr> {
    zones::records(hints, "A")
        .filter_map(|words| words.last()?.parse().ok())
        .collect()
}

impl Names {
    /// Makes keys and zones below `world` and serves them in `here`, which has
    /// the addresses already.
    pub(crate) fn serve(
        here: &Namespace,
        tree: &Tree,
        world: &Path,
        keys: Keys<'_>,
    ) -> Result<Self> {
        let folder = world.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let hints = tree.read("/usr/share/dns/root.hints")?;
        let texts = texts(keys);
        fs::write(
            folder.join("knot.conf"),
            configuration(&roots(&hints), &texts),
        )?;
        let anchors = generate(here, tree, &texts)?;
        let of = |zone: &str| anchors.get(zone).map_or("", String::as_str);
        let below: Vec<String> = texts
            .iter()
            .map(|(zone, _)| below_example(zone, of(zone)))
            .collect();
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let root = zones::root(&hints, &[of("example."), of(REVERSE)]);
        fs::write(folder.join("root.zone"), root)?;
        fs::write(folder.join("example.zone"), zones::example(&below))?;
        for (zone, text) in &texts {
            fs::write(folder.join(format!("{zone}zone")), text)?;
        }
        let log = world.join("knot.log");
        let conf = conf();
        let command = tree.command(&["knotd", "-c", &conf]);
        let mut knot = here.daemon(command, &log)?;
        let has_started =
            || fs::read_to_string(&log).is_ok_and(|said| said.contains("server started"));
        knot.wait_until(&log, has_started).context("Knot")?;
        Ok(Self {
            _knot: knot,
            folder,
            serial: AtomicU32::new(1),
            anchor: of(".").to_owned(),
        })
    }

    /// The trust anchor of the root, as Unbound reads it.
    pub(crate) fn anchor(&self) -> &str {
        &self.anchor
    }

    /// Lets `home.example` have these records and no others.
    pub(crate) fn publish(&self, here: &Namespace, tree: &Tree, records: &str) -> Result<()> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        let text = home(serial, records);
        fs::write(self.folder.join(format!("{HOME}.zone")), text)?;
        let conf = conf();
        let words = ["knotc", "-b", "-c", &conf, "zone-reload", HOME];
        here.feed(tree.command(&words), b"")?;
        Ok(())
    }
}

fn conf() -> String {
    format!("{WORLD}/{FOLDER}/knot.conf")
}

fn home(serial: u32, records: &str) -> String {
    zones::start(&format!("{HOME}."), serial) + "@ NS ns.example.\n" + records
}

/// The zones without anything below them, and what they say.
fn texts(keys: Keys<'_>) -> Vec<(String, String)> {
    let domains = Domain::ALL.iter();
    let domains = domains.map(|domain| (format!("{domain}."), zones::of_domain(*domain, keys)));
    let others = [
        (format!("{HOME}."), home(1, HOME_RECORDS)),
        (REVERSE.to_owned(), zones::reverse()),
    ];
    domains.chain(others).collect()
}

fn is_signed(zone: &str) -> bool {
    let of = |domain: &Domain| format!("{domain}.") == zone;
    Domain::ALL
        .iter()
        .find(|domain| of(domain))
        .is_none_or(|domain| domain.is_signed())
}

/// The DS record of a zone for `example`: none if it is not below it or not
/// signed, one that does not fit for [`Domain::Bogus`].
fn below_example(zone: &str, anchor: &str) -> String {
    if zone == REVERSE {
        String::new()
    } else if zone == format!("{}.", Domain::Bogus) {
        zones::spoil(anchor)
    } else {
        anchor.to_owned()
    }
}

fn configuration(roots: &[Ipv4Addr], texts: &[(String, String)]) -> String {
    let folder = format!("{WORLD}/{FOLDER}");
    let mut text = format!("server:\n    rundir: {folder}\n");
    for address in roots.iter().chain([&NAME_SERVER]) {
        let _ = writeln!(text, "    listen: {address}@53");
    }
    let _ = write!(
        text,
        "log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: {folder}\n\
         policy:\n  - id: own\n    manual: on\n    single-type-signing: on\n    \
         algorithm: ecdsap256sha256\n\
         template:\n  - id: default\n    storage: {folder}\n    \
         zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n\
         zone:\n"
    );
    let names = texts
        .iter()
        .map(|(zone, _)| (zone.as_str(), format!("{zone}zone")));
    let above = [
        (".", "root.zone".into()),
        ("example.", "example.zone".into()),
    ];
    for (zone, file) in above.into_iter().chain(names) {
        let _ = writeln!(text, "  - domain: {zone}\n    file: {file}");
        if is_signed(zone) {
            text.push_str("    dnssec-signing: on\n    dnssec-policy: own\n");
        }
    }
    text
}

/// Makes a key for each zone that is signed and returns their DS records
/// (RFC 4034 section 5), by zone.
fn generate(
    here: &Namespace,
    tree: &Tree,
    texts: &[(String, String)],
) -> Result<BTreeMap<String, String>> {
    let zones = texts.iter().map(|(zone, _)| zone.as_str());
    let zones: Vec<&str> = ["example."].into_iter().chain(zones).collect();
    // The first one makes the database of keys, which no two can do.
    let root = delegation_signer(here, tree, ".")?;
    let signed = Mutex::new(zones.into_iter().filter(|zone| is_signed(zone)));
    let next = || signed.lock().ok().and_then(|mut zones| zones.next());
    let work = || -> Result<Vec<(String, String)>> {
        let mut made = Vec::new();
        while let Some(zone) = next() {
            made.push((zone.to_owned(), delegation_signer(here, tree, zone)?));
        }
        Ok(made)
    };
    // Waiting for the disk most of the time.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::from([(".".to_owned(), root)]);
        for thread in threads {
            match thread.join() {
                Ok(made) => all.extend(made?),
                Err(_) => bail!("making keys panicked"),
            }
        }
        Ok(all)
    })
}

/// What keymgr says when another one, for another zone, opens the keys for the first
/// time at the same moment; nothing was done then.
const BUSY: &str = "failed to initialize KASP";
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

fn delegation_signer(here: &Namespace, tree: &Tree, zone: &str) -> Result<String> {
    let conf = conf();
    let keymgr = |words: &[&str]| -> Result<String> {
        let words = [&["keymgr", "-c", &conf, zone], words].concat();
        let mut tries = 0..TRIES;
        loop {
            let said = here.feed(tree.command(&words), b"");
            let busy = |error: &anyhow::Error| format!("{error:#}").contains(BUSY);
            match said {
                Err(error) if busy(&error) && tries.next().is_some() => sleep(PAUSE),
                said => return Ok(String::from_utf8_lossy(&said?).into_owned()),
            }
        }
    };
    keymgr(&[
        "generate",
        "algorithm=ecdsap256sha256",
        "ksk=yes",
        "zsk=yes",
    ])?;
    let said = keymgr(&["ds"])?;
    let line = said.lines().find(|line| line.contains(DS));
    let line = line.with_context(|| format!("no DS of {zone}: {said}"))?;
    Ok(line.to_owned())
}

//! `cargo xtask tls-check`: the box as a stranger sees it who judges mail servers, with
//! testssl.sh at ports 25, 465, 587 and 993 and an own check of the items of internet.nl's
//! mail test ([`items`]). It is the app's real services (`ci/native`) on an internet
//! made for the test (`ci/internet`), with the records in it that the box needs.
//!
//! What both must find is seen as well: foreign servers that are bad on purpose fail
//! exactly where they are bad.

mod items;
mod names;
mod probe;
mod testssl;

use crate::{campaign, image, workspace};
use anyhow::{Context, Result, ensure};
use internet::{BOX, Domain, HOME, Internet};
use items::Subject;
use native::{Native, Options, Person};
use probe::Place;
use records::Purpose;
use records::wanted::Wanted;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testssl::Finding;

/// An address of the home network, which the ports for mail programs answer.
const AT_HOME: &str = "192.168.77.2";
/// Those ports, and whether TLS begins with STARTTLS there.
const FOR_PROGRAMS: [(u16, bool); 3] = [(465, false), (587, true), (993, false)];
/// How long the box may take to make its keys.
const LIMIT: Duration = Duration::from_secs(60);
/// Domains that are bad on purpose: where each fails, and an item that it passes.
const CONTROLS: [(Domain, &str, &str); 4] = [
    (Domain::Plaintext, "starttls_exists", "spf"),
    (Domain::WrongDane, "dane_valid", "dane_exists"),
    (Domain::Expired, "dmarc", "starttls_exists"),
    (Domain::OpenSmtpd, "mail_dnssec_valid", "spf_policy"),
];

/// Does it all, and prints a line for each item and each finding that is not good.
///
/// # Errors
/// When one fails, or a bad server passes.
pub fn run() -> Result<()> {
    image::install_judges()?;
    let image = image::native::make("email")?;
    let program = campaign::build_box()?;
    let folder = tempfile::tempdir_in(workspace::target())?;
    let internet = Internet::with(
        &folder.path().join("internet"),
        &CONTROLS.map(|(domain, _, _)| domain),
    )?;
    let options = Options {
        program,
        image,
        volumes: folder.path().join("volumes"),
        journal: folder.path().join("journal"),
        people: vec![Person {
            address: format!("anna@{HOME}"),
            password: "tide and heron 7".into(),
        }],
    };
    let journal = || fs::read_to_string(&options.journal).unwrap_or_default();
    let native = Native::start_on(&internet, &options).with_context(journal)?;
    publish(&internet, &options.volumes)?;
    let mut faults = controls(&internet, folder.path())?;
    let world = probe::network(internet.namespace());
    let place = Place {
        network: world,
        name: format!("box.{HOME}"),
        address: BOX.to_string(),
        port: 25,
        starttls: true,
    };
    let findings = testssl::run(&place, folder.path(), &[]).with_context(journal)?;
    faults += tell(25, &findings);
    faults += judge(&Subject {
        internet: &internet,
        domain: HOME.to_owned(),
        mx: format!("box.{HOME}"),
        place,
        findings,
    })?;
    come_home(&native)?;
    for (port, starttls) in FOR_PROGRAMS {
        let place = Place {
            network: format!("/proc/{}/ns/net", native.pid()),
            name: format!("box.{HOME}"),
            address: AT_HOME.to_owned(),
            port,
            starttls,
        };
        let findings = testssl::run(&place, folder.path(), &[]).with_context(journal)?;
        faults += tell(port, &findings);
    }
    for (item, why) in items::ELSEWHERE {
        println!("not here  {item}: {why}");
    }
    ensure!(faults == 0, "{faults} faults, see above");
    native.stop()
}

/// The records of the box's domain: those that the box itself names (`records`), as its
/// owner would put them there, its address, and that no authority may sign for it.
fn publish(internet: &Internet, volumes: &Path) -> Result<()> {
    let hostname = format!("box.{HOME}");
    let end = Instant::now() + LIMIT;
    let wanted = loop {
        let wanted = Wanted::gather(&hostname, volumes)?;
        let has = |purpose| {
            wanted
                .records
                .iter()
                .any(|record| record.purpose == purpose)
        };
        if has(Purpose::TlsaNext) && has(Purpose::DkimNext) {
            break wanted;
        }
        ensure!(
            Instant::now() < end,
            "the box names no keys of its own: {wanted:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    let mut text = format!("box A {BOX}\n@ CAA 0 issue \";\"\n");
    let own = wanted.records.iter();
    for record in own.filter(|record| record.purpose != Purpose::Address) {
        text += &record.zone_line();
        text += "\n";
    }
    internet.publish(&text)
}

/// Prints what each item is; returns how many fail.
fn judge(subject: &Subject<'_>) -> Result<usize> {
    let mut faults = 0;
    for (name, item) in items::ALL {
        let (passes, seen) = item(subject).with_context(|| name.to_owned())?;
        let word = if passes { "passes" } else { "FAILS" };
        faults += usize::from(!passes);
        println!("{word:<9} {name}: {seen}");
    }
    Ok(faults)
}

/// Prints what testssl.sh does not find good; returns how many of them are faults.
fn tell(port: u16, findings: &[Finding]) -> usize {
    let mut faults = 0;
    for finding in findings {
        let (fails, why) = testssl::judge(finding);
        let Finding {
            id,
            severity,
            finding,
        } = finding;
        match (fails, why) {
            (true, _) => println!("FAILS     port {port}, {id} ({severity}): {finding}"),
            (false, Some(why)) => println!("allowed   port {port}, {id} ({severity}): {why}"),
            (false, None) => {}
        }
        faults += usize::from(fails);
    }
    println!(
        "port {port}: testssl.sh has {} findings, {faults} of them faults",
        findings.len()
    );
    faults
}

/// Bad servers fail where they are bad; returns how many do not.
fn controls(internet: &Internet, folder: &Path) -> Result<usize> {
    let mut faults = 0;
    for (domain, bad, good) in CONTROLS {
        let subject = Subject {
            internet,
            domain: domain.name(),
            mx: domain.mx(),
            place: Place {
                network: probe::network(internet.namespace()),
                name: domain.mx(),
                address: domain.address().to_string(),
                port: 25,
                starttls: true,
            },
            findings: Vec::new(),
        };
        for (name, wanted) in [(bad, false), (good, true)] {
            let item = items::ALL.iter().find(|(known, _)| *known == name);
            let (_, item) = item.with_context(|| format!("no item {name}"))?;
            let (passes, seen) = item(&subject)?;
            faults += usize::from(passes != wanted);
            let word = if passes == wanted { "control" } else { "BLIND" };
            let said = if passes { "passes" } else { "fails" };
            println!("{word:<9} {domain} {said} {name}: {seen}");
        }
        if domain == Domain::Expired {
            // Server defaults alone: the certificate is among them.
            let findings = testssl::run(&subject.place, folder, &["-S"])?;
            let over = |finding: &&Finding| finding.id.starts_with("cert_expirationStatus");
            let found = findings.iter().find(over);
            let seen = found.is_some_and(|finding| testssl::judge(finding).0);
            faults += usize::from(!seen);
            let word = if seen { "control" } else { "BLIND" };
            println!("{word:<9} {domain}: testssl.sh says {found:?}");
        }
    }
    Ok(faults)
}

/// Gives the box's network an address of the home network, to ask from.
fn come_home(native: &Native) -> Result<()> {
    let network = format!("--net=/proc/{}/ns/net", native.pid());
    let words = ["ip", "address", "add", AT_HOME, "dev", "lo"];
    let mut command = Command::new("nsenter");
    let done = command
        .arg(network)
        .args(words)
        .stdin(Stdio::null())
        .status();
    ensure!(
        done?.success(),
        "ip address add {AT_HOME} in the box's network failed"
    );
    Ok(())
}

//! The booted box and foreign mail systems, both ways: the home's router leads to an
//! internet of other people's mail servers (`ci/internet`). What they send is in the
//! inbox; what Anna sends arrives sealed and signed where the other side can prove
//! itself, and waits on the encrypted disk where it can't. Every packet and every
//! write is kept meanwhile, and none holds a sentence of any message.
//!
//! The kept box knows another internet's keys: this one's are laid over, and the
//! services that read them are started anew. `cargo xtask foreign` has all domains.

use super::internet::BOX;
use super::letter::{Letter, letter};
use super::moment::{believes, laid_over};
use super::world::{self, MAIL_LIMIT, wait_for_mail};
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::qemu::Machine;
use crate::scenarios::capture::Capture;
use crate::scenarios::home_network::ntp::TimeServer;
use crate::scenarios::home_network::router::{self, Router};
use crate::tool::tool;
use ::internet::{Domain, Host, Internet};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Who sends.
const SENDERS: [Domain; 3] = [Domain::Postfix, Domain::Exim, Domain::OpenSmtpd];
/// Who gets mail of Anna's at once: by a certificate, by DANE, by MTA-STS.
const TAKERS: [Domain; 5] = [
    Domain::Postfix,
    Domain::Exim,
    Domain::OpenSmtpd,
    Domain::Dane,
    Domain::Sts,
];
/// Who does not, and why in the box's words.
const HOLDERS: [(Domain, &str); 4] = [
    (Domain::Plaintext, "TLS is required, but was not offered"),
    (Domain::SelfSigned, "Server certificate not verified"),
    (Domain::WrongDane, "Server certificate not verified"),
    (Domain::WrongSts, "Server certificate not verified"),
];
/// A message on its way, with an emulated processor at one end.
const LIMIT: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(500);
/// Where the app's image shows who is believed, and the programs that read it.
const AUTHORITIES: [(&str, &str); 2] = [("postfix", "master"), ("tls-policy", "tls-policy")];
/// The cable from the router to the internet.
const WIDE: &str = "wide";
const ON_THE_WIRE: &str = "This sentence goes to the box without TLS and can be read by all.";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    router::lay_cable()?;
    let _router = Router::start(&arguments.folder, Some(BOX))?;
    TimeServer::start(router::ADDRESS.into(), Duration::ZERO)?.speak();
    let mut domains: Vec<Domain> = SENDERS.into_iter().chain(TAKERS).collect();
    domains.extend(HOLDERS.map(|(domain, _)| domain));
    domains.sort_unstable();
    domains.dedup();
    let internet = Internet::with(&arguments.folder.join("internet"), &domains)?;
    lead_out(&internet)?;
    let capture = Capture::into(&arguments.folder);
    let mut machine = world::resume(arguments, Some(capture.0.clone()))?;
    let mut agent = Agent::connect(&mut machine)?;
    knows(&mut machine, &mut agent, &internet)?;
    publish_keys(&mut machine, &mut agent, &internet)?;

    let mut sentences = Vec::new();
    for domain in SENDERS {
        let letter = write(domain, &format!("ada@{domain}"), ANNA.address, "to");
        let host = internet.host(domain);
        host.send(&format!("ada@{domain}"), ANNA.address, &letter.bytes)?;
        sentences.push(letter.sentence);
    }
    let all = TAKERS.into_iter().chain(HOLDERS.map(|(domain, _)| domain));
    for domain in all {
        let letter = write(domain, ANNA.address, &format!("ada@{domain}"), "from");
        send(&format!("ada@{domain}"), &letter)?;
        sentences.push(letter.sentence);
    }
    for domain in SENDERS {
        in_the_inbox(domain).with_context(|| told(&mut agent))?;
    }
    for domain in TAKERS {
        arrives_sealed(internet.host(domain)).with_context(|| told(&mut agent))?;
    }
    for (domain, why) in HOLDERS {
        waits(&mut agent, internet.host(domain), why)?;
    }

    let mut plain = TcpStream::connect((BOX, 25))?;
    plain.write_all(format!("{ON_THE_WIRE}\r\n").as_bytes())?;
    agent.ask(&["sync"])?;
    machine.quit()?;
    ensure!(
        capture.on_the_wire(ON_THE_WIRE)?,
        "the search does not find what stands in the clear"
    );
    for sentence in &sentences {
        let seen = capture.on_the_wire(sentence)? || capture.on_the_card(sentence)?;
        ensure!(!seen, "in the clear: {sentence}");
    }
    Ok(())
}

/// The home's router has the box's address on the internet, and leads there and
/// back as most do: masquerade, and port 25 to the box (nft(8)).
fn lead_out(internet: &Internet) -> Result<()> {
    let own = File::open("/proc/thread-self/ns/net")?;
    internet.attach(&own, WIDE, ::internet::BOX)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let rules = format!(
        "table ip home {{
  chain to-the-box {{
    type nat hook prerouting priority dstnat;
    iifname \"{WIDE}\" tcp dport 25 dnat to {BOX}
  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname \"{WIDE}\" masquerade
  }}
}}
"
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rules");
    fs::write(&path, rules)?;
    tool("nft", "nftables").arg("-f").arg(&path).run()?;
    Ok(())
}

/// The box believes this internet's names and its authority.
fn knows(machine: &mut Machine, agent: &mut Agent, internet: &Internet) -> Result<()> {
    let anchor = fs::read_to_string(internet.trust_anchor())?;
    believes(machine, agent, &anchor)?;
    let authority = fs::read_to_string(internet.authority())?;
    for (service, program) in AUTHORITIES {
        let path = format!("/run/apps/email/roots/{service}/etc/ssl/certs/ca-certificates.crt");
        laid_over(machine, agent, (&path, &authority), program)?;
    }
    wait_for_mail(machine)
}

/// The box's DKIM keys stand in the names, as its owner would put them there.
fn publish_keys(machine: &mut Machine, agent: &mut Agent, internet: &Internet) -> Result<()> {
    let path = "/data/apps/email/dkim/home.example/records";
    let text = machine.wait_until("the box's DKIM keys", MAIL_LIMIT, |_| {
        Ok(agent.ask_text(&["read", path]).ok())
    })?;
    internet.publish(&crate::foreign::records(&text)?)
}

fn write(domain: Domain, from: &str, to: &str, way: &str) -> Letter {
    let host = super::internet::Host {
        address: domain.address(),
        name: "home.example",
    };
    letter(host, from, to, &format!("mail {way} {domain}"))
}

/// Anna's mail program hands a message to the box, from her home.
fn send(to: &str, letter: &Letter) -> Result<()> {
    let login = format!("{}:{}", ANNA.address, ANNA.password);
    let mut child = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--insecure",
            "--max-time",
            "120",
        ])
        .args(["--url", &format!("smtps://{BOX}:465"), "--user", &login])
        .args(["--mail-from", ANNA.address, "--mail-rcpt", to])
        .args(["--upload-file", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("curl")?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(&letter.bytes)?;
    drop(input);
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "to {to}: {said}");
    Ok(())
}

/// The one message from there is in Anna's inbox (IMAP, `SEARCH`).
fn in_the_inbox(domain: Domain) -> Result<()> {
    let login = format!("{}:{}", ANNA.address, ANNA.password);
    let end = Instant::now() + LIMIT;
    loop {
        let said = tool("curl", "curl")
            .args(["--silent", "--show-error", "--insecure", "--max-time", "60"])
            .args(["--url", &format!("imaps://{BOX}/INBOX"), "--user", &login])
            .args(["--request", &format!("SEARCH FROM ada@{domain}")])
            .output()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let found = said.trim().trim_start_matches("* SEARCH").trim().to_owned();
        if found.split(' ').filter(|number| !number.is_empty()).count() == 1 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{domain}: {said:?} in the inbox");
        std::thread::sleep(STEP);
    }
}

fn arrives_sealed(host: &Host) -> Result<()> {
    let domain = host.domain();
    let end = Instant::now() + LIMIT;
    let received = loop {
        let mut received = host.received()?;
        received.retain(|received| received.from == ANNA.address);
        if let Some(received) = received.pop() {
            break received;
        }
        let log = host.log().unwrap_or_default();
        ensure!(Instant::now() < end, "{domain}: nothing arrived:\n{log}");
        std::thread::sleep(STEP);
    };
    ensure!(received.tls.is_some(), "{domain}: {received:?}");
    let text = String::from_utf8_lossy(&received.message);
    let signatures = text.matches("DKIM-Signature:").count();
    ensure!(signatures == 2, "{domain}: {signatures} signatures\n{text}");
    if domain == Domain::Exim {
        for algorithm in ["a=ed25519-sha256", "a=rsa-sha256"] {
            host.wait_for_log(&["DKIM: ", algorithm, "[verification succeeded]"], LIMIT)?;
        }
    }
    Ok(())
}

/// The box says why it waits, and nothing has arrived.
fn waits(agent: &mut Agent, host: &Host, why: &str) -> Result<()> {
    let to = format!("to=<ada@{}>", host.domain());
    let end = Instant::now() + LIMIT;
    loop {
        let journal = told(agent);
        let mut lines = journal.lines();
        let words = [to.as_str(), "status=deferred", why];
        if lines.any(|line| words.iter().all(|word| line.contains(word))) {
            break;
        }
        ensure!(Instant::now() < end, "no line with {words:?}:\n{journal}");
        std::thread::sleep(STEP);
    }
    let received = host.received()?;
    ensure!(received.is_empty(), "{received:?}");
    Ok(())
}

fn told(agent: &mut Agent) -> String {
    let journal = agent.ask_text(&["read", "/run/projectx/journal"]);
    journal.unwrap_or_else(|error| error.to_string())
}

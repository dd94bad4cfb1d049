//! The booted box and foreign mail systems, both ways: the home's router leads to an
//! internet of other people's mail servers (`ci/internet`). What they send is in the
//! inbox; what Anna sends arrives sealed and signed where the other side can prove
//! itself, and waits on the encrypted disk where it can't. Every packet and every
//! write is kept meanwhile, and none holds a sentence of any message.
//!
//! `cargo xtask foreign` has all domains.

use super::home::{self, Home};
use super::letter::{Letter, letter};
use super::world;
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use ::internet::{Domain, Host};
use anyhow::{Context, Result, ensure};
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

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let mut domains: Vec<Domain> = SENDERS.into_iter().chain(TAKERS).collect();
    domains.extend(HOLDERS.map(|(domain, _)| domain));
    domains.sort_unstable();
    domains.dedup();
    let home = Home::make(arguments, &domains)?;
    let internet = &home.internet;
    let mut machine = world::resume(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    home.introduce(&mut machine, &mut agent)?;

    for domain in SENDERS {
        let letter = write(domain, &format!("ada@{domain}"), ANNA.address, "to");
        let host = internet.host(domain);
        host.send(&format!("ada@{domain}"), ANNA.address, &letter.bytes)?;
    }
    let all = TAKERS.into_iter().chain(HOLDERS.map(|(domain, _)| domain));
    for domain in all {
        let letter = write(domain, ANNA.address, &format!("ada@{domain}"), "from");
        home::send(&format!("ada@{domain}"), &letter, LIMIT)?;
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

    // All that is in memory is written, so that it is among the writes that are searched
    // (sealed.rs).
    agent.ask(&["sync"])?;
    Ok(machine.quit()?)
}

fn write(domain: Domain, from: &str, to: &str, way: &str) -> Letter {
    let host = super::internet::Host {
        address: domain.address(),
        name: "home.example",
    };
    letter(host, from, to, &format!("mail {way} {domain}"))
}

/// The one message from there is in Anna's inbox.
fn in_the_inbox(domain: Domain) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while home::found(&format!("FROM ada@{domain}"))? != 1 {
        ensure!(Instant::now() < end, "{domain}: not one in the inbox");
        std::thread::sleep(STEP);
    }
    Ok(())
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

//! The booted box and foreign mail systems, both ways: the home's router leads to an
//! internet of other people's mail servers (`ci/internet`). What they send is in the
//! inbox; what Anna sends arrives sealed and signed where the other side can prove
//! itself, and waits on the encrypted disk where it can't. Then she has her provider's
//! server take it, by the page. Every packet and every write is kept meanwhile, and none
//! holds a sentence of any message.
//!
//! `cargo xtask foreign` has all domains.

use super::home::{self, Home};
use super::letter::{Letter, letter};
use super::world;
use super::{ANNA, InsideArguments, PASSPHRASE};
use crate::agent::Agent;
use crate::qemu::Machine;
use ::internet::{Domain, Host, Received, SMARTHOST_CUSTOMER};
use anyhow::{Context, Result, ensure};
use console::client::People;
use control::outbound::SmarthostPort;
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
/// The provider whose customer Anna is, and who gets a message by it.
const PROVIDER: Domain = Domain::Exim;
const BY_PROVIDER: Domain = Domain::Postfix;
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
    by_a_provider(&home, &mut machine, &mut agent).with_context(|| told(&mut agent))?;

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

/// What Anna sets on the page counts for her next message: it goes to the provider alone,
/// sealed and with her login there, and on from it.
fn by_a_provider(home: &Home, machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    let before = agent.ask_text(&["pids", "master"])?;
    let owner = People::new(&world::page());
    let proved = owner.prove(PASSPHRASE)?;
    ensure!(proved.ok, "proving the passphrase: {proved:?}");
    let name = PROVIDER.mx();
    let set = owner.use_smarthost(&name, SmarthostPort::StartTls, SMARTHOST_CUSTOMER)?;
    ensure!(set.ok, "setting the smarthost: {set:?}");
    let shown = set.told.outbound.and_then(|outbound| outbound.smarthost);
    let shown = shown.map(|smarthost| (smarthost.host, smarthost.login));
    ensure!(
        shown == Some((name.clone(), SMARTHOST_CUSTOMER.0.to_owned())),
        "the page shows {shown:?}"
    );
    machine.wait_until("Postfix started anew", LIMIT, |_| {
        let now = agent.ask_text(&["pids", "master"]).unwrap_or_default();
        Ok((!now.is_empty() && now != before).then_some(()))
    })?;

    let to = format!("ada@{BY_PROVIDER}");
    let letter = write(BY_PROVIDER, ANNA.address, &to, "by a provider to");
    machine.wait_until("a message taken from Anna", LIMIT, |_| {
        // Postfix may not be ready; a mail program tries again as well.
        Ok(home::send(&to, &letter, LIMIT).ok())
    })?;
    let host = home.internet.host(BY_PROVIDER);
    let received = machine.wait_until("a message by the provider", LIMIT, |_| {
        // A mailbox that is being written to is read again.
        let received = host.received().unwrap_or_default();
        let is_it =
            |one: &Received| String::from_utf8_lossy(&one.message).contains(&letter.sentence);
        Ok(received.into_iter().find(is_it))
    })?;
    ensure!(received.trace.contains(&name), "{received:?}");
    let arrival = format!("A=plain:{}", SMARTHOST_CUSTOMER.0);
    let words = [&format!("<= {}", ANNA.address), "X=TLS", &arrival];
    home.internet.host(PROVIDER).wait_for_log(&words, LIMIT)?;
    Ok(())
}

fn told(agent: &mut Agent) -> String {
    let journal = agent.ask_text(&["read", "/run/projectx/journal"]);
    journal.unwrap_or_else(|error| error.to_string())
}

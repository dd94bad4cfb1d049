//! Mail to the mail systems of others: Anna's mail program hands it to the box, which
//! signs it and sends it sealed or not at all. Each kind of domain has its exact
//! outcome; what waits goes when its reason has gone, when the owner makes an
//! exception for that one domain, or comes back to Anna with the reason.

use super::client::{self, Client};
use super::{LIMIT, Meeting, STEP, inbox, letter, queue};
use anyhow::{Context, Result, bail, ensure};
use internet::{Domain, HOME, Received};
use outbound::settings::{Allow, Exception, Settings};
use std::fs;
use std::time::{Duration, Instant};

/// Why what waits for a proof does so, in Postfix's words.
const UNPROVED: &str = "Server certificate not verified";

/// A message that Anna sends, and what becomes of it at the first try.
struct Case {
    to: Domain,
    with: Client,
    first: First,
}

/// What becomes of a message at the first try.
enum First {
    /// It is there, and came sealed; the box says of the other side that it proved
    /// itself.
    Arrives,
    /// It waits, and the box's log has each of these words in one line.
    Waits(&'static [&'static str]),
    /// It waits because the other side could not prove who it is: the log says how.
    Unproved(&'static str),
}

const fn case(to: Domain, with: Client, first: First) -> Case {
    Case { to, with, first }
}

const CASES: [Case; 16] = [
    case(Domain::Postfix, Client::Curl, First::Arrives),
    case(Domain::Exim, Client::Swaks, First::Arrives),
    case(Domain::OpenSmtpd, Client::Curl, First::Arrives),
    case(Domain::Strict, Client::Curl, First::Arrives),
    case(Domain::Dane, Client::Curl, First::Arrives),
    case(Domain::Sts, Client::Swaks, First::Arrives),
    case(Domain::Slow, Client::Curl, First::Arrives),
    case(
        Domain::Plaintext,
        Client::Curl,
        First::Waits(&["TLS is required, but was not offered"]),
    ),
    case(
        Domain::WrongName,
        Client::Curl,
        First::Unproved("hostname mismatch"),
    ),
    case(
        Domain::Expired,
        Client::Curl,
        First::Unproved("certificate has expired"),
    ),
    case(
        Domain::SelfSigned,
        Client::Curl,
        First::Unproved("self-signed certificate"),
    ),
    case(
        Domain::WrongDane,
        Client::Curl,
        First::Unproved("no matching DANE TLSA records"),
    ),
    case(
        Domain::WrongSts,
        Client::Curl,
        First::Unproved("hostname mismatch"),
    ),
    case(
        Domain::Greylisting,
        Client::Curl,
        First::Waits(&["451 4.7.1"]),
    ),
    case(
        Domain::Down,
        Client::Curl,
        First::Waits(&["Connection refused"]),
    ),
    case(
        Domain::Bogus,
        Client::Curl,
        First::Waits(&["bogus.example"]),
    ),
];

/// Which domains take part.
pub fn domains() -> impl Iterator<Item = Domain> {
    CASES.iter().map(|case| case.to)
}

/// What the one letter says that goes out in the clear, by an exception of the owner's.
pub(super) fn in_the_clear() -> String {
    sentence(Domain::Plaintext)
}

/// What mail on its way out needs: the box's keys in the names, Anna's phone at home.
///
/// # Errors
/// When the names or the phone can't be reached.
pub fn begin(meeting: &Meeting) -> Result<()> {
    publish_keys(meeting)?;
    client::come_home(meeting)
}

/// Sends to each and sees what becomes of it.
///
/// # Errors
/// When something else becomes of one, with what both sides say of it.
pub fn run(meeting: &Meeting) -> Result<()> {
    for case in &CASES {
        let to = recipient(case.to);
        let message = letter(&meeting.anna, &to, number(case.to), &sentence(case.to));
        client::send(meeting, case.with, &meeting.anna, &to, &message)
            .with_context(|| format!("to {to}:\n{}", meeting.journal()))?;
    }
    for case in &CASES {
        match case.first {
            First::Arrives => arrives_sealed(meeting, case.to)?,
            First::Waits(words) => waits(meeting, case.to, words)?,
            First::Unproved(how) => {
                let failed = format!("certificate verification failed for {}", case.to.mx());
                logged(meeting, &[&failed, how])?;
                waits(meeting, case.to, &[UNPROVED])?;
            }
        }
    }
    nobody_else_s_address(meeting)?;
    unknown_comes_back_at_once(meeting)?;
    comes_later(meeting)?;
    exceptions(meeting)?;
    given_up(meeting)
}

/// The box's DKIM keys stand in the names, as its owner would put them there.
fn publish_keys(meeting: &Meeting) -> Result<()> {
    meeting.internet.publish(&home_records(meeting)?)
}

/// What the names have of the box then.
pub(super) fn home_records(meeting: &Meeting) -> Result<String> {
    let path = meeting.options.volumes.join(format!("dkim/{HOME}/records"));
    let end = Instant::now() + LIMIT;
    let text = loop {
        match fs::read_to_string(&path) {
            Err(_) if Instant::now() < end => std::thread::sleep(STEP),
            read => break read.with_context(|| path.display().to_string())?,
        }
    };
    records(&text)
}

/// The zone of the box's domain, with these records of its keys.
pub fn records(keys: &str) -> Result<String> {
    let mut records = "@ MX 10 box\nbox A 128.66.0.25\n@ TXT \"v=spf1 mx -all\"\n".to_owned();
    for line in keys.lines() {
        let (name, value) = line.split_once(' ').context("a record")?;
        // A text of the DNS has at most 255 bytes, a record several of them.
        let parts: Vec<&str> = value
            .as_bytes()
            .chunks(250)
            .map(|part| str::from_utf8(part).unwrap_or_default())
            .collect();
        records += &format!("{name}. TXT \"{}\"\n", parts.join("\" \""));
    }
    Ok(records)
}

fn recipient(domain: Domain) -> String {
    format!("ada@{domain}")
}

fn number(domain: Domain) -> usize {
    100 + domain as usize
}

fn sentence(domain: Domain) -> String {
    format!("The heron flies to {domain} at high tide.")
}

/// The message arrived, sealed and signed, and as Anna wrote it.
fn arrives_sealed(meeting: &Meeting, domain: Domain) -> Result<()> {
    let received = arrives(meeting, domain)?;
    let tls = received.tls.as_ref();
    let tls = tls.with_context(|| format!("{domain}: it came in the clear"))?;
    ensure!(
        ["TLSv1.3", "TLSv1.2"].contains(&tls.protocol.as_str()),
        "{domain}: {tls:?}"
    );
    let proof = format!("Verified TLS connection established to {}", domain.mx());
    logged(meeting, &[&proof])?;
    let text = String::from_utf8_lossy(&received.message).into_owned();
    let signatures = text.matches("DKIM-Signature:").count();
    ensure!(signatures == 2, "{domain}: {signatures} signatures\n{text}");
    for algorithm in ["a=ed25519-sha256", "a=rsa-sha256"] {
        ensure!(text.contains(algorithm), "{domain}: no {algorithm}\n{text}");
    }
    // Exim judges signatures itself.
    if domain == Domain::Exim || domain == Domain::Strict {
        let host = meeting.internet.host(domain);
        for algorithm in ["a=ed25519-sha256", "a=rsa-sha256"] {
            let words = [
                "DKIM: ",
                "d=home.example",
                algorithm,
                "[verification succeeded]",
            ];
            host.wait_for_log(&words, LIMIT)?;
        }
    }
    ensure!(!text.contains(client::PHONE), "{domain}:\n{text}");
    Ok(())
}

/// Waits for the one message that Anna sent there.
fn arrives(meeting: &Meeting, domain: Domain) -> Result<Received> {
    let end = Instant::now() + LIMIT;
    loop {
        let found = of_anna(meeting, domain)?;
        match &found[..] {
            [received] => return Ok(received.clone()),
            [] => ensure!(
                Instant::now() < end,
                "{domain}: nothing arrived:\n{}\n{}",
                meeting.internet.host(domain).log().unwrap_or_default(),
                meeting.journal()
            ),
            more => bail!("{domain}: it arrived {} times", more.len()),
        }
        std::thread::sleep(STEP);
    }
}

/// What has arrived of what Anna sent there; reports of others may be there as well.
fn of_anna(meeting: &Meeting, domain: Domain) -> Result<Vec<Received>> {
    let sentence = sentence(domain);
    let mut received = meeting.internet.host(domain).received()?;
    received.retain(|received| {
        let text = String::from_utf8_lossy(&received.message);
        received.from == meeting.anna && text.contains(&sentence)
    });
    Ok(received)
}

/// The box tells in its log why the message waits; nothing has arrived.
fn waits(meeting: &Meeting, domain: Domain, words: &[&str]) -> Result<()> {
    let to = format!("to=<{}>", recipient(domain));
    let line = [&[to.as_str(), "status=deferred"], words].concat();
    logged(meeting, &line)?;
    let received = of_anna(meeting, domain)?;
    ensure!(received.is_empty(), "{domain}: it arrived: {received:?}");
    Ok(())
}

/// Waits for a line of the box's log that has all of these words.
pub(super) fn logged(meeting: &Meeting, words: &[&str]) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let journal = meeting.journal();
        let mut lines = journal.lines();
        if lines.any(|line| words.iter().all(|word| line.contains(word))) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "no line with {words:?}:\n{journal}");
        std::thread::sleep(STEP);
    }
}

/// Anna can't send as somebody else, in the envelope or in From.
fn nobody_else_s_address(meeting: &Meeting) -> Result<()> {
    let to = recipient(Domain::Postfix);
    let other = format!("ben@{HOME}");
    for (envelope, from) in [(&other, &meeting.anna), (&meeting.anna, &other)] {
        let message = letter(from, &to, 200, "Never sent.");
        let sent = client::send(meeting, Client::Swaks, envelope, &to, &message);
        let Err(refused) = sent else {
            bail!("{envelope} with From {from} was taken");
        };
        let refused = refused.to_string();
        ensure!(refused.contains("5.7.1"), "{refused}");
    }
    Ok(())
}

/// A recipient that the other side does not know: Anna is told, by mail.
fn unknown_comes_back_at_once(meeting: &Meeting) -> Result<()> {
    let to = format!("unknown@{}", Domain::Exim);
    let message = letter(&meeting.anna, &to, 201, "To nobody.");
    client::send(meeting, Client::Curl, &meeting.anna, &to, &message)?;
    comes_back(meeting, &to, "5.1.1 nobody has this address")
}

/// Anna's mailbox has a report that names the recipient and the reason.
pub(super) fn comes_back(meeting: &Meeting, to: &str, reason: &str) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let home = meeting.native.home(&meeting.anna)?;
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    loop {
        let found = inbox(home)?.into_iter().any(|report| {
            let text = squeezed(&report);
            text.contains("Subject: Your message did not arrive")
                && text.contains(&format!("<{to}>"))
                && text.contains(reason)
                && text.contains("readable on the way")
        });
        if found {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "no report of {to} with {reason:?}:\n{}\n{}",
            meeting.journal(),
            inbox(home)?.join("\n----\n")
        );
        std::thread::sleep(STEP);
    }
}

/// What waited for the other side alone goes when that is ready.
fn comes_later(meeting: &Meeting) -> Result<()> {
    meeting.internet.host(Domain::Down).up()?;
    // postgrey counts whole seconds.
    std::thread::sleep(Duration::from_secs(internet::PATIENCE + 1));
    queue::flush(meeting)?;
    arrives_sealed(meeting, Domain::Down)?;
    arrives_sealed(meeting, Domain::Greylisting)
}

/// The owner lets two domains have mail otherwise, each as far as he said.
fn exceptions(meeting: &Meeting) -> Result<()> {
    let folder = meeting.options.volumes.join("outbound");
    let strict = Settings::read(&folder)?;
    let except = |domain: Domain, allow| Exception {
        domain: domain.name(),
        allow,
    };
    let mut settings = strict.clone();
    settings.exceptions = vec![
        except(Domain::Plaintext, Allow::Plaintext),
        except(Domain::SelfSigned, Allow::AnyCertificate),
        // Not enough for that one: what it shows must be TLS.
        except(Domain::WrongName, Allow::AnyCertificate),
    ];
    settings.write(&folder)?;
    queue::flush(meeting)?;
    let clear = arrives(meeting, Domain::Plaintext)?;
    ensure!(clear.tls.is_none(), "{clear:?}");
    for domain in [Domain::SelfSigned, Domain::WrongName] {
        let sealed = arrives(meeting, domain)?;
        ensure!(sealed.tls.is_some(), "{sealed:?}");
    }
    // And for nobody else.
    for domain in [Domain::Expired, Domain::WrongDane, Domain::WrongSts] {
        ensure!(of_anna(meeting, domain)?.is_empty(), "{domain}: it arrived");
    }
    Ok(strict.write(&folder)?)
}

/// What can't be sent in the owner's time comes back, with the reason.
fn given_up(meeting: &Meeting) -> Result<()> {
    queue::make_hours_short(meeting)?;
    // Each has its time for the next try from before.
    queue::flush(meeting)?;
    for (domain, reason) in [
        (Domain::Expired, UNPROVED),
        (Domain::WrongDane, UNPROVED),
        (Domain::WrongSts, UNPROVED),
        (Domain::Bogus, "bogus.example"),
    ] {
        comes_back(meeting, &recipient(domain), reason)?;
        ensure!(of_anna(meeting, domain)?.is_empty(), "{domain}: it arrived");
    }
    Ok(())
}

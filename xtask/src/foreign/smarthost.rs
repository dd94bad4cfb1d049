//! Mail by way of a provider's server, the smarthost, which is Exim here: with the
//! login that it asks for and nobody's else, sealed, and only to a server whose
//! certificate is good for the name that the owner typed. While it does not take mail,
//! mail waits; it does not go past it.

use super::client::{self, Client};
use super::outbound::{home_records, logged};
use super::{Meeting, forwarding, letter, queue};
use anyhow::{Result, ensure};
use internet::{Domain, HOME, SMARTHOST_CUSTOMER};
use outbound::smarthost::{Port, Smarthost};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Who serves as the smarthost.
const SERVER: Domain = Domain::Exim;
/// Its address has this name, too, for which it has no certificate.
const OTHER_NAME: &str = "relay";

/// Sends by it, by both of its ports; then without it again.
///
/// # Errors
/// When mail goes another way, or in another way.
pub fn run(meeting: &Meeting) -> Result<()> {
    a_login_that_is_refused_holds_mail(meeting)?;
    its_customer_s_mail_goes_by_it(meeting)?;
    tls_from_the_first_byte(meeting)?;
    another_name_gets_nothing(meeting)
}

fn choose(meeting: &Meeting, host: &str, port: Port, password: &str) -> Result<()> {
    let smarthost = Smarthost {
        host: host.into(),
        port,
        login: SMARTHOST_CUSTOMER.0.into(),
        password: password.into(),
    };
    smarthost.check()?;
    // Root inside Postfix's sandbox, whose queue it is.
    let owner = fs::metadata(meeting.options.volumes.join("queue"))?.uid();
    smarthost.write(&meeting.options.volumes.join("smarthost"), owner)?;
    queue::restart(meeting)
}

fn to(domain: Domain) -> String {
    format!("ada@{domain}")
}

fn send(meeting: &Meeting, domain: Domain, (number, sentence): (usize, &str)) -> Result<()> {
    let message = letter(&meeting.anna, &to(domain), number, sentence);
    client::send(meeting, Client::Curl, &meeting.anna, &to(domain), &message)
}

/// It is there, from the smarthost, with both of the box's signatures; the smarthost
/// knew its customer, and had proved itself.
fn came_by_it(
    meeting: &Meeting,
    domain: Domain,
    port: Port,
    (letter, sentence): (usize, &str),
) -> Result<()> {
    let (name, number) = (SERVER.mx(), port.number());
    let received = forwarding::arrives(meeting, domain, sentence)?;
    let text = String::from_utf8_lossy(&received.message).into_owned();
    ensure!(received.trace.contains(&name), "{received:?}");
    ensure!(text.matches("DKIM-Signature:").count() == 2, "{text}");
    let to = format!("to=<{}>", to(domain));
    let relay = format!("relay={name}[{}]:{number}", SERVER.address());
    logged(meeting, &[&to, &relay, "status=sent"])?;
    let sealed = format!(
        "TLS connection established to {name}[{}]:{number}",
        SERVER.address()
    );
    logged(meeting, &["Verified", &sealed])?;
    let host = meeting.internet.host(SERVER);
    let arrival = format!("A=plain:{}", SMARTHOST_CUSTOMER.0);
    let (from, id) = (
        format!("<= {}", meeting.anna),
        format!("id={letter}.letters@"),
    );
    host.wait_for_log(&[&from, "X=TLS", &arrival, &id], super::LIMIT)
        .map(drop)
}

fn stays(meeting: &Meeting, domain: Domain, sentence: &str) -> Result<()> {
    let found = forwarding::of_sentence(meeting, domain, sentence)?;
    ensure!(found.is_empty(), "it went past the smarthost: {found:?}");
    Ok(())
}

const BY_LOGIN: (usize, &str) = (401, "The heron shows its ring to the ferryman.");

fn a_login_that_is_refused_holds_mail(meeting: &Meeting) -> Result<()> {
    choose(meeting, &SERVER.mx(), Port::StartTls, "another password")?;
    send(meeting, Domain::Dane, BY_LOGIN)?;
    let to = format!("to=<{}>", to(Domain::Dane));
    logged(
        meeting,
        &[&to, "status=deferred", "SASL authentication failed"],
    )?;
    stays(meeting, Domain::Dane, BY_LOGIN.1)
}

fn its_customer_s_mail_goes_by_it(meeting: &Meeting) -> Result<()> {
    choose(meeting, &SERVER.mx(), Port::StartTls, SMARTHOST_CUSTOMER.1)?;
    queue::flush(meeting)?;
    came_by_it(meeting, Domain::Dane, Port::StartTls, BY_LOGIN)
}

fn tls_from_the_first_byte(meeting: &Meeting) -> Result<()> {
    let letter = (402, "The heron crosses under a closed sail.");
    choose(
        meeting,
        &SERVER.mx(),
        Port::ImplicitTls,
        SMARTHOST_CUSTOMER.1,
    )?;
    send(meeting, Domain::Postfix, letter)?;
    came_by_it(meeting, Domain::Postfix, Port::ImplicitTls, letter)
}

/// Neither mail nor login goes to a server with a certificate for another name; without
/// a smarthost the mail goes straight.
fn another_name_gets_nothing(meeting: &Meeting) -> Result<()> {
    let sentence = "The heron does not know this ferryman.";
    let records = home_records(meeting)? + &format!("{OTHER_NAME} A {}\n", SERVER.address());
    meeting.internet.publish(&records)?;
    let name = format!("{OTHER_NAME}.{HOME}");
    choose(meeting, &name, Port::StartTls, SMARTHOST_CUSTOMER.1)?;
    send(meeting, Domain::OpenSmtpd, (403, sentence))?;
    let to = format!("to=<{}>", to(Domain::OpenSmtpd));
    logged(
        meeting,
        &[&to, "status=deferred", "Server certificate not verified"],
    )?;
    stays(meeting, Domain::OpenSmtpd, sentence)?;
    Smarthost::remove(&meeting.options.volumes.join("smarthost"))?;
    queue::restart(meeting)?;
    queue::flush(meeting)?;
    let received = forwarding::arrives(meeting, Domain::OpenSmtpd, sentence)?;
    ensure!(!received.trace.contains(&SERVER.mx()), "{received:?}");
    Ok(())
}

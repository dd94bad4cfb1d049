//! The part of `cargo xtask bench mail` in which mail goes out: from a mail program in
//! the home network to a foreign Postfix, by the kept box and then by the rival. No time
//! is judged; that every message arrived, and sealed, is.

use super::home::Home;
use super::internet::BOX;
use super::measured::{ORDER, RESULT};
use super::world;
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::bench::mail::{Login, Order, Outgoing, messages, rival};
use crate::qemu::Network;
use crate::scenarios::home_network::router;
use ::internet::{Domain, Host};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddrV4;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Who gets the mail. The rival has the way there written down
/// (`ci/rival/root/etc/postfix/main.cf`).
const TAKER: Domain = Domain::Postfix;
/// Until the last message has arrived.
const LIMIT: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_millis(200);

/// What both did.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BothOutgoing {
    pub(super) the_box: Option<Outgoing>,
    pub(super) rival: Option<Outgoing>,
}

/// The part in the world.
pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let order: Order = serde_json::from_slice(&fs::read(arguments.folder.join(ORDER))?)?;
    let home = Home::make(arguments, &[TAKER])?;
    let taker = home.internet.host(TAKER);
    let recipient = format!("ada@{TAKER}");
    let corpus = messages(ANNA.address, &recipient);
    let login = Login {
        to: SocketAddrV4::new(BOX, 465),
        address: ANNA.address,
        password: ANNA.password,
        recipient: &recipient,
    };
    let mut both = BothOutgoing {
        the_box: None,
        rival: None,
    };
    if order.the_box {
        let mut machine = world::resume(arguments, None)?;
        let mut agent = Agent::connect(&mut machine)?;
        home.introduce(&mut machine, &mut agent)?;
        let arrived = |count| arrive(taker, count);
        let sent = Outgoing::measure(&mut agent, &login, &corpus, order.messages, arrived);
        both.the_box = Some(sent.context("the box")?);
        machine.cut_power()?;
    }
    if let Some(files) = &order.rival {
        let before = taker.received()?.len();
        let network = Network::Tap(router::INTERFACE);
        let sent = rival::measure_outgoing(
            files,
            &arguments.folder,
            network,
            &login,
            &corpus,
            order.messages,
            |count| arrive(taker, before + count),
        );
        both.rival = Some(sent.context("the rival")?);
    }
    fs::write(arguments.folder.join(RESULT), serde_json::to_vec(&both)?)?;
    Ok(())
}

/// Waits until so many messages in all have arrived; each of Anna's, and sealed.
fn arrive(taker: &Host, count: usize) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while taker.count()? < count {
        let log = || taker.log().unwrap_or_default();
        ensure!(Instant::now() < end, "not {count} arrived:\n{}", log());
        sleep(STEP);
    }
    let received = taker.received()?;
    ensure!(received.len() == count, "{} arrived", received.len());
    for one in received {
        ensure!(one.from == ANNA.address && one.tls.is_some(), "{one:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rival_knows_the_way_to_who_gets_the_mail() {
        let text = include_str!("../../../../ci/rival/root/etc/postfix/main.cf");
        let way = format!("{{ {TAKER} = smtp:[{}] }}", TAKER.address());
        assert!(text.contains(&way), "{way}");
    }
}

//! The part of `cargo xtask campaign messages --in-guest` that happens in the
//! world: the kept box goes on and gets the messages.

use super::internet::{BOX, MAIL, STRANGER};
use super::readers::curl;
use super::world::World;
use super::{ANNA, BEN, InsideArguments};
use crate::agent::Agent;
use crate::campaign::{self, Kind, Place, Way};
use agent::leftovers::{self, Counts};
use anyhow::{Context, Result};
use std::net::SocketAddrV4;

/// SPF lets [`MAIL`] send for this domain, and there is no DKIM to check.
const SENDER: &str = "ada@plain.example";
/// DMARC says that nobody else may.
const FORGED: &str = "ada@sender.example";
/// The process of the box that makes the sandboxes.
const MAKER: &str = "supervisor";

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let agent = Agent::connect(&mut machine)?;
    let mut place = Guest {
        world: &world,
        agent,
        seen: [0; 4],
    };
    campaign::inside(&mut place, &arguments.folder)
}

struct Guest<'a> {
    world: &'a World,
    agent: Agent,
    /// How many messages of each mailbox were looked at.
    seen: [usize; 4],
}

impl Place for Guest<'_> {
    fn enter(&self) -> Result<()> {
        // All of this process is there.
        Ok(())
    }

    fn way(&self, _: u8, kind: Kind) -> Way {
        let (host, sender) = match kind {
            Kind::Forged => (STRANGER, FORGED),
            _ => (MAIL, SENDER),
        };
        Way {
            from: host.address,
            helo: host.name.into(),
            to: SocketAddrV4::new(BOX, 25),
            sender: sender.into(),
        }
    }

    fn mail(&mut self) -> Result<Vec<(Vec<u8>, bool)>> {
        let mut found = Vec::new();
        let boxes = [
            (ANNA, "INBOX"),
            (ANNA, "Junk"),
            (BEN, "INBOX"),
            (BEN, "Junk"),
        ];
        for ((person, folder), seen) in boxes.into_iter().zip(&mut self.seen) {
            let all = curl(&self.world.internet, &self.world.folder, person, folder)?;
            let new = all.into_iter().skip(*seen).collect::<Vec<_>>();
            *seen += new.len();
            found.extend(new.into_iter().map(|message| (message, folder == "Junk")));
        }
        Ok(found)
    }

    fn look(&mut self) -> Result<Counts> {
        let text = self.agent.ask_text(&["leftovers", MAKER])?;
        leftovers::parse(&text).with_context(|| text)
    }
}

//! The part of `cargo xtask campaign corpus --in-guest` that happens in the world: the
//! kept box goes on, and Anna gets the messages and sorts them.

use super::internet::{BOX, MAIL};
use super::learns::VOLUMES;
use super::measured::SENDER;
use super::readers::curl;
use super::world::World;
use super::{ANNA, InsideArguments};
use crate::agent::Agent;
use crate::bench::mail::Route;
use crate::campaign::corpus::guest::{self, Mailbox};
use crate::campaign::corpus::owner::Owner;
use anyhow::{Context, Result};
use learn::Table;
use std::net::SocketAddrV4;

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let agent = Agent::connect(&mut machine)?;
    let mut annas = Annas {
        world: &world,
        agent,
    };
    guest::inside(&mut annas, &arguments.folder)?;
    Ok(machine.cut_power()?)
}

/// Her mailbox.
struct Annas<'a> {
    world: &'a World,
    agent: Agent,
}

impl Mailbox for Annas<'_> {
    fn folder(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        curl(&self.world.internet, &self.world.folder, ANNA, name)
    }

    fn owner(&self) -> Result<Owner> {
        Owner::login(SocketAddrV4::new(BOX, 993), ANNA.address, ANNA.password)
    }

    fn route(&self) -> Route<'static> {
        Route {
            from: MAIL.address,
            helo: MAIL.name,
            to: SocketAddrV4::new(BOX, 25),
            sender: SENDER,
            recipient: ANNA.address,
        }
    }

    fn learnt(&mut self) -> Result<(u32, u32)> {
        let link = format!("{VOLUMES}/learned/{}", ANNA.address);
        let uid = self.agent.ask_text(&["link", &link])?;
        let file = format!("{VOLUMES}/learned/{uid}/table");
        let table = self.agent.ask(&["read", &file]).context("her table")?;
        let messages = Table::from_bytes(&table)?.messages();
        Ok((messages.ham, messages.spam))
    }
}

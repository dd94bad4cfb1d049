//! `cargo xtask bench mail`: what the box does with mail from outside, beside
//! Debian's Postfix, spamd and Dovecot in a guest of the same kind ([`rival`]),
//! one after the other in the same world ([`crate::scenarios::mail`]).
//!
//! Seconds are measured outside the guest, from the start of a connection to
//! the `250` for its one message; what QEMU's network adds is the same on both
//! sides. *Not scanned* is the same way without SpamAssassin's work on the
//! message: on the box the test agent lays a zygote over the real one whose
//! children answer at once, so that all processes are started as always; on the
//! rival it is a port without the milter. No switch for it is in the product.
//!
//! *Outgoing* is what a mail program hands over with TLS and a login on port 465, until
//! it has arrived at a foreign Postfix.
//!
//! Limits: QEMU `virt` has one processor here, a Raspberry Pi four.

mod corpus;
mod load;
mod memory;
pub mod rival;
pub mod smtp;

pub use corpus::messages;
pub use load::{AT_ONCE, Times, incoming, measure, percentile};
pub use memory::{peak, used};
pub use smtp::{Login, Route};

use super::with_place;
use crate::agent::Agent;
use crate::image;
use crate::scenarios::{Lab, mail};
use crate::{guest, image::rival::Rival};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Mutex;

/// What `cargo xtask bench mail` takes.
#[derive(Debug, clap::Args)]
pub struct MailArguments {
    /// Print one JSON line
    #[arg(long)]
    json: bool,
    /// How many messages one after another; as many again at once, and all of
    /// them again without a scan
    #[arg(long, default_value_t = 40)]
    messages: usize,
    /// Measure only one side
    #[arg(long, value_enum)]
    only: Option<Which>,
}

/// Whom to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The box.
    Box,
    /// Debian.
    Rival,
}

/// What is done in the world.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// [`MailArguments::messages`]
    pub messages: usize,
    /// Whether the box is measured.
    pub the_box: bool,
    /// The rival, if it is measured.
    pub rival: Option<rival::Files>,
}

/// What one side did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Side {
    /// MemTotal − MemAvailable in MB, every service up and no session.
    pub memory_mb: u64,
    /// The most of it while scanned messages came in.
    pub memory_peak_mb: u64,
    /// As people have it.
    pub scanned: Times,
    /// Without SpamAssassin's scan.
    pub not_scanned: Times,
    /// To the world; measured in a world of its own.
    pub outgoing: Option<Outgoing>,
}

/// How one side sent mail to the world.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outgoing {
    /// The most memory meanwhile, as [`Side::memory_mb`].
    pub memory_peak_mb: u64,
    /// From a mail program, until it has arrived.
    #[serde(flatten)]
    pub times: Times,
}

impl Outgoing {
    /// Has one message go first, which fills caches, and then measures.
    ///
    /// # Errors
    /// When the server does not take one.
    pub fn measure(
        agent: &mut Agent,
        login: &Login,
        corpus: &[Vec<u8>],
        count: usize,
        mut delivered: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let first = corpus.first().context("no message")?;
        smtp::submit(login, first).context("the first message")?;
        delivered(1)?;
        let (times, memory_peak_mb) = peak(&Mutex::new(agent), || {
            measure(load::outgoing(login, corpus), count, |sent| {
                delivered(1 + sent)
            })
        })?;
        Ok(Self {
            memory_peak_mb,
            times,
        })
    }
}

/// What both did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Both {
    /// The box.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub the_box: Option<Side>,
    /// Debian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rival: Option<Side>,
}

/// Measures, and prints what was measured.
pub fn run(arguments: &MailArguments) -> Result<()> {
    ensure!(arguments.messages > 0, "--messages: at least one");
    image::host_packages_for_boots()?;
    let the_box = arguments.only != Some(Which::Rival);
    if the_box {
        guest::build_zip()?;
    }
    let rival = match arguments.only {
        Some(Which::Box) => None,
        _ => Some(rival_files()?),
    };
    let lab = Lab::new(false)?;
    let order = Order {
        messages: arguments.messages,
        the_box,
        rival,
    };
    let both = mail::measure(&lab, &order)?;
    if arguments.json {
        let mut line = json!(both);
        line["bench"] = json!("mail");
        line["at_once"] = json!(AT_ONCE);
        println!("{}", with_place(line));
        return Ok(());
    }
    for (name, side) in [("box", &both.the_box), ("rival", &both.rival)] {
        if let Some(side) = side {
            say(name, side);
        }
    }
    Ok(())
}

fn rival_files() -> Result<rival::Files> {
    let Rival {
        kernel,
        initramfs,
        system,
    } = image::rival::make(&guest::agent_program()?)?;
    Ok(rival::Files {
        kernel,
        initramfs,
        system,
    })
}

/// For people.
fn say(name: &str, side: &Side) {
    println!(
        "{name}: {} MB used, {} MB at most with messages",
        side.memory_mb, side.memory_peak_mb
    );
    let outgoing = side.outgoing.as_ref();
    for (how, times) in [
        ("scanned", Some(&side.scanned)),
        ("not scanned", Some(&side.not_scanned)),
        ("outgoing", outgoing.map(|sent| &sent.times)),
    ] {
        let Some(times) = times else { continue };
        println!(
            "  {how}: 250 after {} s (p50), {} s (p99 of {}); messages a minute: {} from one \
             sender, {} from {AT_ONCE}",
            times.p50_seconds,
            times.p99_seconds,
            times.messages,
            times.one_sender_a_minute,
            times.messages_a_minute
        );
    }
}

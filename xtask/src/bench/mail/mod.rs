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
//! Limits: QEMU `virt` has one processor here, a Raspberry Pi four.

mod corpus;
mod load;
mod memory;
pub mod rival;
pub mod smtp;

pub use corpus::messages;
pub use load::{AT_ONCE, Times, measure, percentile};
pub use memory::{peak, used};
pub use smtp::Route;

use super::with_place;
use crate::image;
use crate::scenarios::{Lab, mail};
use crate::{guest, image::rival::Rival};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    for (how, times) in [
        ("scanned", &side.scanned),
        ("not scanned", &side.not_scanned),
    ] {
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

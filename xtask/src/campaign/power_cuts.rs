//! `cargo xtask campaign power-cuts --during first-boot`: cuts the power at random
//! moments, as often as one likes. How far it is stands in
//! `target/campaign/power-cuts.json` after every cut; `--resume` goes on from there. A
//! cut that failed leaves its cards and logs in `target/campaign/power-cuts/` and is
//! done again by `--resume`, with the same random numbers.

use super::progress;
use crate::bench::with_place;
use crate::scenarios::Lab;
use crate::scenarios::power_cuts::{self, Dice};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// What the power is cut during.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum During {
    /// The first boot of a card, when its file system shrinks
    FirstBoot,
    /// The hours after: while mail arrives and leaves
    Mail,
}

/// What `cargo xtask campaign power-cuts` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// When to cut
    #[arg(long, value_enum, default_value_t = During::FirstBoot)]
    during: During,
    /// How many cuts
    #[arg(long, default_value_t = 50)]
    pub(super) count: u64,
    /// Go on where the last run was interrupted
    #[arg(long)]
    pub(super) resume: bool,
    /// How many boxes at a time, with `--during mail` [default: 2, or 1 on one core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) jobs: Option<u8>,
    /// Print one JSON line
    #[arg(long)]
    pub(super) json: bool,
}

/// How far it is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// With it every cut can be repeated.
    seed: u64,
    /// Cuts after which all was well.
    done: u64,
    /// Cuts that found the second partition made already.
    after_the_end: u64,
    /// Cuts that lost at least one sector.
    with_losses: u64,
    /// Writes and flushes before the cuts.
    writes: u64,
    /// Sectors written after the last flush that were lost, and that were not.
    sectors_lost: u64,
    sectors_kept: u64,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.during {
        During::FirstBoot => first_boot(arguments),
        During::Mail => super::mail_cuts::run(arguments),
    }
}

fn first_boot(arguments: &Arguments) -> Result<()> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let lab = Lab::new(false)?;
    let folder: PathBuf = workspace::target().join("campaign/power-cuts");
    // Cards of an earlier run may be of an earlier ZIP.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let file = folder.with_extension("json");
    let mut state = match progress::saved(&file, arguments.resume)? {
        Some(state) => state,
        None => State {
            seed: progress::seed()?,
            ..State::default()
        },
    };
    progress::save(&file, &state)?;
    while state.done < arguments.count {
        let mut dice = Dice::new(state.seed, state.done);
        let report = power_cuts::cut(&lab, &folder, &mut dice, state.done)
            .with_context(|| format!("cut {} of seed {}", state.done, state.seed))?;
        state.done += 1;
        state.after_the_end += u64::from(report.was_done);
        state.with_losses += u64::from(report.fate.lost > 0);
        state.writes += report.writes as u64;
        state.sectors_lost += report.fate.lost;
        state.sectors_kept += report.fate.kept;
        progress::save(&file, &state)?;
        eprintln!("{} of {}: {report:?}", state.done, arguments.count);
    }
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    if arguments.json {
        let result = json!({ "campaign": "power-cuts", "during": "first-boot", "result": state });
        println!("{}", with_place(result));
    } else {
        println!(
            "{} cuts, {} with losses ({} sectors lost, {} kept), {} after the end: each next boot \
             was good, the checker content and the files the same",
            state.done,
            state.with_losses,
            state.sectors_lost,
            state.sectors_kept,
            state.after_the_end
        );
    }
    Ok(())
}

//! `cargo xtask campaign power-cuts --during mail`: the power goes at random moments
//! while mail arrives and leaves. Every [`IN_A_ROW`] cuts begin with the same kept box.
//! How far it is stands in `target/campaign/mail-cuts.json` after every row. A row in
//! which a cut failed leaves its card and logs in `target/campaign/mail-cuts/` and is done
//! again by `--resume`, at the same moments.

use super::power_cuts::Arguments;
use super::progress;
use crate::bench::with_place;
use crate::scenarios::{Lab, mail};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;

/// How many cuts one box goes through.
const IN_A_ROW: u64 = 5;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// With it every cut can be repeated.
    seed: u64,
    /// Cuts after which all was there.
    done: u64,
    /// How they went.
    report: mail::CutsReport,
}

/// Runs it.
///
/// # Errors
/// When a message that was answered `250` is nowhere, or the next boot is not good.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    image::host_packages_for_boots()?;
    internet::unpack()?;
    guest::build_zip()?;
    let lab = Lab::new(false)?;
    let folder = workspace::target().join("campaign/mail-cuts");
    let file = folder.with_extension("json");
    let mut state = match progress::saved(&file, arguments.resume)? {
        Some(state) => state,
        None => State {
            seed: progress::seed()?,
            done: 0,
            report: mail::CutsReport::default(),
        },
    };
    while state.done < arguments.count {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        progress::save(&file, &state)?;
        let end = arguments.count.min(state.done + IN_A_ROW);
        let row = mail::Cuts {
            seed: state.seed,
            numbers: state.done..end,
        };
        state.report.add(&mail::power_cuts(&lab, &folder, &row)?);
        state.done = end;
        progress::save(&file, &state)?;
        eprintln!("{} of {}: {:?}", state.done, arguments.count, state.report);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    if arguments.json {
        let result = json!({ "campaign": "power-cuts", "during": "mail", "result": state });
        println!("{}", with_place(result));
    } else {
        let report = &state.report;
        println!(
            "{} cuts, {} with losses ({} sectors lost, {} kept): {} messages in and {} out, \
             all that were answered 250 there after each next unlock, {} more than once",
            state.done,
            report.with_losses,
            report.sectors_lost,
            report.sectors_kept,
            report.sent,
            report.taken,
            report.twice
        );
    }
    Ok(())
}

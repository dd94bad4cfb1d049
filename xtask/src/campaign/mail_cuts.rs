//! `cargo xtask campaign power-cuts --during mail`: the power goes at random moments
//! while mail arrives and leaves. Every [`IN_A_ROW`] cuts begin with the same kept box, and
//! several such rows go on side by side. How far it is stands in
//! `target/campaign/mail-cuts.json` when they have ended. A row in which a cut failed
//! leaves its card and logs in `target/campaign/mail-cuts/` and is done again by
//! `--resume`, at the same moments.

use super::power_cuts::Arguments;
use super::progress;
use crate::bench::with_place;
use crate::scenarios::{Lab, mail};
use crate::{guest, image, test, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::ops::Range;
use std::thread;

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
    let jobs = arguments.jobs.map_or_else(test::usual_jobs, usize::from);
    while state.done < arguments.count {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        progress::save(&file, &state)?;
        let rows = rows(state.done..arguments.count, jobs);
        let work = |numbers: &Range<u64>| {
            let place = folder.join(numbers.start.to_string());
            fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
            let row = mail::Cuts {
                seed: state.seed,
                numbers: numbers.clone(),
            };
            mail::power_cuts(&lab, &place, &row)
        };
        let reports = thread::scope(|scope| {
            let workers: Vec<_> = rows.iter().map(|row| scope.spawn(|| work(row))).collect();
            // All are waited for, also when one has failed.
            let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            ends.into_iter()
                .map(|end| end.expect("a row does not panic"))
                .collect::<Result<Vec<_>>>()
        })?;
        for (row, report) in rows.iter().zip(&reports) {
            state.report.add(report);
            state.done = row.end;
        }
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

/// The next rows: `jobs` of them, or fewer at the end.
fn rows(cuts: Range<u64>, jobs: usize) -> Vec<Range<u64>> {
    cuts.clone()
        .step_by(IN_A_ROW as usize)
        .take(jobs.max(1))
        .map(|start| start..cuts.end.min(start + IN_A_ROW))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_each_other_and_end_with_the_last_cut() {
        assert_eq!(rows(5..100, 2), [5..10, 10..15]);
        assert_eq!(rows(90..97, 2), [90..95, 95..97]);
        assert_eq!(rows(0..12, 9), [0..5, 5..10, 10..12]);
        assert_eq!(rows(0..12, 0), rows(0..12, 1));
    }
}

//! `cargo xtask campaign power-cuts --during mail`: the power goes at random moments
//! while mail arrives and leaves, each time from the same kept box. How far it is stands
//! in `target/campaign/mail-cuts.json` after every cut. A cut that failed leaves its card
//! and logs in `target/campaign/mail-cuts/` and is done again by `--resume`, at the same
//! moment.
//!
//! No boot test does a cut of this kind yet: one takes six minutes beside another boot,
//! and no run of it has come to its end.

use super::power_cuts::Arguments;
use crate::bench::with_place;
use crate::scenarios::power_cuts::Dice;
use crate::scenarios::{Lab, mail};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The power goes so many milliseconds after the first message was sent, at the most.
const LATEST: u64 = 20_000;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// With it every cut can be repeated.
    seed: u64,
    /// Cuts after which all was there.
    done: u64,
}

impl State {
    /// The saved one, if that is asked for and there, or a new one.
    fn begin(file: &Path, resume: bool) -> Result<Self> {
        if resume && file.exists() {
            let text = fs::read(file).with_context(|| file.display().to_string())?;
            return serde_json::from_slice(&text)
                .with_context(|| format!("{}: damaged; leave out --resume", file.display()));
        }
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self { seed, done: 0 })
    }

    /// Whole or not at all: an interruption may come at any time.
    fn save(&self, file: &Path) -> Result<()> {
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&new, file).with_context(|| file.display().to_string())
    }
}

/// Runs it.
///
/// # Errors
/// When a message that was answered `250` is nowhere, or the next boot is not good.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let lab = Lab::new(false)?;
    let folder = workspace::target().join("campaign/mail-cuts");
    let file = folder.with_extension("json");
    let mut state = State::begin(&file, arguments.resume)?;
    while state.done < arguments.count {
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        state.save(&file)?;
        let after = Dice::new(state.seed, state.done).below(LATEST);
        mail::cut_after(&lab, &folder, after)
            .with_context(|| format!("cut {} of seed {}", state.done, state.seed))?;
        state.done += 1;
        state.save(&file)?;
        eprintln!("{} of {}", state.done, arguments.count);
    }
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    if arguments.json {
        let result = json!({ "campaign": "power-cuts", "during": "mail", "result": state });
        println!("{}", with_place(result));
    } else {
        println!(
            "{} cuts: every message that was answered 250 was there after the next unlock",
            state.done
        );
    }
    Ok(())
}

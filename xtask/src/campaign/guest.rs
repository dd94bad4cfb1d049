//! A campaign with a booted box, in the world of the boot tests of mail.

use super::{Place, State, go_on};
use crate::scenarios::{Lab, mail};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
/// The addresses there that may send are one, and one address has four places.
const AT_ONCE: u8 = 3;

/// Boots a box, or goes on from its kept moment, and sends what is to be sent,
/// looking what is left after every `step` messages.
pub(super) fn run(state: State, step: u64) -> Result<State> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let folder = workspace::target().join("test/campaign");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    let told = folder.join(STATE);
    fs::write(&told, serde_json::to_vec(&(&state.file, step, &state))?)?;
    mail::campaign(&Lab::new(false)?, &folder)
        .with_context(|| format!("the serial log is in {}", folder.display()))?;
    let (_, _, done) = read(&folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(done)
}

fn read(folder: &Path) -> Result<(PathBuf, u64, State)> {
    Ok(serde_json::from_slice(&fs::read(folder.join(STATE))?)?)
}

/// The part in the world: `folder` is the test's.
pub fn inside(place: &mut impl Place, folder: &Path) -> Result<()> {
    let (file, step, mut state) = read(folder)?;
    state.file = file;
    let done = go_on(place, state, AT_ONCE, step)?;
    fs::write(
        folder.join(STATE),
        serde_json::to_vec(&(&done.file, step, &done))?,
    )?;
    Ok(())
}

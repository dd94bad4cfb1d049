//! A campaign with a booted box, in the world of the boot tests of mail.

use super::{BATCH, Place, State, go_on};
use crate::scenarios::{Lab, mail};
use crate::{guest, image, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const STATE: &str = "state.json";
/// The addresses there that may send are one, and one address has four places.
const AT_ONCE: u8 = 3;

/// Boots a box, or goes on from its kept moment, and sends what is to be sent.
pub(super) fn run(state: State) -> Result<State> {
    image::host_packages_for_boots()?;
    guest::build_zip()?;
    let folder = workspace::target().join("test/campaign");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    let told = folder.join(STATE);
    fs::write(&told, serde_json::to_vec(&(&state.file, &state))?)?;
    mail::campaign(&Lab::new(false)?, &folder)
        .with_context(|| format!("the serial log is in {}", folder.display()))?;
    let (_, done) = read(&folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(done)
}

fn read(folder: &Path) -> Result<(std::path::PathBuf, State)> {
    Ok(serde_json::from_slice(&fs::read(folder.join(STATE))?)?)
}

/// The part in the world: `folder` is the test's.
pub fn inside(place: &mut impl Place, folder: &Path) -> Result<()> {
    let (file, mut state) = read(folder)?;
    state.file = file;
    let done = go_on(place, state, AT_ONCE, BATCH)?;
    fs::write(
        folder.join(STATE),
        serde_json::to_vec(&(&done.file, &done))?,
    )?;
    Ok(())
}

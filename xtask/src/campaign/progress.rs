//! How far a campaign is, in a file after every step: an interruption may come at any
//! time, and `--resume` goes on from there.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is saved in `file`, if that is asked for and there.
///
/// # Errors
/// When the file can't be read or is damaged.
pub(super) fn saved<T: DeserializeOwned>(file: &Path, resume: bool) -> Result<Option<T>> {
    if !resume || !file.exists() {
        return Ok(None);
    }
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    let state = serde_json::from_slice(&text)
        .with_context(|| format!("{}: damaged; leave out --resume", file.display()))?;
    Ok(Some(state))
}

/// Saves it whole or not at all.
///
/// # Errors
/// When the file can't be written.
pub(super) fn save<T: Serialize>(file: &Path, state: &T) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec_pretty(state)?)?;
    fs::rename(&new, file).with_context(|| file.display().to_string())
}

/// Something else each second, to repeat a run with.
///
/// # Errors
/// When the clock stands before 1970.
pub(super) fn seed() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_campaign_goes_on_and_a_new_one_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        save(&file, &(7, 12)).unwrap();
        assert_eq!(saved(&file, true).unwrap(), Some((7, 12)));
        assert_eq!(saved::<(u8, u8)>(&file, false).unwrap(), None);
        fs::write(&file, "{").unwrap();
        let error = format!("{:#}", saved::<(u8, u8)>(&file, true).unwrap_err());
        assert!(error.contains("damaged; leave out --resume"), "{error}");
    }
}

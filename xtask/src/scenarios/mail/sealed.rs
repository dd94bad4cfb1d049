//! Nothing in the clear, in every test of mail: of each box that a test starts all
//! packets and all writes are kept, and at its end none of them holds the sentence of
//! any message that the test has sent. That the search finds what is there, the box's
//! own greeting shows on the same packets, and `mail_unseen` for the writes.
//!
//! Not so in benches, which the recording would slow down, and while the kept moment
//! is made, whose file holds the box's memory.

use super::letter;
use crate::capture::Capture;
use crate::qemu::Recording;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What port 25 says in the clear, and every test waits for.
const GREETING: &str = " ESMTP";

/// What this process records.
static KEPT: Mutex<Option<Vec<Capture>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<Vec<Capture>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on every box is recorded.
pub(super) fn begin() {
    *kept() = Some(Vec::new());
}

/// Where the next box is to be recorded: as was `asked`, or in a file of its own in
/// `folder`; nowhere when nothing is recorded.
pub(super) fn next(asked: Option<Recording>, folder: &Path) -> Result<Option<Recording>> {
    let mut kept = kept();
    let Some(captures) = kept.as_mut() else {
        return Ok(asked);
    };
    let recording = match asked {
        Some(recording) => recording,
        None => {
            let own = folder.join(format!("box-{}", captures.len() + 1));
            fs::create_dir_all(&own)?;
            Capture::into(&own).0
        }
    };
    if captures
        .iter()
        .all(|capture| capture.0.packets != recording.packets)
    {
        captures.push(Capture(recording.clone()));
    }
    Ok(Some(recording))
}

/// Searches all that was recorded for all that was sent.
///
/// # Errors
/// When a sentence stands somewhere in the clear, or the search finds nothing at all.
pub(super) fn hold() -> Result<()> {
    let captures = kept().take().unwrap_or_default();
    let sentences = letter::sent();
    let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
    for capture in &captures {
        ensure!(
            !capture.found_on_the_wire(&[GREETING])?.is_empty(),
            "the search does not find the box's greeting among {}",
            capture.0.packets.display()
        );
        let mut found = capture.found_on_the_wire(&sentences)?;
        found.extend(capture.found_on_the_card(&sentences)?);
        ensure!(
            found.is_empty(),
            "in the clear, in {} or {}: {found:?}",
            capture.0.packets.display(),
            capture.0.writes.display()
        );
    }
    eprintln!(
        "  {} sentences, in the clear in none of {} recordings",
        sentences.len(),
        captures.len()
    );
    Ok(())
}

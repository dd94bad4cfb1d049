//! A client that says exactly what it is told, also what no mail server would.

use super::internet::{BOX, Host};
use super::peers::{Tree, WORLD};
use anyhow::Result;
use std::fs;
use std::path::Path;

const SCRIPT: &str = include_str!("../../../../ci/mail/smtp_dialogue.py");

/// The box's replies to `steps` (the script says which there are), the greeting
/// first.
pub(super) fn dialogue(
    tree: &Tree,
    world: &Path,
    host: Host,
    steps: &[&str],
) -> Result<Vec<String>> {
    fs::write(world.join("smtp_dialogue.py"), SCRIPT)?;
    let (server, own) = (BOX.to_string(), host.address.to_string());
    let script = format!("{WORLD}/smtp_dialogue.py");
    let words = ["python3", script.as_str(), &server, &own];
    let said = tree.feed(&words, (steps.join("\n") + "\n").as_bytes())?;
    Ok(String::from_utf8(said)?
        .lines()
        .map(str::to_owned)
        .collect())
}

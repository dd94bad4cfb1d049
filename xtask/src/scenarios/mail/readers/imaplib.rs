//! Python's imaplib, in a script of ours that prints each message in base64.

use super::{Person, SERVER, certificate};
use crate::scenarios::mail::peers::{Tree, WORLD};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;

const SCRIPT: &str = include_str!("../../../../../ci/mail/imap_fetch.py");

/// Every message of a folder, as it came.
pub(in crate::scenarios::mail) fn imaplib(
    tree: &Tree,
    world: &Path,
    person: Person,
    folder: &str,
) -> Result<Vec<Vec<u8>>> {
    fs::write(world.join("imap_fetch.py"), SCRIPT)?;
    let printed = tree
        .tool("python3")
        .arg(format!("{WORLD}/imap_fetch.py"))
        .args([
            SERVER,
            &certificate(),
            person.address,
            person.password,
            folder,
        ])
        .output()?;
    String::from_utf8(printed)?
        .lines()
        .map(|line| STANDARD.decode(line).context("the script's output"))
        .collect()
}

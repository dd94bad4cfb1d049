//! Python's imaplib, in scripts of ours: one prints each message in base64, one
//! moves messages.

use super::{Person, SERVER, certificate};
use crate::scenarios::mail::peers::{Tree, WORLD};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::path::Path;

const SCRIPT: &str = include_str!("../../../../../ci/mail/imap_fetch.py");
const MOVE: &str = include_str!("../../../../../ci/mail/imap_move.py");

/// What was moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scenarios::mail) struct Moved {
    /// How many messages.
    pub(in crate::scenarios::mail) count: u32,
    /// How long the server took.
    pub(in crate::scenarios::mail) seconds: f64,
}

/// Moves every message whose Message-ID contains `id` with one command, from the
/// first of two folders to the second. None is an error.
pub(in crate::scenarios::mail) fn imap_move(
    tree: &Tree,
    world: &Path,
    person: Person,
    [from, to]: [&str; 2],
    id: &str,
) -> Result<Moved> {
    fs::write(world.join("imap_move.py"), MOVE)?;
    let printed = tree
        .tool("python3")
        .arg(format!("{WORLD}/imap_move.py"))
        .args([SERVER, &certificate(), person.address, person.password])
        .args([from, to, id])
        .output()?;
    let printed = String::from_utf8(printed)?;
    let (count, seconds) = printed.trim_end().split_once(' ').context("two numbers")?;
    Ok(Moved {
        count: count.parse()?,
        seconds: seconds.parse()?,
    })
}

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

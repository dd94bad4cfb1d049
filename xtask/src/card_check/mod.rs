//! `cargo xtask card-check ZIP`: would this ZIP make a card that starts?
//!
//! Raspberry Pi Imager unpacks while it downloads, with libarchive on a stream that can't
//! go back. That is replayed twice: [`stream`] reads the headers in their order and says
//! what such a reader stumbles over, and `bsdtar`, which is libarchive, unpacks the ZIP
//! from a pipe. What then lies there is checked for what the firmware of a Raspberry Pi 3
//! and our boot script need ([`firmware`], [`config_txt`]), because QEMU can't play that
//! step.
//!
//! Both kinds are known as Imager tells them apart: a ZIP with exactly one entry is an
//! image that is written raw, any other is files for a freshly formatted FAT32.

mod config_txt;
mod firmware;
mod image;
mod names;
mod stream;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stream::Entry;

/// What `cargo xtask card-check` takes.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    /// The ZIP: files for a card, or one image of a card
    zip: PathBuf,
}

/// What is wrong with a ZIP, and what is only odd.
#[derive(Debug, Default)]
struct Findings {
    errors: Vec<String>,
    notes: Vec<String>,
}

impl Findings {
    /// Something that keeps a card from starting; `place` says where.
    fn error(&mut self, place: impl Display, what: impl Display) {
        self.errors.push(format!("{place}: {what}"));
    }

    /// Something that a human should look at.
    fn note(&mut self, place: impl Display, what: impl Display) {
        self.notes.push(format!("{place}: {what}"));
    }
}

/// What a ZIP makes of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Files,
    Image,
}

/// Checks a ZIP, prints what was found, and fails if a card made of it can't start.
pub fn run(arguments: &CheckArguments) -> Result<()> {
    let zip = &arguments.zip;
    let (findings, kind, entries) = examine(zip)?;
    for note in &findings.notes {
        println!("note: {note}");
    }
    for error in &findings.errors {
        println!("error: {error}");
    }
    if !findings.errors.is_empty() {
        bail!(
            "{}: {} found, see above; a card made of it would not start or lack files",
            zip.display(),
            match findings.errors.len() {
                1 => "1 error".to_owned(),
                more => format!("{more} errors"),
            }
        );
    }
    let bytes: u64 = entries.iter().map(|entry| u64::from(entry.size)).sum();
    println!(
        "{}: {} of {} MB; it unpacks from a stream, and the firmware finds what it needs",
        zip.display(),
        match kind {
            Kind::Files => "files",
            Kind::Image => "an image",
        },
        bytes / 1_000_000
    );
    Ok(())
}

/// The same for the ordinary tests, which print nothing when all is well.
pub fn check(zip: &Path) -> Result<()> {
    let (findings, ..) = examine(zip)?;
    if !findings.errors.is_empty() {
        bail!("{}:\n{}", zip.display(), findings.errors.join("\n"));
    }
    Ok(())
}

fn examine(zip: &Path) -> Result<(Findings, Kind, Vec<Entry>)> {
    let mut findings = Findings::default();
    let file = File::open(zip).with_context(|| format!("{}: cannot be read", zip.display()))?;
    let entries = stream::read(&mut BufReader::with_capacity(1 << 20, file), &mut findings)
        .with_context(|| format!("{}: cannot be read", zip.display()))?;
    let files: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_folder()).collect();
    let kind = match entries.len() {
        1 => Kind::Image,
        _ => Kind::Files,
    };
    if files.is_empty() {
        // Without an entry there is nothing more to say than what the stream did.
        if findings.errors.is_empty() {
            findings.error("the ZIP", "holds no file");
        }
        return Ok((findings, kind, entries));
    }
    if kind == Kind::Files {
        let sized = files.iter().filter(|entry| entry.size > 0).count();
        if sized < 2 {
            findings.error(
                "the ZIP",
                "has several entries but fewer than two with content: Imager would write it raw",
            );
        }
        names::check(&entries, &mut findings);
    }
    let folder = tempfile::tempdir().context("a temporary folder")?;
    if let Err(said) = unpack_from_a_pipe(zip, folder.path())? {
        findings.error("bsdtar, reading from a pipe", said);
    }
    came_out(&files, folder.path(), &mut findings);
    match kind {
        Kind::Files => firmware::check(folder.path(), &mut findings),
        Kind::Image => image::check(&files[0].name, folder.path(), &mut findings)?,
    }
    Ok((findings, kind, entries))
}

/// Unpacks as Imager does. The inner error is what bsdtar said.
fn unpack_from_a_pipe(zip: &Path, folder: &Path) -> Result<Result<(), String>> {
    let mut source = File::open(zip).with_context(|| zip.display().to_string())?;
    let mut bsdtar = Command::new("bsdtar")
        // -S: an image is mostly zeros.
        .args(["-x", "-S", "-f", "-", "-C"])
        .arg(folder)
        // A file as standard input could be sought in; a pipe can't.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("bsdtar cannot be started; it is in the package libarchive-tools")?;
    let mut pipe = bsdtar.stdin.take().context("bsdtar's standard input")?;
    let feeder = std::thread::spawn(move || io::copy(&mut source, &mut pipe));
    let output = bsdtar.wait_with_output().context("bsdtar")?;
    // bsdtar may end before the ZIP does; only its own words count.
    drop(feeder.join());
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().collect();
    match output.status.success() && said.is_empty() {
        true => Ok(Ok(())),
        false => Ok(Err(said.join("; "))),
    }
}

/// Whether every file came out with the size that the directory at the end tells.
fn came_out(files: &[&Entry], folder: &Path, findings: &mut Findings) {
    for entry in files {
        let path = folder.join(entry.name.trim_start_matches('/'));
        // Names that lead elsewhere have been complained about.
        if entry.name.split('/').any(|part| part == "..") {
            continue;
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() == u64::from(entry.size) => {}
            Ok(found) if found.is_file() => findings.error(
                &entry.name,
                format!(
                    "came out with {} bytes instead of {}",
                    found.len(),
                    entry.size
                ),
            ),
            Ok(_) => findings.error(&entry.name, "came out as something else than a file"),
            Err(_) => findings.error(&entry.name, "did not come out"),
        }
    }
}

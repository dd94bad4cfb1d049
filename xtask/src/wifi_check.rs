//! `cargo xtask wifi-check FILE`: what the box would do with a file, as one line of JSON.
//!
//! The file goes through the very function that the box calls ([`wifi_txt::read`]).

use anyhow::{Context, Result, ensure};
use clap::Args;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use wifi_txt::report::Report;
use wifi_txt::{CardFile, decode, is_candidate, read};

/// Options of `cargo xtask wifi-check`.
#[derive(Debug, Args)]
pub struct WifiCheckArguments {
    /// The file: a wifi.txt, rpi-preseed.toml or custom.toml; or a folder as the card's top
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Prints the report.
///
/// # Errors
/// The file cannot be read, or names no network that the box could join.
pub fn run(arguments: &WifiCheckArguments) -> Result<()> {
    let report = Report::of(&read(&files(&arguments.file)?));
    println!("{}", serde_json::to_string(&report)?);
    ensure!(!report.networks.is_empty(), "no network can be used");
    Ok(())
}

fn files(path: &Path) -> Result<Vec<CardFile>> {
    if !path.is_dir() {
        let mut file = card_file(path)?;
        if !is_candidate(&file.name) {
            let taken_for = match path.extension().is_some_and(|end| end == "toml") {
                true => "rpi-preseed.toml",
                false => "wifi.txt",
            };
            let name = std::mem::replace(&mut file.name, taken_for.to_owned());
            eprintln!(
                "The box does not read a file named {name}; here it is taken for {taken_for}."
            );
        }
        return Ok(vec![file]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_candidate(&name) && path.is_file() {
            files.push(card_file(&path)?);
        }
    }
    Ok(files)
}

fn card_file(path: &Path) -> Result<CardFile> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(decode::LIMIT as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    let name = path.file_name().unwrap_or_default();
    Ok(CardFile {
        name: name.to_string_lossy().into_owned(),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(path: &Path) -> Vec<String> {
        let networks = Report::of(&read(&files(path).unwrap())).networks;
        networks.into_iter().map(|network| network.name).collect()
    }

    #[test]
    fn a_file_of_any_name_and_a_whole_card_are_read() {
        let card = tempfile::tempdir().unwrap();
        let path = |name: &str| card.path().join(name);
        fs::write(path("start.elf"), "network = x").unwrap();
        fs::write(path("WIFI.TXT"), "# network = x\r\n").unwrap();
        fs::write(path("custom.toml"), "[wlan]\nssid = \"Home\"\n").unwrap();
        assert_eq!(networks(card.path()), ["Home"]);
        fs::write(path("mine"), "network = Den").unwrap();
        assert_eq!(networks(&path("mine")), ["Den"]);
        fs::write(path("mine.toml"), "[wlan]\nssid = \"Loft\"\n").unwrap();
        assert_eq!(networks(&path("mine.toml")), ["Loft"]);
        assert!(networks(&path("WIFI.TXT")).is_empty());
        let nothing = WifiCheckArguments {
            file: path("WIFI.TXT"),
        };
        assert!(run(&nothing).is_err());
        assert!(files(&path("missing")).is_err());
    }
}

//! The files of the card, gathered in one folder as they lie on the FAT
//! partition: firmware, boot loader, texts for people, and slot `a/` with the
//! system and the apps.
//! `b/` stays empty until the first update.

use super::app::App;
use super::board::Board;
use super::glob;
use super::kernel::Kernel;
use super::rootfs::Origins;
use super::step::{Key, Steps};
use super::system::System;
use super::tree::Tree;
use crate::tool::tool;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// What slot `a/` holds.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// The system image.
    pub system: &'a System,
    /// The apps.
    pub apps: &'a [App],
}

impl Slot<'_> {
    /// Each file's name and where it is.
    fn files(&self) -> Vec<(String, &Path)> {
        let mut files = vec![
            ("Image.gz".to_owned(), self.kernel.image.as_path()),
            ("initrd".to_owned(), self.initramfs),
            ("system.img".to_owned(), &self.system.image),
            ("system.txt".to_owned(), &self.system.packages),
        ];
        for app in self.apps {
            let of_app = [
                ("img", &app.image),
                ("verity", &app.verity),
                ("sig", &app.signature),
                ("txt", &app.packages),
            ];
            let named = of_app.map(|(end, path)| (format!("{}.{end}", app.name), path.as_path()));
            files.extend(named);
        }
        files
    }
}

/// Gathers them and returns the folder.
pub fn files(
    steps: &Steps,
    source: &Path,
    board: &Board,
    board_tar: &Path,
    slot: &Slot<'_>,
) -> Result<PathBuf> {
    let folder = steps.cache().join(format!("{}-card", board.name));
    let packages = &slot.system.packages;
    let slot = slot.files();
    let mut key = Key::new(include_str!("card.rs"))
        .file(&board.yaml)?
        .file(board_tar)?;
    for path in board
        .card
        .from_source
        .values()
        .chain([&board.card.boot_script])
    {
        key = key.file(&source.join(path))?;
    }
    for (_, path) in &slot {
        key = key.file(path)?;
    }
    steps.make("card files", key, &folder, |new| {
        for name in ["a", "b"] {
            fs::create_dir_all(new.join(name))?;
        }
        let patterns = &board.card.from_packages;
        let tar = BufReader::new(File::open(board_tar)?);
        let unpacked =
            Tree::from_tar(tar, |path| patterns.values().any(|pattern| glob::matches(pattern, path)))?;
        for (name, pattern) in patterns {
            let (path, _) = unpacked.iter().find(|(path, _)| glob::matches(pattern, path)).with_context(|| {
                format!("{pattern}: not in the board's packages; correct from-packages in board.yaml")
            })?;
            write(&new.join(name), unpacked.file(path)?)?;
        }
        for (name, path) in &board.card.from_source {
            write(&new.join(name), &for_every_editor(fs::read(source.join(path))?, name))?;
        }
        tool("mkimage", "u-boot-tools")
            .args(["-A", "arm64", "-T", "script", "-C", "none", "-n", "projectx", "-d"])
            .arg(source.join(&board.card.boot_script))
            .arg(new.join("boot.scr"))
            // mkimage writes a time into the header.
            .env("SOURCE_DATE_EPOCH", "0")
            .run()?;
        for (name, path) in &slot {
            let to = new.join("a").join(name);
            fs::copy(path, &to).with_context(|| format!("{}: cannot be copied", path.display()))?;
        }
        let origins = Origins::read(board_tar)?;
        let mut list = fs::read_to_string(packages)?;
        for (name, version) in origins.packages() {
            list.push_str(&format!("{name} {version}\n"));
        }
        write(&new.join("a/system.txt"), list.as_bytes())
    })?;
    Ok(folder)
}

/// Windows' older editors show a text in one line without carriage returns.
fn for_every_editor(content: Vec<u8>, name: &str) -> Vec<u8> {
    match String::from_utf8(content) {
        Ok(text) if ["README.txt", "wifi.txt"].contains(&name) => text
            .replace("\r\n", "\n")
            .replace('\n', "\r\n")
            .into_bytes(),
        Ok(text) => text.into_bytes(),
        Err(binary) => binary.into_bytes(),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("{}: cannot be written", path.display()))
}

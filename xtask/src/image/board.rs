//! `boards/NAME/board.yaml`: the files of the card and the kernel modules.

use super::root::Packages;
use super::yaml;
use anyhow::{Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Kernel modules by when they are loaded; names as in `modprobe`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// In the initramfs, loaded by PID 1, in this order.
    pub initramfs: Vec<String>,
    /// In the system image, loaded by the supervisor, in this order.
    pub system: Vec<String>,
    /// In the system image, loaded only when the kernel asks for them.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Whole folders of the module tree, like `extra`.
    #[serde(default)]
    pub folders: Vec<String>,
}

/// What lies on the FAT partition besides the slots.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    /// U-Boot's script in text form; it becomes `boot.scr`.
    pub boot_script: String,
    /// Name on the card → path in the board's packages; a `*` stands for the kernel's version.
    #[serde(default)]
    pub from_packages: BTreeMap<String, String>,
    /// Name on the card → path in this repository.
    #[serde(default)]
    pub from_source: BTreeMap<String, String>,
    /// Size of the one partition in the .img, in MiB. First boot changes it.
    pub image_mib: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawBoard {
    packages: Packages,
    modules: Modules,
    card: Card,
}

/// A checked board.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its folder's name.
    pub name: String,
    /// Kernel, firmware, boot loader.
    pub packages: Packages,
    /// Kernel modules.
    pub modules: Modules,
    /// The card.
    pub card: Card,
    /// The YAML itself, for keys.
    pub yaml: PathBuf,
}

impl Board {
    /// Reads and checks `boards/NAME/board.yaml` below `source`.
    pub fn read(source: &Path, name: &str) -> Result<Self> {
        let file = format!("boards/{name}/board.yaml");
        if !source.join(&file).is_file() {
            bail!(
                "{file}: there is no such board; known are: {}",
                known(source).join(", ")
            );
        }
        let raw: RawBoard = yaml::read(source, &file)?;
        // FAT32 needs 65,525 clusters, and ours are 4 KiB.
        if raw.card.image_mib < 300 {
            bail!(
                "{file}: image-mib {} is too small for FAT32; use at least 300",
                raw.card.image_mib
            );
        }
        for path in raw.card.from_source.values().chain([&raw.card.boot_script]) {
            if !source.join(path).is_file() {
                bail!("{file}: {path} is not in the repository; correct the path");
            }
        }
        Ok(Self {
            name: name.to_owned(),
            packages: raw.packages,
            modules: raw.modules,
            card: raw.card,
            yaml: source.join(&file),
        })
    }
}

fn known(source: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(source.join("boards"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_in_this_repository_are_readable() {
        for name in known(crate::workspace::root()) {
            Board::read(crate::workspace::root(), &name).unwrap();
        }
    }

    #[test]
    fn a_board_that_does_not_exist_is_answered_with_those_that_do() {
        let error = Board::read(crate::workspace::root(), "rpi9")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("boards/rpi9/board.yaml") && error.contains("rpi3"),
            "{error}"
        );
    }
}

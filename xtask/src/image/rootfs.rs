//! Debian packages, unpacked into one tar: `mmdebstrap --variant=extract`.
//! apt resolves, verifies and downloads; nothing is run from the packages.
//! Cached by the names of the packages: within one cache the versions stay;
//! remove `target/image/cache` to take newer ones.

use super::architecture::Architecture;
use super::root::{Packages, Root};
use super::step::{Key, Steps};
use crate::tool::tool;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The member of the tar that says which file is of which package.
const LIST: &str = "px-packages.txt";

/// Unpacks `packages` and returns the tar.
pub fn extract(
    steps: &Steps,
    name: &str,
    packages: &Packages,
    mirror: Option<&str>,
) -> Result<PathBuf> {
    let hook = include_str!("extract-hook.sh");
    let key = Key::new(include_str!("rootfs.rs"))
        .text(hook)
        .text(&format!("{packages:?} {mirror:?}"));
    let tar = steps
        .cache()
        .join(format!("{}.tar", name.replace(' ', "-")));
    steps.make(name, key, &tar, |new| {
        let mut command = tool("mmdebstrap", "mmdebstrap").args([
            "--quiet",
            "--variant=extract",
            "--format=tar",
        ]);
        let architecture = packages.architecture.debian();
        command = command.arg(format!("--architectures={architecture}"));
        command = command.arg(format!("--components={}", packages.components.join(",")));
        if !packages.with_dependencies.is_empty() {
            command =
                command.arg(format!("--include={}", packages.with_dependencies.join(",")));
        }
        command = command.arg(format!("--extract-hook={hook}"));
        command
            .env("PROJECTX_ALONE", &packages.alone.join(" "))
            .arg(&packages.suite)
            .arg(new)
            .args(mirror)
            .run()
            .with_context(|| {
                format!(
                    "unpacking Debian packages ({} {}): check the network and the names in the YAML",
                    packages.with_dependencies.join(" "),
                    packages.alone.join(" ")
                )
            })
    })?;
    Ok(tar)
}

/// Unpacks a root's packages, if it has any.
pub fn of_root(steps: &Steps, root: &Root, mirror: Option<&str>) -> Result<Option<PathBuf>> {
    let Some(packages) = &root.packages else {
        return Ok(None);
    };
    let name = root.yaml.file_stem().unwrap_or_default().to_string_lossy();
    let machine = match packages.architecture {
        Architecture::Arm64 => String::new(),
        other => format!(" {}", other.debian()),
    };
    extract(steps, &format!("{name} root{machine}"), packages, mirror).map(Some)
}

/// Which package each file is of, and which version each package has.
#[derive(Debug, Default)]
pub struct Origins {
    packages: Vec<(String, String)>,
    files: BTreeMap<String, usize>,
}

impl Origins {
    /// Reads them from the tar.
    pub fn read(tar: &Path) -> Result<Self> {
        let file = std::fs::File::open(tar)
            .with_context(|| format!("{}: cannot be read", tar.display()))?;
        let tree = super::tree::Tree::from_tar(std::io::BufReader::new(file), |path| path == LIST)?;
        Ok(Self::parse(&String::from_utf8_lossy(tree.file(LIST)?)))
    }

    fn parse(text: &str) -> Self {
        let mut origins = Self::default();
        for line in text.lines() {
            if let Some((name, version)) =
                line.strip_prefix('=').and_then(|line| line.split_once(' '))
            {
                origins.packages.push((name.to_owned(), version.to_owned()));
            } else if let Some(owner) = origins.packages.len().checked_sub(1) {
                origins.files.insert(
                    line.trim_start_matches("./")
                        .trim_end_matches('/')
                        .to_owned(),
                    owner,
                );
            }
        }
        origins
    }

    /// The package, name and version, that `path` comes from.
    pub fn of(&self, path: &str) -> Option<(&str, &str)> {
        let (name, version) = &self.packages[*self.files.get(path)?];
        Some((name, version))
    }

    /// Every package, name and version.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.packages
            .iter()
            .map(|(name, version)| (name.as_str(), version.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_of_the_package_named_above_it() {
        let origins = Origins::parse(
            "=kmod 34-1\n./usr/\n./usr/bin/kmod\n=libc6 2.41\n./usr/lib/libc.so.6\n",
        );
        assert_eq!(origins.of("usr/bin/kmod"), Some(("kmod", "34-1")));
        assert_eq!(origins.of("usr/lib/libc.so.6"), Some(("libc6", "2.41")));
        assert_eq!(origins.of("usr/bin/perl"), None);
    }
}

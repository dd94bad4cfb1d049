//! `rootfs/NAME.yaml`: which Debian packages a root is made of, and which of
//! their files land in the image.

use super::yaml;
use anyhow::{Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Packages from one Debian release.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packages {
    /// The release, like `trixie`.
    pub suite: String,
    /// Its components, like `main`.
    pub components: Vec<String>,
    /// Packages that come with all that they depend on.
    #[serde(default)]
    pub with_dependencies: Vec<String>,
    /// Packages that come alone: we need files of theirs, not the installed thing.
    #[serde(default)]
    pub alone: Vec<String>,
}

/// A user, and its group of the same name and number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number of the user and of the group.
    pub id: u32,
    /// The home, which daemons use as their empty chroot.
    pub home: String,
}

/// A program of ours and where it lands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The name of the Cargo binary.
    pub name: String,
    /// The folder in the image.
    pub folder: String,
}

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawRoot {
    packages: Packages,
    keep: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    rename: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    links: std::collections::BTreeMap<String, String>,
    folders: Vec<String>,
    users: Vec<User>,
    programs: Vec<Program>,
}

/// A checked root.
#[derive(Clone, Debug)]
pub struct Root {
    /// What is unpacked.
    pub packages: Packages,
    /// Patterns of the files that land; libraries that they need come along.
    pub keep: Vec<String>,
    /// Patterns that are left out of `keep` again.
    pub exclude: Vec<String>,
    /// Files copied to a second name, as a maintainer script would link them.
    pub rename: Vec<(String, String)>,
    /// Symbolic links to make, and their targets.
    pub links: Vec<(String, String)>,
    /// Empty folders to make: mount points.
    pub folders: Vec<String>,
    /// `/etc/passwd` and `/etc/group`.
    pub users: Vec<User>,
    /// Our programs.
    pub programs: Vec<Program>,
    /// The files that are laid over.
    pub overlay: PathBuf,
    /// The YAML itself, for keys.
    pub yaml: PathBuf,
}

impl Root {
    /// Reads and checks `rootfs/NAME.yaml` below `source`.
    pub fn read(source: &Path, name: &str) -> Result<Self> {
        let file = format!("rootfs/{name}.yaml");
        let raw: RawRoot = yaml::read(source, &file)?;
        for path in raw.keep.iter().chain(&raw.exclude).chain(&raw.folders) {
            if !path.starts_with('/') {
                bail!("{file}: \"{path}\" does not begin with a slash; write the whole path");
            }
        }
        let mut ids: Vec<u32> = raw.users.iter().map(|user| user.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!(
                "{file}: two users have the id {}; give each its own",
                twice[0]
            );
        }
        Ok(Self {
            packages: raw.packages,
            keep: raw.keep,
            exclude: raw.exclude,
            rename: raw.rename.into_iter().collect(),
            links: raw.links.into_iter().collect(),
            folders: raw.folders,
            users: raw.users,
            programs: raw.programs,
            overlay: source.join("overlays").join(name),
            yaml: source.join(&file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_in_this_repository_are_readable() {
        Root::read(crate::workspace::root(), "host").unwrap();
    }
}

//! `rootfs/NAME.yaml`: which Debian packages a root is made of, which of their
//! files land in the image, and which programs of ours. A root may also be a
//! program of ours alone.

use super::architecture::Architecture;
use super::yaml;
use anyhow::{Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
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
    /// Whose files are unpacked; the box's, unless [`Root::for_machine`] says
    /// otherwise.
    #[serde(skip)]
    pub architecture: Architecture,
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

/// A program or library of ours and where it lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is built as.
    pub kind: ProgramKind,
    /// The name of the Cargo binary or of the library.
    pub name: String,
    /// The Cargo package that builds it.
    pub package: String,
    /// The folder in the root.
    pub folder: String,
}

/// How a program of ours is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// Static.
    Program,
    /// A shared library (Cargo's `cdylib`) that a program of Debian's loads.
    Library,
}

impl Program {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        match self.kind {
            ProgramKind::Program => self.name.clone(),
            ProgramKind::Library => format!("lib{}.so", self.name),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    name: String,
    package: String,
    folder: String,
}

impl RawProgram {
    fn of_kind(self, kind: ProgramKind) -> Program {
        Program {
            kind,
            name: self.name,
            package: self.package,
            folder: self.folder,
        }
    }
}

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawRoot {
    packages: Option<Packages>,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    concatenate: BTreeMap<String, String>,
    #[serde(default)]
    rename: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    folders: Vec<String>,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    programs: Vec<RawProgram>,
    #[serde(default)]
    libraries: Vec<RawProgram>,
}

/// A checked root.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its file in the repository, for messages.
    pub name: String,
    /// What is unpacked; `None`: nothing of Debian's.
    pub packages: Option<Packages>,
    /// Patterns of the files that land; libraries that they need come along.
    pub keep: Vec<String>,
    /// Patterns that are left out of `keep` again.
    pub exclude: Vec<String>,
    /// Files to make of all files of a pattern, one after the other, as a maintainer
    /// script would.
    pub concatenate: Vec<(String, String)>,
    /// Files copied to a second name, as a maintainer script would link them.
    pub rename: Vec<(String, String)>,
    /// Symbolic links to make, and their targets.
    pub links: Vec<(String, String)>,
    /// Empty folders to make: mount points.
    pub folders: Vec<String>,
    /// `/etc/passwd` and `/etc/group`; neither is there when this is empty.
    pub users: Vec<User>,
    /// Our programs.
    pub programs: Vec<Program>,
    /// Our libraries.
    pub libraries: Vec<Program>,
    /// The folder of the files that are laid over, if there are any.
    pub overlay: Option<PathBuf>,
    /// The YAML itself, for keys.
    pub yaml: PathBuf,
}

impl Root {
    /// Reads and checks `rootfs/NAME.yaml` below `source`.
    pub fn read(source: &Path, name: &str) -> Result<Self> {
        let file = format!("rootfs/{name}.yaml");
        let raw: RawRoot = yaml::read(source, &file)?;
        if raw.packages.is_none() && !raw.keep.is_empty() {
            bail!("{file}: keep: there are no packages to keep files of; name them");
        }
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
        let of_kind = |list: Vec<RawProgram>, kind| {
            let list = list.into_iter().map(|program| program.of_kind(kind));
            list.collect()
        };
        let overlay = source.join("overlays").join(name);
        Ok(Self {
            name: file.clone(),
            packages: raw.packages,
            keep: raw.keep,
            exclude: raw.exclude,
            concatenate: raw.concatenate.into_iter().collect(),
            rename: raw.rename.into_iter().collect(),
            links: raw.links.into_iter().collect(),
            folders: raw.folders,
            users: raw.users,
            programs: of_kind(raw.programs, ProgramKind::Program),
            libraries: of_kind(raw.libraries, ProgramKind::Library),
            overlay: overlay.is_dir().then_some(overlay),
            yaml: source.join(&file),
        })
    }

    /// The same root for another machine: its packages, and the folder where
    /// their libraries are.
    pub fn for_machine(mut self, architecture: Architecture) -> Self {
        let box_s = Architecture::Arm64.libraries();
        for pattern in self.keep.iter_mut().chain(&mut self.exclude) {
            *pattern = pattern.replace(box_s, architecture.libraries());
        }
        if let Some(packages) = &mut self.packages {
            packages.architecture = architecture;
            // Where a PC's programs name their loader: the psABI says so.
            if architecture == Architecture::Amd64 {
                self.links.push(("/lib64".into(), "usr/lib64".into()));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_for_a_pc_has_a_pc_s_libraries_and_loader() {
        let root = Root::read(crate::workspace::root(), "unbound").unwrap();
        let loader = ("/lib64".to_owned(), "usr/lib64".to_owned());
        assert!(!root.links.contains(&loader));
        let root = root.for_machine(Architecture::Amd64);
        assert!(root.links.contains(&loader));
        let library = "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1".to_owned();
        assert!(root.keep.contains(&library), "{:?}", root.keep);
        assert_eq!(root.packages.unwrap().architecture.debian(), "amd64");
    }

    #[test]
    fn the_roots_in_this_repository_are_readable() {
        let source = crate::workspace::root();
        let mut count = 0;
        for entry in std::fs::read_dir(source.join("rootfs")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            Root::read(source, name).unwrap();
            count += 1;
        }
        assert!(count > 0);
    }
}

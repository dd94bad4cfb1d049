//! An app for the machine here: the same roots from the same YAML, overlays and
//! programs, of Debian's packages for this architecture, laid out in a folder.
//! Tests and long campaigns run the real services from it without an emulator
//! (`ci/native`).
//!
//! What differs from the box: the processor, the kernel, and that neither
//! signature nor dm-verity protects the files.

use super::architecture::Architecture;
use super::programs::{self, Programs};
use super::root::{Program, ProgramKind};
use super::step::{self, Steps};
use super::toolchain::Toolchain;
use super::{app, rootfs, setup};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles one of our packages as the box's programs are, for this machine, and
/// returns the folder with its programs.
pub fn compile(package: &str) -> Result<PathBuf> {
    let steps = Steps::new(&workspace::cache())?;
    let toolchain = Toolchain::of_this_machine(Architecture::here()?);
    programs::compile(&steps, &toolchain, &[package])
}

/// Something to compile with a feature that is for tests alone.
#[derive(Debug, Clone, Copy)]
pub struct TestBuild<'a> {
    /// One of our packages.
    pub package: &'a str,
    /// Its feature.
    pub feature: &'a str,
    /// The program; or the library, if it ends with `.so`.
    pub file: &'a str,
}

/// Compiles it for this machine, puts it into `folder` and returns where it is.
pub fn for_test(build: &TestBuild, folder: &Path) -> Result<PathBuf> {
    let steps = Steps::new(&workspace::cache())?;
    let toolchain = Toolchain::of_this_machine(Architecture::here()?);
    let kind = match build.file.ends_with(".so") {
        true => ProgramKind::Library,
        false => ProgramKind::Program,
    };
    let made = programs::compile_for_test(&steps, &toolchain, build.package, build.feature, kind)?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (from, to) = (made.join(build.file), folder.join(build.file));
    // One that still runs is not written to.
    fs::remove_file(&to).ok();
    fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    Ok(to)
}

/// Makes `target/native/NAME`, or as much of it as has changed, and returns the
/// folder. As root only, since the files must be root's.
pub fn make(name: &str) -> Result<PathBuf> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the app for this machine is made by root, as its files are root's: use sudo"
    );
    step::clean_up_when_interrupted()?;
    setup::host_packages(false, true)?;
    setup::install(&setup::NATIVE, false)?;
    let architecture = Architecture::here()?;
    let source = app::Source::read(workspace::root(), name)?.for_machine(architecture);
    let folder = workspace::target().join("native").join(name);
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let steps = Steps::new(&workspace::cache())?;
    let tars = source.roots.iter();
    let tars = tars.map(|root| rootfs::of_root(&steps, root, None));
    let tars = tars.collect::<Result<Vec<_>>>()?;
    let ours = source.roots.iter();
    let ours = ours.flat_map(|root| root.programs.iter().chain(&root.libraries));
    let ours: Vec<Program> = ours.cloned().collect();
    let toolchain = Toolchain::of_this_machine(architecture);
    let programs: Programs = programs::build(&steps, &toolchain, &ours)?;
    app::lay_out(&steps, &source, &tars, &programs, &folder)?;
    // On a box it is the host's; native-box finds it beside the roots.
    let relay = programs::compile(&steps, &toolchain, &["relay"])?.join("relay");
    let to = folder.join("relay");
    fs::remove_file(&to).ok();
    fs::copy(&relay, &to).with_context(|| relay.display().to_string())?;
    // What could be dumped is not started (`sandbox`, Dumpable).
    fs::set_permissions(&to, fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

/// A copy of the app in `folder`, on the same file system. Its files are the same
/// ones, but for those that are replaced ([`replace`]).
///
/// # Errors
/// When it can't be made.
pub fn copy(image: &Path, folder: &Path) -> Result<PathBuf> {
    let copy = folder.join("email");
    let done = Command::new("cp")
        .args(["--archive", "--link"])
        .args([image, &copy])
        .status()
        .context("cp (package coreutils)")?;
    ensure!(done.success(), "cp: {done}");
    Ok(copy)
}

/// Puts `content` in the place of a file, or where there is none; with the mode and
/// owner of what was there, or of a file that everybody may read.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let there = fs::metadata(path).ok();
    if there.is_some() {
        // Never written through: other links show the same file.
        fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())?;
    let mode = there.as_ref().map_or(0o644, MetadataExt::mode) & 0o7777;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if let Some(there) = there {
        chown(path, Some(there.uid()), Some(there.gid()))?;
    }
    Ok(())
}

//! A Rust compiler for arm64: rustup's target where it is installed, Debian's
//! `rustc-web` otherwise. Of Debian's arm64 standard library only the one
//! package is unpacked into a sysroot of ours, without its foreign
//! dependencies; compiler and library must be of the same build.

use super::architecture::Architecture;
use super::setup;
use super::step::{Key, Steps};
use crate::tool::tool;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of everything that runs in the box.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";

/// How Cargo is told to compile for one kind of machine.
#[derive(Debug)]
pub struct Toolchain {
    /// For which.
    pub architecture: Architecture,
    /// The compiler, when it is not the one that Cargo finds itself.
    pub rustc: Option<PathBuf>,
    /// A sysroot with the target's standard library, likewise.
    pub sysroot: Option<PathBuf>,
}

impl Toolchain {
    /// The one that Cargo finds itself, for the machine that it runs on.
    pub fn of_this_machine(architecture: Architecture) -> Self {
        Self {
            architecture,
            rustc: None,
            sysroot: None,
        }
    }
}

/// Finds a toolchain for the box, or fetches Debian's.
pub fn find(steps: &Steps, no_install: bool) -> Result<Toolchain> {
    if rustup_has_target() {
        return Ok(Toolchain::of_this_machine(Architecture::Arm64));
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("there is no Rust standard library for arm64; run: rustup target add {TARGET}");
    }
    setup::install_at_least(
        "rustc-web",
        env!("CARGO_PKG_RUST_VERSION"),
        "Rust compiler whose arm64 library Debian has (or: rustup target add aarch64-unknown-linux-gnu)",
        no_install,
    )?;
    let version = tool("dpkg-query", "dpkg")
        .args(["--show", "--showformat=${Version}", "rustc-web"])
        .output()?;
    let version = String::from_utf8(version).context("dpkg-query: the version is not text")?;
    let sysroot = steps.cache().join("arm64-sysroot");
    steps.make(
        "arm64 Rust library",
        Key::new(include_str!("toolchain.rs")).text(&version),
        &sysroot,
        |new| unpack_library(steps.cache(), &version, new),
    )?;
    Ok(Toolchain {
        architecture: Architecture::Arm64,
        rustc: Some("/usr/bin/rustc".into()),
        sysroot: Some(sysroot),
    })
}

/// Whether the compiler that Cargo uses has the target's library.
fn rustup_has_target() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Fetches and unpacks `libstd-rust-web-dev:arm64` with the host's own sources
/// but lists of our own, so that the host need not learn a second architecture.
fn unpack_library(cache: &Path, version: &str, new: &Path) -> Result<()> {
    let apt = cache.join("apt");
    for folder in ["lists/partial", "cache/archives/partial", "deb"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    let options = [
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "Dir::State::status=/dev/null".into(),
        "APT::Architectures::=amd64".into(),
        "APT::Architectures::=arm64".into(),
        "APT::Update::Post-Invoke::=true".into(),
        "Acquire::Languages=none".into(),
        "Debug::NoLocking=1".into(),
    ];
    let apt_get = || {
        options.iter().fold(tool("apt-get", "apt"), |tool, option| {
            tool.arg("-o").arg(option)
        })
    };
    apt_get().arg("update").run()?;
    let package = format!("libstd-rust-web-dev:arm64={version}");
    let uris = apt_get()
        .args(["--print-uris", "download", &package])
        .output()?;
    // 'URI' NAME SIZE HASH
    let line = String::from_utf8_lossy(&uris).into_owned();
    let name = line.split_whitespace().nth(1).with_context(|| {
        format!(
            "{package}: not offered by apt; upgrade rustc-web, or run: rustup target add {TARGET}"
        )
    })?;
    let deb = apt.join("deb").join(name);
    apt_get()
        .arg("download")
        .arg(&package)
        .in_folder(&apt.join("deb"))
        .run()?;
    let unpacked = apt.join("unpacked");
    tool("dpkg-deb", "dpkg")
        .arg("--extract")
        .arg(&deb)
        .arg(&unpacked)
        .run()?;
    fs::create_dir_all(new.join("lib"))?;
    fs::rename(unpacked.join("usr/lib/rustlib"), new.join("lib/rustlib"))
        .context("libstd-rust-web-dev has no usr/lib/rustlib")?;
    fs::remove_dir_all(&apt).ok();
    Ok(())
}

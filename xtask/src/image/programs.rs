//! Our own programs for arm64, static, so that the initramfs and the sandboxes
//! hold no library.

use super::step::Steps;
use super::toolchain::{TARGET, Toolchain};
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The packages and their programs.
const NEEDED: [(&str, &str); 5] = [
    ("init", "init"),
    ("init", "early"),
    ("init", "supervisor"),
    ("init", "net-hook"),
    ("console", "console"),
];

/// A folder that holds every program.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Takes them from a folder, which must hold them all.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        for (package, name) in NEEDED {
            if !folder.join(name).is_file() {
                bail!(
                    "{}: the program is missing; the package {package} must build it",
                    folder.join(name).display()
                );
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program's content.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))
    }
}

/// Compiles them; Cargo knows best what has changed.
pub fn build(steps: &Steps, toolchain: &Toolchain) -> Result<Programs> {
    Programs::from_folder(&compile(steps, toolchain, &["init", "console"])?)
}

/// Compiles the programs of these packages and returns the folder they are in.
pub fn compile(steps: &Steps, toolchain: &Toolchain, packages: &[&str]) -> Result<PathBuf> {
    let started = Instant::now();
    let target = workspace::target().join("guest");
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let mut cargo = tool("cargo", "rustup or cargo");
    if let Some(sysroot) = &toolchain.sysroot {
        // Encoded flags are separated by 0x1f, so the path may hold spaces.
        flags.push(format!("--sysroot={}", sysroot.display()));
    }
    if let Some(rustc) = &toolchain.rustc {
        cargo = cargo.env("RUSTC", &rustc.to_string_lossy());
    }
    // Flags of the person who builds are for the host, not for the box.
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", &flags.join("\x1f"))
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        )
        .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
        .args(["build", "--release", "--bins", "--target", TARGET])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .arg("--target-dir")
        .arg(&target)
        .in_folder(workspace::root())
        .run()
        .context("compiling our programs for arm64 failed")?;
    steps.tell("programs (cargo)", started.elapsed(), None);
    Ok(target.join(TARGET).join("release"))
}

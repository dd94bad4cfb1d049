//! Our own programs for arm64, or for the machine here. Programs are static, so that the initramfs and
//! most sandboxes hold no library; a library that Debian's Perl loads is not,
//! and is compiled apart. The roots' YAML says which ones there are.

use super::architecture::Architecture;
use super::root::{Program, ProgramKind};
use super::step::Steps;
use super::toolchain::Toolchain;
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How static programs are compiled. getrandom(3) would find the system call
/// by dlsym(3), which a static program does not have, and then open
/// `/dev/urandom`; it is told to make the call.
const STATIC: [&str; 3] = [
    "-Ctarget-feature=+crt-static",
    "--cfg",
    "getrandom_backend=\"linux_getrandom\"",
];

/// How libraries are: with the C library inside, Cargo would make no shared one.
const LIBRARY: [&str; 1] = ["-Ctarget-feature=-crt-static"];

/// Where every program and library of ours is.
#[derive(Debug)]
pub struct Programs {
    programs: PathBuf,
    libraries: PathBuf,
}

impl Programs {
    /// Takes them from a folder, which must hold them all.
    pub fn from_folder(folder: &Path, wanted: &[Program]) -> Result<Self> {
        Self::from_folders(folder, folder, wanted)
    }

    fn from_folders(programs: &Path, libraries: &Path, wanted: &[Program]) -> Result<Self> {
        let found = Self {
            programs: programs.to_owned(),
            libraries: libraries.to_owned(),
        };
        for program in wanted {
            let path = found.path(program);
            if path.is_file() {
                refuse_weak(&path)?;
            } else {
                bail!(
                    "{}: is missing; the package {} must build it",
                    path.display(),
                    program.package
                );
            }
        }
        Ok(found)
    }

    /// Where a program is.
    pub fn path(&self, program: &Program) -> PathBuf {
        let folder = match program.kind {
            ProgramKind::Program => &self.programs,
            ProgramKind::Library => &self.libraries,
        };
        folder.join(program.file_name())
    }

    /// A program's content.
    pub fn read(&self, program: &Program) -> Result<Vec<u8>> {
        let path = self.path(program);
        std::fs::read(&path).with_context(|| format!("{}: cannot be read", path.display()))
    }
}

/// What is in programs that were built with a feature for tests alone, and which.
const MARKERS: [(&str, &str); 2] = [
    (
        sandbox::WEAK_MARKER,
        "the feature `weak` of `sandbox` or `zygote`",
    ),
    (planted::MARKER, "the feature `planted` of `smtp-in`"),
];

/// Refuses a program in which protections can be left out, or an attacker's code.
fn refuse_weak(program: &Path) -> Result<()> {
    let bytes =
        std::fs::read(program).with_context(|| format!("{}: cannot be read", program.display()))?;
    for (marker, feature) in MARKERS {
        if memchr::memmem::find(&bytes, marker.as_bytes()).is_some() {
            bail!(
                "{}: was built with {feature}, which is for tests alone; see who names it in a [dependencies]",
                program.display()
            );
        }
    }
    Ok(())
}

/// Compiles them; Cargo knows best what has changed.
pub fn build(steps: &Steps, toolchain: &Toolchain, wanted: &[Program]) -> Result<Programs> {
    let packages = |kind| -> Vec<&str> {
        let of_kind = wanted.iter().filter(|program| program.kind == kind);
        let names: BTreeSet<&str> = of_kind.map(|program| program.package.as_str()).collect();
        names.into_iter().collect()
    };
    let programs = compile(steps, toolchain, &packages(ProgramKind::Program))?;
    let libraries = packages(ProgramKind::Library);
    let libraries = match libraries[..] {
        [] => programs.clone(),
        _ => cargo(
            steps,
            toolchain,
            &libraries,
            "libraries",
            &LIBRARY,
            "--lib",
            None,
        )?,
    };
    Programs::from_folders(&programs, &libraries, wanted)
}

/// Compiles the programs of these packages and returns the folder they are in.
pub fn compile(steps: &Steps, toolchain: &Toolchain, packages: &[&str]) -> Result<PathBuf> {
    cargo(
        steps, toolchain, packages, "programs", &STATIC, "--bins", None,
    )
}

/// Compiles a package with a feature that is for tests alone, and returns the
/// folder that its programs or its library are in. The next build for a product
/// makes them anew.
pub fn compile_for_test(
    steps: &Steps,
    toolchain: &Toolchain,
    package: &str,
    feature: &str,
    kind: ProgramKind,
) -> Result<PathBuf> {
    let (folder, flags, what): (_, &[&str], _) = match kind {
        ProgramKind::Program => ("programs", &STATIC, "--bins"),
        ProgramKind::Library => ("libraries", &LIBRARY, "--lib"),
    };
    let feature = format!("{package}/{feature}");
    cargo(
        steps,
        toolchain,
        &[package],
        folder,
        flags,
        what,
        Some(&feature),
    )
}

fn cargo(
    steps: &Steps,
    toolchain: &Toolchain,
    packages: &[&str],
    folder: &str,
    flags: &[&str],
    what: &str,
    feature: Option<&str>,
) -> Result<PathBuf> {
    let started = Instant::now();
    let architecture = toolchain.architecture;
    let folder = match (architecture, folder) {
        (Architecture::Arm64, "programs") => "guest".to_owned(),
        (Architecture::Arm64, _) => format!("guest-{folder}"),
        (Architecture::Amd64, _) => format!("native-{folder}"),
    };
    let target = workspace::target().join(&folder);
    let mut flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
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
        .args([
            "build",
            "--release",
            what,
            "--target",
            architecture.target(),
        ])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(feature.iter().flat_map(|feature| ["--features", feature]))
        .arg("--target-dir")
        .arg(&target)
        .in_folder(workspace::root())
        .run()
        .context("compiling our programs failed")?;
    steps.tell(&format!("{folder} (cargo)"), started.elapsed(), None);
    Ok(target.join(architecture.target()).join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_sandbox_can_be_weakened_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("supervisor");
        std::fs::write(&program, "some program").unwrap();
        refuse_weak(&program).unwrap();
        for (marker, feature) in MARKERS {
            let weak = format!("some{marker}program");
            std::fs::write(&program, weak).unwrap();
            let error = refuse_weak(&program).unwrap_err().to_string();
            assert!(error.contains(&format!("supervisor: was built with {feature}")));
        }
    }
}

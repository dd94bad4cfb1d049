//! The host packages that the build uses: named, and installed when missing.

use crate::tool::{ToolError, tool};
use anyhow::{Result, bail};
use std::process::Command;

/// Packages, and what each is for.
const NEEDED: [(&str, &str); 9] = [
    (
        "mmdebstrap",
        "resolves, verifies and unpacks Debian packages",
    ),
    (
        "debian-archive-keyring",
        "the keys that the packages are verified with",
    ),
    ("squashfs-tools", "packs the system image"),
    ("cryptsetup-bin", "veritysetup makes the hash tree"),
    ("kmod", "depmod lists what modules need"),
    ("zstd", "packs the initramfs"),
    ("u-boot-tools", "mkimage wraps the boot script"),
    ("dosfstools", "mkfs.vfat makes the card's file system"),
    ("mtools", "mcopy puts files into it without mounting"),
];

/// Packages for compiling our programs.
const COMPILING: [(&str, &str); 2] = [
    ("gcc-aarch64-linux-gnu", "links arm64 programs"),
    (
        "libc6-dev-arm64-cross",
        "the C library that they are linked with",
    ),
];

/// Packages for running an app's services on this machine.
pub const NATIVE: [(&str, &str); 2] = [
    ("nftables", FILTERS),
    ("iproute2", "lays the cables between box and internet"),
];

const FILTERS: &str = "filters what a service may reach";

/// Packages for starting a box and testing it.
pub const BOOTING: [(&str, &str); 18] = [
    ("qemu-system-arm", "plays the board"),
    (
        "qemu-utils",
        "qemu-img makes a card whose moments can be kept",
    ),
    ("chromium", "plays the phone"),
    ("chromium-driver", "touches and types on it"),
    ("iproute2", "lays the cable between box and router"),
    ("curl", "plays the mail program"),
    ("swaks", "plays another mail server"),
    ("libnet-ssleay-perl", "with it swaks speaks TLS"),
    ("openssl", "makes a certificate for a test"),
    ("nftables", FILTERS),
    ("tcpdump", "keeps the packets of a native box"),
    ("dnsmasq-base", "plays the home's router"),
    (
        "dosfstools",
        "mkfs.vfat makes the card's file system, fsck.vfat judges it",
    ),
    ("mtools", "mcopy puts files into it without mounting"),
    (
        "xz-utils",
        "unpacks kernel modules for the guest that is measured beside the box",
    ),
    (
        "libarchive-tools",
        "bsdtar unpacks the ZIP from a stream, as Raspberry Pi Imager does",
    ),
    ("cpio", "reads back an archive that a test writes"),
    (
        "python3-venv",
        "holds the enumerator that looks for ways out of a sandbox",
    ),
];

/// Packages that judge what the box shows to others.
pub const JUDGES: [(&str, &str); 3] = [
    ("testssl.sh", "judges TLS at a port"),
    ("openssl", "tries handshakes that must fail"),
    ("util-linux", "nsenter, to try them in the test's networks"),
];

/// Packages that make sandboxes, to measure ours beside theirs.
pub const SANDBOXES: [(&str, &str); 4] = [
    ("bubblewrap", "makes sandboxes, as Flatpak's"),
    ("crun", "makes sandboxes, as containers'"),
    ("runc", "makes sandboxes, as Docker's containers'"),
    ("gcc", "assembles the program that they run"),
];

/// Makes sure that the host packages are there.
pub fn host_packages(no_install: bool, programs_are_given: bool) -> Result<()> {
    let mut needed = NEEDED.to_vec();
    if !programs_are_given {
        needed.extend(COMPILING);
    }
    install(&needed, no_install)
}

/// Installs those of `packages` that are missing, or only names them.
pub fn install(packages: &[(&str, &str)], no_install: bool) -> Result<()> {
    install_missing(packages, no_install)?;
    // apt takes off what a new package conflicts with, even one of these: the
    // qemu-utils of another release goes as qemu-system-arm comes.
    install_missing(packages, no_install)?;
    let missing = missing_of(packages);
    if let Some((name, why)) = missing.first() {
        bail!("apt took off {name} ({why}) for another package; install both by hand");
    }
    Ok(())
}

fn missing_of<'a>(packages: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let missing = packages.iter().filter(|(name, _)| !is_installed(name));
    missing.copied().collect()
}

fn install_missing(packages: &[(&str, &str)], no_install: bool) -> Result<()> {
    let missing = missing_of(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let command = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if no_install {
        let list: Vec<String> = missing
            .iter()
            .map(|(name, why)| format!("  {name}: {why}"))
            .collect();
        bail!(
            "these host packages are missing:\n{}\ninstall them with: {command}",
            list.join("\n")
        );
    }
    eprintln!("installing: {}", names.join(" "));
    if install_now(&names).is_ok() {
        return Ok(());
    }
    // A new machine has no package lists, or old ones that name versions which
    // the mirror no longer has.
    eprintln!("updating apt's package lists");
    apt_get(&["update"])?;
    install_now(&names)?;
    Ok(())
}

/// The same for one package in this version or a newer one. Package lists that
/// came with a machine may be older than Debian's last security update, so a
/// package that is too old is looked for in new lists.
pub fn install_at_least(name: &str, version: &str, why: &str, no_install: bool) -> Result<()> {
    install(&[(name, why)], no_install)?;
    if is_at_least(name, version) {
        return Ok(());
    }
    let command = format!("apt-get update && apt-get install --no-install-recommends {name}");
    if no_install {
        bail!("the host package {name} is older than {version} ({why}); run: {command}");
    }
    eprintln!("updating apt's package lists and {name}");
    apt_get(&["update"])?;
    install_now(&[name])?;
    if is_at_least(name, version) {
        return Ok(());
    }
    bail!("Debian offers no {name} of version {version} or newer to this machine ({why})");
}

/// Whether the installed version sorts at or after `version` (dpkg(1)).
fn is_at_least(package: &str, version: &str) -> bool {
    let installed = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output();
    installed.is_ok_and(|output| {
        Command::new("dpkg")
            .args([
                "--compare-versions",
                &String::from_utf8_lossy(&output.stdout),
                "ge",
                version,
            ])
            .status()
            .is_ok_and(|status| status.success())
    })
}

fn install_now(names: &[&str]) -> Result<(), ToolError> {
    let install = ["install", "--yes", "--no-install-recommends"];
    apt_get(&[&install, names].concat())
}

fn apt_get(arguments: &[&str]) -> Result<(), ToolError> {
    let (program, first) = if is_root() {
        ("apt-get", None)
    } else {
        ("sudo", Some("apt-get"))
    };
    tool(program, "apt")
        .args(first)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"installed"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_permission_to_install_missing_packages_are_only_named() {
        let error = install(&[("no-such-package-anywhere", "for this test")], true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no-such-package-anywhere: for this test"),
            "{error}"
        );
        assert!(error.contains("apt-get install"), "{error}");
    }

    #[test]
    fn a_package_that_is_too_old_is_named_with_the_command_that_renews_it() {
        // Every Debian has dpkg, and none has this one.
        let error = install_at_least("dpkg", "99999", "for this test", true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("older than 99999") && error.contains("apt-get update"),
            "{error}"
        );
        install_at_least("dpkg", "1.0", "for this test", true).unwrap();
    }
}

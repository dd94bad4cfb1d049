//! `cargo xtask bench image` builds four times. *Cold*: nothing compiled, nothing downloaded
//! (cargo's registry aside, and this builder itself). *Warm*: crates compiled
//! and packages downloaded, everything made of them made anew. *Overlay*: one
//! file of the overlay changed. The last build, not measured, takes that file
//! out again.

use super::with_place;
use crate::guest;
use crate::workspace;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Builds, and prints what was measured.
pub fn run(json: bool) -> Result<()> {
    remove(&workspace::target().join("guest"))?;
    remove(&workspace::target().join("image"))?;
    let cold = build("cold")?;
    forget_all_but_downloads()?;
    let warm = build("warm")?;
    let overlay = {
        let _changed = ChangedOverlay::new()?;
        build("one overlay file changed")?
    };
    guest::build_zip()?;
    if json {
        let line = with_place(json!({
            "bench": "image",
            "cold_seconds": cold,
            "warm_seconds": warm,
            "overlay_seconds": overlay,
        }));
        println!("{line}");
    } else {
        println!("cold {cold} s, warm {warm} s, one overlay file changed {overlay} s");
    }
    Ok(())
}

/// Builds the ZIP and returns the seconds it took, in tenths.
fn build(what: &str) -> Result<f64> {
    eprintln!("building: {what}");
    let begun = Instant::now();
    guest::build_zip().with_context(|| what.to_owned())?;
    Ok((begun.elapsed().as_secs_f64() * 10.0).round() / 10.0)
}

/// Removes every result of the image stage that was not downloaded.
fn forget_all_but_downloads() -> Result<()> {
    remove(&workspace::target().join("image/rpi3"))?;
    let cache = workspace::cache();
    for entry in fs::read_dir(&cache).with_context(|| cache.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_download(&name) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Unpacked Debian packages, the arm64 Rust library and U-Boot for QEMU, each
/// with its key beside it.
fn is_download(name: &str) -> bool {
    let of = name.split(".tar").next().unwrap_or_default();
    of != name || name.starts_with("arm64-sysroot") || name.starts_with("u-boot")
}

fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.with_context(|| path.display().to_string())
}

/// A file more in the overlay, for as long as this value lives.
struct ChangedOverlay(PathBuf);

impl ChangedOverlay {
    fn new() -> Result<Self> {
        let path = workspace::root().join("overlays/host/etc/projectx-bench");
        fs::write(&path, "A build was measured with this file.\n")
            .with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for ChangedOverlay {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("{}: please remove this file: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_download;

    #[test]
    fn downloads_and_their_keys_are_kept_and_results_are_not() {
        for kept in [
            "host-root.tar",
            "host-root.tar-0a1b2c3d.key",
            "arm64-sysroot",
            "arm64-sysroot-0a1b2c3d.key",
            "u-boot-qemu_arm64.bin",
        ] {
            assert!(is_download(kept), "{kept}");
        }
        for made in ["rpi3-kernel", "rpi3-initrd", "rpi3-initrd-0a1b2c3d.key"] {
            assert!(!is_download(made), "{made}");
        }
    }
}

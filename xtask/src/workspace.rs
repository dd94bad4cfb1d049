//! Where things are in this repository.

use std::path::{Path, PathBuf};

/// The repository's top folder, wherever the command is called from.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where everything made by the builder goes.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Where downloads are kept.
pub fn cache() -> PathBuf {
    target().join("image/cache")
}

/// The ZIP that users get.
pub fn zip() -> PathBuf {
    target().join("image/rpi3/projectx-rpi3.zip")
}

/// The other one, of one image that is written raw.
pub fn image_zip() -> PathBuf {
    target().join("image/rpi3/projectx-rpi3.img.zip")
}

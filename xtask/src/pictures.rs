//! The pictures of the page for `docs/`: the boot test `phone_page` is run once,
//! and what its phone saw is copied. So a picture shows what a booted box served.

use crate::{scenarios, workspace};
use anyhow::{Context, Result};
use std::fs;

/// Takes them, from the card that `cargo xtask image` built last.
pub fn take() -> Result<()> {
    let taken = workspace::target().join("test/pictures");
    if taken.exists() {
        fs::remove_dir_all(&taken).with_context(|| taken.display().to_string())?;
    }
    fs::create_dir_all(&taken).with_context(|| taken.display().to_string())?;
    let lab = scenarios::Lab::new(false)?;
    let names = scenarios::pictures(&lab, &taken)?;
    let images = workspace::root().join("docs/images");
    fs::create_dir_all(&images).with_context(|| images.display().to_string())?;
    for name in names {
        let file = format!("{name}.png");
        fs::copy(taken.join(&file), images.join(&file)).with_context(|| file.clone())?;
        println!("docs/images/{file}");
    }
    fs::remove_dir_all(&taken).with_context(|| taken.display().to_string())
}

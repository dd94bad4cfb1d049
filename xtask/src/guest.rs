//! What the boot tests need from the image stage.

use crate::image;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Builds the ZIP that users get, or as much of it as has changed. Its
/// progress goes to standard error: standard output may carry our JSON.
pub fn build_zip() -> Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .arg("image")
        .stdout(std::io::stderr())
        .status()
        .context("starting `cargo xtask image`")?;
    ensure!(status.success(), "`cargo xtask image` failed");
    Ok(())
}

/// The test agent, built for the box.
pub fn agent_program() -> Result<Vec<u8>> {
    let program = image::compile("agent")?.join("agent");
    std::fs::read(&program).with_context(|| program.display().to_string())
}

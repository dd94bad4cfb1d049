//! Compiles the children's policy for the machine that this crate is built for.

use sandbox::policy::{Arch, compile};
use std::error::Error;
use std::path::Path;
use std::{env, fs};

const POLICY: &str = "policies/child.seccomp";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={POLICY}");
    let arch = Arch::of_target(&env::var("CARGO_CFG_TARGET_ARCH")?)?;
    let compiled = compile(POLICY, &fs::read_to_string(POLICY)?, arch)?;
    let file = Path::new(&env::var("OUT_DIR")?).join("child.filter");
    Ok(fs::write(file, compiled.filter_bytes())?)
}

//! Compiles the console's policy for the machine that this crate is built for.

#[path = "src/bpf.rs"]
mod bpf;
#[path = "src/filter.rs"]
mod filter;
#[path = "src/policy.rs"]
#[expect(dead_code, reason = "policies are compiled here, and not asked")]
mod policy;

use bpf::Arch;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

const POLICY: &str = "policies/console.seccomp";

fn main() -> Result<(), Box<dyn Error>> {
    for file in [
        "build.rs",
        "src/bpf.rs",
        "src/filter.rs",
        "src/policy.rs",
        POLICY,
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    let arch = Arch::of_target(&env::var("CARGO_CFG_TARGET_ARCH")?)?;
    let compiled = policy::compile(POLICY, &fs::read_to_string(POLICY)?, arch)?;
    let file = Path::new(&env::var("OUT_DIR")?).join("console.bpf");
    Ok(fs::write(file, compiled.to_bytes())?)
}

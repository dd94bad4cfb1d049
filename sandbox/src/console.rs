//! The console's policy, which no app's image holds: it is in the programs that
//! start the console, compiled by `build.rs`.

use crate::policy::{LoadError, Policy, load_compiled};

/// The text.
pub const CONSOLE: &str = include_str!("../policies/console.seccomp");

/// The name of [`CONSOLE`] in messages.
pub const CONSOLE_NAME: &str = "sandbox/policies/console.seccomp";

const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/console.bpf"));

/// The console's policy.
///
/// # Errors
/// When this program was put together wrongly.
pub fn console_policy() -> Result<Policy, LoadError> {
    load_compiled(CONSOLE_NAME, CONSOLE, "console.bpf", COMPILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Arch, compile};

    #[test]
    fn what_was_compiled_with_this_crate_is_the_console_s_policy() {
        let now = compile(CONSOLE_NAME, CONSOLE, Arch::HERE).unwrap();
        assert_eq!(COMPILED, now.to_bytes());
        assert!(console_policy().unwrap().allows("accept4"));
    }
}

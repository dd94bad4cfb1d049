//! Why a sandbox did not start.

use std::io;

use crate::cgroup::CgroupError;
use crate::spec::SpecError;

/// Why a sandbox did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The spec can't be meant.
    #[error("sandbox {sandbox}: {source}")]
    Spec {
        /// The spec's name.
        sandbox: String,
        /// What is wrong.
        #[source]
        source: SpecError,
    },
    /// A step failed, in the parent or in the child.
    #[error("sandbox {sandbox}: step {step:?}: {}", named(source))]
    Step {
        /// The spec's name.
        sandbox: String,
        /// The step, with the path or number that it was about.
        step: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel can't enforce Landlock in full.
    #[error(
        "sandbox {sandbox}: step \"landlock\": {source}; the kernel must be 6.12 or later, with landlock in lsm="
    )]
    Landlock {
        /// The spec's name.
        sandbox: String,
        /// What is missing.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cgroup or a limit can't be made.
    #[error("sandbox {sandbox}: step \"cgroup\": {source}")]
    Cgroup {
        /// The spec's name.
        sandbox: String,
        /// The file, and why.
        #[source]
        source: CgroupError,
    },
}

/// `EPERM: Operation not permitted`, as programmers search for it.
fn named(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).to_string(),
        None => error.to_string(),
    }
}

//! A sandbox of a set: its spec, from which the sandbox is made when the set is
//! used. To be replaced by `sandbox::seal`, which makes it beforehand and has
//! the same signature.

use super::RuntimeError;
use sandbox::{Child, Spec};
use std::os::fd::{OwnedFd, RawFd};

/// A sandbox that has no descriptors yet.
#[derive(Debug)]
pub(super) struct Sealed(Spec);

/// One whose descriptors will have the numbers `targets`.
pub(super) fn seal(spec: &Spec, _targets: &[RawFd]) -> Result<Sealed, RuntimeError> {
    Ok(Sealed(spec.clone()))
}

impl Sealed {
    /// Its id.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }
    /// Makes it and runs its program.
    pub(super) fn start(self, fds: Vec<(OwnedFd, RawFd)>) -> Result<Child, RuntimeError> {
        Ok(sandbox::spawn(&self.0, fds)?)
    }
}

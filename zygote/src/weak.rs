//! Steps of a child that tests leave out, to see an attack get further without.
//!
//! Only the feature `weak` makes this a switch, as in the sandbox's `weak`. Without
//! it, [`kept`] is constantly true; no product program has the feature (`xtask`'s
//! tidy rule), and the image builder refuses a library that holds [`MARKER`].

use crate::child::Step;

/// The same as `sandbox::WEAK_MARKER`; a test says when it no longer is.
pub const MARKER: &str = "built with sandbox/weak, for tests alone";

/// The variable that lists what is left out, `seccomp,chroot` say: names of
/// `REMOVABLE`.
pub const VARIABLE: &str = "ZYGOTE_WITHOUT";

/// What can be left out of a child, each by its name. Without its namespaces a
/// child has no power to lock its securebits, to bound its capabilities and to
/// change its root: then these are left out too.
#[cfg(feature = "weak")]
pub const REMOVABLE: [&str; 13] = [
    "namespaces",
    // Those three alone: a child keeps its powers over the others.
    "pid",
    "net",
    "ipc",
    "descriptors",
    "rlimits",
    "chroot",
    "capabilities",
    "no-new-privileges",
    "not-dumpable",
    "write-execute",
    "landlock",
    "seccomp",
];

#[cfg(feature = "weak")]
fn name(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Descriptors => "descriptors",
        Step::Rlimits => "rlimits",
        Step::Chroot => "chroot",
        Step::Capabilities => "capabilities",
        Step::NoNewPrivileges => "no-new-privileges",
        Step::NotDumpable => "not-dumpable",
        Step::WriteExecute => "write-execute",
        Step::Landlock => "landlock",
        Step::Seccomp => "seccomp",
        Step::HugePages | Step::Seed | Step::ParentDeath | Step::Securebits => return None,
    })
}

#[cfg(feature = "weak")]
fn removed(name: &str) -> bool {
    // Or the linker would leave the marker out.
    std::hint::black_box(MARKER.as_ptr());
    let without = std::env::var(VARIABLE).unwrap_or_default();
    without.split(',').any(|word| word == name)
}

/// Whether a child takes this step.
#[cfg(feature = "weak")]
pub(crate) fn kept(step: Step) -> bool {
    let powerless = matches!(step, Step::Chroot | Step::Securebits) && !namespaces();
    !powerless && !name(step).is_some_and(removed)
}

/// Whether a child has namespaces of its own.
#[cfg(feature = "weak")]
pub(crate) fn namespaces() -> bool {
    !removed("namespaces")
}

/// Whether a child has this one of its namespaces: `pid`, `net`, `ipc`.
#[cfg(feature = "weak")]
pub(crate) fn namespace(name: &str) -> bool {
    !removed(name)
}

/// Whether a child has this one of its namespaces: always.
#[cfg(not(feature = "weak"))]
pub(crate) const fn namespace(_: &str) -> bool {
    true
}

/// Whether a child takes this step: always.
#[cfg(not(feature = "weak"))]
pub(crate) const fn kept(_: Step) -> bool {
    true
}

/// Whether a child has namespaces of its own: always.
#[cfg(not(feature = "weak"))]
pub(crate) const fn namespaces() -> bool {
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_image_builder_looks_for_the_same_marker_as_in_the_sandbox() {
        assert_eq!(super::MARKER, sandbox::WEAK_MARKER);
    }
}

//! One SpamAssassin child a message, forked from one that is loaded.
//!
//! SpamAssassin needs most of a second to load its rules. So Perl loads them
//! once, in a process that never sees mail (the zygote), and a child in fresh
//! namespaces is made of it for each message. The child gives up everything
//! but one socket, reads one message from it, answers one line and ends.
//!
//! Two sides live here. The `cdylib` is loaded into Perl by `zygote.pl` through
//! `DynaLoader`, without a Perl header: its one symbol takes no argument and
//! returns nothing. The `rlib` has [`client`], with which the supervisor asks
//! for children, and [`protocol`], which both speak.
//!
//! The zygote runs in a sandbox with Landlock in force, under which neither
//! `mount` nor `pivot_root` works any more. What is left for a child's root is
//! `chroot` into an empty, read-only directory; below, Landlock without a
//! rule and seccomp without `openat` hold as well.
//!
//! Limits. All children share the zygote's memory layout and hash seed, which
//! Perl can't change once it runs: replace the zygote after a crash and hourly.
//! A scan counts on what was loaded before; what was not loaded stays missing.

mod child;
pub mod client;
mod filter;
mod huge_pages;
pub mod protocol;
mod serve;
mod sys;
#[cfg(feature = "weak")]
pub mod weak;
#[cfg(not(feature = "weak"))]
mod weak;

pub use filter::{NAME as CHILD_POLICY_NAME, TEXT as CHILD_POLICY};
/// Is in every library that was built with the feature `weak`; in no product.
pub use weak::MARKER as WEAK_MARKER;
/// The variable that such a library reads.
pub use weak::VARIABLE as WITHOUT;

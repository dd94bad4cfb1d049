//! Attacks from inside every sandbox of the app and the console's: under the
//! spec that the product enforces, with the program `attack` in the place of the
//! service's own.
//!
//! What is expected stands in `expected/`, a file a sandbox and a line an attack:
//!
//! ```text
//! raw-socket: killed; without seccomp: EPERM; without capabilities: in
//! ```
//!
//! With all protections the policy kills it. When no filter is loaded the kernel
//! refuses for want of a capability, and only with those gone as well it gets in.
//!
//! The tests here run it on this machine; the boot test `attacks` has it run on
//! the box's kernel, by `ci/attacks-in-box`, with limits on memory and tasks.
#![cfg(feature = "matrix")]

mod attacks;
mod layers;
mod line;
mod sys;
mod target;
mod world;

pub use attacks::{ATTACKS, Attack, LIMITS, Listener, Needs, ON_PURPOSE};
pub use layers::Layer;
pub use line::{IN, holding, layers_of, line, on_purpose};
pub use target::{SANDBOXES, services};
pub use world::{Ground, World};

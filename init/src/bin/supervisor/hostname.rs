//! The box's name in the home network.

use crate::log;

/// The name; mDNS adds `.local`.
pub const NAME: &str = "projectx";

/// Tells the kernel.
pub fn set() {
    if let Err(error) = nix::unistd::sethostname(NAME) {
        log::line(&format!("host name: not set: {error}"));
    }
}

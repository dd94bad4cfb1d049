//! The box's name in the home network.

use crate::log;

/// The name; mDNS adds `.local`.
pub const NAME: &str = "projectx";

/// The name that other mail servers know the box by, and for which it makes its
/// certificates. Until its owner has chosen a subdomain, the one at home.
pub fn mail_name() -> String {
    format!("{NAME}.local")
}

/// Tells the kernel.
pub fn set() {
    if let Err(error) = nix::unistd::sethostname(NAME) {
        log::line(&format!("host name: not set: {error}"));
    }
}

//! The box's name in the home network.
//!
//! The box asks for [`NAME`]. Where another box has it already, avahi takes
//! `projectx-2` and says so in its log, which is the only place: we run it without
//! D-Bus. The name in force is kept here for all who tell it to the owner.

use crate::log;
use std::sync::atomic::{AtomicU32, Ordering};

/// The name asked for; mDNS adds `.local`.
pub const NAME: &str = "projectx";
/// avahi's words once a name is its own (`avahi-daemon/main.c`, `server_callback`).
const IN_FORCE: (&str, &str) = (
    "Server startup complete. Host name is ",
    ".local. Local service cookie is ",
);

/// The number that avahi has put behind [`NAME`]; 0 for none.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The name in force, without `.local`.
pub fn in_force() -> String {
    with_number(NUMBER.load(Ordering::Relaxed))
}

fn with_number(number: u32) -> String {
    match number {
        0 => NAME.to_owned(),
        _ => format!("{NAME}-{number}"),
    }
}

/// Takes a line that avahi said. Nothing but a number can come of it.
pub fn heard(line: &str) {
    let Some(number) = number_in(line) else {
        return;
    };
    if NUMBER.swap(number, Ordering::Relaxed) != number {
        log::line(&format!("the box is {}.local", with_number(number)));
    }
}

fn number_in(line: &str) -> Option<u32> {
    let (name, _) = line.strip_prefix(IN_FORCE.0)?.split_once(IN_FORCE.1)?;
    let number = match name.strip_prefix(NAME)? {
        "" => return Some(0),
        // As many digits as the page's check of the `Host` header takes.
        rest => rest.strip_prefix('-').filter(|digits| digits.len() <= 4)?,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten()
}

/// The name that other mail servers know the box by, and for which it makes its
/// certificates. Until its owner has chosen a subdomain, the one asked for at home: it
/// stays the same whichever of two boxes is switched on first.
pub fn mail_name() -> String {
    format!("{NAME}.local")
}

/// Tells the kernel.
pub fn set() {
    if let Err(error) = nix::unistd::sethostname(NAME) {
        log::line(&format!("host name: not set: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> Option<u32> {
        number_in(&format!(
            "Server startup complete. Host name is {name}. Local service cookie is 4126."
        ))
    }

    #[test]
    fn the_name_that_avahi_got_is_read_from_what_it_says() {
        assert_eq!(said("projectx.local"), Some(0));
        assert_eq!(said("projectx-2.local"), Some(2));
        assert_eq!(with_number(2), "projectx-2");
    }

    #[test]
    fn no_other_name_is_believed() {
        for name in [
            "evil.local",
            "projectx-.local",
            "projectx-x.local",
            "projectx-+2.local",
            "projectx-12345.local",
            "projectx-2",
        ] {
            assert_eq!(said(name), None, "{name}");
        }
        assert_eq!(
            number_in("Host name conflict, retrying with projectx-2"),
            None
        );
    }
}

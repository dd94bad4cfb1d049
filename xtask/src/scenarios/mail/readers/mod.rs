//! The programs that read mail, or move it: each fetches a whole folder over
//! IMAPS, and trusts exactly the certificate that the box showed when it was set up.

mod curl;
mod imaplib;
mod mbsync;

pub(super) use curl::curl;
pub(super) use imaplib::{imap_move, imaplib};
pub(super) use mbsync::mbsync;

use super::peers::WORLD;

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    /// The address, which is also the name at login.
    pub(super) address: &'static str,
    /// The password.
    pub(super) password: &'static str,
}

/// The box's name in its certificate.
pub(super) const SERVER: &str = "projectx.local";

/// The box's certificate, as programs of a tree see it.
pub(super) fn certificate() -> String {
    format!("{WORLD}/imap.pem")
}

//! One SMTP connection from the internet, and at most one message.
//!
//! The program has no disk, no network and no key: the open connection and five
//! channels ([`session::Channels`]) are all that it can reach.

pub mod authenticate;
pub mod command;
mod dns;
#[cfg(feature = "planted")]
mod exploit;
pub mod headers;
pub mod session;
mod tls;
mod wire;

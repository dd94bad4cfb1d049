//! One SMTP connection from the internet, and at most one message.
//!
//! The program has no disk, no network and no key: the open connection and five
//! channels ([`session::Channels`]) are all that it can reach.

mod accept;
pub mod authenticate;
mod block_list;
pub mod command;
pub mod content;
pub mod dns;
#[cfg(feature = "planted")]
mod exploit;
pub mod headers;
pub mod path;
pub mod reply;
pub mod session;
pub use smtp_wire as wire;

//! The channels between the services of the mail path.
//!
//! A service gets its channels as open descriptors ([`passed`]), or connections
//! one by one over such a descriptor ([`handed`]); each other module is one
//! channel: its name, who speaks, and the exact bytes. Both ends
//! read strictly: whatever is not in the protocol is an error, and an error or
//! an end of file where an answer was due means trouble, never yes.

pub mod deliver;
pub mod dkim_sign;
pub mod handed;
mod line;
pub mod passed;
pub mod recipient_check;
pub mod report;
pub mod rules;
pub mod spam_check;
pub mod tls_sign;
pub mod tokens;

pub use line::ChannelError;

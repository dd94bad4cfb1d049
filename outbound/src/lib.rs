//! Mail on its way out: what the owner has set ([`settings`], [`smarthost`]), and
//! how Postfix is started with it ([`queue`], [`postfix`]).
//!
//! The supervisor writes two files on the encrypted disk. The services read them:
//!
//! | file | volume | who reads it |
//! | --- | --- | --- |
//! | `settings.json` | `outbound` | Postfix's start, tls-policy, dkim |
//! | `smarthost.json` | `smarthost` | Postfix's start: there is a password in it |

pub mod file;
pub mod postfix;
pub mod queue;
pub mod settings;
pub mod smarthost;

pub use file::FileError;

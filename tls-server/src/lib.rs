//! The server's side of TLS for services that strangers and mail programs connect to,
//! each connection in a sandbox of its own. The key is elsewhere: a signer has it, at
//! the other end of a channel ([`channels::tls_sign`]), and gives one signature of one
//! handshake a connection ([`config()`]). What may be agreed on is the same for all of
//! them ([`key_exchange`]), and so is how a socket's patience ends ([`Timed`]).

mod config;
pub mod key_exchange;
mod timed;

pub use config::config;
pub use timed::Timed;

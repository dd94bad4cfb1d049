//! One connection of a stranger to port 443: one request of HTTP/1.1 over TLS, one
//! answer, the end.
//!
//! The program has one folder to read from, no network and no key: the open connection
//! and the channel to its signer ([`session::Channels`]) are all that it can reach. What
//! may be asked for is a table ([`site`]); a request is looked up in it by name and path
//! ([`answer`]), and never becomes the name of a file.

pub mod answer;
pub mod request;
pub mod session;

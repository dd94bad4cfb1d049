//! One connection of a mail program: message submission (RFC 6409) with TLS
//! (RFC 8314, RFC 3207) and a login (RFC 4954).
//!
//! The program has no disk, no network and no key: the open connection and four
//! channels ([`session::Channels`]) are all that it can reach. Whose login it is says
//! Dovecot ([`sasl`]); that the message is that person's is seen to in [`message`];
//! the signature is the signer's; Postfix keeps the message before it is
//! acknowledged ([`queue`]).
//!
//! The same program takes what Dovecot sends by itself ([`forward`]): by one channel,
//! without TLS and login, and only what is passed on or an automatic reply.

pub mod body;
pub mod forward;
pub mod forwarded;
pub mod message;
pub mod queue;
pub mod sasl;
pub mod session;

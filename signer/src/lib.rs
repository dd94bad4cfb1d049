//! The keys of the box's mail services.
//!
//! `serve` holds the port-25 key and signs TLS handshakes for smtp-in over the
//! channel `tls-sign`: any number of certificates and one signature a connection,
//! of nothing but a handshake ([`handshake`]). Beside that key lies the next one, so that
//! others can know it before it is used ([`rolling`]). `serve-web` does the same with another key
//! for `static-web`. Both show a certificate of a public authority when they have one
//! ([`chain`]). `self-signed` makes a pair of PEM files once, for Dovecot and
//! `serve-private`, which signs for submission. All make keys in [`keys`].
//!
//! `dkim` holds the keys of the box's own domains ([`dkim_keys`]) and signs the mail
//! of their people over the channel `dkim-sign` ([`dkim`]).

pub mod chain;
pub mod dkim;
pub mod dkim_keys;
pub mod handshake;
pub mod keys;
pub mod rolling;
pub mod serve;

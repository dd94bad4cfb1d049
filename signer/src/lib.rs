//! The keys of the box's mail services.
//!
//! `serve` holds the port-25 key and signs TLS handshakes for smtp-in over the
//! channel `tls-sign`: any number of certificates and one signature a connection,
//! of nothing but a handshake ([`handshake`]). `self-signed` makes a pair of PEM
//! files once, for Dovecot. Both make keys in [`keys`].

pub mod handshake;
pub mod keys;
pub mod serve;

//! Whole sessions over real TLS, with the real signer; `support` plays the rest.

mod bad_inputs;
mod dialogue;
mod key_exchange;
mod senders;
mod support;

//! What must hold for any bytes whatever that come to the parsers of the mail
//! path, from a stranger or from a service that a stranger has taken over. Each
//! function takes the bytes and panics when something does not hold.
//!
//! `fuzz/` runs them for as long as one likes, `tests/mail_path.rs` for some
//! seconds, from the same `seeds/`.

mod between;
mod dialogue;
mod message;
mod mutate;

pub use between::{channels, lmtp};
pub use dialogue::{command, wire};
pub use message::{content, message, seal};
pub use mutate::run;

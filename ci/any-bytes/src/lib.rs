//! What must hold for any bytes whatever that come to a parser of ours: from a
//! stranger, from a service that a stranger has taken over, from a card or a disk that
//! somebody has written on. Each function takes the bytes and panics when something
//! does not hold.
//!
//! `fuzz/` has a target for each and `cargo xtask campaign fuzz` runs them for as long
//! as one likes; `tests/mail_path.rs` and `tests/some_seconds.rs` run them for some
//! seconds, from the same `seeds/`.

mod authority;
mod between;
mod card;
mod dialogue;
mod files;
mod forwarded;
mod learned;
mod loopback;
mod message;
mod mutate;
mod names;
mod outgoing;
mod page;
mod policy;
mod reports;
mod typed;
mod web;
mod zygote;

pub use authority::{dkim_sign, tls_sign};
pub use between::{channels, lmtp};
pub use card::card;
pub use dialogue::{command, path, wire};
pub use files::{manifest, people, settings, syscalls, verity};
pub use forwarded::forwarded;
pub use learned::learned;
pub use message::{content, message, seal};
pub use mutate::{run, run_for};
pub use names::{names, proofs};
pub use outgoing::{prepare, queue, sasl, submission};
pub use page::{control, form, http, sealed};
pub use policy::{socketmap, sts};
pub use reports::report;
pub use typed::typed;
pub use web::request;
pub use zygote::zygote;

/// Takes any bytes; panics when something does not hold.
pub type Check = fn(&[u8]);

/// Every check under the name of its target, its seeds and its corpus.
pub const ALL: [(&str, Check); 34] = [
    ("card", card),
    ("channels", channels),
    ("command", command),
    ("content", content),
    ("control", control),
    ("dkim-sign", dkim_sign),
    ("form", form),
    ("forwarded", forwarded),
    ("http", http),
    ("learned", learned),
    ("lmtp", lmtp),
    ("manifest", manifest),
    ("message", message),
    ("names", names),
    ("path", path),
    ("people", people),
    ("prepare", prepare),
    ("proofs", proofs),
    ("queue", queue),
    ("report", report),
    ("request", request),
    ("sasl", sasl),
    ("seal", seal),
    ("sealed", sealed),
    ("settings", settings),
    ("socketmap", socketmap),
    ("sts", sts),
    ("submission", submission),
    ("syscalls", syscalls),
    ("tls-sign", tls_sign),
    ("typed", typed),
    ("verity", verity),
    ("wire", wire),
    ("zygote", zygote),
];

/// The check of this name.
pub fn named(name: &str) -> Option<Check> {
    let mut all = ALL.iter();
    all.find(|(known, _)| *known == name)
        .map(|(_, check)| *check)
}

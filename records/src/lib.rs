//! The records that others must find in the DNS before they trust the box's mail: which
//! it needs, how they are written, and whether they are there.
//!
//! The supervisor writes down what is wanted ([`Wanted::gather`], [`Wanted::keep`]). The
//! service `records`, this crate's program, asks the box's own resolver for each of them
//! ([`check`]), judges the answers ([`judge`]), and writes what it found ([`Found`]).
//! That the supervisor reads as it reads anything from a sandbox ([`untrusted`]), for the
//! page and for `projectx records`.
//!
//! | file | volume | who writes it |
//! | --- | --- | --- |
//! | `wanted.json` | `records-wanted` | the supervisor |
//! | `found.json` | `records-found` | the service |
//!
//! Nothing is published here: the owner does that, at whoever has the domain's names.

pub mod check;
pub mod found;
pub mod judge;
pub mod record;
pub mod roll;
pub mod sources;
pub mod told;
pub mod untrusted;
pub mod wanted;

pub use found::Found;
pub use judge::State;
pub use record::{Kind, Purpose, Record};
pub use sources::Tlsa;
pub use wanted::Wanted;

//! What the box shows to strangers over HTTPS: a text for each name and path that
//! there is ([`table`]), and nothing else. Today that is the policy of MTA-STS for
//! each of the box's own domains ([`sts`]).
//!
//! The supervisor makes the table whenever the domains may have changed
//! ([`Table::of`], [`Table::keep`]); the service `static-web` reads it for each
//! connection ([`Table::read`]). No path that a stranger sends ever reaches a file
//! system: it is looked up in the table.

pub mod sts;
pub mod table;

pub use table::{Table, TableError};

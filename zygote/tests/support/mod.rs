//! What the tests share.

pub mod messages;
pub mod root;

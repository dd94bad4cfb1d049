//! What the tests share.

pub mod messages;
pub mod root;
pub mod running;

//! What the tests share.

#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod messages;
pub mod root;
pub mod running;

//! What a person's spam filter has learnt.
//!
//! A message's words travel with it as hashes ([`field`]): SpamAssassin's child
//! has made them when it judged the message, and the gate has written them into
//! it. When its owner moves the message into Junk or out of it, the program
//! `learn` counts them in that person's [`Table`], as that person. So nothing
//! beside the mailbox ever takes a message apart.
//!
//! The gate reads the table for the next message ([`store::read`]), and takes
//! it for what a program that somebody may have taken over has written.

pub mod field;
pub mod store;
mod table;

pub use table::{Damaged, Kind, MAX_ENTRIES, MAX_SEEN, Table};

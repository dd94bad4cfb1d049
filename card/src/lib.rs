//! The SD card as the owner's computer and the Pi both see it.
//!
//! A card starts as one FAT32 partition that fills it, because that is what unzipping
//! files onto it gives. [`shrink::prepare`] makes room for the encrypted data partition,
//! and [`notice`] leaves word on a card that this cannot be done to.
//!
//! Everything here is plain reads and writes on a [`disk::Disk`]; nothing mounts, nothing
//! is unsafe, and the same code runs on a block device and on a test's image file.

pub mod disk;
pub mod fat32;
pub mod mbr;
pub mod notice;
mod relocate;
pub mod shrink;
mod tree;

pub use disk::Disk;
pub use shrink::{CardError, Outcome, Plan, apply, plan, prepare};

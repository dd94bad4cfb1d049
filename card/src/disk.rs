//! What the rest of the crate needs from a disk: reads, writes, a barrier and a length.
//!
//! The trait exists so that a test can cut the power after any write. Limits: 512-byte
//! sectors, and one process using the disk at a time.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// The only sector size supported, in bytes.
pub const SECTOR: u64 = 512;

/// A whole disk, addressed in bytes from its first sector.
///
/// A write may be lost or torn between sectors until `flush` returns; one sector is
/// taken to be written whole or not at all.
#[expect(
    clippy::len_without_is_empty,
    reason = "no disk is empty, and nobody asks"
)]
pub trait Disk {
    /// Fills `buffer` from byte `offset`. Errors if the disk ends before that.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at byte `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when all earlier writes are on the medium.
    fn flush(&mut self) -> io::Result<()>;
    /// The size of the disk in bytes.
    fn len(&mut self) -> io::Result<u64>;
}

/// A block device or an image file, opened for reading and writing.
impl Disk for File {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    /// Seeks to the end, because the metadata of a block device says 0.
    fn len(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }
}

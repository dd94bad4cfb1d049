//! Where the zygote's memory lies in huge pages, and a first look at each of them.
//!
//! A fork marks every page as not accessed. A processor that does not keep that mark
//! by itself (Cortex-A53: Arm's FEAT_HAFDBS came with ARMv8.1) faults at the first
//! look at each page, to have the kernel set it: 9,000 faults of a scan's 14,000. For
//! a huge page one look is enough, but only if it comes before the first write: the
//! write splits the page, and its 512 parts take the mark over as it is then. So a
//! child looks at each huge page once before it does anything else
//! (`docs/decisions/an-allocator-for-the-zygote.md`).

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::sys;

/// The size of a huge page where pages have 4 KiB (kernel documentation,
/// "Transparent Hugepage Support").
const HUGE: usize = 2 << 20;

/// The zygote's mappings lie one below the other with small gaps. So many huge pages
/// without any memory (128 MiB) are the end of them.
const END: usize = 64;

/// The addresses of all huge pages' beginnings that can be read: what may be one.
#[derive(Debug)]
pub(crate) struct HugePages(Vec<usize>);

impl HugePages {
    /// Finds them, by asking the kernel for a byte of each.
    pub(crate) fn find() -> Result<Self, Errno> {
        let pipe = Pipe::new()?;
        // The C library is mapped before anything is allocated, so above it all.
        let libc = libc::getpid as *const () as usize;
        let mut found = Vec::new();
        let mut address = libc & !(HUGE - 1);
        let mut without = 0;
        while without < END && address >= HUGE {
            match pipe.takes(address)? {
                true => {
                    found.push(address);
                    without = 0;
                }
                false => without += 1,
            }
            address -= HUGE;
        }
        Ok(Self(found))
    }

    /// Looks at each: what a child does first.
    pub(crate) fn look(&self) -> Result<(), Errno> {
        let pipe = Pipe::new()?;
        for address in &self.0 {
            pipe.takes(*address)?;
        }
        Ok(())
    }
}

/// Both ends of a pipe, which holds more bytes than there are huge pages.
struct Pipe {
    _read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Self, Errno> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { _read: read, write })
    }

    /// Whether there is a byte to be read at `address`.
    fn takes(&self, address: usize) -> Result<bool, Errno> {
        match sys::write_byte_at(&self.write, address) {
            Ok(()) => Ok(true),
            Err(Errno::EFAULT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_allocation_is_among_what_is_looked_at() {
        let large = vec![1u8; 4 * HUGE];
        let first = (large.as_ptr() as usize).next_multiple_of(HUGE);
        let found = HugePages::find().unwrap();
        for number in 0..3 {
            let address = first + number * HUGE;
            assert!(found.0.contains(&address), "{address:#x} not in {found:x?}");
        }
        found.look().unwrap();
    }

    #[test]
    fn an_address_without_memory_is_no_fault_but_an_answer() {
        let pipe = Pipe::new().unwrap();
        assert_eq!(pipe.takes(0), Ok(false));
        assert_eq!(pipe.takes(&raw const pipe as usize), Ok(true));
    }
}

//! Files of others, files where none may be, and programs that are none of the
//! service's.

use crate::{HOST, Outcome, sys};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, mknod};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

/// Reads a file of another service: at its own path, or where a sandbox without a
/// root of its own has the host's.
pub(crate) fn read_of_another(path: &str) -> Outcome {
    let file = open_of_host(path, OFlag::O_RDONLY)?;
    found(file.as_raw_fd())
}

/// Reads a descriptor that the parent had open and did not give.
pub(crate) fn read_left_open(fd: i32) -> Outcome {
    found(fd)
}

/// What a file holds that the test has put a secret into.
fn found(fd: i32) -> Outcome {
    let mut bytes = [0; 6];
    match sys::read(fd, &mut bytes)? {
        6 if &bytes == b"secret" => Ok(()),
        _ => Err(Errno::ENODATA),
    }
}

/// Opens a path of the host's.
pub(crate) fn open_of_host(path: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    match open(path, flags, Mode::empty()) {
        Err(Errno::ENOENT) => open(format!("{HOST}{path}").as_str(), flags, Mode::empty()),
        result => result,
    }
}

/// Makes a file.
pub(crate) fn make(path: &str) -> Outcome {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT;
    open(path, flags, Mode::S_IRUSR).map(drop)
}

/// Makes the device `/dev/null` (1:3 in Documentation/admin-guide/devices.txt), as
/// one would make the disk's.
pub(crate) fn make_device(path: &str) -> Outcome {
    mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, libc::makedev(1, 3))
}

/// Opens a file by its handle, past all paths: open_by_handle_at(2).
pub(crate) fn open_by_handle() -> Outcome {
    sys::open_by_handle()
}

/// Executes a program, which then ends with [`crate::EXECUTED`].
pub(crate) fn execute(path: &str, word: &str) -> Outcome {
    let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let (path, word) = (text(path)?, text(word)?);
    sys::execute(&path, &word)
}

/// Writes a program and executes it.
pub(crate) fn execute_written(path: &str) -> Outcome {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT;
    let file = open(path, flags, Mode::S_IRWXU)?;
    sys::write_all(file.as_raw_fd(), &tiny_program())?;
    // A file that is open for writing is not executed (ETXTBSY).
    drop(file);
    execute(path, "program")
}

/// The same without any path: memfd_create(2), execveat(2).
pub(crate) fn execute_memory() -> Outcome {
    let file = sys::memory_file()?;
    sys::write_all(file.as_raw_fd(), &tiny_program())?;
    sys::execute_descriptor(file.as_raw_fd())
}

/// An ELF file whose one segment ends the process with [`crate::EXECUTED`]: elf(5).
fn tiny_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // exit_group(42)
    #[cfg(target_arch = "x86_64")]
    let (machine, code) = (
        62u16,
        [0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05].as_slice(),
    );
    #[cfg(target_arch = "aarch64")]
    let (machine, code) = (
        183u16,
        [
            0x40, 0x05, 0x80, 0xd2, // mov x0, #42
            0xc8, 0x0b, 0x80, 0xd2, // mov x8, #94
            0x01, 0x00, 0x00, 0xd4, // svc #0
        ]
        .as_slice(),
    );
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let size = HEADERS + code.len() as u64;
    for half in [2u16, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    for word in [1u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

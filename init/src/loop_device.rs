//! One read-only loop device over a file (loop(4), `LOOP_CONFIGURE`).
//!
//! Direct I/O, or every block would be cached twice: once for the file on the
//! card and once for the device.

use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const CONTROL: &str = "/dev/loop-control";

/// Why there is no loop device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// A file could not be opened.
    #[error("{path}: not opened: {source}")]
    Open {
        /// The image or a device.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel gave no free device.
    #[error("{CONTROL}: no free loop device: {0}; is the module `loop` loaded?")]
    Free(io::Error),
    /// The file could not be attached.
    #[error("{device}: {image} not attached: {source}")]
    Attach {
        /// The loop device.
        device: PathBuf,
        /// The file.
        image: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A loop device. It goes when the last who has it open closes it, so this is
/// kept until the device mapper, or whoever uses it, has opened it too.
#[derive(Debug)]
pub struct LoopDevice {
    /// As `MAJOR:MINOR`.
    pub number: String,
    _open: File,
}

/// Attaches `image`.
///
/// # Errors
/// See [`LoopError`].
pub fn attach_read_only(image: &Path) -> Result<LoopDevice, LoopError> {
    let open = |path: &Path, write| {
        OpenOptions::new()
            .read(true)
            .write(write)
            .open(path)
            .map_err(|source| LoopError::Open {
                path: path.to_owned(),
                source,
            })
    };
    let file: File = open(image, false)?;
    let control = open(Path::new(CONTROL), true)?;
    let number = sys::free_loop_number(&control).map_err(|e| LoopError::Free(e.into()))?;
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let device = open(&path, false)?;
    sys::configure_loop(&device, &file).map_err(|errno| LoopError::Attach {
        device: path.clone(),
        image: image.to_owned(),
        source: errno.into(),
    })?;
    let number = device
        .metadata()
        .map_err(|source| LoopError::Open { path, source })?
        .rdev();
    Ok(LoopDevice {
        number: format!(
            "{}:{}",
            nix::sys::stat::major(number),
            nix::sys::stat::minor(number)
        ),
        _open: device,
    })
}

//! The system image: a file on the card, a loop device, dm-verity, squashfs.
//!
//! Every block is checked against the root hash in the initramfs when it is
//! read, so a changed card gives read errors and never changed code.

use crate::disk::CARD;
use init::cmdline::Slot;
use init::device_mapper::{self, MapperError};
use init::loop_device::{self, LoopError};
use init::verity::{Verity, VerityError};
use nix::mount::MsFlags;
use std::io;
use std::path::{Path, PathBuf};

const DESCRIPTION: &str = "/system.verity";
const ROOT: &str = "/sysroot";

/// Why there is no system.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The description could not be read.
    #[error("{DESCRIPTION}: not read: {0}")]
    Description(io::Error),
    /// The description is wrong.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// No loop device.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// No verified device.
    #[error(transparent)]
    Mapper(#[from] MapperError),
    /// The file system was not mounted.
    #[error(
        "{device}: not mounted as squashfs: {source}; the image is not the one this initramfs belongs to, or it is damaged: write the card anew"
    )]
    Mount {
        /// The verified device.
        device: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Mounts the image of `slot` read-only at `/sysroot`.
///
/// # Errors
/// See [`ImageError`].
pub fn mount(slot: Slot) -> Result<(), ImageError> {
    let description = std::fs::read_to_string(DESCRIPTION).map_err(ImageError::Description)?;
    let verity = Verity::parse(&description)?;
    let image = Path::new(CARD).join(slot.folder()).join("system.img");
    let data = loop_device::attach_read_only(&image)?;
    let table = verity.table(&data.number);
    let device = device_mapper::create_read_only("system", verity.sectors(), "verity", &table)?;
    std::fs::create_dir_all(ROOT).ok();
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    nix::mount::mount(Some(&device), ROOT, Some("squashfs"), flags, None::<&str>).map_err(|errno| {
        ImageError::Mount {
            device,
            source: errno.into(),
        }
    })
}

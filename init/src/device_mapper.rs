//! One read-only device-mapper device with one target (`include/uapi/linux/
//! dm-ioctl.h`, interface version 4): create, load the table, resume, ask how it
//! is. Without udev the kernel's devtmpfs makes the node `/dev/dm-N`.

use crate::sys;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

const CONTROL: &str = "/dev/mapper/control";
/// `DM_READONLY_FLAG`.
const READ_ONLY: u32 = 1;
/// `DM_DEFERRED_REMOVE`: a device in use is removed when it no longer is.
const DEFERRED_REMOVE: u32 = 1 << 17;

/// The ioctl numbers that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `DM_DEV_CREATE`.
    Create = 3,
    /// `DM_DEV_REMOVE`.
    Remove = 4,
    /// `DM_DEV_SUSPEND`, which without the suspend flag resumes.
    Resume = 6,
    /// `DM_TABLE_LOAD`.
    LoadTable = 9,
    /// `DM_TABLE_STATUS`.
    TableStatus = 12,
}

/// Size of `struct dm_ioctl`.
pub const HEADER: usize = 312;
/// Size of `struct dm_target_spec`.
const SPEC: usize = 40;
const NAME: std::ops::Range<usize> = 48..176;
const DEVICE: std::ops::Range<usize> = 40..48;
/// `DM_NOFLUSH_FLAG`: the answer does not wait for the device.
const NO_FLUSH: u32 = 1 << 11;
/// Room for the answer to [`Command::TableStatus`]: our targets say a line.
const ANSWER: usize = 4096;

/// Why the device was not made.
#[derive(Debug, thiserror::Error)]
pub enum MapperError {
    /// The control node could not be opened.
    #[error("{CONTROL}: not opened: {0}; is the module `dm_mod` loaded?")]
    Control(io::Error),
    /// The kernel refused a step.
    #[error("device mapper: {name}: {command:?} failed: {source}; the kernel log says more")]
    Step {
        /// The device's name.
        name: String,
        /// The step.
        command: Command,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Makes `name` with one `target` over all its `sectors`; returns its node. An
/// unused device of that name, left by a process that died before it was
/// mounted, is replaced.
///
/// # Errors
/// See [`MapperError`]. A half-made device is removed again.
pub fn create_read_only(
    name: &str,
    sectors: u64,
    target: &str,
    parameters: &str,
) -> Result<PathBuf, MapperError> {
    let control = control()?;
    let run = |command, payload: &[u8]| call(&control, command, READ_ONLY, name, payload);
    let made = match run(Command::Create, &[]) {
        // Remove refuses what is in use, and then the name is not free.
        Err(error) if error.is_busy() => {
            run(Command::Remove, &[])?;
            run(Command::Create, &[])?
        }
        made => made?,
    };
    let spec = target_spec(sectors, target, parameters);
    let loaded = run(Command::LoadTable, &spec).and_then(|_| run(Command::Resume, &[]));
    if let Err(error) = loaded {
        run(Command::Remove, &[]).ok();
        return Err(error);
    }
    Ok(PathBuf::from(format!("/dev/dm-{}", minor(&made))))
}

/// Removes `name` as soon as nobody uses it any more, which may be now.
///
/// # Errors
/// See [`MapperError`]; there is no such device, say.
pub fn remove_when_unused(name: &str) -> Result<(), MapperError> {
    call(&control()?, Command::Remove, DEFERRED_REMOVE, name, &[]).map(drop)
}

/// The first target of `name` and what it says of itself: for `verity` that is `V`
/// while every block read so far was good, `C` once one was not (kernel
/// documentation, `device-mapper/verity.rst`, "Status"; dmsetup(8), `status`).
///
/// # Errors
/// See [`MapperError`]; there is no such device, say.
pub fn status(name: &str) -> Result<(String, String), MapperError> {
    let room = [0; ANSWER];
    let answer = call(&control()?, Command::TableStatus, NO_FLUSH, name, &room)?;
    first_target(&answer).ok_or_else(|| MapperError::Step {
        name: name.to_owned(),
        command: Command::TableStatus,
        source: io::ErrorKind::InvalidData.into(),
    })
}

/// `struct dm_target_spec` and the text behind it in an answer, from `data_start` on.
fn first_target(answer: &[u8]) -> Option<(String, String)> {
    let start = answer.get(16..20)?.try_into().map(u32::from_ne_bytes);
    let targets = answer.get(20..24)?.try_into().map(u32::from_ne_bytes);
    if targets.ok()? == 0 {
        return None;
    }
    let spec = answer.get(start.ok()? as usize..)?;
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    Some((text(spec.get(24..SPEC)?)?, text(spec.get(SPEC..)?)?))
}

fn control() -> Result<File, MapperError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(CONTROL)
        .map_err(MapperError::Control)
}

impl MapperError {
    fn is_busy(&self) -> bool {
        match self {
            Self::Step { source, .. } => source.kind() == io::ErrorKind::ResourceBusy,
            Self::Control(_) => false,
        }
    }
}

fn call(
    control: &File,
    command: Command,
    flags: u32,
    name: &str,
    payload: &[u8],
) -> Result<Vec<u8>, MapperError> {
    let mut message = message(flags, name, payload);
    match sys::device_mapper(control, command, &mut message) {
        Ok(()) => Ok(message),
        Err(errno) => Err(MapperError::Step {
            name: name.to_owned(),
            command,
            source: errno.into(),
        }),
    }
}

/// `struct dm_ioctl` followed by `payload`.
fn message(flags: u32, name: &str, payload: &[u8]) -> Vec<u8> {
    let total = HEADER + payload.len();
    let mut bytes = Vec::with_capacity(total);
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let targets = u32::from(!payload.is_empty());
    // version[3], data_size, data_start, target_count, open_count, flags
    for value in [4, 0, 0, word(total), word(HEADER), targets, 0, flags] {
        bytes.extend_from_slice(&u32::to_ne_bytes(value));
    }
    bytes.resize(HEADER, 0);
    // One byte less than the field, so that a zero ends the name.
    for (place, byte) in bytes[NAME.start..NAME.end - 1].iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// `struct dm_target_spec` from sector 0 and its parameters, padded to 8 bytes.
fn target_spec(sectors: u64, target: &str, parameters: &str) -> Vec<u8> {
    let length = (SPEC + parameters.len() + 1).next_multiple_of(8);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&0_u64.to_ne_bytes());
    bytes.extend_from_slice(&sectors.to_ne_bytes());
    bytes.extend_from_slice(&0_i32.to_ne_bytes());
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(target.bytes().take(15));
    bytes.resize(SPEC, 0);
    bytes.extend_from_slice(parameters.as_bytes());
    bytes.resize(length, 0);
    bytes
}

/// The minor number in an answer's `dev`, which is `huge_encode_dev`:
/// minor bits 0-7, major bits 8-19, then the rest of the minor.
fn minor(answer: &[u8]) -> u64 {
    let device = answer
        .get(DEVICE)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_ne_bytes);
    (device & 0xff) | ((device >> 12) & 0xfff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_have_the_kernels_layout() {
        let spec = target_spec(8, "verity", "1 7:0");
        assert_eq!(spec.len(), 48);
        assert_eq!(spec[8..16], 8_u64.to_ne_bytes());
        assert_eq!(spec[20..24], 48_u32.to_ne_bytes());
        assert_eq!(&spec[24..40], b"verity\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&spec[40..48], b"1 7:0\0\0\0");
        let message = message(READ_ONLY, "system", &spec);
        assert_eq!(message.len(), HEADER + 48);
        assert_eq!(message[12..16], 360_u32.to_ne_bytes());
        assert_eq!(message[16..20], 312_u32.to_ne_bytes());
        assert_eq!(message[20..24], 1_u32.to_ne_bytes());
        assert_eq!(message[28..32], READ_ONLY.to_ne_bytes());
        assert_eq!(&message[48..55], b"system\0");
    }

    #[test]
    fn a_status_is_found_where_the_kernel_says_that_it_is() {
        let mut answer = message(NO_FLUSH, "system", &[0; 128]);
        assert_eq!(answer[28..32], NO_FLUSH.to_ne_bytes());
        let start = HEADER + 8;
        answer[16..20].copy_from_slice(&u32::try_from(start).unwrap().to_ne_bytes());
        answer[start + 24..start + 30].copy_from_slice(b"verity");
        answer[start + SPEC..start + SPEC + 1].copy_from_slice(b"C");
        let expected = Some(("verity".to_owned(), "C".to_owned()));
        assert_eq!(first_target(&answer), expected);
        // A device without a table has no target.
        answer[20..24].copy_from_slice(&0_u32.to_ne_bytes());
        assert_eq!(first_target(&answer), None);
        // Whatever the numbers say, nothing is read behind the end.
        answer[20..24].copy_from_slice(&1_u32.to_ne_bytes());
        answer[16..20].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(first_target(&answer), None);
    }

    #[test]
    fn a_minor_over_255_is_put_together_from_both_parts() {
        let mut answer = vec![0; HEADER];
        answer[DEVICE].copy_from_slice(&0x0010_fd05_u64.to_ne_bytes());
        assert_eq!(minor(&answer), 0x105);
    }
}

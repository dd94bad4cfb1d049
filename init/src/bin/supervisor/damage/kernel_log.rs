//! What the kernel's log says about the card: `/dev/kmsg`, a record a read (kernel
//! documentation, `ABI/testing/dev-kmsg`).
//!
//! The texts are those of `blk_print_req_error` (block/blk-mq.c), `verity_handle_err`
//! (drivers/md/dm-verity-target.c) and `ext4_handle_error` (fs/ext4/super.c). The
//! kernel leaves some out when there are many, so what is counted are the least.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

const KMSG: &str = "/dev/kmsg";
/// The longest record, `PRINTKRB_RECORD_MAX` and what is before it; a shorter
/// buffer gets an error.
const RECORD: usize = 8 << 10;
/// A flood is read in several turns.
const MOST_AT_ONCE: usize = 1000;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number since power-on.
    pub number: u64,
    /// The first line of its text.
    pub text: String,
}

/// What a record means for the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A whole disk gave an error.
    Block {
        /// Its name, `mmcblk0` say.
        disk: String,
        /// Whether it was read, and not written.
        reading: bool,
    },
    /// dm-verity found a block that is not what was signed.
    Verity {
        /// The device with the data, `7:0` say.
        device: String,
    },
    /// ext4 stops writing after an error.
    ReadOnly {
        /// The device, `dm-1` say.
        device: String,
    },
}

/// The log, read on from where it was left.
#[derive(Debug)]
pub struct KernelLog {
    file: Option<File>,
    /// Records below were looked at by an earlier supervisor.
    from: u64,
}

impl KernelLog {
    /// Opens it. Without it (no permission?) nothing is found there.
    pub fn open(from: u64) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(KMSG);
        let file = file.inspect_err(|error| crate::log::line(&format!("{KMSG}: {error}")));
        Self {
            file: file.ok(),
            from,
        }
    }

    /// The records since the last call.
    pub fn news(&mut self) -> Vec<Record> {
        let Some(file) = &mut self.file else {
            return Vec::new();
        };
        let mut records = Vec::new();
        let mut buffer = [0; RECORD];
        for _ in 0..MOST_AT_ONCE {
            match file.read(&mut buffer) {
                Ok(length) => records.extend(record(&buffer[..length])),
                // EPIPE: records were lost before they were read. The next one is there.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        records.retain(|record| record.number >= self.from);
        records
    }
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS[,…];TEXT` and further lines.
fn record(bytes: &[u8]) -> Option<Record> {
    let bytes = String::from_utf8_lossy(bytes);
    let (before, text) = bytes.split_once(';')?;
    let mut fields = before.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    // Facility 0 is the kernel; anybody who is root could write the others.
    if priority >> 3 != 0 {
        return None;
    }
    Some(Record {
        number: fields.next()?.parse().ok()?,
        text: text.lines().next().unwrap_or_default().to_owned(),
    })
}

/// What a text means, if it is about damage.
pub fn meaning(text: &str) -> Option<Said> {
    block(text)
        .or_else(|| verity(text))
        .or_else(|| read_only(text))
}

/// `I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0`
fn block(text: &str) -> Option<Said> {
    let (_, rest) = text.split_once(" error, dev ")?;
    let (disk, rest) = rest.split_once(", sector ")?;
    let operation = rest.split_once('(')?.1.split_once(')')?.0;
    let reading = match operation {
        "READ" => true,
        // A flush that fails is a write that is not there.
        "WRITE" | "FLUSH" | "WRITE_ZEROES" => false,
        // Nothing is lost when the card keeps what it may forget.
        _ => return None,
    };
    let disk = disk.to_owned();
    Some(Said::Block { disk, reading })
}

/// `device-mapper: verity: 7:0: data block 9 is corrupted`, or `metadata block`
fn verity(text: &str) -> Option<Said> {
    let rest = text.strip_prefix("device-mapper: verity: ")?;
    let (device, rest) = rest.split_once(": ")?;
    rest.ends_with(" is corrupted").then(|| Said::Verity {
        device: device.to_owned(),
    })
}

/// `EXT4-fs (dm-1): Remounting filesystem read-only`
fn read_only(text: &str) -> Option<Said> {
    let rest = text.strip_prefix("EXT4-fs (")?;
    let (device, rest) = rest.split_once("): ")?;
    (rest == "Remounting filesystem read-only").then(|| Said::ReadOnly {
        device: device.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_kernels_own_with_its_number_and_first_line() {
        let bytes = b"3,815,1234567,-;I/O error, dev vda, sector 8\n SUBSYSTEM=block\n";
        let expected = Record {
            number: 815,
            text: "I/O error, dev vda, sector 8".into(),
        };
        assert_eq!(record(bytes), Some(expected));
        // A daemon's line (facility 3), whatever it says.
        let daemon = b"30,816,1234568,-;device-mapper: verity: 7:0: data block 9 is corrupted\n";
        assert_eq!(record(daemon), None);
        for nonsense in [&b""[..], b"3,815", b"x,1,2,-;text", b"3,x,2,-;text"] {
            assert_eq!(record(nonsense), None);
        }
    }

    #[test]
    fn errors_of_a_disk_are_told_by_disk_and_direction() {
        let said = |disk: &str, reading| {
            let disk = disk.to_owned();
            Some(Said::Block { disk, reading })
        };
        for (text, expected) in [
            (
                "I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0",
                said("vda", true),
            ),
            (
                "critical medium error, dev mmcblk0, sector 9 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
                said("mmcblk0", true),
            ),
            (
                "I/O error, dev mmcblk0, sector 9 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 2",
                said("mmcblk0", false),
            ),
            (
                "I/O error, dev vda, sector 0 op 0x2:(FLUSH) flags 0x800 phys_seg 0 prio class 2",
                said("vda", false),
            ),
            (
                "operation not supported error, dev vda, sector 8 op 0x3:(DISCARD) flags 0x800 phys_seg 1 prio class 2",
                None,
            ),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
    }

    #[test]
    fn verity_and_a_file_system_that_gives_up_are_told_by_device() {
        for text in ["data block 9", "metadata block 15000"] {
            let text = format!("device-mapper: verity: 7:0: {text} is corrupted");
            let device = "7:0".to_owned();
            assert_eq!(meaning(&text), Some(Said::Verity { device }));
        }
        let device = "dm-1".to_owned();
        assert_eq!(
            meaning("EXT4-fs (dm-1): Remounting filesystem read-only"),
            Some(Said::ReadOnly { device })
        );
    }

    #[test]
    fn what_a_healthy_box_says_means_nothing() {
        for text in [
            "",
            "virtio_blk virtio1: [vda] 8388608 512-byte logical blocks (4.29 GB/4.00 GiB)",
            "device-mapper: ioctl: 4.48.0-ioctl (2023-03-01) initialised: dm-devel@lists.linux.dev",
            "device-mapper: verity: sha256 using implementation \"sha256-ce\"",
            "EXT4-fs (dm-1): mounted filesystem 12 r/w with ordered data mode. Quota mode: none.",
            "EXT4-fs (dm-1): recovery complete",
            "EXT4-fs (dm-1): unmounting filesystem",
            "mmc0: new high speed SDHC card at address 4567",
        ] {
            assert_eq!(meaning(text), None, "{text}");
        }
    }
}

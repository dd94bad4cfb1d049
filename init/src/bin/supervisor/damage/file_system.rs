//! How the file system in the encrypted disk is: ext4's own counter of errors, and
//! whether it still takes writes (kernel documentation, `ABI/testing/sysfs-fs-ext4`,
//! `filesystems/ext4/super.rst`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// `s_error_count` in the super block, which begins at byte 1024.
const ERROR_COUNT: u64 = 1024 + 0x194;
/// `s_magic` in there.
const MAGIC: u64 = 1024 + 0x38;

/// The kernel's name of the device that a folder lies on, `dm-1` say.
pub fn device_of(folder: &Path) -> Option<String> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// Errors since the last check by e2fsck, of a mounted file system.
pub fn errors(device: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/sys/fs/ext4/{device}/errors_count")).ok()?;
    text.trim().parse().ok()
}

/// The same of one that is not mounted: e2fsck sets it back to 0.
///
/// # Errors
/// The device can't be read, or holds no ext4.
pub fn errors_in_super_block(device: &Path) -> io::Result<u64> {
    let device = File::open(device)?;
    let (mut magic, mut count) = ([0; 2], [0; 4]);
    device.read_exact_at(&mut magic, MAGIC)?;
    device.read_exact_at(&mut count, ERROR_COUNT)?;
    if u16::from_le_bytes(magic) != 0xef53 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(u32::from_le_bytes(count).into())
}

/// Whether `/proc/self/mounts` says of `place` that it takes no writes: mounted so, or
/// after an error, which newer kernels call `emergency_ro` and `shutdown`.
pub fn is_read_only(mounts: &str, place: &str) -> bool {
    let mut lines = mounts.lines().map(|line| line.split(' '));
    let options = lines.find_map(|mut fields| {
        let of_place = fields.nth(1) == Some(place);
        of_place.then(|| fields.nth(1).unwrap_or_default().to_owned())
    });
    options.is_some_and(|options| {
        let mut options = options.split(',');
        options.any(|option| matches!(option, "ro" | "emergency_ro" | "shutdown"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_file_system_that_takes_no_writes_is_told_by_its_options() {
        let mounts = |options: &str| {
            format!(
                "/dev/dm-0 / squashfs ro,nosuid 0 0\n\
                 /dev/mapper/data /data ext4 {options} 0 0\n\
                 tmpfs /run tmpfs rw 0 0\n"
            )
        };
        for (options, expected) in [
            ("rw,nosuid,nodev,noexec,noatime,errors=remount-ro", false),
            ("ro,nosuid,nodev,noexec,noatime,errors=remount-ro", true),
            ("rw,noatime,emergency_ro", true),
            ("rw,noatime,shutdown", true),
        ] {
            assert_eq!(
                is_read_only(&mounts(options), "/data"),
                expected,
                "{options}"
            );
        }
        assert!(!is_read_only(&mounts("ro"), "/elsewhere"));
    }

    #[test]
    fn the_counter_is_where_debugfs_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("ext4");
        File::create(&image).unwrap().set_len(4 << 20).unwrap();
        assert!(errors_in_super_block(&image).is_err());
        let run = |tool: &str, arguments: &[&str]| {
            let mut command = Command::new(tool);
            let done = command.args(arguments).arg(&image).output().unwrap();
            assert!(done.status.success(), "{tool}: {done:?}");
        };
        run("/usr/sbin/mke2fs", &["-q", "-F", "-t", "ext4"]);
        assert_eq!(errors_in_super_block(&image).unwrap(), 0);
        run("/usr/sbin/debugfs", &["-w", "-R", "ssv error_count 7"]);
        assert_eq!(errors_in_super_block(&image).unwrap(), 7);
        // What the box does next sets it back.
        Command::new("/usr/sbin/e2fsck")
            .args(["-f", "-p"])
            .arg(&image)
            .output()
            .unwrap();
        assert_eq!(errors_in_super_block(&image).unwrap(), 0);
    }
}

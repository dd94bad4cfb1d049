//! Postfix's queue on its volume: the folders that Debian's package makes at its
//! installation (postfix-files(5)), here before each start, since nothing is ever
//! installed on the box.

use nix::unistd::{Gid, Uid};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Folders, their modes, and whether they are Postfix's own or root's.
const FOLDERS: [(&str, u32, bool); 13] = [
    ("active", 0o700, true),
    ("bounce", 0o700, true),
    ("corrupt", 0o700, true),
    ("defer", 0o700, true),
    ("deferred", 0o700, true),
    ("flush", 0o700, true),
    ("hold", 0o700, true),
    ("incoming", 0o700, true),
    ("private", 0o710, true),
    ("public", 0o710, true),
    ("saved", 0o700, true),
    ("trace", 0o700, true),
    ("pid", 0o755, false),
];

/// What Postfix's programs reach as root as well, which has no power over others' files
/// here. Elsewhere the group is postdrop, or no matter.
const FOR_ROOT: [&str; 2] = ["private", "public"];

/// Makes what is missing below `queue`, for Postfix's user `owner`. What a power
/// cut left between two steps is made whole.
///
/// # Errors
/// With the folder: the disk is full, or something else lies in its place.
pub fn make(queue: &Path, owner: u32) -> io::Result<()> {
    for (name, mode, is_postfix_s) in FOLDERS {
        let path = queue.join(name);
        let user = if is_postfix_s { owner } else { 0 };
        let group = if FOR_ROOT.contains(&name) { 0 } else { user };
        let make = || -> io::Result<()> {
            match DirBuilder::new().mode(mode).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let now = fs::symlink_metadata(&path)?;
            if !now.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            if now.mode() & 0o7777 != mode {
                // The umask of a sandbox takes some of it off. While it is still root's:
                // who has no power over others' files can't do it later.
                fs::set_permissions(&path, Permissions::from_mode(mode))?;
            }
            if (now.uid(), now.gid()) != (user, group) {
                let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
                nix::unistd::chown(&path, Some(uid), Some(gid))?;
            }
            Ok(())
        };
        make().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_made_once_and_a_half_made_one_is_made_whole() {
        let queue = tempfile::tempdir().unwrap();
        // As in a sandbox. The power went before the owner was changed.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        fs::create_dir(queue.path().join("deferred")).unwrap();
        for _first_and_second_start in 0..2 {
            make(queue.path(), 4105).unwrap();
            for (name, _, is_postfix_s) in FOLDERS {
                let meta = fs::metadata(queue.path().join(name)).unwrap();
                let owner = if is_postfix_s { 4105 } else { 0 };
                let group = if FOR_ROOT.contains(&name) { 0 } else { owner };
                assert_eq!((meta.uid(), meta.gid()), (owner, group), "{name}");
            }
        }
        for (name, mode) in [("active", 0o700), ("public", 0o710), ("pid", 0o755)] {
            let meta = fs::metadata(queue.path().join(name)).unwrap();
            assert_eq!(meta.mode() & 0o7777, mode, "{name}");
        }
    }

    #[test]
    fn what_is_not_a_folder_is_named() {
        let queue = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", queue.path().join("active")).unwrap();
        let error = make(queue.path(), 4105).unwrap_err().to_string();
        assert!(error.contains("/active: "), "{error}");
    }
}

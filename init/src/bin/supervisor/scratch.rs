//! The writable places of a read-only system: small tmpfs, gone with the power.

use crate::log;
use nix::mount::{MsFlags, mount};

/// Mount point and options (tmpfs(5)).
const PLACES: [(&str, &str); 2] = [
    ("/tmp", "mode=1777,size=16m"),
    ("/var", "mode=0755,size=16m"),
];
/// What Debian's daemons expect below them.
const FOLDERS: [&str; 6] = [
    "/var/lib/chrony",
    "/var/lib/dhcpcd",
    "/var/log",
    "/var/tmp",
    "/run/projectx",
    "/run/lock",
];
/// Folders of those daemons that give up root: user and group of the same
/// number in `/etc/passwd` (a static program can't ask NSS).
const OWNERS: [(&str, u32); 2] = [("/var/lib/chrony", 106), ("/var/lib/dhcpcd", 107)];

/// Mounts them, unless an earlier supervisor did.
pub fn prepare() {
    let mounted = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for (place, options) in PLACES {
        if mounted
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(place))
        {
            continue;
        }
        if let Err(error) = mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some(options)) {
            log::line(&format!("{place}: not mounted: {error}"));
        }
    }
    for folder in FOLDERS {
        if let Err(error) = std::fs::create_dir_all(folder) {
            log::line(&format!("{folder}: not made: {error}"));
        }
    }
    // chronyd and dhcpcd give up root and keep their files here.
    for (folder, id) in OWNERS {
        if let Err(error) = std::os::unix::fs::chown(folder, Some(id), Some(id)) {
            log::line(&format!("{folder}: owner not set: {error}"));
        }
    }
}

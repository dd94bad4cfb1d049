//! The home network: modules, loopback, and the daemons that bring addresses,
//! the name and the time. dhcpcd does DHCP and IPv6 on every interface,
//! avahi answers for `projectx.local`, chrony sets the clock.

use crate::daemon::Daemon;
use crate::log;
use std::path::Path;
use std::process::Command;

/// Loads what the initramfs did not need. There is no udev: the list is the
/// boards' `modules.system`, and a module without its device does no harm.
pub fn load_modules() {
    init::modules::load_list(
        Path::new("/usr/lib/projectx/modules.txt"),
        Path::new("/"),
        &mut |text| log::line(text),
    );
}

/// Brings `lo` up.
pub fn loopback_up() {
    match Command::new("/usr/sbin/ip")
        .args(["link", "set", "lo", "up"])
        .status()
    {
        Ok(status) if status.success() => {}
        other => log::line(&format!("loopback: not up: {other:?}")),
    }
}

/// The daemons, in the order in which they start.
pub fn daemons() -> Vec<Daemon> {
    // Not chrony's: it makes /run/chrony as it wants it, closed to others, and
    // takes no commands in a folder that is open.
    for folder in ["/run/avahi-daemon", "/run/projectx/ntp", "/run/cryptsetup"] {
        if let Err(error) = std::fs::create_dir_all(folder) {
            log::line(&format!("{folder}: not made: {error}"));
        }
    }
    vec![
        Daemon::new("dhcpcd", &["/usr/sbin/dhcpcd", "--nobackground", "--quiet"]),
        // Where another box is `projectx`, it says what it has become.
        Daemon::heard_out("avahi", &["/usr/sbin/avahi-daemon", "--no-rlimits"]),
        Daemon::new("chrony", &["/usr/sbin/chronyd", "-n", "-u", "_chrony"]),
    ]
}

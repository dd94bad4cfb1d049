//! The two control groups below the root: `supervisor` for the supervisor
//! alone and `services` for everything it starts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

const ROOT: &str = "/sys/fs/cgroup";
/// Where the supervisor lives.
pub const SUPERVISOR: &str = "/sys/fs/cgroup/supervisor";
/// Where everything lives that the supervisor starts.
pub const SERVICES: &str = "/sys/fs/cgroup/services";

/// Makes both and turns the controllers on for what lies below.
pub fn make() -> io::Result<()> {
    for group in [SUPERVISOR, SERVICES] {
        if let Err(error) = fs::create_dir(group)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
    }
    for group in [ROOT, SERVICES] {
        for controller in ["+cpu", "+io", "+memory", "+pids"] {
            fs::write(Path::new(group).join("cgroup.subtree_control"), controller)?;
        }
    }
    Ok(())
}

/// The file through which a process enters the supervisor's group.
pub fn supervisor_door() -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .open(Path::new(SUPERVISOR).join("cgroup.procs"))
}

/// Kills everyone in `group` and below (`cgroup.kill`). A group that is not
/// there has nobody to kill.
pub fn kill(group: &str) {
    fs::write(Path::new(group).join("cgroup.kill"), "1").ok();
}

//! One cgroup per sandbox: made with its limits before the clone, killed and
//! removed afterwards. Source: Documentation/admin-guide/cgroup-v2.rst.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::weak::{Protection, kept};

/// The cgroup of a sandbox and its limits. Swap is always 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Where cgroup v2 is mounted, say `/sys/fs/cgroup`.
    pub hierarchy: PathBuf,
    /// The cgroup below it, say `services/console`. An empty one that a killed
    /// supervisor left is made anew; one that holds a process is an error. A
    /// level above it must hold no process (the "no internal processes" rule).
    pub path: PathBuf,
    /// `memory.max`, in bytes.
    pub memory_max: u64,
    /// `memory.oom.group`: whether running out of memory kills all of it, or only
    /// the process that is the largest.
    pub oom_group: bool,
    /// `pids.max`: tasks, threads included.
    pub pids_max: u32,
    /// `cpu.max`, if limited.
    pub cpu_max: Option<CpuLimit>,
}

/// `cpu.max`: so much time in each period, both in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuLimit {
    /// Time that the group may run in a period.
    pub quota_us: u32,
    /// The period, 1000 to 1000000.
    pub period_us: u32,
}

/// A cgroup that exists. Dropping it kills what is inside and removes it.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
    removed: bool,
}

/// A step on a file of a cgroup that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct CgroupError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Group {
    /// Makes the cgroup, with the controllers switched on above it and its
    /// limits set.
    pub(crate) fn create(spec: &Cgroup) -> Result<Group, CgroupError> {
        let mut dir = spec.hierarchy.clone();
        let mut parts = spec.path.iter().peekable();
        let controllers = match spec.cpu_max {
            Some(_) => "+memory +pids +cpu",
            None => "+memory +pids",
        };
        while let Some(part) = parts.next() {
            write(&dir.join("cgroup.subtree_control"), controllers)?;
            dir.push(part);
            match fs::create_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && parts.peek().is_some() => {}
                // Removing fails where a process still is (EBUSY).
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::remove_dir(&dir)
                    .and_then(|()| fs::create_dir(&dir))
                    .map_err(|source| CgroupError {
                        path: dir.clone(),
                        source,
                    })?,
                result => result.map_err(|source| CgroupError {
                    path: dir.clone(),
                    source,
                })?,
            }
        }
        let group = Group {
            dir,
            removed: false,
        };
        let set = |file: &str, value: &str| write(&group.dir.join(file), value);
        for (file, value) in limits(spec) {
            set(file, &value)?;
        }
        Ok(group)
    }

    /// A descriptor for `CLONE_INTO_CGROUP`.
    pub(crate) fn open(&self) -> Result<File, CgroupError> {
        File::open(&self.dir).map_err(|source| CgroupError {
            path: self.dir.clone(),
            source,
        })
    }

    /// Moves a process in.
    pub(crate) fn admit(&self, pid: nix::unistd::Pid) -> Result<(), CgroupError> {
        write(&self.dir.join("cgroup.procs"), &pid.to_string())
    }

    /// Removes the directory and kills nothing; one that is not empty stays.
    pub(crate) fn abandon(&mut self) -> Result<(), CgroupError> {
        self.removed = true;
        fs::remove_dir(&self.dir).map_err(|source| CgroupError {
            path: self.dir.clone(),
            source,
        })
    }

    /// Kills everything inside and removes the directory. A dying task keeps
    /// its cgroup busy for a moment, so this tries for up to 2 s.
    pub(crate) fn remove(&mut self) -> Result<(), CgroupError> {
        if self.removed {
            return Ok(());
        }
        write(&self.dir.join("cgroup.kill"), "1")?;
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            match fs::remove_dir(&self.dir) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                    sleep(Duration::from_millis(2));
                }
                Err(source) => {
                    let path = self.dir.clone();
                    return Err(CgroupError { path, source });
                }
            }
        }
        self.removed = true;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever wants to know calls Child::destroy; here is nobody to tell.
        let _ = self.remove();
    }
}

/// The files of a cgroup and what is written to them.
fn limits(spec: &Cgroup) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if kept(Protection::MemoryLimit) {
        all.push(("memory.max", spec.memory_max.to_string()));
        all.push(("memory.swap.max", "0".into()));
    }
    all.push(("memory.oom.group", u8::from(spec.oom_group).to_string()));
    if kept(Protection::TaskLimit) {
        all.push(("pids.max", spec.pids_max.to_string()));
    }
    if let Some(cpu) = spec.cpu_max {
        let value = format!("{} {}", cpu.quota_us, cpu.period_us);
        all.push(("cpu.max", value));
    }
    all
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    // Not fs::write, which would create a missing file.
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|source| CgroupError {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
impl Group {
    /// One that is there already, without limits.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Group {
            dir,
            removed: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::handle::{Child, Exit};
    use crate::sys;
    use std::os::fd::AsFd;

    /// Where this machine mounts cgroup v2, with or without controllers.
    pub(crate) fn hierarchy() -> PathBuf {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|l| l.contains(" - cgroup2 ")).unwrap();
        line.split(' ').nth(4).unwrap().into()
    }

    #[test]
    fn a_removed_limit_is_not_written_and_the_others_are() {
        use crate::weak;
        let spec = Cgroup {
            hierarchy: "/cgroup".into(),
            path: "services".into(),
            memory_max: 4096,
            oom_group: true,
            pids_max: 8,
            cpu_max: None,
        };
        let files = |without: &[Protection]| {
            let _removed = weak::tests::without(without);
            let files = limits(&spec).into_iter().map(|(file, _)| file);
            files.collect::<Vec<_>>()
        };
        let all = [
            "memory.max",
            "memory.swap.max",
            "memory.oom.group",
            "pids.max",
        ];
        assert_eq!(files(&[]), all);
        assert_eq!(files(&[Protection::TaskLimit]), all[..3]);
        assert_eq!(files(&[Protection::MemoryLimit]), all[2..]);
    }

    #[test]
    fn a_child_is_born_in_its_cgroup_and_removing_that_kills_it() {
        let name = format!("sandbox-test-{}", std::process::id());
        let dir = hierarchy().join(name);
        fs::create_dir(&dir).unwrap();
        let mut group = Group::at(dir.clone());
        let opened = group.open().unwrap();
        let (pid, pidfd) = sys::clone3(0, Some(opened.as_fd()), || {
            loop {
                nix::unistd::pause();
            }
        })
        .unwrap();
        let mut child = Child::new("test", pid, pidfd, None);
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(members, format!("{pid}\n"));
        group.remove().unwrap();
        assert!(!dir.exists());
        assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    }
}

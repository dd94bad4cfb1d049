//! What a sandbox is to be, in types; checked once, before anything starts.

use std::path::{Component, Path, PathBuf};

use crate::capabilities::{self, Capability};
use crate::cgroup::Cgroup;
use crate::ids::User;
use crate::network::{self, Network};
use crate::policy::Policy;
use crate::volumes::{self, Scratch, Volume};

/// Everything that one sandbox is given. What is not here, it does not have.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Names the sandbox in messages and is its host name: 1 to 63 of `a-z0-9-`.
    pub name: String,
    /// The files that it sees.
    pub root: Root,
    /// Directories of the host, to read or to write.
    pub volumes: Vec<Volume>,
    /// Memory to write files in.
    pub scratch: Vec<Scratch>,
    /// Device nodes of the host that it may open, at `/dev/…`.
    pub devices: Vec<Device>,
    /// Whether it has a `/proc`.
    pub proc: Proc,
    /// The program, an absolute path inside the root, and its arguments.
    /// `argv[0]` is that path.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The cgroup and its limits; `None` where the host offers no cgroup v2.
    pub cgroup: Option<Cgroup>,
    /// The user and group ids that exist inside, and the one it runs as.
    pub user: User,
    /// What it may do as root inside. Empty: nothing, whoever it is. Others
    /// only with a [`User::Range`] that it runs as 0 of; what that root
    /// executes keeps them, and who becomes another user loses them all.
    pub capabilities: Vec<Capability>,
    /// Its network. Nothing, by default.
    pub network: Network,
    /// Limits of setrlimit(2). Core files are always limited to 0.
    pub rlimits: Rlimits,
    /// What Landlock allows; everything else that it can refuse, it refuses:
    /// every other path, every TCP port that `network` does not list, abstract
    /// Unix sockets and signals to the outside. `volumes`, `scratch` and
    /// `devices` are allowed by being listed.
    pub paths: Vec<PathRule>,
    /// The system calls that it may make, from [`crate::policy`].
    /// It may make namespaces if and only if this lets `clone`, `unshare` or
    /// `setns` have those flags (a zygote's may); mounts are refused by
    /// Landlock even there.
    pub policy: Policy,
    /// Whether memory may become executable after it was writable.
    pub write_execute: WriteExecute,
    /// Whether the program may be dumped and traced.
    pub dumpable: Dumpable,
}

/// Where the read-only root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A directory of the host, bound with everything mounted below it, noexec
    /// but for the paths with [`Access::Execute`] in [`Spec::paths`], to which no
    /// symbolic link may lead through the outside.
    /// With devices or [`Proc::OwnPids`] it must hold `dev/null` and so on
    /// (empty files) or `proc` (a directory) to mount over.
    Directory(PathBuf),
    /// These files and directories of the host, on a fresh tmpfs.
    Entries(Vec<Entry>),
}

/// One file or directory of the host, bound read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is on the host. Symbolic links are followed.
    pub host: PathBuf,
    /// Where it appears: absolute, without `..`.
    pub path: PathBuf,
    /// [`Access::Read`] mounts it noexec.
    pub access: Access,
}

/// What may be done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read files and list directories.
    Read,
    /// That, and execute files.
    Execute,
}

/// A Landlock rule: this path inside the root, and all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// Absolute, inside the root.
    pub path: PathBuf,
    /// What may be done there.
    pub access: Access,
}

/// A device that gives away nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// `/dev/null`
    Null,
    /// `/dev/zero`
    Zero,
    /// `/dev/random`
    Random,
    /// `/dev/urandom`
    Urandom,
}

impl Device {
    /// The path, the same on the host and inside.
    pub fn path(self) -> &'static str {
        match self {
            Device::Null => "/dev/null",
            Device::Zero => "/dev/zero",
            Device::Random => "/dev/random",
            Device::Urandom => "/dev/urandom",
        }
    }
}

/// Whether the sandbox has a `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proc {
    /// None at all.
    Absent,
    /// One with the pids of the sandbox and no other file (`subset=pid`).
    OwnPids,
}

/// Limits of setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimits {
    /// RLIMIT_NOFILE: one more than the highest descriptor number.
    pub open_files: u64,
    /// RLIMIT_FSIZE, in bytes.
    pub file_size: u64,
}

/// Whether memory may become executable after it was writable
/// (`PR_SET_MDWE`, since Linux 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteExecute {
    /// Never. What any program without a just-in-time compiler takes.
    Refused,
    /// The program needs it.
    Allowed,
}

/// Whether the kernel lets the program be dumped, and traced by its equals
/// (`PR_SET_DUMPABLE`, which execve(2) sets anew).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dumpable {
    /// Never: its file must be one that it may execute and not read (mode 0711
    /// of another's, say), which is what execve(2) goes by. A readable one is
    /// not started.
    Refused,
    /// As its file's mode has it.
    Allowed,
}

/// A spec that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The name is no host name.
    #[error("name {0:?} is not 1 to 63 characters of a-z, 0-9 and -")]
    Name(String),
    /// A root that lies ready has a `/proc`, or is another's.
    #[error("its root can't lie ready: that takes one without a /proc, made for the same files")]
    ReadyRoot,
    /// A path is relative, or has `..` in it.
    #[error("path {0:?} must be absolute and without . or ..")]
    Path(PathBuf),
    /// `argv` is empty, or a string holds a NUL byte.
    #[error("argv or env: {0}")]
    Arguments(String),
    /// The one user would be root, or a user of the host.
    #[error(
        "user {inside} (outside {outside}): the id inside must not be 0, the one outside at least 100000"
    )]
    User {
        /// The id inside.
        inside: u32,
        /// The id outside.
        outside: u32,
    },
    /// A range of ids is empty, reaches ids of the host, or lacks `run_as`.
    #[error(
        "user range {outside} + {count}: the first id outside must be at least 100000, the last at most 4294967294, and run_as {run_as} below the count"
    )]
    Range {
        /// The first id outside.
        outside: u32,
        /// How many.
        count: u32,
        /// The id inside that the program would run as.
        run_as: u32,
    },
    /// Capabilities for somebody who is not the root of a range.
    #[error("capabilities need a user range with run_as 0; give it one, or no capabilities")]
    Capabilities,
    /// Something would be mounted at or below a volume or a scratch.
    #[error("{0:?} must not be / and nothing else may be mounted at or below it")]
    MountPoint(PathBuf),
    /// A limit of a scratch that would be none, or a mode that is none.
    #[error("scratch {0:?}: size and inodes must not be 0, the mode at most 0o7777")]
    Scratch(PathBuf),
    /// Port 0 to connect to.
    #[error("tcp.connect: there is no port 0; name the ports, or allow any")]
    ConnectPort,
    /// The limits are above what can be used at all.
    #[error("descriptor target {0} is negative, given twice, or not below rlimits.open_files")]
    Target(i32),
    /// More descriptors than one packet is to carry.
    #[error("{0} descriptors; at most {MOST_DECLARED} can be declared")]
    Targets(usize),
    /// A sealed sandbox is given other descriptors than it was made for.
    #[error("descriptors {given:?} are given, but {declared:?} were declared")]
    Given {
        /// The numbers that it was sealed with, in order.
        declared: Vec<i32>,
        /// Those of the start, in order.
        given: Vec<i32>,
    },
    /// A cgroup's path would leave its hierarchy.
    #[error("cgroup {0:?} must be relative to the hierarchy's mount, without . or ..")]
    Cgroup(PathBuf),
    /// The policy lacks a call that the start itself needs.
    #[error(
        "{policy}: the start needs {call} after the filter is in force; add it with this reason"
    )]
    PolicyLacks {
        /// The policy's name.
        policy: String,
        /// The system call.
        call: &'static str,
    },
}

/// How many descriptors may be declared.
pub(crate) const MOST_DECLARED: usize = 64;

/// How many a program starts with: those, and what is missing of 0, 1 and 2.
pub(crate) const MOST_DESCRIPTORS: usize = MOST_DECLARED + 3;

/// Calls made after the filter is loaded: the start, and saying why it failed.
const NEEDED: [&str; 3] = ["execve", "write", "exit_group"];

/// Refuses what can't be meant. `targets` are the declared descriptors' numbers.
pub(crate) fn check(spec: &Spec, targets: &[i32]) -> Result<(), SpecError> {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if spec.name.is_empty() || spec.name.len() > 63 || !spec.name.bytes().all(letters) {
        return Err(SpecError::Name(spec.name.clone()));
    }
    match &spec.root {
        Root::Directory(path) => check_path(path)?,
        Root::Entries(entries) => {
            for entry in entries {
                check_path(&entry.host)?;
                check_path(&entry.path)?;
            }
        }
    }
    for rule in &spec.paths {
        check_path(&rule.path)?;
    }
    match spec.argv.first() {
        Some(program) => check_path(Path::new(program))?,
        None => return Err(SpecError::Arguments("argv is empty".into())),
    }
    for volume in &spec.volumes {
        check_path(&volume.host)?;
        check_path(&volume.path)?;
    }
    for scratch in &spec.scratch {
        check_path(&scratch.path)?;
    }
    volumes::check(spec)?;
    spec.user.check()?;
    capabilities::check(&spec.capabilities, spec.user)?;
    network::check(&spec.network)?;
    if spec.rlimits.open_files < 3 {
        // 0, 1 and 2 are always there.
        return Err(SpecError::Target(2));
    }
    if targets.len() > MOST_DECLARED {
        return Err(SpecError::Targets(targets.len()));
    }
    for (i, &target) in targets.iter().enumerate() {
        let limit = spec.rlimits.open_files.min(1 << 20);
        if target < 0 || target as u64 >= limit || targets[..i].contains(&target) {
            return Err(SpecError::Target(target));
        }
    }
    if let Some(cgroup) = &spec.cgroup {
        let normal = |c: Component<'_>| matches!(c, Component::Normal(_));
        if cgroup.path.as_os_str().is_empty() || !cgroup.path.components().all(normal) {
            return Err(SpecError::Cgroup(cgroup.path.clone()));
        }
        check_path(&cgroup.hierarchy)?;
    }
    for call in NEEDED {
        if !spec.policy.allows(call) {
            let policy = spec.policy.name().to_owned();
            return Err(SpecError::PolicyLacks { policy, call });
        }
    }
    Ok(())
}

fn check_path(path: &Path) -> Result<(), SpecError> {
    let odd = |c| !matches!(c, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || path.components().any(odd) {
        return Err(SpecError::Path(path.to_owned()));
    }
    Ok(())
}

//! What the child does between `clone3` and `execve`, in order.
//!
//! It allocates nothing and returns only when a step failed; the step's number
//! and the error then go to the parent over a close-on-exec pipe. The policy
//! allows `write` and `exit_group`, so even a failed `execve` is reported.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use landlock::RulesetCreated;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    AccessFlags, chdir, faccessat, fchdir, pivot_root, read, sethostname, setsid, write,
};

use crate::capabilities::Kept;
use crate::path_rules::{self, Rule};
use crate::policy::Program;
use crate::root::Prepared;
use crate::spec::{Dumpable, Proc, Rlimits, WriteExecute};
use crate::sys;
use crate::weak::{Protection, kept};

/// Everything the child needs, made before the clone.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) root: Prepared,
    pub(crate) proc: Proc,
    pub(crate) rlimits: Rlimits,
    pub(crate) rules: Vec<Rule>,
    /// The descriptors and their numbers inside, by number. The descriptors
    /// themselves have numbers above all of those.
    pub(crate) fds: Vec<(OwnedFd, RawFd)>,
    pub(crate) id: u32,
    pub(crate) kept: Kept,
    pub(crate) loopback: bool,
    pub(crate) write_execute: WriteExecute,
    pub(crate) dumpable: Dumpable,
    pub(crate) filters: Vec<Program>,
    pub(crate) exec: sys::Exec,
    /// A byte arrives here once the ids are mapped.
    pub(crate) go: OwnedFd,
    /// Where a failed step is reported; above all declared numbers as well.
    pub(crate) report: OwnedFd,
}

/// The steps, in order; each names itself in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Session,
    Loopback,
    PrivateMounts,
    AttachRoot,
    MountProc,
    PivotRoot,
    DetachOldRoot,
    /// Its index says which of [`Prepared::mounts`].
    AttachMount,
    HostName,
    CgroupNamespace,
    Keyring,
    Securebits,
    DropGroups,
    SetGid,
    SetUid,
    BoundingSet,
    Capabilities,
    NoNewPrivileges,
    WriteExecute,
    UnreadableProgram,
    /// Its index says which of [`Plan::rules`].
    LandlockRule,
    Landlock,
    /// Its index says which of [`Plan::fds`].
    Descriptor,
    CloseDescriptors,
    Rlimits,
    Seccomp,
    Execve,
}

impl Step {
    const ALL: [(Step, &'static str); 27] = [
        (Step::Session, "session"),
        (Step::Loopback, "loopback"),
        (Step::PrivateMounts, "private mounts"),
        (Step::AttachRoot, "attach root"),
        (Step::MountProc, "mount /proc"),
        (Step::PivotRoot, "pivot_root"),
        (Step::DetachOldRoot, "detach old root"),
        (Step::AttachMount, "attach mount"),
        (Step::HostName, "host name"),
        (Step::CgroupNamespace, "cgroup namespace"),
        (Step::Keyring, "session keyring"),
        (Step::Securebits, "securebits"),
        (Step::DropGroups, "drop groups"),
        (Step::SetGid, "setresgid"),
        (Step::SetUid, "setresuid"),
        (Step::BoundingSet, "bounding set"),
        (Step::Capabilities, "capabilities"),
        (Step::NoNewPrivileges, "no_new_privs"),
        (Step::WriteExecute, "memory-deny-write-execute"),
        (Step::UnreadableProgram, "unreadable program"),
        (Step::LandlockRule, "landlock rule"),
        (Step::Landlock, "landlock"),
        (Step::Descriptor, "descriptor"),
        (Step::CloseDescriptors, "close descriptors"),
        (Step::Rlimits, "rlimits"),
        (Step::Seccomp, "seccomp"),
        (Step::Execve, "execve"),
    ];

    /// The step of a report, and its name.
    pub(crate) fn of(number: u8) -> Option<(Step, &'static str)> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A failed step, as it crosses the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) step: u8,
    pub(crate) index: u16,
    pub(crate) errno: i32,
}

impl Report {
    /// Bytes of one.
    pub(crate) const SIZE: usize = 7;

    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let (i, e) = (self.index.to_ne_bytes(), self.errno.to_ne_bytes());
        [self.step, i[0], i[1], e[0], e[1], e[2], e[3]]
    }

    pub(crate) fn from_bytes(b: [u8; Self::SIZE]) -> Report {
        Report {
            step: b[0],
            index: u16::from_ne_bytes([b[1], b[2]]),
            errno: i32::from_ne_bytes([b[3], b[4], b[5], b[6]]),
        }
    }
}

/// Descriptor numbers that a start without [`Protection::Descriptors`] passes on.
const INHERITED: RawFd = 4096;

struct Failure(Step, usize, Errno);

/// The whole life of the child before the program; returns its exit code.
pub(crate) fn run(plan: &Plan, ruleset: RulesetCreated) -> i32 {
    loop {
        match read(&plan.go, &mut [0]) {
            Ok(1) => break,
            Err(Errno::EINTR) => {}
            // The parent gave up and says why itself.
            _ => return 126,
        }
    }
    let Failure(step, index, errno) = enter(plan, ruleset);
    let report = Report {
        step: step as u8,
        index: index as u16,
        errno: errno as i32,
    };
    let _ = write(&plan.report, &report.to_bytes());
    127
}

fn enter(plan: &Plan, ruleset: RulesetCreated) -> Failure {
    let steps = || -> Result<(), Failure> {
        session().map_err(at(Step::Session))?;
        if plan.loopback {
            sys::loopback_up().map_err(at(Step::Loopback))?;
        }
        enter_root(plan)?;
        sethostname(plan.name.as_str()).map_err(at(Step::HostName))?;
        // Not in the clone: there the namespace's root would be the parent's
        // cgroup, since the move into the new one comes later.
        unshare(CloneFlags::CLONE_NEWCGROUP).map_err(at(Step::CgroupNamespace))?;
        if kept(Protection::Keyring) {
            sys::new_session_keyring().map_err(at(Step::Keyring))?;
        }
        drop_privileges(plan)?;
        if kept(Protection::Landlock) {
            restrict_paths(plan, ruleset)?;
        } else {
            // Its descriptor is closed with all others.
            std::mem::forget(ruleset);
        }
        keep_only_declared(plan)?;
        // Late: a small limit on descriptors would stop the steps before.
        limit(plan.rlimits).map_err(at(Step::Rlimits))?;
        if !kept(Protection::Seccomp) {
            return Ok(());
        }
        let mut filters = plan.filters.iter();
        filters
            .try_for_each(|filter| sys::seccomp(filter))
            .map_err(at(Step::Seccomp))
    };
    match steps() {
        Err(failure) => failure,
        Ok(()) => Failure(Step::Execve, 0, plan.exec.run()),
    }
}

fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure(step, 0, errno)
}

fn session() -> Result<(), Errno> {
    setsid()?;
    umask(Mode::from_bits_truncate(0o077));
    sys::default_sigpipe()?;
    SigSet::empty().thread_set_mask()
}

/// From here on, `/` is the sandbox's root and nothing else is mounted.
fn enter_root(plan: &Plan) -> Result<(), Failure> {
    let none = None::<&CStr>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, c"/", none, private, none).map_err(at(Step::PrivateMounts))?;
    let root = plan.root.root.as_fd();
    sys::move_mount(root, c"/").map_err(at(Step::AttachRoot))?;
    fchdir(root).map_err(at(Step::AttachRoot))?;
    if plan.proc == Proc::OwnPids && kept(Protection::PidNamespace) {
        // Before the host's /proc is gone: the kernel gives a user namespace
        // one only where one is in sight already.
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let options = Some(c"subset=pid,hidepid=invisible");
        mount(Some(c"proc"), c"proc", Some(c"proc"), flags, options)
            .map_err(at(Step::MountProc))?;
    }
    // pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on the
    // new one and is taken off again.
    pivot_root(c".", c".").map_err(at(Step::PivotRoot))?;
    umount2(c".", MntFlags::MNT_DETACH).map_err(at(Step::DetachOldRoot))?;
    chdir(c"/").map_err(at(Step::DetachOldRoot))?;
    // Only now, so that a symbolic link on the way (/var/run) leads to a place
    // in this root and not in the host's, as it will for Landlock's rules.
    for (i, m) in plan.root.mounts.iter().enumerate() {
        let failed = |e| Failure(Step::AttachMount, i, e);
        sys::move_mount(m.tree.as_fd(), &m.path).map_err(failed)?;
    }
    Ok(())
}

fn limit(limits: Rlimits) -> Result<(), Errno> {
    let set = |what, most| setrlimit(what, most, most);
    if kept(Protection::Rlimits) {
        set(Resource::RLIMIT_NOFILE, limits.open_files)?;
        set(Resource::RLIMIT_FSIZE, limits.file_size)?;
    }
    set(Resource::RLIMIT_CORE, 0)
}

fn drop_privileges(plan: &Plan) -> Result<(), Failure> {
    let bounded = kept(Protection::Capabilities);
    if bounded {
        sys::set_securebits(plan.kept).map_err(at(Step::Securebits))?;
    }
    sys::setgroups_none().map_err(at(Step::DropGroups))?;
    sys::setresgid(plan.id).map_err(at(Step::SetGid))?;
    sys::setresuid(plan.id).map_err(at(Step::SetUid))?;
    let no_new_privileges = kept(Protection::NoNewPrivileges);
    if bounded {
        let capabilities = match no_new_privileges {
            true => plan.kept,
            false => plan.kept.for_filters(),
        };
        sys::limit_bounding_set(plan.kept).map_err(at(Step::BoundingSet))?;
        sys::limit_capabilities(capabilities).map_err(at(Step::Capabilities))?;
    }
    if no_new_privileges {
        sys::no_new_privileges().map_err(at(Step::NoNewPrivileges))?;
    }
    if plan.write_execute == WriteExecute::Refused && kept(Protection::WriteExecute) {
        sys::refuse_write_execute().map_err(at(Step::WriteExecute))?;
    }
    // The host's root reads everything; only a test runs as that.
    let asked = kept(Protection::Dumpable) && kept(Protection::UserNamespace);
    if plan.dumpable == Dumpable::Refused && asked {
        cannot_read(plan.exec.path()).map_err(at(Step::UnreadableProgram))?;
    }
    Ok(())
}

/// What can't be read is not dumpable once it is executed (`would_dump` in the
/// kernel's fs/exec.c), and traced only by who could trace the host's root.
fn cannot_read(program: &CStr) -> Result<(), Errno> {
    let own = AtFlags::AT_EACCESS;
    match faccessat(AT_FDCWD, program, AccessFlags::R_OK, own) {
        Err(Errno::EACCES) => Ok(()),
        Err(other) => Err(other),
        Ok(()) => Err(Errno::EPERM),
    }
}

fn restrict_paths(plan: &Plan, mut ruleset: RulesetCreated) -> Result<(), Failure> {
    for (i, rule) in plan.rules.iter().enumerate() {
        let failed = |e| Failure(Step::LandlockRule, i, e);
        path_rules::allow(&mut ruleset, rule).map_err(failed)?;
    }
    path_rules::enforce(ruleset).map_err(at(Step::Landlock))
}

/// Puts each descriptor at its number and closes every other but the report's.
fn keep_only_declared(plan: &Plan) -> Result<(), Failure> {
    for (i, (fd, target)) in plan.fds.iter().enumerate() {
        let failed = |e| Failure(Step::Descriptor, i, e);
        sys::dup_onto(fd.as_fd(), *target).map_err(failed)?;
    }
    if !kept(Protection::Descriptors) {
        return inherit_all(plan);
    }
    let close = |first, last| sys::close_range(first, last).map_err(at(Step::CloseDescriptors));
    let report = plan.report.as_raw_fd();
    let mut next = 0u32;
    for kept in plan.fds.iter().map(|(_, target)| *target).chain([report]) {
        let kept = kept as u32;
        if kept > next {
            close(next, kept - 1)?;
        }
        next = kept + 1;
    }
    close(next, u32::MAX)
}

/// Every descriptor but the report's stays open in the program.
fn inherit_all(plan: &Plan) -> Result<(), Failure> {
    let report = plan.report.as_raw_fd();
    let all = (0..INHERITED).filter(|fd| *fd != report);
    for fd in all {
        match sys::keep_across_exec(fd) {
            Ok(()) | Err(Errno::EBADF) => {}
            Err(e) => return Err(at(Step::CloseDescriptors)(e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_own_place_in_the_table_of_names() {
        for (number, (step, name)) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number, "{name}");
        }
        assert_eq!(Step::Execve as usize + 1, Step::ALL.len());
    }

    #[test]
    fn a_report_crosses_the_pipe_whole() {
        let report = Report {
            step: 7,
            index: 300,
            errno: 13,
        };
        assert_eq!(Report::from_bytes(report.to_bytes()), report);
    }
}

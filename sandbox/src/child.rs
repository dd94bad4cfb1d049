//! What the child does between `clone3` and `execve`, in order: it seals itself
//! in, waits for its descriptors, and runs the program.
//!
//! It allocates nothing and returns only when a step failed; the step's number
//! and the error then go to the parent over a close-on-exec pipe. The policy
//! allows `write` and `exit_group`, so even a failed `execve` is reported.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

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

use crate::bpf::Program;
use crate::capabilities::Kept;
use crate::path_rules::{self, Rule};
use crate::root::Prepared;
use crate::spec::{Dumpable, MOST_DESCRIPTORS, Proc, Rlimits, WriteExecute};
use crate::step::{Report, Step};
use crate::sys;
use crate::weak::{Protection, kept};

/// Everything the child needs, made before the clone.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) root: Prepared,
    pub(crate) proc: Proc,
    pub(crate) rlimits: Rlimits,
    pub(crate) rules: Vec<Rule>,
    /// The numbers of its descriptors, in ascending order, 0 to 2 among them.
    pub(crate) targets: Vec<RawFd>,
    /// Above all of those.
    pub(crate) above: RawFd,
    pub(crate) id: u32,
    pub(crate) kept: Kept,
    pub(crate) loopback: bool,
    pub(crate) write_execute: WriteExecute,
    pub(crate) dumpable: Dumpable,
    pub(crate) filter: Program,
    pub(crate) exec: sys::Exec,
    /// A packet arrives here once the ids are mapped, and a second with the
    /// descriptors. Its number is [`Plan::above`] or more.
    pub(crate) socket: OwnedFd,
    /// Where it says that it is sealed, or which step failed; above as well.
    pub(crate) report: OwnedFd,
}

/// Descriptor numbers that a start without [`Protection::Descriptors`] passes on.
const INHERITED: RawFd = 4096;

/// Exit code of a child whose parent is gone or gave up.
const ABANDONED: i32 = 126;

struct Failure(Step, usize, Errno);

/// The whole life of the child before the program; returns its exit code.
pub(crate) fn run(plan: &Plan, ruleset: RulesetCreated) -> i32 {
    let Failure(step, index, errno) = match live(plan, ruleset) {
        Err(failure) => failure,
        // The parent gave up and says why itself.
        Ok(()) => return ABANDONED,
    };
    let report = Report {
        step: step as u8,
        index: index as u16,
        errno: errno as i32,
    };
    let _ = write(&plan.report, &report.to_bytes());
    127
}

/// `Ok` if the parent is gone, or wants no program any more.
fn live(plan: &Plan, ruleset: RulesetCreated) -> Result<(), Failure> {
    let mut ruleset = ruleset;
    enter(plan, &mut ruleset)?;
    if !may_go_on(plan) {
        return Ok(());
    }
    seal(plan, ruleset)?;
    let _ = write(&plan.report, &Report::SEALED.to_bytes());
    match hand_over(plan)? {
        false => Ok(()),
        true => Err(Failure(Step::Execve, 0, plan.exec.run())),
    }
}

/// Waits until the parent mapped the ids and prepared what it wants to.
fn may_go_on(plan: &Plan) -> bool {
    loop {
        match read(&plan.socket, &mut [0]) {
            Ok(1) => return true,
            Err(Errno::EINTR) => {}
            _ => return false,
        }
    }
}

/// What takes namespaces but no ids, so that the parent maps these meanwhile. Ideally it
/// has done so by the end of this: to sleep and be woken takes longer than any step.
fn enter(plan: &Plan, ruleset: &mut RulesetCreated) -> Result<(), Failure> {
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
    if kept(Protection::Landlock) {
        for (i, rule) in plan.rules.iter().enumerate() {
            let failed = |e| Failure(Step::LandlockRule, i, e);
            path_rules::allow(ruleset, rule).map_err(failed)?;
        }
    }
    if kept(Protection::Capabilities) {
        sys::limit_bounding_set(plan.kept).map_err(at(Step::BoundingSet))?;
    }
    Ok(())
}

/// All else that can be done without the descriptors. Afterwards it holds none but
/// the socket and the report's.
fn seal(plan: &Plan, ruleset: RulesetCreated) -> Result<(), Failure> {
    drop_privileges(plan)?;
    if kept(Protection::Landlock) {
        path_rules::enforce(ruleset).map_err(at(Step::Landlock))?;
    } else {
        // Its descriptor is closed with all others.
        std::mem::forget(ruleset);
    }
    match kept(Protection::Descriptors) {
        true => {
            let mut open = [plan.socket.as_raw_fd(), plan.report.as_raw_fd()];
            open.sort_unstable();
            close_all_but(open.into_iter())
        }
        false => Ok(()),
    }
}

/// Waits for the descriptors, and does what the wait for them would not survive.
/// False if the parent is gone, or wants no program any more.
fn hand_over(plan: &Plan) -> Result<bool, Failure> {
    let mut received = [-1; MOST_DESCRIPTORS];
    let count = sys::receive(plan.socket.as_fd(), &mut received).map_err(at(Step::Receive))?;
    let Some(count) = count else {
        return Ok(false);
    };
    if count != plan.targets.len() {
        return Err(at(Step::Receive)(Errno::EPROTO));
    }
    keep_only_declared(plan, &mut received[..count])?;
    // Late: a small limit on descriptors would stop the steps before.
    limit(plan.rlimits).map_err(at(Step::Rlimits))?;
    if kept(Protection::Seccomp) {
        sys::seccomp(&plan.filter).map_err(at(Step::Seccomp))?;
    }
    Ok(true)
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
    if let Some(root) = &plan.root.root {
        let own_pids = plan.proc == Proc::OwnPids && kept(Protection::PidNamespace);
        leave_host(root.as_fd(), own_pids)?;
    }
    attach(&plan.root)
}

/// Makes `pieces`, of which the root is one, all that is mounted for this thread: it has a
/// mount namespace of its own, and no other thread its root directory.
pub(crate) fn make_root(pieces: &Prepared) -> io::Result<()> {
    let root = pieces.root.as_ref().ok_or(Errno::EINVAL)?;
    let made = leave_host(root.as_fd(), false).and_then(|()| attach(pieces));
    made.map_err(|Failure(step, index, errno)| {
        let name = Step::of(step as u8).map_or("", |(_, name)| name);
        let path = pieces
            .mounts
            .get(index)
            .filter(|_| step == Step::AttachMount);
        let path = path.map(|mount| mount.path.to_string_lossy());
        io::Error::other(format!("{name} {}: {errno}", path.unwrap_or_default()))
    })
}

fn leave_host(root: BorrowedFd<'_>, own_pids: bool) -> Result<(), Failure> {
    let none = None::<&CStr>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, c"/", none, private, none).map_err(at(Step::PrivateMounts))?;
    sys::move_mount(root, c"/").map_err(at(Step::AttachRoot))?;
    fchdir(root).map_err(at(Step::AttachRoot))?;
    if own_pids {
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
    chdir(c"/").map_err(at(Step::DetachOldRoot))
}

/// Only in the new root, so that a symbolic link on the way (/var/run) leads to a
/// place in this root and not in the host's, as it will for Landlock's rules.
fn attach(pieces: &Prepared) -> Result<(), Failure> {
    for (i, m) in pieces.mounts.iter().enumerate() {
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

/// Puts each descriptor at its number and closes every other but the report's.
fn keep_only_declared(plan: &Plan, received: &mut [RawFd]) -> Result<(), Failure> {
    // Sent in the order of their targets, they mostly arrive at these. First the others out
    // of the way: one's number may be another's target.
    for (i, (fd, target)) in received.iter_mut().zip(&plan.targets).enumerate() {
        if fd != target {
            *fd = sys::raise(*fd, plan.above).map_err(|e| Failure(Step::Descriptor, i, e))?;
        }
    }
    for (i, (fd, target)) in received.iter().zip(&plan.targets).enumerate() {
        if fd != target {
            sys::dup_onto(*fd, *target).map_err(|e| Failure(Step::Descriptor, i, e))?;
        }
    }
    if !kept(Protection::Descriptors) {
        return inherit_all(plan);
    }
    let report = plan.report.as_raw_fd();
    close_all_but(plan.targets.iter().copied().chain([report]))
}

/// `open` is in ascending order.
fn close_all_but(open: impl Iterator<Item = RawFd>) -> Result<(), Failure> {
    let close = |first, last| sys::close_range(first, last).map_err(at(Step::CloseDescriptors));
    let mut next = 0u32;
    for kept in open {
        let kept = kept as u32;
        if kept > next {
            close(next, kept - 1)?;
        }
        next = kept + 1;
    }
    close(next, u32::MAX)
}

/// Every descriptor but the socket and the report's stays open in the program.
fn inherit_all(plan: &Plan) -> Result<(), Failure> {
    let own = [plan.socket.as_raw_fd(), plan.report.as_raw_fd()];
    let all = (0..INHERITED).filter(|fd| !own.contains(fd));
    for fd in all {
        match sys::keep_across_exec(fd) {
            Ok(()) | Err(Errno::EBADF) => {}
            Err(e) => return Err(at(Step::CloseDescriptors)(e)),
        }
    }
    Ok(())
}

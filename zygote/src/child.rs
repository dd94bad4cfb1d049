//! What a child gives up before it reads its message, in order.
//!
//! It is a fork of a process without threads, so it may allocate. It is PID 1
//! of its namespace: signals whose action is the default do not reach it, but
//! SIGKILL from outside, the CPU limit and seccomp do.

use std::os::fd::{AsRawFd, OwnedFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::{set_dumpable, set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{chdir, chroot, pipe2, write};

use crate::filter::Filter;
use crate::huge_pages::HugePages;
use crate::protocol::{FIRST_HANDED, MOST_HANDED};
use crate::sys;
use crate::weak::{self, kept};

/// Where a child finds its socket.
const SOCKET: i32 = 3;

/// Where a child finds its seed, at the end of a pipe.
const SEED: i32 = 4;

/// Above every number that a child uses; below its limit of open files.
const ABOVE: i32 = 64;

/// The directory of the root that has nothing in it.
const EMPTY: &str = "/empty";

/// A child's exit code is this and the number of the step that failed.
const FAILED: i32 = 64;

/// The steps, in order; each is a distinct exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    HugePages,
    Descriptors,
    Seed,
    ParentDeath,
    Rlimits,
    Chroot,
    Securebits,
    Capabilities,
    NoNewPrivileges,
    NotDumpable,
    WriteExecute,
    Landlock,
    Seccomp,
}

impl Step {
    const ALL: [(Step, &'static str); 13] = [
        (Step::HugePages, "huge pages"),
        (Step::Descriptors, "descriptors"),
        (Step::Seed, "seed"),
        (Step::ParentDeath, "parent-death signal"),
        (Step::Rlimits, "rlimits"),
        (Step::Chroot, "chroot /empty"),
        (Step::Securebits, "securebits"),
        (Step::Capabilities, "capabilities"),
        (Step::NoNewPrivileges, "no_new_privs"),
        (Step::NotDumpable, "not dumpable"),
        (Step::WriteExecute, "memory-deny-write-execute"),
        (Step::Landlock, "landlock"),
        (Step::Seccomp, "seccomp"),
    ];

    /// The exit code that names this step.
    pub(crate) fn code(self) -> i32 {
        FAILED + self as i32
    }

    /// The name of the step that an exit code stands for.
    pub(crate) fn of_code(code: i32) -> Option<&'static str> {
        let index = usize::try_from(code - FAILED).ok()?;
        Self::ALL.get(index).map(|(_, name)| *name)
    }
}

/// Locks this process down and leaves it `socket` at 3, a seed at 4 and `handed`
/// from 5 on. The descriptors that the caller owned are gone; it must forget
/// them.
pub(crate) fn lock(
    socket: OwnedFd,
    handed: Vec<OwnedFd>,
    filter: &Filter,
    huge_pages: &HugePages,
) -> Result<(), Step> {
    let at = |step| move |_| step;
    huge_pages.look().map_err(at(Step::HugePages))?;
    keep_only(socket, handed).map_err(at(Step::Descriptors))?;
    seed().map_err(at(Step::Seed))?;
    set_pdeathsig(Signal::SIGKILL).map_err(at(Step::ParentDeath))?;
    let take = |step: Step, work: fn() -> Result<(), Errno>| match kept(step) {
        true => work().map_err(at(step)),
        false => Ok(()),
    };
    take(Step::Rlimits, limit)?;
    take(Step::Chroot, || chroot(EMPTY).and_then(|()| chdir("/")))?;
    take(Step::Securebits, sys::lock_securebits)?;
    take(Step::Capabilities, || {
        sys::clear_ambient_set()?;
        if weak::namespaces() {
            sys::drop_bounding_set()?;
        }
        sys::drop_capabilities()
    })?;
    take(Step::NoNewPrivileges, set_no_new_privs)?;
    take(Step::NotDumpable, || set_dumpable(false))?;
    take(Step::WriteExecute, sys::refuse_write_execute)?;
    if kept(Step::Landlock) {
        landlock().ok_or(Step::Landlock)?;
    }
    if kept(Step::Seccomp) {
        filter.install().map_err(|_| Step::Seccomp)?;
    }
    Ok(())
}

/// The socket at 3, what was handed over from 5 on, what the zygote has at 0
/// (`/dev/null`) also at 1 and 2, so that no child writes into the log, and
/// nothing else.
fn keep_only(socket: OwnedFd, handed: Vec<OwnedFd>) -> Result<(), Errno> {
    if handed.len() > MOST_HANDED {
        return Err(Errno::EMFILE);
    }
    let numbers = [SOCKET].into_iter().chain(FIRST_HANDED..);
    let mut moves = Vec::new();
    for (fd, to) in [socket].into_iter().chain(handed).zip(numbers) {
        // Out of the way first: one may be where another has to go.
        moves.push((fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE))?, to));
        std::mem::forget(fd);
    }
    for (from, to) in &moves {
        sys::dup_onto(*from, *to)?;
    }
    sys::dup_onto(0, 1)?;
    sys::dup_onto(0, 2)?;
    sys::close_range(SEED as u32, SEED as u32)?;
    if !kept(Step::Descriptors) {
        return Ok(());
    }
    let last = moves.iter().map(|(_, to)| *to).fold(SEED, i32::max);
    sys::close_range(last as u32 + 1, u32::MAX)
}

/// A seed for Perl, which can't ask the kernel for one: there is no device.
fn seed() -> Result<(), Errno> {
    let mut bytes = [0; 16];
    sys::random(&mut bytes)?;
    let (read, in_pipe) = pipe2(OFlag::empty())?;
    if read.as_raw_fd() != SEED {
        return Err(Errno::EBADF);
    }
    write(&in_pipe, &bytes)?;
    // Perl reads it by its number.
    std::mem::forget(read);
    Ok(())
}

/// Limits of setrlimit(2), for good: what a child leaves as they are, it can't
/// raise either. A scan takes 3 s and 200 MB at worst on a PC.
fn limit() -> Result<(), Errno> {
    let set = |what, most| setrlimit(what, most, most);
    set(Resource::RLIMIT_CPU, 30)?;
    set(Resource::RLIMIT_FSIZE, 0)?;
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_NPROC, 0)?;
    set(Resource::RLIMIT_NOFILE, 8 + MOST_HANDED as u64)?;
    set(Resource::RLIMIT_AS, 420 << 20)
}

/// Everything that Landlock of Linux 6.12 can refuse is refused.
fn landlock() -> Option<()> {
    let abi = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .restrict_self()
    };
    let status = restrict().ok()?;
    (status.ruleset == RulesetStatus::FullyEnforced).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_an_exit_code_of_its_own_and_its_name() {
        for (number, (step, name)) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, number, "{name}");
            assert_eq!(Step::of_code(step.code()), Some(name));
        }
        assert_eq!(Step::of_code(0), None);
        assert_eq!(Step::of_code(1), None);
    }
}

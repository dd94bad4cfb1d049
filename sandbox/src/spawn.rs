//! The parent's part of a start: everything up to the clone, and the ids.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{Pid, pipe2, write};

use crate::capabilities::Kept;
use crate::cgroup::Group;
use crate::child::{self, Plan};
use crate::error::SandboxError;
use crate::handle::Child;
use crate::ids;
use crate::network;
use crate::path_rules::{self, Rule};
use crate::ready_networks;
use crate::ready_root::ReadyRoot;
use crate::root::{self, Failed};
use crate::sealed::{Sealed, Words};
use crate::spec::{self, Access, Spec, SpecError};
use crate::sys;
use crate::weak::{Protection, kept};

/// Starts `spec.argv` in a sandbox that holds exactly `fds`, each at its
/// number; of 0, 1 and 2 those not given are `/dev/null`, because programs
/// write to them unasked. The descriptors are consumed, whatever happens.
///
/// Returns once the program itself runs (`execve` succeeded). The caller must
/// be root and should not reap children that it does not know.
pub fn spawn(spec: &Spec, fds: Vec<(OwnedFd, RawFd)>) -> Result<Child, SandboxError> {
    spawn_prepared(spec, fds, |_| Ok(()))
}

/// As [`spawn`], and runs `prepare` here once the child's namespaces exist and
/// its ids are mapped, before it takes them: the time to move an interface into
/// its network. The pid is the child's here; nothing of the sandbox's program
/// runs yet, but the child enters its root meanwhile. An error of `prepare` stops the start, as step "prepare".
pub fn spawn_prepared(
    spec: &Spec,
    fds: Vec<(OwnedFd, RawFd)>,
    prepare: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Child, SandboxError> {
    spawn_within(START, &Place::Host, spec, fds, prepare)
}

/// Does all of a start that can be done before the descriptors are there: they
/// will have the numbers `targets`, at most 64. The sandbox waits, holding no
/// descriptor but its end of a socket and of a pipe, and ends with the caller.
/// Who may call this, and when, is as for [`spawn`].
pub fn seal(spec: &Spec, targets: &[RawFd]) -> Result<Sealed, SandboxError> {
    seal_in(&Place::Host, spec, targets)
}

/// Where a sandbox begins.
pub(crate) enum Place<'a> {
    /// Among the host's mounts, which it takes off.
    Host,
    /// In its root.
    Ready(&'a ReadyRoot),
}

pub(crate) fn seal_in(
    place: &Place<'_>,
    spec: &Spec,
    targets: &[RawFd],
) -> Result<Sealed, SandboxError> {
    let mut sealed = begin(place, spec, targets, |_| Ok(()))?;
    sealed.wait(START)?;
    Ok(sealed)
}

pub(crate) fn spawn_in(
    place: &Place<'_>,
    spec: &Spec,
    fds: Vec<(OwnedFd, RawFd)>,
) -> Result<Child, SandboxError> {
    spawn_within(START, place, spec, fds, |_| Ok(()))
}

/// How long a child may take from its ids until it is sealed, or from its
/// descriptors to `execve`. It waits for nothing there but disks, so one that
/// takes longer never comes.
pub(crate) const START: Duration = Duration::from_secs(10);

fn spawn_within(
    limit: Duration,
    place: &Place<'_>,
    spec: &Spec,
    fds: Vec<(OwnedFd, RawFd)>,
    prepare: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Child, SandboxError> {
    let targets: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
    // The descriptors are sent without waiting for it to be sealed.
    begin(place, spec, &targets, prepare)?.start_within(limit, fds)
}

/// Makes the child, maps its ids and lets it go on to seal itself in. `prepare` is for
/// [`Place::Host`] alone.
fn begin(
    place: &Place<'_>,
    spec: &Spec,
    targets: &[RawFd],
    prepare: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Sealed, SandboxError> {
    let sandbox = || spec.name.clone();
    let failed = |step: &str, source: io::Error| SandboxError::Step {
        sandbox: sandbox(),
        step: step.to_owned(),
        source,
    };
    let wrong = |source| SandboxError::Spec {
        sandbox: sandbox(),
        source,
    };
    spec::check(spec, targets).map_err(wrong)?;
    let exec = exec(spec).map_err(wrong)?;
    let rules = rules(spec).map_err(wrong)?;
    let ruleset = path_rules::ruleset(&spec.network.tcp).map_err(|e| SandboxError::Landlock {
        sandbox: sandbox(),
        source: Box::new(e),
    })?;
    let root = match place {
        Place::Host => root::prepare(spec),
        Place::Ready(_) => root::own(spec),
    };
    let root = root.map_err(|Failed { step, source }| failed(&step, source))?;
    let mut declared = targets.to_vec();
    declared.sort_unstable();
    let mut targets: Vec<RawFd> = declared.iter().copied().chain(0..3).collect();
    targets.sort_unstable();
    targets.dedup();
    let above = targets.last().map_or(0, |last| last + 1);
    let pair = || -> io::Result<_> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC)?;
        let theirs = sys::dup_from(theirs.as_fd(), above)?;
        let report_write = sys::dup_from(report_write.as_fd(), above)?;
        Ok((ours, theirs, report_read, report_write))
    };
    let (ours, theirs, report_read, report_write) = pair().map_err(|e| failed("descriptors", e))?;

    let cgroup = |source| SandboxError::Cgroup {
        sandbox: sandbox(),
        source,
    };
    let group = spec.cgroup.as_ref().map(Group::create).transpose();
    let group = group.map_err(cgroup)?;
    let group_dir = group.as_ref().map(Group::open).transpose();
    let group_dir = group_dir.map_err(cgroup)?;

    let mut plan = Plan {
        name: spec.name.clone(),
        root,
        proc: spec.proc,
        rlimits: spec.rlimits,
        rules,
        targets,
        above,
        id: run_as(spec),
        kept: match kept(Protection::UserNamespace) {
            true => Kept::of(&spec.capabilities),
            false => Kept::of(&[]),
        },
        loopback: spec.network.loopback && kept(Protection::NetworkNamespace),
        write_execute: spec.write_execute,
        dumpable: spec.dumpable,
        filter: spec.policy.program().clone(),
        exec,
        socket: theirs,
        report: report_write,
    };
    let network = ready_networks::take(spec);
    let mut namespaces = namespaces();
    if network.is_some() {
        namespaces.remove(CloneFlags::CLONE_NEWNET);
    }
    let group_fd = group_dir.as_ref().map(|dir| dir.as_fd());
    let parents_end = &ours;
    let proc = ids::proc().map_err(|e| failed("open /proc", e.into()))?;
    let own_ids = kept(Protection::UserNamespace);
    let map = |pid| match own_ids {
        true => spec.user.in_force().map_into(proc, pid),
        false => Ok(()),
    };
    let let_go = || write(parents_end, &[1]);
    // The child soon waits: where nothing else is to be done, it goes on before this
    // thread comes back from where it was made.
    let is_all = matches!(place, Place::Ready(_)) && !spec.network.unprivileged_ports;
    let clone = || {
        let (pid, pidfd) = sys::clone3(namespaces.bits() as u64, group_fd, || {
            // Or the child would wait for what only it could still send.
            let number = parents_end.as_raw_fd() as u32;
            let _ = sys::close_range(number, number);
            child::run(&plan, ruleset)
        })?;
        let mapped = map(pid);
        let gone = match is_all && mapped.is_ok() {
            true => let_go().map(drop),
            false => Ok(()),
        };
        Ok((pid, pidfd, mapped, gone))
    };
    let clone = || match place {
        Place::Host => clone(),
        Place::Ready(root) => root.within(clone),
    };
    let cloned = match &network {
        Some(network) => ready_networks::within(network, clone),
        None => clone(),
    };
    let (pid, pidfd, mapped, gone) = cloned.map_err(|e| failed("clone3", e.into()))?;
    // From here on, dropping the child is what cleans up.
    let child = Child::new(&spec.name, pid, pidfd, group);
    // Closes the child's ends here, so that its exec or end is seen.
    let words = Words::new(spec, &plan);
    let copy = plan.root.copy.take();
    drop(plan);
    let prepared = || {
        mapped.map_err(|e| failed("map ids", e.into()))?;
        gone.map_err(|e| failed("start", e.into()))?;
        if is_all {
            return Ok(());
        }
        if spec.network.unprivileged_ports && kept(Protection::NetworkNamespace) {
            let done = network::unprivileged_ports(child.pidfd());
            done.map_err(|e| failed("unprivileged ports", e))?;
        }
        prepare(pid).map_err(|e| failed("prepare", e))?;
        let_go().map(drop).map_err(|e| failed("start", e.into()))
    };
    let prepared = prepared();
    let mut sealed = Sealed::new(child, ours, report_read, declared, words, copy);
    match prepared {
        Ok(()) => Ok(sealed),
        // Before it is let go it reports only what went wrong in it: the cause.
        Err(error) if sealed.has_ended() => Err(sealed.wait(START).err().unwrap_or(error)),
        Err(error) => Err(error),
    }
}

/// The namespaces that every sandbox has of its own; a cgroup namespace follows.
/// The network's may lie ready: [`ready_networks`].
fn namespaces() -> CloneFlags {
    let mut all = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    for (protection, flag) in [
        (Protection::UserNamespace, CloneFlags::CLONE_NEWUSER),
        (Protection::PidNamespace, CloneFlags::CLONE_NEWPID),
        (Protection::NetworkNamespace, CloneFlags::CLONE_NEWNET),
        (Protection::IpcNamespace, CloneFlags::CLONE_NEWIPC),
    ] {
        all.set(flag, kept(protection));
    }
    all
}

/// The id that the child takes, in the user namespace that it is in.
fn run_as(spec: &Spec) -> u32 {
    let own = kept(Protection::UserNamespace);
    match spec.user.on_host(spec.user.run_as()) {
        Some(outside) if !own && kept(Protection::Capabilities) => outside,
        _ => spec.user.in_force().run_as(),
    }
}

fn exec(spec: &Spec) -> Result<sys::Exec, SpecError> {
    let text = |s: String| {
        CString::new(s.clone()).map_err(|_| SpecError::Arguments(format!("{s:?} holds a NUL byte")))
    };
    let argv = spec.argv.iter().cloned().map(text);
    let argv = argv.collect::<Result<Vec<_>, _>>()?;
    let env = spec.env.iter().map(|(key, value)| {
        if key.is_empty() || key.contains('=') {
            return Err(SpecError::Arguments(format!(
                "{key:?} is no variable's name"
            )));
        }
        text(format!("{key}={value}"))
    });
    Ok(sys::Exec::new(argv, env.collect::<Result<_, _>>()?))
}

fn rules(spec: &Spec) -> Result<Vec<Rule>, SpecError> {
    let paths = spec.paths.iter().map(|rule| {
        let rights = match rule.access {
            Access::Read => path_rules::read(),
            Access::Execute => path_rules::execute(),
        };
        (rule.path.as_path(), rights)
    });
    let volumes = spec.volumes.iter().map(|volume| {
        let rights = match volume.writable {
            _ if !kept(Protection::Volumes) => path_rules::everything(),
            true => path_rules::read_write(),
            false => path_rules::read(),
        };
        (volume.path.as_path(), rights)
    });
    let scratch = spec.scratch.iter();
    let scratch = scratch.map(|s| {
        let rights = match kept(Protection::Volumes) {
            true => path_rules::read_write(),
            false => path_rules::everything(),
        };
        (s.path.as_path(), rights)
    });
    let devices = spec.devices.iter();
    let devices = devices.map(|d| (Path::new(d.path()), path_rules::device()));
    let mut rules = Vec::new();
    for (path, rights) in paths.chain(volumes).chain(scratch).chain(devices) {
        let text = CString::new(path.as_os_str().as_bytes());
        let text = text.map_err(|_| SpecError::Path(path.to_owned()))?;
        rules.push(Rule { path: text, rights });
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::User;
    use crate::spec::{Dumpable, Proc, Rlimits, Root, WriteExecute};
    use nix::sys::signal::{Signal, kill};
    use std::time::Instant;

    #[test]
    fn a_child_that_does_not_reach_its_program_is_killed_in_time() {
        let spec = Spec {
            name: "stuck".into(),
            root: Root::Directory("/".into()),
            volumes: vec![],
            scratch: vec![],
            devices: vec![],
            proc: Proc::Absent,
            argv: vec!["/bin/true".into()],
            env: vec![],
            cgroup: None,
            user: User::One {
                inside: 1000,
                outside: 200_000,
            },
            capabilities: vec![],
            network: network::Network::default(),
            rlimits: Rlimits {
                open_files: 16,
                file_size: 0,
            },
            paths: vec![],
            policy: crate::console_policy().unwrap(),
            write_execute: WriteExecute::Refused,
            dumpable: Dumpable::Allowed,
        };
        let mut stopped = Pid::from_raw(0);
        let stop = |pid| {
            stopped = pid;
            Ok(kill(pid, Signal::SIGSTOP)?)
        };
        let limit = Duration::from_millis(200);
        let begin = Instant::now();
        let error = spawn_within(limit, &Place::Host, &spec, vec![], stop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sandbox stuck: step \"start\": the program did not run within 200ms; killed"
        );
        assert!(begin.elapsed() >= limit);
        assert!(std::fs::metadata(format!("/proc/{stopped}")).is_err());
    }
}

//! The one entry: prepare, clone, map the ids, wait for `execve` or its error.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::unistd::{Pid, pipe2, read, write};

use crate::capabilities::Kept;
use crate::cgroup::{CgroupError, Group};
use crate::child::{self, Plan, Report, Step};
use crate::handle::Child;
use crate::network;
use crate::path_rules::{self, Rule};
use crate::root::{self, Failed};
use crate::spec::{self, Access, Spec, SpecError};
use crate::sys;
use crate::weak::{Protection, kept};

/// Why a sandbox did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The spec can't be meant.
    #[error("sandbox {sandbox}: {source}")]
    Spec {
        /// The spec's name.
        sandbox: String,
        /// What is wrong.
        #[source]
        source: SpecError,
    },
    /// A step failed, in the parent or in the child.
    #[error("sandbox {sandbox}: step {step:?}: {}", named(source))]
    Step {
        /// The spec's name.
        sandbox: String,
        /// The step, with the path or number that it was about.
        step: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel can't enforce Landlock in full.
    #[error(
        "sandbox {sandbox}: step \"landlock\": {source}; the kernel must be 6.12 or later, with landlock in lsm="
    )]
    Landlock {
        /// The spec's name.
        sandbox: String,
        /// What is missing.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cgroup or a limit can't be made.
    #[error("sandbox {sandbox}: step \"cgroup\": {source}")]
    Cgroup {
        /// The spec's name.
        sandbox: String,
        /// The file, and why.
        #[source]
        source: CgroupError,
    },
}

/// `EPERM: Operation not permitted`, as programmers search for it.
fn named(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).to_string(),
        None => error.to_string(),
    }
}

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
/// its ids are mapped, before it goes on: the time to move an interface into
/// its network. The pid is the child's here; nothing of the sandbox's program
/// runs yet. An error of `prepare` stops the start, as step "prepare".
pub fn spawn_prepared(
    spec: &Spec,
    fds: Vec<(OwnedFd, RawFd)>,
    prepare: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Child, SandboxError> {
    spawn_within(START, spec, fds, prepare)
}

/// How long a child may take from its ids to `execve`. It waits for nothing
/// there but disks, so one that takes longer never comes.
const START: Duration = Duration::from_secs(10);

fn spawn_within(
    limit: Duration,
    spec: &Spec,
    fds: Vec<(OwnedFd, RawFd)>,
    prepare: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<Child, SandboxError> {
    let sandbox = || spec.name.clone();
    let failed = |step: &str, source: io::Error| SandboxError::Step {
        sandbox: sandbox(),
        step: step.to_owned(),
        source,
    };
    let targets: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
    let wrong = |source| SandboxError::Spec {
        sandbox: sandbox(),
        source,
    };
    spec::check(spec, &targets).map_err(wrong)?;
    let exec = exec(spec).map_err(wrong)?;
    let rules = rules(spec).map_err(wrong)?;
    let ruleset = path_rules::ruleset(&spec.network.tcp).map_err(|e| SandboxError::Landlock {
        sandbox: sandbox(),
        source: Box::new(e),
    })?;
    let root = root::prepare(spec).map_err(|Failed { step, source }| failed(&step, source))?;
    let pipes = || -> io::Result<_> {
        let (go_read, go_write) = pipe2(OFlag::O_CLOEXEC)?;
        let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC)?;
        let above = targets.iter().copied().max().unwrap_or(0).max(2) + 1;
        let report_write = sys::dup_from(report_write.as_fd(), above)?;
        Ok((
            go_read,
            go_write,
            report_read,
            report_write,
            raised(fds, above)?,
        ))
    };
    let (go_read, go_write, report_read, report_write, fds) =
        pipes().map_err(|e| failed("descriptors", e))?;

    let cgroup = |source| SandboxError::Cgroup {
        sandbox: sandbox(),
        source,
    };
    let group = spec.cgroup.as_ref().map(Group::create).transpose();
    let group = group.map_err(cgroup)?;
    let group_dir = group.as_ref().map(Group::open).transpose();
    let group_dir = group_dir.map_err(cgroup)?;

    let plan = Plan {
        name: spec.name.clone(),
        root,
        proc: spec.proc,
        rlimits: spec.rlimits,
        rules,
        fds,
        id: run_as(spec),
        kept: match kept(Protection::UserNamespace) {
            true => Kept::of(&spec.capabilities),
            false => Kept::of(&[]),
        },
        loopback: spec.network.loopback && kept(Protection::NetworkNamespace),
        write_execute: spec.write_execute,
        dumpable: spec.dumpable,
        filters: spec.policy.programs().to_vec(),
        exec,
        go: go_read,
        report: report_write,
    };
    let namespaces = namespaces();
    let group_fd = group_dir.as_ref().map(|dir| dir.as_fd());
    let go_in_child = &go_write;
    let cloned = sys::clone3(namespaces.bits() as u64, group_fd, || {
        // Or the child would wait for a byte that only it could still write.
        let _ = sys::close_range(fd_number(go_in_child), fd_number(go_in_child));
        child::run(&plan, ruleset)
    });
    let (pid, pidfd) = cloned.map_err(|e| failed("clone3", e.into()))?;
    // From here on, dropping the child is what cleans up.
    let child = Child::new(&spec.name, pid, pidfd, group);
    // Closes the child's pipe ends here, so that its exec or end is seen.
    let describe = describe(spec, &plan);
    drop(plan);
    if kept(Protection::UserNamespace) {
        let user = spec.user.in_force();
        user.map_into(pid).map_err(|e| failed("map ids", e))?;
    }
    if spec.network.unprivileged_ports && kept(Protection::NetworkNamespace) {
        network::unprivileged_ports(child.pidfd()).map_err(|e| failed("unprivileged ports", e))?;
    }
    prepare(pid).map_err(|e| failed("prepare", e))?;
    write(&go_write, &[1]).map_err(|e| failed("start", e.into()))?;
    let bytes = read_to_end(&report_read, limit).map_err(|e| failed("start", e))?;
    if bytes.is_empty() {
        return Ok(child);
    }
    let report = <[u8; Report::SIZE]>::try_from(bytes.as_slice()).map(Report::from_bytes);
    let Ok(report) = report else {
        return Err(failed("start", io::Error::other("a broken report")));
    };
    let source = io::Error::from_raw_os_error(report.errno);
    Err(failed(&describe(report), source))
}

/// The namespaces that every sandbox has of its own; a cgroup namespace follows.
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

/// All that the child reports, which ends with its `execve` or its life.
fn read_to_end(report: &OwnedFd, limit: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + limit;
    let (mut bytes, mut part) = (Vec::new(), [0; 64]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent spinning.
        let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(report.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => {
                let text = format!("the program did not run within {limit:?}; killed");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Ok(_) => match read(report, &mut part)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&part[..count]),
            },
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn fd_number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd() as u32
}

/// Duplicates above all targets, sorted by target, with `/dev/null` for what is
/// missing of 0, 1 and 2.
fn raised(fds: Vec<(OwnedFd, RawFd)>, above: RawFd) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let mut all = Vec::new();
    for standard in 0..3 {
        if fds.iter().all(|(_, target)| *target != standard) {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            all.push((sys::dup_from(null.as_fd(), above)?, standard));
        }
    }
    for (fd, target) in fds {
        all.push((sys::dup_from(fd.as_fd(), above)?, target));
    }
    all.sort_by_key(|(_, target)| *target);
    Ok(all)
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
    let scratch = scratch.map(|s| (s.path.as_path(), path_rules::read_write()));
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

/// Names a report's step with what it was about.
fn describe(spec: &Spec, plan: &Plan) -> impl Fn(Report) -> String + use<> {
    let text = |s: &CString| s.to_string_lossy().into_owned();
    let mounts: Vec<String> = plan.root.mounts.iter().map(|m| text(&m.path)).collect();
    let rules: Vec<String> = plan.rules.iter().map(|r| text(&r.path)).collect();
    let fds: Vec<String> = plan.fds.iter().map(|(_, t)| t.to_string()).collect();
    let program = spec.argv.first().cloned();
    move |report| {
        let Some((step, name)) = Step::of(report.step) else {
            return format!("unknown ({})", report.step);
        };
        let index = usize::from(report.index);
        let about = match step {
            Step::AttachMount => mounts.get(index).map(|path| format!("/{path}")),
            Step::LandlockRule => rules.get(index).cloned(),
            Step::Descriptor => fds.get(index).cloned(),
            Step::UnreadableProgram | Step::Execve => program.clone(),
            _ => None,
        };
        match about {
            Some(about) => format!("{name} {about}"),
            None => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::User;
    use crate::spec::{Dumpable, Proc, Rlimits, Root, WriteExecute};
    use nix::sys::signal::{Signal, kill};

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
            policy: crate::policy::load_str("console.seccomp", crate::CONSOLE).unwrap(),
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
        let error = spawn_within(limit, &spec, vec![], stop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "sandbox stuck: step \"start\": the program did not run within 200ms; killed"
        );
        assert!(begin.elapsed() >= limit);
        assert!(std::fs::metadata(format!("/proc/{stopped}")).is_err());
    }
}

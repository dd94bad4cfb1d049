//! Channels of kind `relay`: for each, one sandbox of the relay's program, which
//! holds its control socket and the connections that it is handed, nothing else.
//!
//! It has no network of its own, no file but its program, and ids that nobody
//! else has. When it dies, its connections end, and it is started again.

use super::backoff::Backoff;
use super::{RuntimeError, Shared, journal};
use crate::descriptors::{FIRST, environment};
use crate::spec::ONE;
use crate::volumes::relay_name;
use manifest::{App, ChannelKind};
use sandbox::{
    Access, Cgroup, Child, Dumpable, Entry, Network, PathRule, Proc, Rlimits, Root, Spec, User,
    WriteExecute, policy,
};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the program is inside.
const PROGRAM: &str = "/relay";
/// Of one relay, in bytes: its buffers are 1 MiB.
const MEMORY: u64 = 8 << 20;

/// One channel's.
#[derive(Debug)]
pub(super) struct Relay {
    channel: String,
    child: Option<Child>,
    started: Instant,
    backoff: Backoff,
}

/// Refuses an app that needs a relay where there is none.
///
/// # Errors
/// Names the channel.
pub(super) fn check(app: &App, program: Option<&Path>) -> Result<(), RuntimeError> {
    match (channels(app).next(), program) {
        (Some(channel), None) => Err(RuntimeError::Unsupported(format!(
            "channel {channel}: is of kind relay, and the relay's program is not set; set it, or change the kind"
        ))),
        _ => Ok(()),
    }
}

/// The relays of an app, none started.
pub(super) fn all(shared: &Shared) -> Vec<Relay> {
    let new = |channel: &str| Relay {
        channel: channel.to_owned(),
        child: None,
        started: Instant::now(),
        backoff: Backoff::default(),
    };
    channels(&shared.app).map(new).collect()
}

/// The channels of this kind.
pub(super) fn channels(app: &App) -> impl Iterator<Item = &str> {
    let channels = app.services.iter().flat_map(|service| &service.provides);
    channels
        .filter(|channel| matches!(channel.kind, ChannelKind::Relay { .. }))
        .map(|channel| channel.name.as_str())
}

impl Relay {
    /// The part of the app that it is.
    pub(super) fn name(&self) -> String {
        relay_name(&self.channel)
    }

    /// Starts it if it does not run and its pause is over. Returns whether it runs.
    pub(super) fn keep_running(&mut self, shared: &Shared) -> bool {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => return true,
                ended => {
                    self.child = None;
                    self.failed(shared, &format!("ended ({ended:?})"));
                }
            }
        }
        if !self.backoff.is_over() {
            return false;
        }
        self.started = Instant::now();
        match self.start(shared) {
            Ok(child) => self.child = Some(child),
            Err(error) => self.failed(shared, &format!("not started: {error}")),
        }
        false
    }

    fn failed(&mut self, shared: &Shared, how: &str) {
        let pause = self.backoff.ended(self.started.elapsed());
        let words = format!("{}: {how}; again in {pause:?}", self.name());
        shared.journal.event(&words);
    }

    fn start(&self, shared: &Shared) -> Result<Child, RuntimeError> {
        let name = self.name();
        let down = || RuntimeError::Down(name.clone());
        let program = shared.setting.relay.as_deref().ok_or_else(down)?;
        let first_id = shared.first_ids.get(&name).ok_or_else(down)?;
        let cgroup = shared.setting.cgroups.as_ref().map(|hierarchy| Cgroup {
            hierarchy: hierarchy.clone(),
            path: Path::new("services")
                .join(shared.app.name.as_str())
                .join(&name),
            memory_max: MEMORY,
            oom_group: true,
            pids_max: 1,
            cpu_max: None,
        });
        let errors = journal::standard_error(&shared.journal, &name)?;
        let control = shared.takers.renew(&self.channel)?;
        let spec = spec(program, *first_id, cgroup)?;
        Ok(sandbox::spawn(&spec, vec![(errors, 2), (control, FIRST)])?)
    }
}

fn spec(program: &Path, first_id: u32, cgroup: Option<Cgroup>) -> Result<Spec, RuntimeError> {
    let policy = policy::load_compiled(
        relay::POLICY_NAME,
        relay::POLICY,
        "relay.bpf",
        relay::COMPILED_POLICY,
    );
    Ok(Spec {
        name: "relay".into(),
        root: Root::Entries(vec![Entry {
            host: program.to_owned(),
            path: PROGRAM.into(),
            access: Access::Execute,
        }]),
        volumes: vec![],
        scratch: vec![],
        devices: vec![],
        proc: Proc::Absent,
        argv: vec![PROGRAM.into()],
        env: environment(&[relay::CONTROL]),
        cgroup,
        user: User::One {
            inside: ONE,
            outside: first_id + ONE,
        },
        capabilities: vec![],
        network: Network::default(),
        rlimits: Rlimits {
            open_files: relay::DESCRIPTORS,
            file_size: 0,
        },
        paths: vec![PathRule {
            path: PathBuf::from(PROGRAM),
            access: Access::Execute,
        }],
        policy: policy.map_err(crate::ServiceError::from)?,
        write_execute: WriteExecute::Refused,
        dumpable: Dumpable::Refused,
    })
}

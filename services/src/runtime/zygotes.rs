//! The zygotes of one per-message service, one generation after another.
//!
//! A generation is replaced when it has lived or worked for long enough ([`Lives`])
//! and when it fails. The next one
//! loads while the last still serves; the last ends with its last child.

use super::backoff::Backoff;
use super::message::MessageChild;
use super::{Lives, RuntimeError, Shared, journal, lock};
use crate::descriptors::FIRST;
use crate::spec::message_cgroup;
use manifest::{Lifetime, Service};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sandbox::{Adopted, Child};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zygote::client::{ClientError, Zygote};

/// How long loading may take: a second on a PC, 25 in an emulator.
const LOADING: Duration = Duration::from_secs(180);
/// How long making a child may take.
const FORKING: Duration = Duration::from_secs(10);

/// One loaded zygote. The control socket is dropped first, which ends it.
#[derive(Debug)]
pub(super) struct Generation {
    number: u64,
    zygote: Mutex<Zygote>,
    sandbox: Mutex<Child>,
    loaded: Instant,
    children: AtomicU32,
    broken: AtomicBool,
}

impl Generation {
    fn is_spent(&self, lives: &Lives) -> bool {
        self.is_broken()
            || self.loaded.elapsed() >= lives.zygote
            || self.children.load(Ordering::Relaxed) >= lives.children
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || !matches!(lock(&self.sandbox).try_wait(), Ok(None))
    }
}

/// The generations of one service.
#[derive(Debug, Default)]
pub(super) struct Zygotes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Generation>>,
    loading: Option<JoinHandle<Result<Generation, RuntimeError>>>,
    begun: Option<Instant>,
    backoff: Backoff,
    number: u64,
}

impl Zygotes {
    /// Replaces what is spent. Returns whether there is one to ask.
    pub(super) fn keep_running(&self, shared: &Arc<Shared>, service: &Service) -> bool {
        let mut state = lock(&self.state);
        if state.loading.as_ref().is_some_and(JoinHandle::is_finished) {
            self.take_loaded(&mut state, shared, service);
        }
        if state.current.as_ref().is_some_and(|now| now.is_broken()) {
            let name = &service.name;
            shared
                .journal
                .event(&format!("{name}: failed; loaded anew"));
            let lived = state.current.take().map(|last| last.loaded.elapsed());
            state.backoff.ended(lived.unwrap_or_default());
        }
        let lives = &shared.setting.lives;
        let wanted = state.current.as_ref().is_none_or(|now| now.is_spent(lives));
        if wanted && state.loading.is_none() && state.backoff.is_over() {
            state.number += 1;
            state.begun = Some(Instant::now());
            let (shared, name, number) =
                (Arc::clone(shared), service.name.to_string(), state.number);
            let thread = std::thread::Builder::new().name("zygote".into());
            state.loading = thread.spawn(move || load(&shared, &name, number)).ok();
        }
        state.current.is_some()
    }

    fn take_loaded(&self, state: &mut State, shared: &Shared, service: &Service) {
        let name = &service.name;
        match state.loading.take().map(JoinHandle::join) {
            Some(Ok(Ok(generation))) => state.current = Some(Arc::new(generation)),
            Some(Ok(Err(error))) => {
                let took = state.begun.map(|begun| begun.elapsed());
                let pause = state.backoff.ended(took.unwrap_or_default().min(FORKING));
                let words = format!("{name}: not loaded: {error}; again in {pause:?}");
                shared.journal.event(&words);
            }
            Some(Err(_)) | None => {}
        }
    }

    /// Whether a child of `generation` is of the zygote that is asked now.
    pub(super) fn is_current(&self, generation: &Arc<Generation>) -> bool {
        let state = lock(&self.state);
        let current = state.current.as_ref();
        current.is_some_and(|now| Arc::ptr_eq(now, generation) && !now.is_broken())
    }

    /// A child for one message, in a cgroup of its own, and the user's end of its
    /// socket. It holds copies of `handed` as well. `number` is that of the
    /// connection.
    ///
    /// # Errors
    /// When there is no zygote now, or it gives none, or the child does not come
    /// into its cgroup; then it is killed.
    pub(super) fn fork(
        &self,
        shared: &Shared,
        service: &Service,
        number: u64,
        handed: &[BorrowedFd<'_>],
    ) -> Result<(OwnedFd, MessageChild), RuntimeError> {
        let name = service.name.as_str();
        let down = || RuntimeError::Down(name.to_owned());
        let Lifetime::PerMessage { deadline } = service.lifetime else {
            return Err(down());
        };
        let generation = lock(&self.state).current.clone().ok_or_else(down)?;
        let made = {
            let mut zygote = lock(&generation.zygote);
            // Who stood in line behind a fork that failed does not wait as long.
            if generation.broken.load(Ordering::Relaxed) {
                return Err(down());
            }
            zygote.fork(handed, FORKING).inspect_err(|error| {
                if !matches!(error, ClientError::Refused(_)) {
                    generation.broken.store(true, Ordering::Relaxed);
                }
            })
        };
        let (socket, pidfd) = made.map_err(|source| RuntimeError::Zygote {
            service: name.to_owned(),
            source,
        })?;
        generation.children.fetch_add(1, Ordering::Relaxed);
        let instance = format!("{name}-{}-{number}", generation.number);
        let hierarchy = shared.setting.cgroups.as_deref();
        let cgroup = hierarchy.map(|at| message_cgroup(&shared.app, service, at, &instance));
        let child = Adopted::new(pidfd, cgroup.as_ref()).map_err(|source| {
            let service = instance.clone();
            RuntimeError::Adopt { service, source }
        })?;
        let child = MessageChild::new(instance, child, deadline, generation);
        Ok((socket, child))
    }

    /// Ends the present generation, and waits for one that is loading.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.current = None;
        if let Some(loading) = state.loading.take() {
            loading.join().ok();
        }
    }
}

fn load(shared: &Arc<Shared>, name: &str, number: u64) -> Result<Generation, RuntimeError> {
    let down = || RuntimeError::Down(name.to_owned());
    let service = shared.app.service(name).ok_or_else(down)?;
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|errno| RuntimeError::Io {
        what: "a pair of sockets".into(),
        source: errno.into(),
    })?;
    let instance = format!("{name}-{number}");
    let errors = journal::standard_error(&shared.journal, &instance)?;
    let spec = shared.spec(service, &number.to_string())?;
    let sandbox = sandbox::spawn(&spec, vec![(errors, 2), (theirs, FIRST)])?;
    let mut zygote = Zygote::from_socket(ours);
    let end = Instant::now() + LOADING;
    loop {
        match zygote.wait_ready(Duration::from_secs(1)) {
            Ok(()) => break,
            Err(ClientError::Silent(_)) if Instant::now() < end && !shared.is_stopping() => {}
            Err(source) => {
                return Err(RuntimeError::Zygote {
                    service: instance,
                    source,
                });
            }
        }
    }
    Ok(Generation {
        number,
        zygote: Mutex::new(zygote),
        sandbox: Mutex::new(sandbox),
        loaded: Instant::now(),
        children: AtomicU32::new(0),
        broken: AtomicBool::new(false),
    })
}

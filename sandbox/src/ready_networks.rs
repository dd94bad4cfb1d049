//! Network namespaces that lie ready, unused.
//!
//! To make one takes the kernel about as long as everything else of a start
//! together, and `clone3` waits for it. So a thread makes some before they are
//! asked for ([`keep_networks_ready`]); each is given to one sandbox and never
//! comes back. With none ready a sandbox gets one from `clone3`, as without
//! this.
//!
//! A ready one is empty as any other, but belongs to the host's user namespace
//! and not to the sandbox's. So nobody inside has power over it, not even who
//! gained all capabilities there. The few sandboxes that need some get one of
//! their own: those with a loopback, which they bring up themselves, and those
//! that keep a capability.
//!
//! Source: network_namespaces(7), setns(2).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::spec::Spec;
use crate::weak::{Protection, kept};

/// How long the thread waits when the kernel gives it none.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after one was taken the next is made: not beside the start that took
/// it, with which it would share the kernel's locks and the processor.
const LATER: Duration = Duration::from_millis(20);

struct Ready {
    wanted: usize,
    namespaces: Vec<OwnedFd>,
    /// Where the thread that makes them, and each that starts a sandbox in one, comes
    /// back to: the network of who asked for them first.
    home: Option<Arc<OwnedFd>>,
}

/// One that lay ready, for one sandbox.
pub(crate) struct Taken {
    namespace: OwnedFd,
    home: Arc<OwnedFd>,
}

static READY: Mutex<Ready> = Mutex::new(Ready {
    wanted: 0,
    namespaces: Vec::new(),
    home: None,
});
static TAKEN: Condvar = Condvar::new();

/// Has a thread keep `count` unused network namespaces ready from now on, for
/// all sandboxes that this process starts, from threads in the caller's network. 0 gives
/// up those that are there.
///
/// # Errors
/// When there can be no thread, or the caller's network can't be opened.
pub fn keep_networks_ready(count: usize) -> io::Result<()> {
    let mut ready = lock();
    ready.wanted = count;
    ready.namespaces.truncate(count);
    if ready.home.is_none() && count > 0 {
        let home = Arc::new(own()?);
        let kept = Arc::clone(&home);
        let thread = thread::Builder::new().name("networks".into());
        thread.spawn(move || keep(&kept))?;
        ready.home = Some(home);
    }
    drop(ready);
    TAKEN.notify_all();
    Ok(())
}

/// How many lie ready now.
pub fn networks_ready() -> usize {
    lock().namespaces.len()
}

/// One that no other sandbox had or gets, if `spec` can do with it.
pub(crate) fn take(spec: &Spec) -> Option<Taken> {
    let needs_power = spec.network.loopback || !spec.capabilities.is_empty();
    if needs_power || !kept(Protection::NetworkNamespace) {
        return None;
    }
    let mut ready = lock();
    let taken = ready.namespaces.pop();
    let home = ready.home.clone();
    drop(ready);
    // Now and not when it is in use: another processor that is awake takes up the child at
    // once.
    TAKEN.notify_all();
    Some(Taken {
        namespace: taken?,
        home: home?,
    })
}

/// Runs `work`, which is to be a clone, in this network namespace, and comes back.
pub(crate) fn within<T>(inside: &Taken, work: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    let network = CloneFlags::CLONE_NEWNET;
    setns(&inside.namespace, network)?;
    let done = work();
    if setns(&inside.home, network).is_err() {
        // What this thread does next would happen in the sandbox's network.
        std::process::abort();
    }
    done
}

/// The network namespace of this thread.
fn own() -> nix::Result<OwnedFd> {
    match File::open("/proc/thread-self/ns/net") {
        Ok(file) => Ok(file.into()),
        Err(error) => Err(nix::Error::from_raw(error.raw_os_error().unwrap_or(0))),
    }
}

/// One more. The thread comes back from it, or it would outlive its sandbox.
fn make(home: &OwnedFd) -> nix::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let made = own();
    setns(home, CloneFlags::CLONE_NEWNET)?;
    made
}

/// The thread.
fn keep(home: &OwnedFd) {
    let mut ready = lock();
    loop {
        if ready.namespaces.len() >= ready.wanted {
            let waited = TAKEN.wait(ready);
            ready = waited.unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        drop(ready);
        thread::sleep(LATER);
        let made = make(home);
        if made.is_err() {
            // Whoever starts a sandbox meanwhile hears why from its clone.
            thread::sleep(PAUSE);
        }
        ready = lock();
        if ready.namespaces.len() < ready.wanted {
            ready.namespaces.extend(made);
        }
    }
}

fn lock() -> MutexGuard<'static, Ready> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Sets of sandboxes that are ready before their connection comes.
//!
//! A set lies here unused; a connection takes it out, and nothing
//! comes back. A thread makes the next one meanwhile. A set is thrown away when
//! it is old ([`Lives::set`](super::Lives)), when its zygote has been replaced (the
//! old one and its memory would stay for it), when its child has died, and when
//! the port closes.
//! Daemons are dialled when the set is used, so their restarts do not matter.

use super::backoff::Backoff;
use super::parts::Parts;
use super::visit::{self, Set};
use super::{RuntimeError, Shared, lock};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often it is looked what is spent.
const LOOK: Duration = Duration::from_millis(250);

/// The sets of one port.
#[derive(Debug)]
pub(super) struct Pool {
    front: String,
    wanted: usize,
    ready: Mutex<VecDeque<Set>>,
    taken: Condvar,
}

impl Pool {
    /// An empty one for the service `front`.
    pub(super) fn new(front: &str, wanted: u32) -> Self {
        Self {
            front: front.to_owned(),
            wanted: wanted as usize,
            ready: Mutex::default(),
            taken: Condvar::new(),
        }
    }

    /// How many sets it is to hold.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// A set for one connection: the oldest that is ready, or a new one.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub(super) fn take(&self, shared: &Shared) -> Result<Set, RuntimeError> {
        loop {
            let oldest = lock(&self.ready).pop_front();
            self.taken.notify_all();
            match oldest {
                Some(set) if is_fresh(&set, shared) => return Ok(set),
                // Dropped here, without the lock: killing takes a moment.
                Some(_) => {}
                None => return Set::make(shared, visit::service(shared, &self.front)?),
            }
        }
    }

    /// Keeps it full until it is `closing`; then it is empty. Makes none while one of
    /// these parts does not answer. A thread's work.
    pub(super) fn keep(&self, shared: &Shared, parts: &Parts, closing: &AtomicBool) {
        let mut backoff = Backoff::default();
        while !closing.load(Ordering::Relaxed) {
            let spent = self.remove(|set| !is_fresh(set, shared));
            drop(spent);
            let room = lock(&self.ready).len() < self.wanted;
            if room && shared.phase().answers(parts) && backoff.is_over() {
                let front = visit::service(shared, &self.front);
                match front.and_then(|front| Set::make(shared, front)) {
                    Ok(set) => {
                        lock(&self.ready).push_back(set);
                        backoff = Backoff::default();
                        continue;
                    }
                    Err(error) => {
                        let pause = backoff.ended(Duration::ZERO);
                        let words =
                            format!("{}: none ready: {error}; again in {pause:?}", self.front);
                        shared.journal.event(&words);
                    }
                }
            }
            let ready = lock(&self.ready);
            let full = |ready: &mut VecDeque<Set>| ready.len() >= self.wanted;
            let waited = match room {
                true => self.taken.wait_timeout(ready, LOOK),
                false => self.taken.wait_timeout_while(ready, LOOK, full),
            };
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        drop(self.remove(|_| true));
    }

    /// Takes out those that are to go.
    fn remove(&self, mut is_to_go: impl FnMut(&Set) -> bool) -> Vec<Set> {
        let mut ready = lock(&self.ready);
        let (mut gone, mut kept) = (Vec::new(), VecDeque::new());
        for set in ready.drain(..) {
            match is_to_go(&set) {
                true => gone.push(set),
                false => kept.push_back(set),
            }
        }
        *ready = kept;
        gone
    }
}

fn is_fresh(set: &Set, shared: &Shared) -> bool {
    set.age() < shared.setting.lives.set && set.is_current(shared)
}

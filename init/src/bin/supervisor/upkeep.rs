//! What may have to wait for the card: looking for damage, and the few writes that the
//! box makes by itself. It has a thread of its own, because a failing card can take
//! minutes to answer, and the heartbeat to PID 1 must go on.

use crate::control_server::Office;
use crate::damage::Watch;
use crate::{clock, log};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// How often it writes, if nothing grave has happened.
const HOUR: Duration = Duration::from_secs(3600);

/// The thread.
pub struct Upkeep {
    stop: Sender<()>,
    ended: Receiver<()>,
}

/// Begins.
pub fn begin(office: Arc<Office>) -> Upkeep {
    let (stop, told_to_stop) = channel();
    let (ending, ended) = channel();
    let thread = std::thread::Builder::new().name("upkeep".into());
    let begun = thread.spawn(move || {
        run(&office, &told_to_stop);
        // Nobody waits any more when the limit has passed.
        ending.send(()).ok();
    });
    if let Err(error) = begun {
        log::line(&format!("nobody looks after the card: {error}"));
    }
    Upkeep { stop, ended }
}

impl Upkeep {
    /// Writes for the last time, while the disk is still open; waits so long at most.
    pub fn stop(self, limit: Duration) {
        if self.stop.send(()).is_ok() {
            self.ended.recv_timeout(limit).ok();
        }
    }
}

fn run(office: &Office, told_to_stop: &Receiver<()>) {
    let mut watch = Watch::begin();
    let mut written = Instant::now();
    let mut is_last = false;
    loop {
        let is_grave = watch.look(office.disk());
        // At once: the disk may soon take no more.
        if is_grave || is_last || written.elapsed() >= HOUR {
            written = Instant::now();
            watch.keep(office.disk());
            log::keep(office.disk());
            clock::remember(office.disk());
        }
        office.show_damage(watch.shown());
        office.people().keep_records();
        if is_last {
            return;
        }
        is_last = told_to_stop.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
    }
}

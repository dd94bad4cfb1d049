//! The thread that keeps one app.

use super::backoff::Backoff;
use super::daemon::FAREWELL;
use super::door::Door;
use super::{Phase, Shared, lock, of_lifetime, once, relay};
use manifest::{Lifetime, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);
/// How long something may not answer before the ports for strangers close. A
/// sender whose connection is refused tries again later.
const GRACE: Duration = Duration::from_secs(30);
/// How long connections may take to be killed when the app is told to end. They
/// look once a second.
const LEAVING: Duration = Duration::from_secs(5);

/// Runs the app until it is told to stop.
pub(super) fn keep(shared: &Arc<Shared>) {
    let mut firsts: Vec<(&Service, Backoff)> =
        of_lifetime(&shared.app, |l| matches!(l, Lifetime::Once { .. }))
            .map(|service| (service, Backoff::default()))
            .collect();
    let mut doors: Vec<Door> =
        of_lifetime(&shared.app, |l| matches!(l, Lifetime::PerConnection { .. }))
            .flat_map(|service| {
                service
                    .listen
                    .iter()
                    .map(move |l| Door::new(shared, service, l))
            })
            .collect();
    let mut relays = relay::all(shared);
    let mut last_ready: Option<Instant> = None;
    while !shared.is_stopping() {
        firsts.retain_mut(|(service, backoff)| !is_done(shared, service, backoff));
        let mut ready = keep_parts(shared, &firsts);
        for relay in &mut relays {
            ready &= relay.keep_running(shared);
        }
        let before = *shared.phase();
        let now = if ready { Phase::Ready } else { Phase::Starting };
        shared.set(now);
        if ready {
            last_ready = Some(Instant::now());
        }
        let open = last_ready.is_some_and(|at| at.elapsed() < GRACE);
        for door in &mut doors {
            door.keep(shared, open);
        }
        if before != now && before != Phase::Stopping {
            let words = if ready { "ready" } else { "not ready" };
            shared
                .journal
                .event(&format!("{}: {words}", shared.app.name));
        }
        wait(shared);
    }
    for door in &mut doors {
        door.keep(shared, false);
    }
    let end = Instant::now() + LEAVING;
    for door in &doors {
        door.wait_empty(end);
    }
    for daemon in shared.daemons.values() {
        lock(daemon).ask_to_end();
    }
    let end = Instant::now() + FAREWELL;
    for service in shared.app.services.iter().rev() {
        if let Some(daemon) = shared.daemons.get(service.name.as_str()) {
            lock(daemon).stop(shared, end);
        }
        if let Some(zygotes) = shared.zygotes.get(service.name.as_str()) {
            zygotes.stop();
        }
    }
}

/// Runs what runs once, when its pause is over.
fn is_done(shared: &Shared, service: &Service, backoff: &mut Backoff) -> bool {
    if !backoff.is_over() {
        return false;
    }
    match once::run(shared, service) {
        Ok(()) => true,
        Err(error) => {
            let pause = backoff.ended(Duration::ZERO);
            shared
                .journal
                .event(&format!("{error}; again in {pause:?}"));
            false
        }
    }
}

/// Looks after daemons and zygotes; whether all of them answer.
fn keep_parts(shared: &Arc<Shared>, undone: &[(&Service, Backoff)]) -> bool {
    let mut ready = undone.is_empty();
    for service in &shared.app.services {
        let waits = |name: &manifest::Name| undone.iter().any(|(first, _)| first.name == *name);
        let name = service.name.as_str();
        if let Some(daemon) = shared.daemons.get(name) {
            ready &= !service.after.iter().any(waits) && lock(daemon).keep_running(shared);
        }
        if let Some(zygotes) = shared.zygotes.get(name) {
            ready &= zygotes.keep_running(shared, service);
        }
    }
    ready
}

/// Waits one tick, or until the app is told to stop.
fn wait(shared: &Shared) {
    let phase = *shared.phase();
    shared.wait_for_change(phase, TICK);
}

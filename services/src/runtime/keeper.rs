//! The thread that keeps one app.

use super::backoff::Backoff;
use super::daemon::FAREWELL;
use super::door::Door;
use super::parts::Parts;
use super::{Shared, lock, of_lifetime, once, relay};
use manifest::{Lifetime, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(250);
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
    while !shared.is_stopping() {
        firsts.retain_mut(|(service, backoff)| !is_done(shared, service, backoff));
        let mut down = keep_parts(shared, &firsts);
        for relay in &mut relays {
            if !relay.keep_running(shared) {
                down.insert(relay.name());
            }
        }
        for door in &mut doors {
            door.keep(shared, &down);
        }
        let (before, ready) = (shared.is_ready(), down.is_empty());
        shared.set_down(down);
        if before != ready && !shared.is_stopping() {
            let words = if ready { "ready" } else { "not ready" };
            shared
                .journal
                .event(&format!("{}: {words}", shared.app.name));
        }
        shared.wait_for_stop(TICK);
    }
    for door in &mut doors {
        door.close(shared);
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

/// Looks after daemons and zygotes. Returns which services do not answer, `undone`
/// among them.
fn keep_parts(shared: &Arc<Shared>, undone: &[(&Service, Backoff)]) -> Parts {
    let mut down: Parts = undone
        .iter()
        .map(|(first, _)| first.name.to_string())
        .collect();
    for service in &shared.app.services {
        let waits = |name: &manifest::Name| undone.iter().any(|(first, _)| first.name == *name);
        let name = service.name.as_str();
        let mut answers = true;
        if let Some(daemon) = shared.daemons.get(name) {
            answers = !service.after.iter().any(waits) && lock(daemon).keep_running(shared);
        }
        if let Some(zygotes) = shared.zygotes.get(name) {
            answers = zygotes.keep_running(shared, service);
        }
        if !answers {
            down.insert(name.to_owned());
        }
    }
    down
}

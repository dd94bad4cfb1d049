//! How many connections are served at once, and in which order the others wait.
//!
//! A connection that waits costs one descriptor, and its sender waits for a
//! greeting, which it does for five minutes (RFC 5321 section 4.5.3.2.1). So
//! nobody is turned away because many come at once; and since one address has
//! at most half of the places, a sender that keeps its connections idle does
//! not keep others out.

use super::lock;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Connections served at once.
const PLACES: usize = 8;
/// Of them, from one address (one /64 of IPv6).
const OF_ONE: usize = 4;

/// The places of one port.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: Mutex<Vec<IpAddr>>,
    freed: Condvar,
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    who: IpAddr,
}

impl Slots {
    /// Waits for a place, at most this long.
    pub(super) fn enter(&self, who: IpAddr, most: Duration) -> Option<Slot<'_>> {
        let who = sender(who);
        let full = |taken: &mut Vec<IpAddr>| {
            let own = taken.iter().filter(|other| **other == who).count();
            taken.len() >= PLACES || own >= OF_ONE
        };
        let guard = lock(&self.taken);
        let (mut taken, result) = self
            .freed
            .wait_timeout_while(guard, most, full)
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            return None;
        }
        taken.push(who);
        Some(Slot { slots: self, who })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.slots.taken);
        if let Some(at) = taken.iter().position(|who| *who == self.who) {
            taken.swap_remove(at);
        }
        self.slots.freed.notify_all();
    }
}

/// Who counts as one: an IPv4 address, also one that came through a socket of
/// IPv6, or a /64, which is what one subscriber has.
fn sender(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_sender_has_half_of_the_places_and_all_have_eight() {
        let slots = Slots::default();
        let mine: Vec<_> = (0..5)
            .map(|_| slots.enter(ip("::ffff:192.0.2.1"), NOW))
            .collect();
        assert_eq!(mine.iter().flatten().count(), 4);
        assert!(slots.enter(ip("192.0.2.1"), NOW).is_none());
        let net: Vec<_> = [
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:0:0:9::",
            "2001:db8:0:1::",
        ]
        .iter()
        .map(|text| slots.enter(ip(text), NOW))
        .collect();
        assert_eq!(net.iter().flatten().count(), 4);
        assert!(slots.enter(ip("192.0.2.2"), NOW).is_none());
        drop(mine);
        assert!(slots.enter(ip("192.0.2.2"), NOW).is_some());
        // Three are of one /64; a fourth may come and a fifth may not.
        let fourth = slots.enter(ip("2001:db8::4"), NOW);
        assert!(fourth.is_some() && slots.enter(ip("2001:db8::5"), NOW).is_none());
    }

    #[test]
    fn who_waits_gets_the_place_that_another_leaves() {
        let slots = Slots::default();
        let held: Vec<_> = (0..4).map(|_| slots.enter(ip("192.0.2.1"), NOW)).collect();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                slots
                    .enter(ip("192.0.2.1"), Duration::from_secs(60))
                    .is_some()
            });
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
            assert!(waiting.join().unwrap());
        });
    }
}

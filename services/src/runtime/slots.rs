//! How many connections are served at once, and how many others wait.
//!
//! A connection that waits costs one thread and one descriptor, and its sender
//! waits for a greeting, which it does for five minutes (RFC 5321 section
//! 4.5.3.2.1). So few are turned away because many come at once. The manifest
//! says how many there may be, in all and from one sender: one that keeps its
//! connections idle does not keep others out. Who waits is let in in no order.

use super::lock;
use manifest::Connections;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The places of one port.
#[derive(Debug)]
pub(super) struct Slots {
    most: Connections,
    present: Mutex<Vec<IpAddr>>,
    taken: Mutex<Vec<IpAddr>>,
    freed: Condvar,
}

/// A connection that is served or waits; dropping it says that it is over.
#[derive(Debug)]
pub(super) struct Guest {
    slots: Arc<Slots>,
    who: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        leave(&mut lock(&self.slots.present), self.who);
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    who: IpAddr,
}

impl Slots {
    /// All free.
    pub(super) fn new(most: Connections) -> Self {
        Self {
            most,
            present: Mutex::default(),
            taken: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Counts a new connection; `None` where there are too many.
    pub(super) fn admit(self: &Arc<Self>, who: IpAddr) -> Option<Guest> {
        let who = sender(who);
        let mut present = lock(&self.present);
        let most = self.most;
        let all = most.at_once + most.waiting;
        let of_one = most.from_one_address + most.waiting_from_one_address;
        if !has_room(&present, who, all, of_one) {
            return None;
        }
        present.push(who);
        Some(Guest {
            slots: Arc::clone(self),
            who,
        })
    }

    /// Whether nobody is served or waits.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.present).is_empty()
    }

    /// Waits for a place, at most this long.
    pub(super) fn enter(&self, who: IpAddr, most: Duration) -> Option<Slot<'_>> {
        let who = sender(who);
        let (all, of_one) = (self.most.at_once, self.most.from_one_address);
        let full = |taken: &mut Vec<IpAddr>| !has_room(taken, who, all, of_one);
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
        leave(&mut lock(&self.slots.taken), self.who);
        self.slots.freed.notify_all();
    }
}

/// Whether one more of `who` may come.
fn has_room(there: &[IpAddr], who: IpAddr, all: u32, of_one: u32) -> bool {
    let own = there.iter().filter(|other| **other == who).count();
    there.len() < all as usize && own < of_one as usize
}

fn leave(all: &mut Vec<IpAddr>, who: IpAddr) {
    if let Some(at) = all.iter().position(|one| *one == who) {
        all.swap_remove(at);
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
        let slots = Slots::new(Connections::default());
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
    fn one_sender_is_a_quarter_of_those_who_are_there() {
        let slots = Arc::new(Slots::new(Connections::default()));
        let mine: Vec<_> = (0..40).map(|_| slots.admit(ip("192.0.2.1"))).collect();
        assert_eq!(mine.iter().flatten().count(), 32);
        let others: Vec<_> = (0..200u8)
            .map(|last| slots.admit(ip(&format!("198.51.100.{last}"))))
            .collect();
        assert_eq!(others.iter().flatten().count(), 96);
        drop(mine);
        assert!(slots.admit(ip("192.0.2.1")).is_some());
        drop(others);
        assert!(slots.is_empty());
    }

    #[test]
    fn who_waits_gets_the_place_that_another_leaves() {
        let slots = Slots::new(Connections::default());
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

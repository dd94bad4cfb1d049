//! Several tests at a time: workers take them from a list, in its order. A test
//! that cannot share the machine runs when no other does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What there is to do.
#[derive(Debug)]
pub struct Plan<T> {
    /// For any worker that is free, the first one first.
    pub shared: Vec<T>,
    /// Afterwards, one after another.
    pub alone: Vec<T>,
}

impl<T: Sync> Plan<T> {
    /// Has `work` done for each, by `workers` threads (one at least). Once `stopped`
    /// says so nobody begins anything; what was begun is waited for.
    pub fn carry_out(
        &self,
        workers: usize,
        work: impl Fn(&T) + Sync,
        stopped: impl Fn() -> bool + Sync,
    ) {
        for (workers, list) in [(workers.max(1), &self.shared), (1, &self.alone)] {
            let next = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..workers.min(list.len()) {
                    scope.spawn(|| {
                        while !stopped()
                            && let Some(test) = list.get(next.fetch_add(1, Ordering::Relaxed))
                        {
                            work(test);
                        }
                    });
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::{Barrier, Mutex};
    use std::time::Duration;

    fn plan(shared: &[u32], alone: &[u32]) -> Plan<u32> {
        Plan {
            shared: shared.to_vec(),
            alone: alone.to_vec(),
        }
    }

    #[test]
    fn every_test_runs_once_and_one_that_is_alone_has_nobody_beside_it() {
        let (at_work, done) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
        let work = |test: &u32| {
            at_work.lock().unwrap().insert(*test);
            for _ in 0..5 {
                thread::sleep(Duration::from_millis(1));
                let beside = at_work.lock().unwrap().len();
                assert!(beside <= if *test < 100 { 3 } else { 1 }, "{beside}");
            }
            at_work.lock().unwrap().remove(test);
            done.lock().unwrap().push(*test);
        };
        plan(&[1, 2, 3, 4, 5, 6, 7, 8], &[100, 101]).carry_out(3, work, || false);
        let mut done = done.into_inner().unwrap();
        assert_eq!(done.split_off(8), [100, 101]);
        done.sort_unstable();
        assert_eq!(done, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn two_workers_are_at_work_at_the_same_time() {
        // Each waits for the other: with one worker this would never end.
        let both = Barrier::new(2);
        plan(&[1, 2, 3, 4], &[]).carry_out(
            2,
            |_| {
                both.wait();
            },
            || false,
        );
    }

    #[test]
    fn one_worker_keeps_the_order() {
        let done = Mutex::new(Vec::new());
        let work = |test: &u32| done.lock().unwrap().push(*test);
        plan(&[3, 1, 2], &[9, 8]).carry_out(0, work, || false);
        assert_eq!(done.into_inner().unwrap(), [3, 1, 2, 9, 8]);
    }

    #[test]
    fn after_an_interruption_nothing_is_begun() {
        let done = Mutex::new(Vec::new());
        let stopped = || done.lock().unwrap().len() == 2;
        let work = |test: &u32| done.lock().unwrap().push(*test);
        plan(&[1, 2, 3], &[9]).carry_out(1, work, stopped);
        assert_eq!(*done.lock().unwrap(), [1, 2]);
    }
}

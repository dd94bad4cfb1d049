//! Sends the messages to a server and says how long it took: first one after
//! another, then [`AT_ONCE`] connections at a time.

use super::smtp::{self, Login, Route};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many senders there are at a time when there are many.
pub const AT_ONCE: usize = 8;

/// What a server did with the messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Messages that were sent one after another.
    pub messages: usize,
    /// Seconds from the start of the connection to `250`: half took no longer.
    pub p50_seconds: f64,
    /// 99 of 100 took no longer. Of fewer than 100 it is the longest.
    pub p99_seconds: f64,
    /// Of these, until the last one is delivered.
    pub one_sender_a_minute: f64,
    /// Of as many again, [`AT_ONCE`] at a time, until the last one is delivered.
    pub messages_a_minute: f64,
}

/// Sends the message of a number, and returns the time until its `250`.
pub trait Send: Fn(usize) -> Result<Duration> + Sync {}

impl<T: Fn(usize) -> Result<Duration> + Sync> Send for T {}

/// Messages from outside, from the corpus over and over.
pub fn incoming<'a>(route: &'a Route<'a>, corpus: &'a [Vec<u8>]) -> impl Send + 'a {
    |number| smtp::send(route, &corpus[number % corpus.len()])
}

/// Messages of a mail program, the same.
pub fn outgoing<'a>(login: &'a Login<'a>, corpus: &'a [Vec<u8>]) -> impl Send + 'a {
    |number| smtp::submit(login, &corpus[number % corpus.len()])
}

/// Sends `count` messages one after another and then `count` at once. `delivered`
/// returns once so many messages in all are where they belong; a server that says `250`
/// before that is waited for.
pub fn measure(
    send: impl Send,
    count: usize,
    mut delivered: impl FnMut(usize) -> Result<()>,
) -> Result<Times> {
    let send = |number: usize| send(number).with_context(|| format!("message {number}"));
    let begun = Instant::now();
    let mut seconds = (0..count)
        .map(|number| Ok(send(number)?.as_secs_f64()))
        .collect::<Result<Vec<f64>>>()?;
    seconds.sort_by(f64::total_cmp);
    delivered(count)?;
    let one_sender_a_minute = tidy(a_minute(count, begun.elapsed()));

    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            send(number)?;
        }
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a sender does not panic"))
    })?;
    delivered(2 * count)?;
    Ok(Times {
        messages: count,
        p50_seconds: tidy(percentile(&seconds, 50)),
        p99_seconds: tidy(percentile(&seconds, 99)),
        one_sender_a_minute,
        messages_a_minute: tidy(a_minute(count, begun.elapsed())),
    })
}

/// The nearest-rank percentile of sorted values.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn a_minute(count: usize, took: Duration) -> f64 {
    count as f64 * 60.0 / took.as_secs_f64()
}

fn tidy(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), 50.0);
        assert_eq!(percentile(&hundred, 99), 99.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 50), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 99), 3.0);
    }

    #[test]
    fn messages_a_minute_come_from_count_and_time() {
        assert_eq!(a_minute(10, Duration::from_secs(30)), 20.0);
    }
}

//! Used memory as the project's budget defines it: MemTotal − MemAvailable
//! (proc_meminfo(5)).

use crate::agent::Agent;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

/// How often it is looked at for the peak.
const EACH: Duration = Duration::from_secs(1);

/// What is used in a guest at this moment, in MB (10^6 bytes).
pub fn used(agent: &mut Agent) -> Result<u64> {
    parse(&agent.ask_text(&["read", "/proc/meminfo"])?)
}

/// The most that is used in a guest while `work` runs, in MB (10^6 bytes), as far as it
/// is seen every [`EACH`]; and what `work` returns.
pub fn peak<T>(agent: &Mutex<&mut Agent>, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let over = AtomicBool::new(false);
    let look = || used(&mut agent.lock().unwrap_or_else(PoisonError::into_inner));
    thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<u64> {
            let mut most = look()?;
            while !over.load(Ordering::SeqCst) {
                sleep(EACH);
                most = most.max(look()?);
            }
            Ok(most)
        });
        let done = work();
        over.store(true, Ordering::SeqCst);
        let most = watch.join().expect("the watch does not panic")?;
        Ok((done?, most))
    })
}

fn parse(text: &str) -> Result<u64> {
    let value = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kilobytes = number.with_context(|| format!("/proc/meminfo: no {name}"))?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    };
    Ok((value("MemTotal:")? - value("MemAvailable:")?) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_the_total_without_what_is_available() {
        let text = "MemTotal:        1000000 kB\nMemFree:  100 kB\nMemAvailable:     500000 kB\n";
        assert_eq!(parse(text).unwrap(), 512);
        let error = parse("MemTotal: 1 kB\n").unwrap_err().to_string();
        assert!(error.contains("MemAvailable"), "{error}");
    }
}

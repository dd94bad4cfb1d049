//! Used memory as the project's budget defines it: MemTotal − MemAvailable
//! (proc_meminfo(5)).

use crate::agent::Agent;
use anyhow::{Context, Result};

/// What is used in a guest at this moment, in MB (10^6 bytes).
pub fn used(agent: &mut Agent) -> Result<u64> {
    parse(&agent.ask_text(&["read", "/proc/meminfo"])?)
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

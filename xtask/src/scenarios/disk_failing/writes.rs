//! What an idle, unlocked box writes to its card, as its own kernel counts it (kernel
//! documentation, `block/stat.rst`).

use crate::agent::Agent;
use crate::qemu::Machine;
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// How long is looked.
const WHILE: Duration = Duration::from_secs(60);
/// Writes in that time: a commit or two of ext4's journal, of what was still in memory.
const MOST: u64 = 20;
/// How long a new file system's tables may take to be written, once in its life.
const TABLES: Duration = Duration::from_secs(600);

/// Writes to the card so far.
#[derive(Debug, Clone, Copy)]
struct Written {
    requests: u64,
    bytes: u64,
}

/// Looks for a minute.
pub(super) fn next_to_none(machine: &mut Machine, agent: &mut Agent) -> Result<()> {
    machine.wait_until("the tables of a new file system", TABLES, |_| {
        let thread = agent.ask_text(&["pids", "ext4lazyinit"]);
        Ok(thread.is_ok_and(|pids| pids.is_empty()).then_some(()))
    })?;
    // What was under way is written.
    agent.ask(&["sync"])?;
    let before = written(agent)?;
    std::thread::sleep(WHILE);
    let after = written(agent)?;
    let requests = after.requests - before.requests;
    let bytes = after.bytes - before.bytes;
    eprintln!(
        "  disk_failing: an idle box: {requests} writes of {bytes} bytes in {} s",
        WHILE.as_secs()
    );
    ensure!(requests <= MOST, "{requests} writes of {bytes} bytes");
    Ok(())
}

fn written(agent: &mut Agent) -> Result<Written> {
    let text = agent.ask_text(&["read", "/sys/block/vda/stat"])?;
    let fields: Vec<u64> = text.split_whitespace().flat_map(str::parse).collect();
    let field = |number: usize| fields.get(number).copied().context("block/stat.rst");
    Ok(Written {
        requests: field(4)?,
        bytes: field(6)? * 512,
    })
}

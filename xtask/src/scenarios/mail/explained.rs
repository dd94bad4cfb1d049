//! `projectx sandbox` on a box that runs: all its sandboxes, with the scores that
//! `cargo xtask lint` gives them, and limits in words that are the kernel's own.

use super::InsideArguments;
use super::world::World;
use crate::agent::Agent;
use crate::lint;
use anyhow::{Context, Result, ensure};

const PROGRAM: &str = "/usr/bin/projectx";
/// A daemon, its limit of memory in the words of the program, and in bytes.
const LIMITED: (&str, &str, &str) = ("unbound", "at most 64 MiB of memory", "67108864");

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let mut machine = world.go_on(arguments, None)?;
    let mut agent = Agent::connect(&mut machine)?;
    let list = agent.run("exec", &[PROGRAM, "sandbox", "list"])?;
    for (name, score) in lint::scores()? {
        let row = list
            .lines()
            .find(|row| row.starts_with(&format!("{name} ")));
        let row = row.with_context(|| format!("{name} is not in:\n{list}"))?;
        ensure!(
            row.contains(&score.to_string()),
            "{name}: {score} in lint, on the box: {row}"
        );
        let shown = agent.run("exec", &[PROGRAM, "sandbox", "show", &name])?;
        let first = format!("{name}: {score} {}", score.word());
        ensure!(shown.starts_with(&first), "{name} begins with:\n{shown}");
    }
    let (daemon, words, bytes) = LIMITED;
    let shown = agent.run("exec", &[PROGRAM, "sandbox", "show", daemon])?;
    ensure!(shown.contains(words), "{daemon}: no {words:?} in:\n{shown}");
    let limit = format!("/sys/fs/cgroup/services/email/{daemon}/memory.max");
    let enforced = agent.ask_text(&["read", &limit])?;
    ensure!(
        enforced == bytes,
        "{limit}: {enforced}, but the words were {words:?}"
    );
    let refused = agent.ask_text(&["exec", PROGRAM, "sandbox", "show", "smtp_in"])?;
    ensure!(
        refused.starts_with("exit status: 1") && refused.contains("Did you mean \"smtp-in\"?"),
        "{refused}"
    );
    Ok(())
}

//! `cargo xtask bench sandbox`: how long a fresh sandbox takes from the request to
//! its program's first instruction.
//!
//! What is started is the smallest program under the spec of smtp-in, by the
//! sandbox crate as a release build, beside bubblewrap, crun and runc of Debian
//! told to isolate as much of the same as they can, in rounds that take turns
//! (`ci/fresh-sandbox`). Ours is measured with an unused network namespace and its
//! service's root ready, as mail has it; without that root; without either (and with a
//! loopback); and sealed before. What the kernel takes for the namespaces alone is
//! measured beside it.
//!
//! Limit: the machine here, with cgroups only where it has cgroup v2's controllers.

use super::with_place;
use crate::image;
use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;

/// What the budget is about, and beside whom.
const OURS: &str = "ours, network and root ready";
const RIVALS: [&str; 3] = ["bubblewrap", "crun", "runc"];

/// What `cargo xtask bench sandbox` takes.
#[derive(Debug, clap::Args)]
pub struct SandboxArguments {
    /// Print one JSON line
    #[arg(long)]
    json: bool,
    /// How many fresh sandboxes of each kind
    #[arg(long, default_value_t = 1000)]
    rounds: usize,
}

/// Measures, and prints.
pub fn run(arguments: &SandboxArguments) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "sandboxes are made by root: use sudo"
    );
    image::install_other_sandboxes()?;
    let program = image::native::compile("fresh-sandbox")?.join("fresh-sandbox");
    let folder = workspace::target().join("bench/sandbox");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    let probe = folder.join("first-instruction");
    tool("cc", "gcc")
        .args(["-static", "-nostdlib", "-o"])
        .arg(&probe)
        .arg(workspace::root().join("ci/fresh-sandbox/first-instruction.S"))
        .run()?;
    let load_before = load();
    let said = tool(&program.to_string_lossy(), "this repository")
        .arg(arguments.rounds.to_string())
        .args([probe.as_path(), workspace::root(), folder.as_path()])
        .output()?;
    let said: Value = serde_json::from_slice(&said).context("what fresh-sandbox prints")?;
    fs::remove_dir_all(&folder)?;
    let times = &said["milliseconds"];
    let result = with_place(json!({
        "bench": "sandbox",
        "rounds": said["rounds"],
        "cgroup": said["cgroup"],
        "milliseconds": times,
        "of_the_best_rival": of_the_best_rival(times),
        "load": [load_before, load()],
    }));
    match arguments.json {
        true => println!("{result}"),
        false => print!("{}", table(&result)),
    }
    Ok(())
}

/// How busy the machine is: the average of the last minute.
fn load() -> String {
    let said = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    said.split(' ').next().unwrap_or_default().to_owned()
}

/// The name of the rival with the smallest median, and our median as a part of
/// it; nothing when no rival works here.
fn of_the_best_rival(times: &Value) -> Value {
    let median = |name: &str| times[name]["p50"].as_f64();
    let rivals = RIVALS
        .iter()
        .filter_map(|name| Some((*name, median(name)?)));
    match (median(OURS), rivals.min_by(|a, b| a.1.total_cmp(&b.1))) {
        (Some(ours), Some((name, best))) => {
            json!({ "rival": name, "part": (ours / best * 1000.0).round() / 1000.0 })
        }
        _ => Value::Null,
    }
}

fn table(result: &Value) -> String {
    let mut text = format!(
        "{:<36}{:>9}{:>9}{:>9}\n",
        "milliseconds", "p50", "p95", "p99"
    );
    for (name, times) in result["milliseconds"].as_object().into_iter().flatten() {
        text += &match times["error"].as_str() {
            Some(error) => format!("{name:<36}does not work here: {error}\n"),
            None => {
                let [p50, p95, p99] = ["p50", "p95", "p99"].map(|p| times[p].to_string());
                format!("{name:<36}{p50:>9}{p95:>9}{p99:>9}\n")
            }
        };
    }
    let best = &result["of_the_best_rival"];
    if let Some(rival) = best["rival"].as_str() {
        text += &format!(
            "\nour p50 is {} of that of {rival}, the best rival\n",
            best["part"]
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_rival_is_the_fastest_that_works_and_the_others_errors_are_told() {
        let times = json!({
            OURS: { "p50": 1.0, "p95": 2.0, "p99": 3.0 },
            "bubblewrap": { "p50": 8.0, "p95": 9.0, "p99": 9.5 },
            "crun": { "error": "no cgroup" },
            "runc": { "p50": 40.0, "p95": 41.0, "p99": 42.0 },
        });
        let best = of_the_best_rival(&times);
        assert_eq!(best, json!({ "rival": "bubblewrap", "part": 0.125 }));
        let text = table(&json!({ "milliseconds": times, "of_the_best_rival": best }));
        assert!(text.contains("does not work here: no cgroup"), "{text}");
        assert!(text.contains("0.125 of that of bubblewrap"), "{text}");
        let lonely = json!({ OURS: { "p50": 1.0 }, "crun": { "error": "x" } });
        assert_eq!(of_the_best_rival(&lonely), Value::Null);
    }
}

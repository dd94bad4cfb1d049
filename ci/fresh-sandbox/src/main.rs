//! Measures how long a fresh sandbox takes from the request to the first
//! instruction of its program, for `cargo xtask bench sandbox`. No image holds it.
//!
//! ```text
//! fresh-sandbox ROUNDS PROBE REPOSITORY FOLDER
//! ```
//!
//! A round starts one sandbox of every kind and makes the namespaces alone; who
//! begins changes with each round, and after each start there is a pause in which
//! the kernel cleans up. PROBE is `first-instruction.S`, which tells the time when
//! it runs. Ours is a library, as in the supervisor; the others are programs that
//! are started. It needs root, and prints one JSON object.

mod clock;
mod oci;
mod ours;
mod rivals;
mod sys;

use anyhow::{Context, Result, bail, ensure};
use clock::Start;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::sys::wait::waitpid;
use ours::Ours;
use sandbox::ReadyRoot;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// After each start: a network namespace takes the kernel some milliseconds to
/// clean up after its end is reported.
const PAUSE: Duration = Duration::from_millis(10);
/// How many network namespaces lie ready.
const READY: usize = 2;
/// All of a sandbox's own, but the network and the cgroup's.
const BUT_NETWORK: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [rounds, probe, repository, folder] => measure(
            rounds,
            Path::new(probe),
            Path::new(repository),
            Path::new(folder),
        ),
        _ => Err(anyhow::anyhow!(
            "usage: fresh-sandbox ROUNDS PROBE REPOSITORY FOLDER"
        )),
    };
    match done {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fresh-sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Something that is timed, in milliseconds.
struct Way<'a> {
    name: &'static str,
    once: Box<dyn FnMut() -> Result<f64> + 'a>,
    times: Vec<f64>,
    /// Why it does not work here; then it is left out of the rounds.
    error: Option<String>,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, once: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self {
            name,
            once: Box::new(once),
            times: Vec::new(),
            error: None,
        }
    }
}

fn measure(rounds: &str, probe: &Path, repository: &Path, folder: &Path) -> Result<Value> {
    let rounds: usize = rounds.parse().context("ROUNDS is no number")?;
    cgroup_v2_alone()?;
    let ours = Ours::new(repository, probe, folder)?;
    let rivals = rivals::all(&ours, folder)?;
    let mut with_loopback = ours.spec.clone();
    with_loopback.network.loopback = true;
    sandbox::keep_networks_ready(READY)?;
    let root = ReadyRoot::make(&ours.spec)?;
    let mut ways = vec![
        Way::new("ours, network and root ready", || {
            wait_for_networks()?;
            ours.spawn_in(&root)
        }),
        Way::new("ours, network ready", || {
            wait_for_networks()?;
            ours.spawn(&ours.spec)
        }),
        // With a loopback none that lies ready will do.
        Way::new("ours, network made in the clone", || {
            ours.spawn(&with_loopback)
        }),
        Way::new("ours, sealed before", || ours.start_sealed()),
    ];
    for mut rival in rivals {
        ways.push(Way::new(rival.name(), move || rival.start()));
    }
    ways.extend([
        Way::new("namespaces: the network's alone", || {
            namespaces(libc::CLONE_NEWNET)
        }),
        Way::new("namespaces: all but the network's", || {
            namespaces(BUT_NETWORK)
        }),
        Way::new("namespaces: none (fork)", || namespaces(0)),
    ]);
    // Caches are filled, and what does not work here is found.
    for way in &mut ways {
        for _ in 0..3 {
            if let Err(error) = (way.once)() {
                if way.name.starts_with("ours") {
                    return Err(error.context(way.name));
                }
                way.error = Some(format!("{error:#}"));
                break;
            }
        }
    }
    for round in 0..rounds {
        for number in 0..ways.len() {
            let count = ways.len();
            let way = &mut ways[(round + number) % count];
            if way.error.is_none() {
                let took = (way.once)().with_context(|| format!("{}, round {round}", way.name))?;
                way.times.push(took);
                thread::sleep(PAUSE);
            }
        }
    }
    Ok(json!({
        "rounds": rounds,
        "cgroup": ours.spec.cgroup.is_some(),
        "milliseconds": told(&mut ways),
    }))
}

/// Shows this process and what it starts nothing of cgroup v1, which crun refuses
/// to see beside v2.
fn cgroup_v2_alone() -> Result<()> {
    const PLACE: &str = "/sys/fs/cgroup";
    if statfs(PLACE)?.filesystem_type() == CGROUP2_SUPER_MAGIC {
        return Ok(());
    }
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace; this needs root")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)?;
    let empty = MsFlags::empty();
    mount(Some("cgroup2"), PLACE, Some("cgroup2"), empty, none).context("mounting cgroup v2")
}

/// Waits until all are ready that should be: then none is being made.
fn wait_for_networks() -> Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    while sandbox::networks_ready() != READY {
        ensure!(Instant::now() < end, "no network namespace becomes ready");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Until the clone returns: by then the kernel has made them.
fn namespaces(which: i32) -> Result<f64> {
    let start = Start::now();
    let pid = sys::clone_that_ends(which)?;
    let took = start.elapsed();
    waitpid(pid, None)?;
    Ok(took)
}

fn told(ways: &mut [Way]) -> Value {
    let mut all = Map::new();
    for way in ways {
        let value = match &way.error {
            Some(error) => json!({ "error": error }),
            None => percentiles(&mut way.times),
        };
        all.insert(way.name.into(), value);
    }
    all.into()
}

/// Each the smallest time that so many percent do not exceed.
fn percentiles(times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        let time = times.get(rank - 1).copied().unwrap_or(f64::NAN);
        (time * 1000.0).round() / 1000.0
    };
    json!({ "p50": at(50), "p95": at(95), "p99": at(99) })
}

/// What a program that failed said, or that it said nothing.
fn complain<T>(name: &str, said: &str) -> Result<T> {
    match said.trim() {
        "" => bail!("{name} failed and said nothing"),
        said => bail!("{name}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        let expected = json!({ "p50": 500.0, "p95": 950.0, "p99": 990.0 });
        assert_eq!(percentiles(&mut times), expected);
        assert_eq!(percentiles(&mut [3.0, 1.0])["p50"], 1.0);
        assert_eq!(percentiles(&mut [3.0, 1.0])["p99"], 3.0);
    }
}

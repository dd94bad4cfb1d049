//! `cargo xtask campaign fuzz`: libFuzzer at every parser of ours, for as long as one
//! likes. What must hold is said in `ci/any-bytes/src` and `wifi-txt/tests/oracle`; the
//! ordinary run has some seconds of it without libFuzzer, whose build takes minutes
//! (`ci/any-bytes/tests/some_seconds.rs`, `wifi-txt/tests/any_bytes.rs`).
//!
//! The corpus of each target is kept in `target/campaign/fuzz/corpus/NAME` and begins
//! with its committed seeds; `--resume` goes on with it. An input that breaks something
//! lies in `target/campaign/fuzz/broken/`, and the command that repeats it is printed.
//!
//! The stable compiler is enough: LLVM's pass for coverage is asked for by name
//! (`-Cpasses=sancov-module`), as cargo-fuzz asks for it. What cargo-fuzz adds and this
//! has not is the address sanitizer, which needs a nightly compiler; the parsers are
//! safe Rust.

use crate::tool::tool;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What LLVM puts into the programs: counters of edges, where they are, and compared
/// values (clang's SanitizerCoverage documentation).
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// The target with a crate of its own, and that crate's program.
const WIFI: [&str; 2] = ["wifi", "files"];
/// Longest input, in bytes: more than any limit that an input of seconds could reach.
const LONGEST: usize = 8 << 10;
/// How long one input may take, in seconds.
const ONE: u32 = 20;
/// How many inputs `--bless` keeps of a target, besides the seeds written by hand, and
/// how many bytes each has at most.
const KEPT: (usize, u64) = (8, 512);

/// What `cargo xtask campaign fuzz` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long, shared among the targets
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Only this target; may be given several times
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Go on with the corpus of the last runs
    #[arg(long)]
    resume: bool,
    /// Afterwards put some small inputs that reach much into the committed seeds
    #[arg(long)]
    bless: bool,
}

/// Something to be fuzzed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    name: String,
    program: PathBuf,
    seeds: PathBuf,
}

/// What became of a target.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Found {
    executions: u64,
    /// Edges reached by the seeds and the corpus, and at the end.
    before: u64,
    after: u64,
    /// Inputs that reached something new.
    new: u64,
    /// The input that broke something.
    broken: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// When an input broke something, or the programs can't be made.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = workspace::target().join("campaign/fuzz");
    let targets = chosen(make(&folder)?, &arguments.target)?;
    let each = Duration::from_secs(arguments.minutes * 60) / targets.len() as u32;
    let corpus = folder.join("corpus");
    for target in &targets {
        let own = corpus.join(&target.name);
        if !arguments.resume && own.exists() {
            fs::remove_dir_all(&own).with_context(|| own.display().to_string())?;
        }
    }
    let done = fuzz(&targets, &corpus, &folder, each);
    if arguments.bless && done.is_ok() {
        for target in &targets {
            bless(target, &corpus.join(&target.name))?;
        }
    }
    done
}

/// Builds the programs and lists them.
fn make(folder: &Path) -> Result<Vec<Target>> {
    let any_bytes = workspace::root().join("ci/any-bytes");
    let wifi = workspace::root().join("wifi-txt/fuzz");
    let built = build(&any_bytes.join("fuzz"), folder)?;
    build(&wifi, folder)?;
    let [name, program] = WIFI;
    let mut targets = vec![Target {
        name: name.to_owned(),
        program: built.join(program),
        seeds: wifi.join("seeds"),
    }];
    for name in names(&any_bytes.join("fuzz/fuzz_targets"))? {
        targets.push(Target {
            program: built.join(&name),
            seeds: any_bytes.join("seeds").join(&name),
            name,
        });
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

/// Builds one crate of targets; returns where its programs are.
fn build(folder: &Path, target: &Path) -> Result<PathBuf> {
    // The versions of what the box has.
    let lock = workspace::root().join("Cargo.lock");
    fs::copy(&lock, folder.join("Cargo.lock")).with_context(|| lock.display().to_string())?;
    let host = host()?;
    let place = target.join("build");
    tool("cargo", "cargo")
        .args(["build", "--release", "--quiet", "--target", &host])
        .arg("--target-dir")
        .arg(&place)
        .env("RUSTFLAGS", &COVERAGE.join(" "))
        .in_folder(folder)
        .run()?;
    Ok(place.join(host).join("release"))
}

/// This machine in rustc's words. Named to cargo so that programs of the build itself
/// are made without coverage.
fn host() -> Result<String> {
    let said = tool("rustc", "rustc").arg("-vV").output()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV names no host")?.to_owned())
}

/// The names of the targets in a folder of sources.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Those of these names; all when there is none.
fn chosen(all: Vec<Target>, names: &[String]) -> Result<Vec<Target>> {
    let known = |name: &String| all.iter().any(|target| target.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let list: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        bail!("{unknown}: no such target; there are {}", list.join(", "));
    }
    let wanted = |target: &Target| names.is_empty() || names.contains(&target.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// Fuzzes one after the other and prints a line for each.
fn fuzz(targets: &[Target], corpus: &Path, folder: &Path, each: Duration) -> Result<()> {
    let memory = Path::new("/dev/shm");
    // Some targets write files, and must not wait for a disk.
    let scratch = if memory.is_dir() { memory } else { folder };
    let scratch = tempfile::tempdir_in(scratch)?;
    println!("target         executions   edges at first and last   new inputs   seconds");
    let mut broken = Vec::new();
    for target in targets {
        let begun = Instant::now();
        let found = one(
            target,
            &corpus.join(&target.name),
            folder,
            scratch.path(),
            each,
        )
        .with_context(|| format!("target {}", target.name))?;
        println!(
            "{:<12} {:>12} {:>14} {:>10} {:>12} {:>9}",
            target.name,
            found.executions,
            found.before,
            found.after,
            found.new,
            begun.elapsed().as_secs()
        );
        if let Some(input) = found.broken {
            println!(
                "  BROKEN; again: {} {}",
                target.program.display(),
                input.display()
            );
            broken.push(target.name.as_str());
        }
    }
    ensure!(
        broken.is_empty(),
        "{}: see above, and the logs in {}",
        broken.join(", "),
        folder.join("logs").display()
    );
    Ok(())
}

/// Runs one program for so long.
fn one(
    target: &Target,
    corpus: &Path,
    folder: &Path,
    scratch: &Path,
    each: Duration,
) -> Result<Found> {
    let (logs, broken) = (folder.join("logs"), folder.join("broken"));
    for folder in [corpus, &logs, &broken] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log = logs.join(&target.name).with_extension("log");
    let prefix = broken.join(format!("{}-", target.name));
    let output = Command::new(&target.program)
        .args([corpus, &target.seeds])
        .arg(format!("-max_total_time={}", each.as_secs().max(1)))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={ONE}"))
        .args(["-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}", prefix.display()))
        .env("TMPDIR", scratch)
        .output()
        .with_context(|| target.program.display().to_string())?;
    // Services of ours say on standard error what they do; libFuzzer does as well.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::write(&log, &said).with_context(|| log.display().to_string())?;
    let found = found(&said);
    if !output.status.success() && found.broken.is_none() {
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("it ended ({}):\n{last}", output.status);
    }
    let counted = said.contains(" inline 8-bit counters)");
    ensure!(
        counted,
        "it was built without coverage; see {}",
        log.display()
    );
    Ok(found)
}

/// What libFuzzer says (llvm.org/docs/LibFuzzer.html, "Output").
fn found(said: &str) -> Found {
    let mut found = Found::default();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|known| *known == word)?;
            words.get(at + 1)?.parse::<u64>().ok()
        };
        if let (Some(edges), true) = (after("cov:"), line.starts_with('#')) {
            found.after = edges;
            if words.contains(&"INITED") {
                found.before = edges;
            }
        }
        let number = |name: &str| after(&format!("stat::{name}:"));
        found.executions = number("number_of_executed_units").unwrap_or(found.executions);
        found.new = number("new_units_added").unwrap_or(found.new);
        // One that is only slow is kept beside the others and breaks nothing.
        if let Some((_, path)) = line.split_once("Test unit written to ")
            && !path.contains("-slow-unit-")
        {
            found.broken = Some(path.trim().into());
        }
    }
    found
}

/// Puts some of the inputs that together reach all that the corpus does among the seeds.
fn bless(target: &Target, corpus: &Path) -> Result<()> {
    let least = tempfile::tempdir()?;
    let merged = Command::new(&target.program)
        .arg("-set_cover_merge=1")
        .args([least.path(), &target.seeds, corpus])
        .output()
        .with_context(|| target.program.display().to_string())?;
    ensure!(
        merged.status.success(),
        "{}: merging ended ({})",
        target.name,
        merged.status
    );
    let (most, small) = KEPT;
    let mut inputs = Vec::new();
    for entry in fs::read_dir(least.path())? {
        let entry = entry?;
        inputs.push((entry.metadata()?.len(), entry.path()));
    }
    inputs.retain(|(size, _)| *size <= small);
    // Larger ones have more in them.
    inputs.sort_by(|one, other| other.cmp(one));
    let old = fs::read_dir(&target.seeds)?.filter_map(Result::ok);
    for seed in old.filter(|seed| is_found(&seed.file_name().to_string_lossy())) {
        fs::remove_file(seed.path())?;
    }
    let known: Vec<Vec<u8>> = fs::read_dir(&target.seeds)?
        .filter_map(|seed| fs::read(seed.ok()?.path()).ok())
        .collect();
    let read = |(_, path): (u64, PathBuf)| Some((fs::read(&path).ok()?, path));
    let new = inputs.into_iter().filter_map(read);
    for (bytes, path) in new.filter(|(bytes, _)| !known.contains(bytes)).take(most) {
        let hash = path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = hash.chars().take(8).collect();
        fs::write(target.seeds.join(format!("found-{name}")), bytes)?;
    }
    Ok(())
}

/// Whether a seed is one that a campaign has found.
fn is_found(name: &str) -> bool {
    name.starts_with("found-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "INFO: Loaded 1 modules   (31245 inline 8-bit counters): 31245 [0x1, 0x2),\n\
        #9\tINITED cov: 412 ft: 500 corp: 8/310b exec/s: 0 rss: 40Mb\n\
        #4096\tpulse  cov: 430 ft: 600 corp: 20/1Kb lim: 4 exec/s: 2048 rss: 41Mb\n\
        policy a: cov: 7\n\
        #9000\tDONE   cov: 431 ft: 610 corp: 21/1Kb lim: 4 exec/s: 4500 rss: 41Mb\n\
        stat::number_of_executed_units: 9000\n\
        stat::new_units_added:          13\n";

    #[test]
    fn what_libfuzzer_says_becomes_figures() {
        let done = Found {
            executions: 9000,
            before: 412,
            after: 431,
            new: 13,
            broken: None,
        };
        assert_eq!(found(SAID), done);
        let crashed = format!("{SAID}artifact_prefix='x'; Test unit written to /t/wire-crash-1\n");
        assert_eq!(found(&crashed).broken, Some("/t/wire-crash-1".into()));
        let slow = format!("{SAID}artifact_prefix='x'; Test unit written to /t/wire-slow-unit-1\n");
        assert_eq!(found(&slow).broken, None);
    }

    #[test]
    fn an_unknown_target_is_refused_and_the_known_ones_named() {
        let target = |name: &str| Target {
            name: name.into(),
            program: name.into(),
            seeds: name.into(),
        };
        let all = vec![target("lmtp"), target("wire")];
        let one = chosen(all.clone(), &["wire".into()]).unwrap();
        assert_eq!(one, [target("wire")]);
        assert_eq!(chosen(all.clone(), &[]).unwrap(), all);
        let error = chosen(all, &["wier".into()]).unwrap_err().to_string();
        assert_eq!(error, "wier: no such target; there are lmtp, wire");
    }
}

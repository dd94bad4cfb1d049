//! `cargo xtask test`: the fast checks, then boots of the card that users get.
//!
//! Everything that ran is counted; the last line is `N passed, N failed`.

use crate::exploits::Extent;
use crate::qemu;
use crate::scenarios::{self, Lab, Outcome, Scenario};
use crate::{campaign, card_check, exploits, foreign, guest, image, tidy, workspace};
use anyhow::{Result, bail};
use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Only the fast part: formatting, lints, house rules, unit tests
    #[arg(long, conflicts_with_all = ["names", "bless"])]
    unit: bool,
    /// Write the golden transcripts anew; look at the difference before committing
    #[arg(long)]
    bless: bool,
    /// How many boot tests run at a time [default: 2, or 1 on one core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Only these boot tests
    names: Vec<String>,
}

/// How many tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Runs what was asked for. Fails when any test failed.
pub fn run(arguments: &TestArguments) -> Result<()> {
    let chosen = choose(&arguments.names)?;
    image::host_packages_for_boots()?;
    // Minutes, which would count as a unit test's.
    internet::unpack()?;
    let mut tally = Tally::default();
    if arguments.names.is_empty() {
        unit(&mut tally);
    }
    if arguments.names.is_empty() && !arguments.unit && !qemu::interrupted() {
        tally.step("a hundred messages natively", campaign::few);
        mail_with_others(&mut tally);
        tally.step("planted exploits", || exploits::run(Extent::Ordinary));
    }
    if !arguments.unit && !qemu::interrupted() {
        let begun = Instant::now();
        if let Err(error) = boots(&chosen, arguments, &mut tally) {
            tally.failed("boot tests", begun, &format!("{error:#}"));
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("some tests failed");
    }
    Ok(())
}

/// The boot tests of these names; all when there is none.
fn choose(names: &[String]) -> Result<Vec<&'static Scenario>> {
    let known = || {
        scenarios::ALL
            .iter()
            .map(|s| s.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(unknown) = names
        .iter()
        .find(|n| !scenarios::ALL.iter().any(|s| s.name == **n))
    {
        bail!("{unknown}: no such boot test; there are {}", known());
    }
    let wanted = |s: &&Scenario| names.is_empty() || names.iter().any(|name| name == s.name);
    Ok(scenarios::ALL.iter().filter(wanted).collect())
}

/// Mail natively from the programs of others. These mostly wait, so the ZIP for the boots is
/// built meanwhile; whether it can be is said there.
fn mail_with_others(tally: &mut Tally) {
    let built = foreign::build();
    std::thread::scope(|scope| {
        scope.spawn(guest::build_zip);
        tally.step("mail from the programs of others natively", || {
            foreign::run(built?)
        });
    });
}

/// Formatting, lints, house rules and unit tests.
fn unit(tally: &mut Tally) {
    tally.step("formatting", || {
        cargo(&["fmt", "--all", "--check", "--", "-l"])
    });
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    tally.step("lints", || cargo(&lints));
    tally.step("house rules", || tidy::check(workspace::root()));
    let nextest = Command::new("cargo")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let words: &[&str] = if nextest {
        &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--cargo-quiet",
        ]
    } else {
        &["test", "--workspace", "--no-fail-fast", "--quiet"]
    };
    tally.programs_own_tests(words);
}

/// How many boots share the machine when nobody says: a guest has one processor.
pub fn usual_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

/// Boots of the real ZIP, several at a time: one guest leaves a second core idle.
fn boots(chosen: &[&Scenario], arguments: &TestArguments, tally: &mut Tally) -> Result<()> {
    guest::build_zip()?;
    if chosen.len() == scenarios::ALL.len() {
        for zip in [workspace::zip(), workspace::image_zip()] {
            let name = zip.file_name().unwrap_or_default().display();
            tally.step(&format!("card-check {name}"), || card_check::check(&zip));
        }
    }
    let lab = Lab::new(arguments.bless)?;
    let jobs = arguments.jobs.map_or_else(usual_jobs, usize::from);
    let tally = Mutex::new(tally);
    let work = |scenario: &&Scenario| {
        let begun = Instant::now();
        eprintln!("{} … ({})", scenario.name, scenario.about);
        let outcome = scenarios::run(scenario, &lab);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Passed => tally.passed(scenario.name, begun),
            Outcome::Failed(reason) => tally.failed(scenario.name, begun, &reason),
        }
    };
    scenarios::plan(chosen).carry_out(jobs, work, qemu::interrupted);
    if qemu::interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

impl Tally {
    /// Runs one check and counts it.
    fn step(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        let begun = Instant::now();
        match check() {
            Ok(()) => self.passed(name, begun),
            Err(error) => self.failed(name, begun, &format!("{error:#}")),
        }
    }

    /// Runs cargo's tests and counts each of them.
    fn programs_own_tests(&mut self, words: &[&str]) {
        let begun = Instant::now();
        let output = Command::new("cargo")
            .args(words)
            .current_dir(workspace::root())
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) => return self.failed("unit tests", begun, &error.to_string()),
        };
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let counted = count(&said);
        self.passed += counted.passed;
        self.failed += counted.failed;
        let seconds = begun.elapsed().as_secs();
        eprintln!(
            "  {} of the unit tests passed ({seconds} s)",
            counted.passed
        );
        if !output.status.success() {
            // A crate that does not compile has no test to count.
            self.failed += usize::from(counted.failed == 0);
            eprintln!("FAILED unit tests:\n{said}");
        }
    }

    fn passed(&mut self, name: &str, begun: Instant) {
        self.passed += 1;
        eprintln!(
            "  {} {name} ({} s)",
            paint("32", "passed"),
            begun.elapsed().as_secs()
        );
    }

    fn failed(&mut self, name: &str, begun: Instant, reason: &str) {
        self.failed += 1;
        let seconds = begun.elapsed().as_secs();
        eprintln!("  {} {name} ({seconds} s): {reason}", paint("31", "FAILED"));
    }
}

/// Adds up the closing lines of cargo's or nextest's test runs.
fn count(said: &str) -> Tally {
    let mut tally = Tally::default();
    for line in said.lines() {
        let closing = line.trim_start();
        if !closing.starts_with("test result:") && !closing.starts_with("Summary [") {
            continue;
        }
        let words: Vec<&str> = closing.split([' ', ',', ';', '(', ')']).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            match (pair[0].parse::<usize>(), pair[1]) {
                (Ok(number), "passed") => tally.passed += number,
                (Ok(number), "failed" | "timed") => tally.failed += number,
                _ => {}
            }
        }
    }
    tally
}

/// Runs cargo in the workspace; its complaints are the error.
fn cargo(words: &[&str]) -> Result<()> {
    let output = Command::new("cargo")
        .args(words)
        .current_dir(workspace::root())
        .output()?;
    if !output.status.success() {
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        bail!("cargo {}:\n{said}", words.join(" "));
    }
    Ok(())
}

/// Colour on a terminal, plain text elsewhere.
fn paint(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_cargo_and_of_nextest_are_counted() {
        let cargo = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured\n\
                     noise 7 passed\n\
                     test result: FAILED. 3 passed; 2 failed; 0 ignored\n";
        assert_eq!(
            count(cargo),
            Tally {
                passed: 15,
                failed: 2
            }
        );
        let nextest =
            "     Summary [   0.9s] 41 tests run: 40 passed (1 slow), 1 failed, 2 skipped\n";
        assert_eq!(
            count(nextest),
            Tally {
                passed: 40,
                failed: 1
            }
        );
    }

    #[test]
    fn an_unknown_boot_test_is_refused_and_the_known_ones_named() {
        let error = choose(&["frist_boot".into()]).unwrap_err().to_string();
        assert!(
            error.contains("frist_boot") && error.contains("first_boot_virt"),
            "{error}"
        );
    }
}

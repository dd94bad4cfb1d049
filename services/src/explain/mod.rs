//! What a service may do, in plain words, with a score: [`explain`].
//!
//! All of it is computed from the [`Spec`] that the sandbox enforces and from
//! what is handed in from outside it ([`Given`]: descriptors, a way to the
//! internet). A finding has a weight, and a badness from 0 (nothing) to 100 (the
//! most that a spec can give). The score is ten times the sum of weight times
//! badness by the sum of the weights, as `systemd-analyze security` has it, but
//! all findings are always counted: so giving more never lowers a score, and
//! scores of two services compare. 10 is a sandbox that gives all that a
//! sandbox can, which is still less than no sandbox.
//!
//! `docs/decisions/scores-of-sandboxes.md` says more.

mod calls;
mod files;
mod given;
mod limits;
mod network;
mod power;
#[cfg(test)]
mod tests;
mod words;

pub use given::{ChildOfMessage, Descriptor, Given};

use sandbox::Spec;
use std::fmt;

/// What a service may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The sandbox's name.
    pub name: String,
    /// What it may do, by topic, always the same topics in the same order.
    pub findings: Vec<Finding>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about, in one or two words.
    pub topic: &'static str,
    /// How much it counts beside the others; 0: not at all.
    pub weight: u32,
    /// 0 (nothing) to 100 (all that a spec can give).
    pub badness: u32,
    /// Whole sentences, or items that belong to the sentence before.
    pub words: Vec<String>,
}

/// In hundredths: 0 (nothing) to 1000 (all that a sandbox can give).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u32);

impl Score {
    /// One word for it, with the borders of `systemd-analyze security`.
    pub fn word(self) -> &'static str {
        match self.0 {
            0..100 => "SAFE",
            100..500 => "OK",
            500..750 => "MEDIUM",
            750..900 => "EXPOSED",
            _ => "UNSAFE",
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:02}", self.0 / 100, self.0 % 100);
        out.pad(&text)
    }
}

impl Explanation {
    /// The sum of what the findings cost.
    pub fn score(&self) -> Score {
        let points = self.findings.iter().map(Finding::points).sum();
        self.share(points)
    }

    /// What one finding adds to the score.
    pub fn cost(&self, finding: &Finding) -> Score {
        self.share(finding.points())
    }

    /// Hundredths of weight as a part of all weight, rounded up.
    fn share(&self, points: u32) -> Score {
        let all: u32 = self.findings.iter().map(|finding| finding.weight).sum();
        Score((points * 10).div_ceil(all.max(1)))
    }
}

impl Finding {
    /// Hundredths of its weight.
    fn points(&self) -> u32 {
        self.weight * self.badness
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = self.score();
        writeln!(out, "{}: {score} {}", self.name, score.word())?;
        writeln!(out, "(0 gives nothing, 10 all that a sandbox can give)")?;
        for finding in &self.findings {
            let cost = self.cost(finding);
            match finding.weight {
                0 => writeln!(out, "\n{}", finding.topic)?,
                _ => writeln!(out, "\n{} ({cost})", finding.topic)?,
            }
            for words in &finding.words {
                writeln!(out, "  {words}")?;
            }
        }
        Ok(())
    }
}

/// Says what a sandbox of this spec, given this, may do.
pub fn explain(spec: &Spec, given: &Given) -> Explanation {
    // Every field by name: one that is added later can't be forgotten here.
    let Spec {
        name,
        root,
        volumes,
        scratch,
        devices,
        proc,
        argv,
        env,
        cgroup,
        user,
        capabilities,
        network,
        rlimits,
        paths,
        policy,
        write_execute,
        dumpable,
    } = spec;
    let mut findings = vec![power::program(name, argv, env, given)];
    findings.push(power::user(*user));
    findings.push(power::capabilities(capabilities, given));
    findings.extend(files::files(root, volumes, scratch, given));
    findings.push(files::devices(devices));
    findings.push(files::proc(*proc));
    findings.push(files::landlock(paths));
    findings.push(network::channels(given));
    findings.extend(network::network(network, given));
    findings.extend(limits::cgroup(cgroup.as_ref()));
    findings.extend(limits::rlimits(*rlimits));
    findings.push(power::write_execute(*write_execute));
    findings.push(power::dumpable(*dumpable));
    findings.extend(calls::calls(policy));
    findings.extend(
        given
            .child
            .as_ref()
            .map(|child| calls::child(policy, child)),
    );
    let name = name.clone();
    Explanation { name, findings }
}

/// A finding; more than the worst is the worst.
fn finding(topic: &'static str, weight: u32, badness: u64, words: Vec<String>) -> Finding {
    let badness = u32::try_from(badness.min(100)).unwrap_or(100);
    Finding {
        topic,
        weight,
        badness,
        words,
    }
}

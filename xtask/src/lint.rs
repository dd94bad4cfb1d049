//! Says what every sandboxed service may do, from the specs that the box
//! enforces, and fails when one may do more than `apps/email/scores.yaml` agrees
//! to. No image is needed: the policies are those of the source tree, the paths
//! those of the box.

use crate::workspace;
use anyhow::{Context, Result, bail};
use clap::Args;
use init::console_sandbox;
use manifest::closest;
use sandbox::policy::Arch;
use services::Place;
use services::explain::{ChildOfMessage, Explanation, Given, Score, explain};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The app whose services are looked at, below the repository's top.
const APP: &str = "apps/email";
/// What a box is: some calls have other names on the machine here.
const BOX: Arch = Arch::Aarch64;
/// The host's ids of an app's first service (services/src/ids.rs).
const FIRST_ID: u32 = 1_000_000;

/// What `cargo xtask lint` is called with.
#[derive(Debug, Args)]
pub struct LintArguments {
    /// Say all about this one
    service: Option<String>,
    /// For programs: everything as JSON
    #[arg(long)]
    json: bool,
}

/// A service, and the most that its score may be.
struct Row {
    explanation: Explanation,
    limit: Option<Score>,
}

impl Row {
    /// What is wrong with it, and what to do.
    fn complaint(&self) -> Option<String> {
        let (name, score) = (&self.explanation.name, self.explanation.score());
        let file = format!("{APP}/scores.yaml");
        match self.limit {
            Some(limit) if score <= limit => None,
            Some(limit) => Some(format!(
                "{name} scores {score}, above its limit of {limit}: give it less \
                 (`cargo xtask lint {name}` says what costs), or raise the limit in {file}"
            )),
            None => Some(format!(
                "{name} has no limit; write `{name}: {score}` into {file}"
            )),
        }
    }
}

/// Prints, and fails when a limit is exceeded or the manifest is wrong.
pub fn run(arguments: &LintArguments) -> Result<()> {
    let rows = examine(&workspace::root().join(APP))?;
    let mut shown: Vec<&Row> = rows.iter().collect();
    if let Some(service) = &arguments.service {
        shown.retain(|row| row.explanation.name == *service);
        if shown.is_empty() {
            let names: Vec<&str> = rows
                .iter()
                .map(|row| row.explanation.name.as_str())
                .collect();
            bail!(
                "there is no service {service:?}; {}",
                advice(service, &names)
            );
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json(&shown))?);
    } else if arguments.service.is_some() {
        for row in &shown {
            print!("{}", row.explanation);
        }
    } else {
        print!("{}", table(&shown));
    }
    verdict(&shown)
}

/// The console's and every service's score, by name.
pub fn scores() -> Result<Vec<(String, Score)>> {
    let rows = examine(&workspace::root().join(APP))?;
    let score = |row: Row| (row.explanation.name.clone(), row.explanation.score());
    Ok(rows.into_iter().map(score).collect())
}

fn advice(word: &str, known: &[&str]) -> String {
    closest(word, known).map_or_else(
        || format!("known are: {}", known.join(", ")),
        |near| format!("did you mean {near:?}?"),
    )
}

fn verdict(rows: &[&Row]) -> Result<()> {
    let complaints: Vec<String> = rows.iter().filter_map(|row| row.complaint()).collect();
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// Explains the console and every service of the app in `folder`.
fn examine(folder: &Path) -> Result<Vec<Row>> {
    let file = |name: &str| folder.join(name);
    let read = |name: &str| {
        fs::read_to_string(file(name)).with_context(|| format!("{APP}/{name}: cannot be read"))
    };
    let app = manifest::read(&format!("{APP}/app.yaml"), &read("app.yaml")?)?;
    let mut limits = limits(&read("scores.yaml")?)?;
    let mut console = console_sandbox::spec()?;
    console.policy = console.policy.listed_for(BOX);
    let mut explanations = vec![explain(&console, &console_sandbox::given())];
    for service in &app.services {
        let place = Place {
            image: Path::new("/run/apps").join(app.name.as_str()),
            volumes: Path::new("/data/apps").join(app.name.as_str()),
            hostname: "projectx.local".into(),
            first_id: FIRST_ID,
            cgroups: Some("/sys/fs/cgroup".into()),
            instance: String::new(),
        };
        let name = format!("policies/{}", service.policy);
        let policy = sandbox::policy::load_str(&format!("{APP}/{name}"), &read(&name)?)?;
        let spec = services::spec_with(&app, service, &place, policy.listed_for(BOX));
        let mut given = Given::of(&app, service, &place.volumes)?;
        given.child = given.child.map(|child| ChildOfMessage {
            policy: child.policy.listed_for(BOX),
            ..child
        });
        explanations.push(explain(&spec, &given));
    }
    let rows: Vec<Row> = explanations
        .into_iter()
        .map(|explanation| {
            let limit = limits.remove(&explanation.name);
            Row { explanation, limit }
        })
        .collect();
    if let Some(name) = limits.keys().next() {
        bail!("{APP}/scores.yaml: there is no service {name:?}; remove the line");
    }
    Ok(rows)
}

/// The most that each service's score may be, by its name.
fn limits(text: &str) -> Result<BTreeMap<String, Score>> {
    let raw: BTreeMap<String, f64> =
        serde_yaml::from_str(text).with_context(|| format!("{APP}/scores.yaml"))?;
    raw.into_iter()
        .map(|(name, limit)| {
            if !(0.0..=10.0).contains(&limit) {
                bail!("{APP}/scores.yaml: {name}: {limit} is not a score; write 0.00 to 10.00");
            }
            // Of that range: hundredths fit.
            Ok((name, Score((limit * 100.0).round() as u32)))
        })
        .collect()
}

fn table(rows: &[&Row]) -> String {
    let mut text = format!("{:<18}{:>6}{:>7}  \n", "SERVICE", "SCORE", "LIMIT");
    for row in rows {
        let (name, score) = (&row.explanation.name, row.explanation.score());
        let limit = row
            .limit
            .map_or_else(|| "none".into(), |limit| limit.to_string());
        text += &format!("{name:<18}{score:>6}{limit:>7}  {}\n", score.word());
    }
    text
}

fn json(rows: &[&Row]) -> serde_json::Value {
    let number = |score: Score| f64::from(score.0) / 100.0;
    let one = |row: &&Row| {
        let Explanation { name, findings } = &row.explanation;
        let score = row.explanation.score();
        let findings: Vec<_> = findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "topic": finding.topic,
                    "weight": finding.weight,
                    "badness": finding.badness,
                    "cost": number(row.explanation.cost(finding)),
                    "words": finding.words,
                })
            })
            .collect();
        serde_json::json!({
            "service": name,
            "score": number(score),
            "word": score.word(),
            "limit": row.limit.map(number),
            "findings": findings,
        })
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the app's folder, in which a text is replaced.
    fn changed(file: &str, from: &str, to: &str) -> Result<Vec<Row>> {
        let source = workspace::root().join(APP);
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("policies")).unwrap();
        for name in ["app.yaml", "scores.yaml"] {
            fs::copy(source.join(name), copy.path().join(name)).unwrap();
        }
        for entry in fs::read_dir(source.join("policies")).unwrap() {
            let name = entry.unwrap().file_name();
            let policies = Path::new("policies").join(name);
            fs::copy(source.join(&policies), copy.path().join(&policies)).unwrap();
        }
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        examine(copy.path())
    }

    fn complaint(rows: Result<Vec<Row>>) -> String {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return format!("{error:#}"),
        };
        let rows: Vec<&Row> = rows.iter().collect();
        format!("{:#}", verdict(&rows).unwrap_err())
    }

    #[test]
    fn no_service_may_do_more_than_is_agreed() {
        let rows = examine(&workspace::root().join(APP)).unwrap();
        let rows: Vec<&Row> = rows.iter().collect();
        verdict(&rows).unwrap();
        assert!(rows.len() >= 7);
        let shown = table(&rows);
        assert!(
            shown.contains("console") && shown.contains("smtp-in"),
            "{shown}"
        );
        for row in &rows {
            // On the box it goes to `projectx` in one line of the protocol.
            let text = row.explanation.to_string();
            control::wire::write(&mut Vec::new(), &text).unwrap();
        }
        for row in json(&rows).as_array().unwrap() {
            assert!(row["findings"].as_array().unwrap().len() > 30, "{row}");
            assert!(row["score"].as_f64() <= row["limit"].as_f64(), "{row}");
        }
    }

    #[test]
    fn a_sandbox_that_is_widened_is_noticed() {
        let gate = changed(
            "app.yaml",
            "uses: [lmtp, report]",
            "uses: [lmtp, report]\n    write-execute: allowed",
        );
        let words = complaint(gate);
        assert!(
            words.starts_with("gate scores ") && words.contains("above its limit"),
            "{words}"
        );
        assert!(!words.contains("smtp-in"), "{words}");
        let call = "execve              # the start itself\n";
        let more = format!("{call}socket              # tried\n");
        let words = complaint(changed("policies/gate.seccomp", call, &more));
        assert!(words.starts_with("gate scores "), "{words}");
    }

    #[test]
    fn limits_that_are_missing_left_over_or_no_numbers_are_named() {
        let words = complaint(changed("scores.yaml", "\ngate:", "\nsigne:"));
        assert!(
            words.contains("there is no service \"signe\"; remove the line"),
            "{words}"
        );
        let words = complaint(changed("scores.yaml", "\ngate:", "\n#gate:"));
        assert!(
            words.contains("gate has no limit; write `gate: "),
            "{words}"
        );
        let words = complaint(changed("scores.yaml", "\ngate: ", "\ngate: 1"));
        assert!(
            words.contains("gate: 1") && words.contains("is not a score"),
            "{words}"
        );
    }

    #[test]
    fn a_wrong_manifest_and_a_wrong_policy_are_named_with_their_line() {
        let words = complaint(changed(
            "app.yaml",
            "lifetime: per-connection",
            "lifetime: forever",
        ));
        assert!(words.starts_with("apps/email/app.yaml:"), "{words}");
        let words = complaint(changed("policies/gate.seccomp", "\nexecve  ", "\nexecvv  "));
        assert!(
            words.starts_with("apps/email/policies/gate.seccomp:"),
            "{words}"
        );
    }

    #[test]
    fn a_service_that_is_not_there_is_answered_with_a_near_one() {
        assert_eq!(
            advice("smtp_in", &["gate", "smtp-in"]),
            "did you mean \"smtp-in\"?"
        );
        assert_eq!(
            advice("x", &["gate", "smtp-in"]),
            "known are: gate, smtp-in"
        );
    }
}

//! Attacks from inside every sandbox, on the box's kernel: the programs of
//! `ci/attacks`, which a test card brings along. With all protections each comes to
//! the same as on the machine of the builders; what only the box has, limits of
//! cgroups and modules, is taken away as well.

use super::Lab;
use crate::agent::Agent;
use crate::image::{self, Tree};
use crate::qemu::{Board, PAGE_LIMIT};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PROGRAM: &str = "/attacks-in-box";
/// The file of what is shown on the box only.
const ON_THE_BOX: &str = "on-the-box";
/// A 64-bit process on arm64 has no such calls.
const X86_ONLY: [&str; 2] = ["int-0x80", "x32-call"];

pub(super) fn run(lab: &Lab, folder: &Path) -> Result<()> {
    let card = lab.card_with_agent_and(folder, "", &brought()?, &[])?;
    let mut machine = lab.start(Board::Virt, &card, folder)?;
    machine.wait_for_serial("projectx: page ready", 1, PAGE_LIMIT)?;
    let mut agent = Agent::connect(&mut machine)?;
    let mut files = expected()?;
    let on_the_box = files.remove(ON_THE_BOX).context("no on-the-box.txt")?;
    let mut wrong = Vec::new();
    for (sandbox, lines) in &files {
        let said = agent.run("run", &[PROGRAM, sandbox])?;
        compare(sandbox, &first_outcomes(lines), &parse(&said), &mut wrong);
    }
    for (what, line) in &on_the_box {
        let (sandbox, attack) = what.split_once(' ').context("no sandbox")?;
        let removed = line.split("; without ").skip(1);
        let removed = removed.filter_map(|part| part.split(": ").next());
        let words: Vec<&str> = [PROGRAM, sandbox, attack]
            .into_iter()
            .chain(removed)
            .collect();
        let said = agent.run("run", &words)?;
        let one = BTreeMap::from([(attack.to_owned(), line.clone())]);
        compare(sandbox, &one, &parse(&said), &mut wrong);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    machine.cut_power()?;
    Ok(())
}

/// The programs, for the agent's `run`.
fn brought() -> Result<Tree> {
    let mut tree = Tree::default();
    for (package, name) in [("attacks", "attack"), ("attacks-in-box", "attacks-in-box")] {
        let program = image::compile(package)?.join(name);
        let bytes = fs::read(&program).with_context(|| program.display().to_string())?;
        tree.put_program(name, bytes);
    }
    Ok(tree)
}

/// Each file of `ci/attacks/expected` by its name.
fn expected() -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let folder = workspace::root().join("ci/attacks/expected");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().context("no name")?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        files.insert(name.to_string_lossy().into_owned(), parse(&text));
    }
    ensure!(files.len() > 1, "{}: empty", folder.display());
    Ok(files)
}

/// `what: line`, without the notes.
fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let split = lines.filter_map(|line| line.split_once(": "));
    split.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// What is so with all protections, or on purpose.
fn first_outcomes(lines: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let here = lines
        .iter()
        .filter(|(attack, _)| !X86_ONLY.contains(&attack.as_str()));
    let first = |line: &str| line.split("; ").next().unwrap_or_default().to_owned();
    here.map(|(attack, line)| (attack.clone(), first(line)))
        .collect()
}

fn compare(
    sandbox: &str,
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) {
    let nothing = String::from("nothing");
    let all: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for attack in all {
        let of = |lines: &BTreeMap<String, String>| lines.get(attack).unwrap_or(&nothing).clone();
        let (expected, found) = (of(expected), of(found));
        if expected != found {
            wrong.push(format!("{sandbox}: {attack}: {found}, expected {expected}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_box_is_to_say_is_known_for_every_sandbox() {
        let files = expected().unwrap();
        for (name, lines) in files.iter().filter(|(name, _)| *name != ON_THE_BOX) {
            let first = first_outcomes(lines);
            assert!(first.len() > 40, "{name}: {}", first.len());
            assert_eq!(first["mount"], "killed", "{name}");
            assert!(!first.contains_key("int-0x80"), "{name}");
        }
    }

    #[test]
    fn a_missing_and_a_different_answer_are_named() {
        let expected = parse("# note\na: killed\nb: EPERM\n");
        let mut wrong = Vec::new();
        compare("gate", &expected, &parse("a: in\n"), &mut wrong);
        let all = [
            "gate: a: in, expected killed",
            "gate: b: nothing, expected EPERM",
        ];
        assert_eq!(wrong, all);
    }
}

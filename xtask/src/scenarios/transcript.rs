//! What PID 1 says on the console, step by step, beside what it should say.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;

/// The lines of PID 1 in a serial log, in order.
pub(super) fn pid1_lines(serial: &str) -> Vec<&str> {
    serial
        .lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with("init: "))
        .collect()
}

/// Compares with `ci/golden/NAME.txt`, or writes that file when `bless` is set.
pub(super) fn compare(name: &str, lines: &[&str], bless: bool) -> Result<()> {
    let path = workspace::root()
        .join("ci/golden")
        .join(format!("{name}.txt"));
    let now = lines.join("\n") + "\n";
    if bless {
        return fs::write(&path, now).with_context(|| path.display().to_string());
    }
    let golden = fs::read_to_string(&path)
        .with_context(|| format!("{}: run this test with --bless to make it", path.display()))?;
    if golden == now {
        return Ok(());
    }
    bail!(
        "PID 1 did not say what {} has (--bless writes it anew):\n{}",
        path.display(),
        difference(&golden, &now)
    )
}

/// The lines around the first difference, `-` expected and `+` found.
fn difference(golden: &str, now: &str) -> String {
    let (golden, now): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), now.lines().collect());
    let same = golden.iter().zip(&now).take_while(|(a, b)| a == b).count();
    let mut text = format!("  the first {same} lines agree, then");
    for line in golden.iter().skip(same).take(4) {
        text.push_str(&format!("\n  -{line}"));
    }
    for line in now.iter().skip(same).take(4) {
        text.push_str(&format!("\n  +{line}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_pid_1_are_taken_and_carriage_returns_dropped() {
        let serial = "U-Boot\ninit: mounts\r\n[ 1.0] usb\nprojectx: init: no\ninit: modules\n";
        assert_eq!(pid1_lines(serial), ["init: mounts", "init: modules"]);
    }

    #[test]
    fn a_swapped_step_is_shown_where_it_begins() {
        let shown = difference("a\nb\nc\n", "a\nc\nb\n");
        assert!(shown.contains("first 1 lines agree"), "{shown}");
        assert!(shown.contains("-b") && shown.contains("+c"), "{shown}");
    }
}

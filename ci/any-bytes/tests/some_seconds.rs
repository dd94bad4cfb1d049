//! Each check for a moment, from its seeds; `fuzz/` does it for as long as one likes, and
//! with an eye on what is reached. No check is without a target and seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each has so long; those of `mail_path.rs` have more there.
const MOMENT: Duration = Duration::from_millis(1500);

fn here(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Names in a folder, without `.rs`.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a name");
        name.trim_end_matches(".rs").to_owned()
    };
    entries
        .map(|entry| name(entry.expect("an entry")))
        .collect()
}

#[test]
fn every_check_has_a_target_and_seeds() {
    let known: BTreeSet<String> = any_bytes::ALL.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names(&here("fuzz/fuzz_targets")), known);
    assert_eq!(names(&here("seeds")), known);
    let manifest = fs::read_to_string(here("fuzz/Cargo.toml")).expect("its manifest");
    for name in &known {
        let line = format!("path = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&line), "{name}");
    }
}

/// Runs every check whose name begins with a letter of these.
fn moment(first: std::ops::RangeInclusive<char>) {
    for (name, check) in any_bytes::ALL {
        if name.starts_with(|letter| first.contains(&letter)) {
            any_bytes::run_for(&here("seeds").join(name), MOMENT, check);
        }
    }
}

// As tests of their own they share the machine's processors.
#[test]
fn checks_a_to_l_hold_for_a_moment() {
    moment('a'..='l');
}

#[test]
fn checks_m_to_r_hold_for_a_moment() {
    moment('m'..='r');
}

#[test]
fn checks_s_to_z_hold_for_a_moment() {
    moment('s'..='z');
}

//! `docs/rfc.md` says what is so: its files exist, and it leaves no RFC out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of each row.
fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(repository().join("docs/rfc.md")).unwrap();
    text.lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| RFC ") && !line.contains("---")
        })
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn numbers(text: &str) -> BTreeSet<u32> {
    let digits = |part: &str| -> Option<u32> {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    };
    text.split("RFC ").skip(1).filter_map(digits).collect()
}

#[test]
fn each_row_has_a_state_and_what_is_done_is_done_in_files_that_exist() {
    let rows = rows();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in &rows {
        let [_rfc, section, what, state, why] = row.as_slice() else {
            panic!("{row:?}");
        };
        assert!(
            !section.is_empty() && !what.is_empty() && !why.is_empty(),
            "{row:?}"
        );
        let files: Vec<&str> = why
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('/'))
            .collect();
        match state.as_str() {
            "done" => assert!(!files.is_empty(), "{row:?}"),
            "refused" | "not yet" => {}
            _ => panic!("{row:?}"),
        }
        for file in files {
            assert!(repository().join(file).is_file(), "{file}: {row:?}");
        }
    }
}

#[test]
fn no_rfc_that_the_mail_path_names_is_missing() {
    let known: BTreeSet<u32> = rows()
        .iter()
        .map(|row| row[0].split(' ').next().unwrap().parse().unwrap())
        .collect();
    // Names of hosts, times, passwords: no part of mail.
    let elsewhere = BTreeSet::from([1123, 3339, 9106]);
    let mut folders: Vec<PathBuf> = ["smtp-in/src", "gate/src", "channels/src", "people/src"]
        .map(|folder| repository().join(folder))
        .into();
    let mut named = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => named.extend(numbers(&fs::read_to_string(path).unwrap())),
            }
        }
    }
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<u32> = named
        .difference(&known)
        .filter(|number| !elsewhere.contains(number))
        .copied()
        .collect();
    assert!(missing.is_empty(), "docs/rfc.md has no row for {missing:?}");
}

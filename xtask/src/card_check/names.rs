//! Names that a FAT32 can hold and that every system unpacks to the same place.
//!
//! Source: fatgen103, "FAT Long Directory Entries"; Microsoft, "Naming Files, Paths, and
//! Namespaces".

use super::Findings;
use super::stream::Entry;
use std::collections::BTreeMap;

/// Letters in a name, in UTF-16.
const LONGEST_NAME: usize = 255;
/// Letters in a path on Windows, with a drive before it.
const LONGEST_PATH: usize = 255;
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Complains about every name that can't be.
pub fn check(entries: &[Entry], findings: &mut Findings) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for entry in entries {
        let name = entry.name.as_str();
        if let Some(fault) = fault(name) {
            findings.error(format!("{name:?}"), fault);
        }
        let folded = name.trim_end_matches('/').to_lowercase();
        if let Some(other) = seen.insert(folded, name) {
            findings.error(
                name,
                format!(
                    "is the same name as {other} on a FAT, which knows no small and capital letters"
                ),
            );
        }
    }
    for name in seen.values() {
        let folded = name.to_lowercase();
        let mut above = folded.trim_end_matches('/');
        while let Some((folder, _)) = above.rsplit_once('/') {
            if let Some(file) = seen.get(folder).filter(|other| !other.ends_with('/')) {
                findings.error(name, format!("lies in {file}, which is a file"));
            }
            above = folder;
        }
    }
}

/// What is wrong with a path, if anything is.
fn fault(path: &str) -> Option<String> {
    if path.encode_utf16().count() > LONGEST_PATH {
        return Some(format!("is longer than {LONGEST_PATH} letters"));
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    for name in path.split('/') {
        let stem = name.split('.').next().unwrap_or(name).to_lowercase();
        let numbered = ["com", "lpt"].iter().any(|device| {
            let number = stem.strip_prefix(device).unwrap_or_default();
            matches!(number.as_bytes(), [b'1'..=b'9'])
        });
        let bad = |c: &char| c.is_control() || "\\:*?\"<>|".contains(*c);
        if name.is_empty() || name == "." || name == ".." {
            return Some("leads out of the card or nowhere".to_owned());
        }
        if name.encode_utf16().count() > LONGEST_NAME {
            return Some(format!("is longer than {LONGEST_NAME} letters"));
        }
        if let Some(letter) = name.chars().find(bad) {
            return Some(format!("{letter:?} can't be in a name on a FAT"));
        }
        if name.ends_with(['.', ' ']) || name.starts_with(' ') {
            return Some("a name on a FAT can't begin or end so: it loses dots and spaces".into());
        }
        if RESERVED.contains(&stem.as_str()) || numbered {
            return Some(format!(
                "{stem:?} is a device on Windows, which unpacks no such file"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn names_that_a_fat_cannot_hold_are_told_apart() {
        for good in [
            "README.txt",
            "a/",
            "a/Image.gz",
            "überall/naïve.txt",
            "com10",
            "x.con",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        let long = "x".repeat(256);
        for (bad, words) in [
            ("/etc/passwd", "leads out"),
            ("a/../b", "leads out"),
            ("a//b", "leads out"),
            ("a:b", "':' can't be"),
            ("a\\b", "can't be"),
            ("what?", "'?' can't be"),
            ("tab\tbed", "can't be"),
            ("dot.", "loses dots"),
            ("space ", "loses dots"),
            ("a/NUL.txt", "\"nul\" is a device"),
            ("lpt1", "is a device"),
            (long.as_str(), "longer than 255"),
        ] {
            let said = fault(bad).unwrap_or_default();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}

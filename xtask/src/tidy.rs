//! House rules that no lint knows: no lint is silenced for a whole module,
//! `unsafe` stands in files called `sys.rs` only, and no product crate has a
//! feature that is for tests alone: `weak`, `planted`.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads every Rust file and every Cargo.toml below `root` and names each line that breaks a rule.
pub fn check(root: &Path) -> Result<()> {
    let mut complaints = Vec::new();
    for file in our_files(root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        let found = match name.ends_with(".rs") {
            true => complaints_about(&name, &text),
            false => for_tests_alone(&name, &text),
        };
        for (number, complaint) in found {
            complaints.push(format!("{name}:{number}: {complaint}"));
        }
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// Every `.rs` file and Cargo.toml that is ours: not in `target`, not in a hidden folder.
fn our_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(entry.path());
            } else if kind.is_file() && (name.ends_with(".rs") || name == "Cargo.toml") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The lines (from 1) that break a rule, and which.
fn complaints_about(name: &str, text: &str) -> Vec<(usize, &'static str)> {
    let sys = name == "sys.rs" || name.ends_with("/sys.rs");
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // A comment or a string may name what code may not do.
        let code = line.split("//").next().unwrap_or_default();
        let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let squeezed: String = code.split_whitespace().collect();
        let whole_module = squeezed.starts_with("#![allow(") || squeezed.starts_with("#![expect(");
        // The formatter may put the lint's name on the next line.
        let next = text.lines().nth(index + 1).unwrap_or_default();
        let attribute = squeezed + next.trim_start();
        if whole_module && !(sys && attribute.starts_with("#![expect(unsafe_code,")) {
            found.push((
                index + 1,
                "silences a lint for a whole module; silence one line",
            ));
        }
        let says_unsafe = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "unsafe");
        if says_unsafe && !sys {
            found.push((index + 1, "unsafe code belongs into a sys.rs"));
        }
    }
    found
}

/// The lines (from 1) of a Cargo.toml that would build something else than a
/// test with protections that can be removed, or with an attacker's code in it.
fn for_tests_alone(name: &str, text: &str) -> Vec<(usize, &'static str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') && line.ends_with(']') {
            section = line;
        }
        if section.contains("dev-dependencies") || name.starts_with("ci/") {
            continue;
        }
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        if has(&["\"weak\"", "sandbox/weak", "zygote/weak", "native/weak"]) {
            found.push((
                index + 1,
                "a feature `weak`, which takes protections away, is for [dev-dependencies]",
            ));
        }
        // The builder only looks for the mark of it.
        let needs = line.starts_with("planted =") && section.contains("dependencies");
        let needs = needs && !line.contains("optional = true") && name != "xtask/Cargo.toml";
        if needs || has(&["\"planted\"", "smtp-in/planted"]) {
            found.push((
                index + 1,
                "an attacker's code (`planted`) is for tests: optional, and no feature of a product",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blanket_allow_is_named_with_its_line() {
        let text = "//! Doc.\n#![allow(dead_code)]\nfn main() {}\n";
        let found = complaints_about("init/src/main.rs", text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 2);
    }

    #[test]
    fn unsafe_is_for_sys_files_only() {
        let text = "#![expect(unsafe_code, reason = \"calls\")]\nunsafe { call() }\n";
        assert!(complaints_about("sandbox/src/sys.rs", text).is_empty());
        assert_eq!(complaints_about("sandbox/src/lib.rs", text).len(), 2);
        assert_eq!(
            complaints_about("sandbox/src/mysys.rs", "unsafe fn f() {}").len(),
            1
        );
        let broken = "#![expect(\n    unsafe_code,\n    reason = \"calls\"\n)]\n";
        assert!(complaints_about("console/src/sys.rs", broken).is_empty());
        assert_eq!(
            complaints_about("console/src/sys.rs", "#![expect(\n    dead_code,\n").len(),
            1
        );
    }

    #[test]
    fn a_product_crate_cannot_have_weak_protections() {
        let line = "sandbox = { path = \"../sandbox\", features = [\"weak\"] }\n";
        for section in [
            "[dependencies]",
            "[build-dependencies]",
            "[target.'cfg(unix)'.dependencies]",
        ] {
            let found = for_tests_alone("init/Cargo.toml", &format!("{section}\n{line}"));
            assert_eq!(found.len(), 1, "{section}");
            assert_eq!(found[0].0, 2);
        }
        let apart = "[dependencies.sandbox]\nfeatures = [\n\"weak\"]\n";
        assert_eq!(for_tests_alone("init/Cargo.toml", apart).len(), 1);
        let feature = "[features]\nattack = [\"sandbox/weak\"]\n";
        assert_eq!(for_tests_alone("init/Cargo.toml", feature).len(), 1);
        let tests = format!("[dev-dependencies]\n{line}");
        assert!(for_tests_alone("init/Cargo.toml", &tests).is_empty());
        let ci = format!("[dependencies]\n{line}");
        assert!(for_tests_alone("ci/attack/Cargo.toml", &ci).is_empty());
    }

    #[test]
    fn a_product_crate_cannot_have_an_attacker_s_code() {
        let optional = "[features]\nplanted = [\"dep:planted\"]\n[dependencies]\n\
                        planted = { path = \"../ci/planted\", optional = true }\n";
        assert!(for_tests_alone("smtp-in/Cargo.toml", optional).is_empty());
        for bad in [
            "[features]\ndefault = [\"planted\"]\n",
            "[dependencies]\nplanted = { path = \"../ci/planted\" }\n",
            "[dependencies]\nsmtp-in = { path = \"../smtp-in\", features = [\"planted\"] }\n",
            "[features]\nx = [\"smtp-in/planted\"]\n",
        ] {
            let found = for_tests_alone("init/Cargo.toml", bad);
            assert_eq!(found.len(), 1, "{bad}");
            assert_eq!(found[0].0, 2);
        }
    }

    #[test]
    fn words_in_comments_strings_and_names_are_no_unsafe_code() {
        let text = "// unsafe here\nlet unsafe_code = \"unsafe\";\n";
        assert!(complaints_about("card/src/lib.rs", text).is_empty());
    }
}

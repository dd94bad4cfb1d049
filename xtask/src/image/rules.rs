//! `cargo xtask rules`: an update of SpamAssassin's rules, which a box takes
//! without a new image. `rules.img`, `rules.verity` and `rules.sig` go to
//! `/data/apps/email/updates` (`init/src/bin/supervisor/updates.rs`).
//!
//! An update replaces the image's rules as a whole; what it may hold is in
//! `overlays/spamassassin/usr/lib/projectx/Zy/Rules.pm`. The rules are not loaded
//! here: the box does that, and keeps its own when they do not load.

use super::sign::AppKey;
use super::squashfs;
use super::tree::Tree;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// What `cargo xtask rules` takes.
#[derive(Debug, clap::Args)]
pub struct RulesArguments {
    /// The rules: files *.cf, and VERSION with one decimal number
    folder: PathBuf,
    /// Sign with the key in this file, 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    app_key: PathBuf,
    /// Where the three files go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What the rules are signed as; `init/src/bin/supervisor/updates.rs` has it too.
const NAME: &str = "email/rules";
/// The words that may begin a line, one a line.
const WORDS: &str = include_str!("../../../overlays/spamassassin/usr/lib/projectx/rule-words");

/// Makes the three files.
pub fn run(arguments: &RulesArguments) -> Result<()> {
    let key = AppKey::read(&arguments.app_key)?;
    let tree = checked(&arguments.folder)?;
    make(&tree, &key, &arguments.out)
}

/// Packs and signs rules that were checked.
pub fn make(tree: &Tree, key: &AppKey, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("{}: cannot be made", out.display()))?;
    let [image, verity, signature] = ["img", "verity", "sig"].map(|end| {
        let name = format!("rules.{end}");
        out.join(name)
    });
    squashfs::make_named(tree, &image, &verity, NAME)?;
    fs::write(&signature, key.sign(&fs::read(&verity)?))
        .with_context(|| format!("{}: cannot be written", signature.display()))
}

/// Reads a folder of rules. Fails at what a box would refuse: other files, no
/// number, or a line that is no rule.
pub fn checked(folder: &Path) -> Result<Tree> {
    let unreadable = |path: &Path| format!("{}: cannot be read", path.display());
    let mut tree = Tree::default();
    let mut rules = 0;
    for entry in fs::read_dir(folder).with_context(|| unreadable(folder))? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".cf").unwrap_or_default();
        let is_rules = !stem.is_empty()
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        ensure!(
            entry.file_type()?.is_file() && (is_rules || name == "VERSION"),
            "{}: only VERSION and files *.cf may be in an update",
            path.display()
        );
        let bytes = fs::read(&path).with_context(|| unreadable(&path))?;
        if is_rules {
            rules += 1;
            check_words(&path, &bytes)?;
        }
        tree.put_file(&name, bytes);
    }
    ensure!(rules > 0, "{}: no file *.cf", folder.display());
    let version = folder.join("VERSION");
    let text = fs::read_to_string(&version).with_context(|| unreadable(&version))?;
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    ensure!(
        digits.parse::<u64>().is_ok() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        "{}: not one decimal number, say 2026112401",
        version.display()
    );
    Ok(tree)
}

fn check_words(path: &Path, bytes: &[u8]) -> Result<()> {
    // Rules are of any charset; the words that begin lines are ASCII.
    let text = String::from_utf8_lossy(bytes);
    for (index, line) in text.split('\n').enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let mut word = words.next().unwrap_or_default();
        if word == "lang" {
            word = words.nth(1).unwrap_or_default();
        }
        let key = word.to_lowercase().replace('-', "_");
        if !key.is_empty() && !WORDS.lines().any(|known| known == key) {
            let line = index + 1;
            bail!(
                "{}:{line}: \"{key}\" is not allowed in an update",
                path.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "# one\nlang de describe A ein A\nbody A /a/\nclear-report-template\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn three_files_come_out_and_the_name_is_signed() {
        let rules = folder(&[("10_a.cf", RULE), ("VERSION", "2026112401\n")]);
        let out = tempfile::tempdir().unwrap();
        let app_key = out.path().join("key");
        let key = AppKey::for_development(&app_key).unwrap();
        run(&RulesArguments {
            folder: rules.path().into(),
            app_key,
            out: out.path().join("new"),
        })
        .unwrap();
        let of = |end: &str| out.path().join(format!("new/rules.{end}"));
        let description = fs::read_to_string(of("verity")).unwrap();
        assert!(
            description.starts_with("name=email/rules\ndata_blocks="),
            "{description}"
        );
        assert_eq!(
            fs::read_to_string(of("sig")).unwrap(),
            key.sign(description.as_bytes())
        );
        let list = crate::tool::tool("unsquashfs", "squashfs-tools")
            .arg("-lln")
            .arg(of("img"))
            .output()
            .unwrap();
        let list = String::from_utf8(list).unwrap();
        assert!(list.contains("/10_a.cf\n") && list.contains("/VERSION\n"));
    }

    #[test]
    fn what_a_box_would_refuse_is_named() {
        let version = ("VERSION", "1\n");
        for (files, words) in [
            (vec![version], "no file *.cf"),
            (vec![("a.cf", RULE)], "VERSION: cannot be read"),
            (
                vec![("a.cf", RULE), ("VERSION", "1.5")],
                "VERSION: not one decimal number",
            ),
            (
                vec![("a.cf", RULE), version, ("b.pm", "")],
                "b.pm: only VERSION and files *.cf",
            ),
            (
                vec![("a.cf", "body A /a/\nLoadPlugin X\n"), version],
                "a.cf:2: \"loadplugin\" is not allowed",
            ),
            (
                vec![("a.cf", " lang en include x\n"), version],
                "a.cf:1: \"include\" is not allowed",
            ),
        ] {
            let error = checked(folder(&files).path()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

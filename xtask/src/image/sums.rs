//! `SHA256SUMS` beside the results, as `sha256sum --check` reads it.

use super::step::hash_file;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes it for the files `names` in `out`.
pub fn make(out: &Path, names: &[String]) -> Result<()> {
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{}  {name}\n", hash_file(&out.join(name))?));
    }
    let new = out.join("SHA256SUMS.new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, out.join("SHA256SUMS")))
        .with_context(|| format!("{}: SHA256SUMS cannot be written", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256sum_accepts_the_list() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.zip"), "content").unwrap();
        make(folder.path(), &["a.zip".into()]).unwrap();
        let check =
            crate::tool::tool("sha256sum", "coreutils").args(["--check", "--strict", "SHA256SUMS"]);
        check.in_folder(folder.path()).run().unwrap();
    }
}

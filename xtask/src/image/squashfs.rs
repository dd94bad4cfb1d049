//! A tree packed as squashfs with a dm-verity hash tree behind it: the form of
//! the system image and of every app's. The same tree gives the same bytes.
//!
//! Formats: mksquashfs(1), veritysetup(8) and
//! Documentation/admin-guide/device-mapper/verity.rst.

use super::step;
use super::tree::Tree;
use crate::tool::tool;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

/// dm-verity's blocks.
const BLOCK: u64 = 4096;

/// Writes `tree` to `image`, the hash tree behind it, and to `verity` the four
/// lines that the image is opened with.
pub fn make(tree: &Tree, image: &Path, verity: &Path) -> Result<()> {
    pack(tree, image)?;
    let description = add_hash_tree(image)?;
    fs::write(verity, description)
        .with_context(|| format!("{}: cannot be written", verity.display()))
}

/// The same for what is signed: a first line says what it is, so that it can't
/// be put in another's place (`init/src/app_image.rs`).
pub fn make_named(tree: &Tree, image: &Path, verity: &Path, name: &str) -> Result<()> {
    pack(tree, image)?;
    let description = format!("name={name}\n{}", add_hash_tree(image)?);
    fs::write(verity, description)
        .with_context(|| format!("{}: cannot be written", verity.display()))
}

/// Packs a tree.
pub fn pack(tree: &Tree, image: &Path) -> Result<()> {
    // No level for zstd: the default here is 15, and with tar as the input
    // squashfs-tools 4.5.1 refuses every option of a compressor.
    let mut child = Command::new("mksquashfs")
        .arg("-")
        .arg(image)
        .args("-tar -noappend -quiet -no-progress -no-xattrs -comp zstd -b 128K".split(' '))
        .args("-all-root -all-time 0 -mkfs-time 0 -root-mode 0755".split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(
            "mksquashfs: cannot be started; it is in the package squashfs-tools, version 4.5 or newer",
        )?;
    let input = child.stdin.take().context("mksquashfs has an input")?;
    let written = tree.write_tar(BufWriter::new(input));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "mksquashfs failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    written.context("feeding mksquashfs")
}

/// Appends the hash tree and returns the description.
fn add_hash_tree(image: &Path) -> Result<String> {
    let length = fs::metadata(image)?.len().next_multiple_of(BLOCK);
    File::options().write(true).open(image)?.set_len(length)?;
    // A salt from the content: no randomness, so the same image every time.
    let salt = step::hash_file(image)?;
    let output = tool("/usr/sbin/veritysetup", "cryptsetup-bin")
        .args(["format", "--no-superblock", "--hash=sha256", "--format=1"])
        .args([
            format!("--data-block-size={BLOCK}"),
            format!("--hash-block-size={BLOCK}"),
        ])
        .args([
            format!("--data-blocks={}", length / BLOCK),
            format!("--hash-offset={length}"),
            format!("--salt={salt}"),
        ])
        .arg(image)
        .arg(image)
        .output()?;
    let text = String::from_utf8_lossy(&output);
    let root_hash = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .map(str::trim)
        .context("veritysetup printed no root hash")?;
    Ok(format!(
        "data_blocks={}\nhash_offset={length}\nsalt={salt}\nroot_hash={root_hash}\n",
        length / BLOCK
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_comes_back_and_the_description_fits_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let [image, verity] = ["x.img", "x.verity"].map(|name| folder.path().join(name));
        let mut tree = Tree::default();
        tree.put_file("roots/a/dev/null", "");
        tree.put_program("roots/a/a", b"program".to_vec());
        make(&tree, &image, &verity).unwrap();
        let text = fs::read_to_string(&verity).unwrap();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_else(|| panic!("no {key} in {text}"))
                .to_owned()
        };
        let offset = value("hash_offset=");
        tool("/usr/sbin/veritysetup", "cryptsetup-bin")
            .args(["verify", "--no-superblock", "--hash=sha256", "--format=1"])
            .args(["--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--data-blocks={}", value("data_blocks=")))
            .arg(format!("--hash-offset={offset}"))
            .arg(format!("--salt={}", value("salt=")))
            .args([&image, &image])
            .arg(value("root_hash="))
            .run()
            .unwrap();
        let list = tool("unsquashfs", "squashfs-tools")
            .arg("-lln")
            .arg(&image)
            .output()
            .unwrap();
        let list = String::from_utf8(list).unwrap();
        let line = |end: &str| list.lines().find(|line| line.ends_with(end)).unwrap();
        assert!(line("/roots/a/a").starts_with("-rwxr-xr-x 0/0"), "{list}");
        assert!(line("/dev/null").starts_with("-rw-r--r-- 0/0"), "{list}");
    }
}

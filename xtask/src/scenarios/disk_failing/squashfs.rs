//! Where in a squashfs a file lies, as `unsquashfs` finds it: the first byte whose loss,
//! with all before it, costs the file. squashfs, "Superblock" in the kernel's
//! documentation: the data follow a super block of 96 bytes and end where the table of
//! inodes begins, which stands at byte 64.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

const SUPER_BLOCK: usize = 96;
const INODES: std::ops::Range<usize> = 64..72;

/// The first byte of `file` in `image`, counted from 0.
pub(super) fn first_byte_of(image: &[u8], file: &str) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let number = image.get(INODES).context("an empty image")?.try_into()?;
    let end = usize::try_from(u64::from_le_bytes(number))?;
    ensure!(end < image.len(), "no squashfs");
    let whole = extracted(image, file, folder.path())?;
    ensure!(!whole.is_empty(), "it is not there");
    // Without the data before `low` the file is whole, without those before `high` not.
    let (mut low, mut high) = (SUPER_BLOCK, end);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        let mut damaged = image.to_vec();
        damaged[SUPER_BLOCK..middle].fill(0);
        if extracted(&damaged, file, folder.path())? == whole {
            low = middle;
        } else {
            high = middle;
        }
    }
    ensure!(high < end, "its data can be lost without a loss");
    Ok(low as u64)
}

/// What `unsquashfs` gets out of it; nothing when it is too damaged.
fn extracted(image: &[u8], file: &str, folder: &Path) -> Result<Vec<u8>> {
    let path = folder.join("image");
    fs::write(&path, image)?;
    let out = folder.join("out");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    // It fails for what is damaged; what it leaves is looked at.
    Command::new("unsquashfs")
        .args(["-no-progress", "-quiet", "-dest"])
        .args([&out, &path])
        .arg(file)
        .output()
        .context("starting unsquashfs (package squashfs-tools)")?;
    Ok(fs::read(out.join(file)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_the_one_whose_change_costs_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        // Something that does not shrink, so that it has blocks of its own.
        let mut state = 1_u64;
        for name in ["before", "file", "behind"] {
            let bytes: Vec<u8> = (0..200_000)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            fs::write(tree.join(name), bytes).unwrap();
        }
        let image = folder.path().join("squashfs");
        let made = Command::new("mksquashfs")
            .args([&tree, &image])
            .args(["-quiet", "-no-progress", "-comp", "zstd"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let image = fs::read(image).unwrap();
        let at = first_byte_of(&image, "file").unwrap();
        let at = usize::try_from(at).unwrap();
        let file = fs::read(tree.join("file")).unwrap();
        assert_eq!(image[at..at + 1000], file[..1000]);
        first_byte_of(&image, "nowhere").unwrap_err();
    }
}

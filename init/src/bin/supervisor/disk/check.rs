//! The file system is brought into order before it is mounted, after a power cut above all.
//!
//! What ext4 writes in place stands in its journal too, and playing that back writes it
//! again. But super block and group descriptors are read before the journal, and a cut may
//! have left these written in part. `e2fsck -p` then takes the journal for broken as well,
//! clears it, and writes the broken descriptors over their backups: all is lost. So the
//! kernel is asked first, which changes nothing unless it believes both, and then plays the
//! journal back. If it does not, e2fsck starts from the backups and finds the journal by
//! them (e2fsck(8), -b).
//!
//! What can't be mended without a question is left for the kernel to find, which then
//! mounts read-only.

use super::mount_ext4;
use crate::{damage, log};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the kernel is asked.
const PROBE: &str = "/run/projectx/probe";
/// The first backup, in the second block group, and the size of the blocks: what mke2fs
/// chooses from 512 MB on (mke2fs.conf(5)).
const BACKUP: [&str; 4] = ["-b", "32768", "-B", "4096"];

/// Mends what a power cut has left on `device`, which is not mounted. Whatever is wrong is
/// told in the log; the mount that follows has the last word.
pub(super) fn before_mount(device: &Path) {
    damage::before_check(device);
    if let Err(errno) = probe(device) {
        log::line(&format!("disk: the file system can't be read: {errno}"));
        if is_broken(errno) {
            log::line("disk: e2fsck begins with the backups of its first blocks");
            e2fsck(device, &BACKUP);
        }
    }
    e2fsck(device, &[]);
}

/// Has the kernel read it, which plays the journal back.
fn probe(device: &Path) -> nix::Result<()> {
    fs::create_dir_all(PROBE)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    mount_ext4(device, PROBE, MsFlags::MS_RDONLY)?;
    umount2(PROBE, MntFlags::empty())
}

/// Whether the kernel has read it and found something else than it expects; of a card that
/// can't be read, or takes no writes, it says `EIO`, and nothing is to be tried with that.
fn is_broken(errno: Errno) -> bool {
    matches!(errno, Errno::EUCLEAN | Errno::EINVAL | Errno::EBADMSG)
}

/// Lets e2fsck mend what it can without a question (-p), and says what it did.
fn e2fsck(device: &Path, words: &[&str]) {
    match run(device, words) {
        Ok((Some(0), _)) => {}
        // e2fsck(8), exit code: errors were corrected.
        Ok((Some(1 | 2), last)) => log::line(&format!("disk: e2fsck has mended something: {last}")),
        Ok((_, last)) => log::line(&format!("disk: e2fsck could not mend all: {last}")),
        Err(error) => log::line(&format!("disk: e2fsck: {error}")),
    }
}

/// Its exit code, and its last words.
fn run(device: &Path, words: &[&str]) -> io::Result<(Option<i32>, String)> {
    let output = Command::new("/usr/sbin/e2fsck")
        .arg("-p")
        .args(words)
        .arg(device)
        .env_clear()
        .stdin(Stdio::null())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut lines = said.lines().rev().map(str::trim);
    let last = lines.find(|line| !line.is_empty()).unwrap_or_default();
    Ok((output.status.code(), last.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const BLOCK: u64 = 4096;
    const OLD: &[u8] = b"what was there before";
    const NEW: [u8; BLOCK as usize] = [b'n'; BLOCK as usize];

    /// A file system as the box makes it, with one file, and in its journal a transaction
    /// that writes [`NEW`] to it. Where the file's only block is.
    fn cut_off() -> (TempDir, PathBuf, u64) {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("ext4");
        File::create(&image).unwrap().set_len(768 << 20).unwrap();
        let mut words = super::super::MAKE_EXT4.to_vec();
        words.pop();
        tool("/usr/sbin/mke2fs", &words, &image);
        for (name, content) in [("old", OLD), ("new", &NEW)] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let debugfs = |requests: &str| {
            let script = folder.path().join("requests");
            fs::write(&script, requests).unwrap();
            let script = script.to_string_lossy().into_owned();
            tool("/usr/sbin/debugfs", &["-w", "-f", &script], &image)
        };
        let at = folder.path().display();
        let said = debugfs(&format!("write {at}/old file\nblocks file\n"));
        let block = said.lines().last().unwrap().trim().parse().unwrap();
        debugfs(&format!("jo\njw -b {block} {at}/new\njc\n"));
        assert!(content(&image, block).starts_with(OLD));
        (folder, image, block)
    }

    fn tool(name: &str, words: &[&str], image: &Path) -> String {
        let output = Command::new(name).args(words).arg(image).output().unwrap();
        assert!(output.status.success(), "{name} {words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn content(image: &Path, block: u64) -> [u8; BLOCK as usize] {
        let mut bytes = [0; BLOCK as usize];
        let image = File::open(image).unwrap();
        image.read_exact_at(&mut bytes, block * BLOCK).unwrap();
        bytes
    }

    /// As a block that the power has cut in two, decrypted.
    fn garble(image: &Path, block: u64) {
        let mut noise = [0; BLOCK as usize];
        getrandom::fill(&mut noise).unwrap();
        let image = OpenOptions::new().write(true).open(image).unwrap();
        image.write_all_at(&noise, block * BLOCK).unwrap();
    }

    #[test]
    fn without_super_block_or_descriptors_the_backups_lead_to_the_journal() {
        for blocks in [&[0][..], &[1], &[0, 1]] {
            let (_folder, image, block) = cut_off();
            for block in blocks {
                garble(&image, *block);
            }
            let (code, last) = run(&image, &BACKUP).unwrap();
            assert_eq!(code, Some(1), "{blocks:?}: {last}");
            assert_eq!(content(&image, block), NEW, "{blocks:?}");
            let (code, last) = run(&image, &[]).unwrap();
            assert_eq!(code, Some(0), "{blocks:?}: {last}");
            let words = ["-R", "cat file"];
            assert_eq!(
                tool("/usr/sbin/debugfs", &words, &image).as_bytes(),
                &NEW[..OLD.len()]
            );
        }
    }

    /// Why the kernel is asked first.
    #[test]
    fn e2fsck_alone_gives_up_without_descriptors_and_clears_the_journal() {
        let (_folder, image, block) = cut_off();
        garble(&image, 1);
        let (code, last) = run(&image, &[]).unwrap();
        assert_eq!(code, Some(4), "{last}");
        assert!(content(&image, block).starts_with(OLD));
    }

    #[test]
    fn a_journal_alone_is_played_back() {
        let (_folder, image, block) = cut_off();
        assert_eq!(run(&image, &[]).unwrap().0, Some(0));
        assert_eq!(content(&image, block), NEW);
    }

    #[test]
    fn only_what_was_read_and_is_wrong_is_mended_from_the_backups() {
        assert!(is_broken(Errno::EUCLEAN) && is_broken(Errno::EINVAL));
        assert!(!is_broken(Errno::EIO) && !is_broken(Errno::EBUSY));
    }
}

//! Where the supervisor's log lies: in memory since it was last written to the
//! card, and before that in the encrypted disk. The supervisor writes it
//! (`supervisor/log/`), `projectx log` reads it. Why so few writes:
//! `docs/decisions/log.md`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder in the encrypted disk, for root only.
pub const FOLDER: &str = "/data/system/log";
/// In [`FOLDER`], the oldest first; [`rotated`] makes the names.
pub const FILES: usize = 4;
/// What is not in [`FOLDER`] yet.
pub const IN_MEMORY: &str = "/run/projectx/log";

/// The name of the file that is `age` files old; 0 is written to.
pub fn rotated(age: usize) -> String {
    match age {
        0 => "log".to_owned(),
        age => format!("log.{age}"),
    }
}

/// What is just being written to the disk, beside [`IN_MEMORY`].
pub fn under_way(in_memory: &Path) -> PathBuf {
    in_memory.with_extension("flushing")
}

/// The whole log, the oldest line first. Bytes that are no UTF-8 are replaced.
///
/// # Errors
/// A file that is there can't be read.
pub fn read(folder: &Path, in_memory: &Path) -> io::Result<String> {
    let on_disk = (0..FILES).rev().map(|age| folder.join(rotated(age)));
    let mut text = String::new();
    for path in on_disk.chain([under_way(in_memory), in_memory.to_owned()]) {
        match fs::read(&path) {
            Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let words = format!("{}: {error}", path.display());
                return Err(io::Error::new(error.kind(), words));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_line_is_read_first_and_what_is_not_there_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let memory = folder.path().join("memory");
        assert_eq!(read(folder.path(), &memory).unwrap(), "");
        for (name, text) in [
            ("log.3", "one\n"),
            ("log.1", "two\n"),
            ("log", "three\n"),
            ("memory.flushing", "four\n"),
            ("memory", "five\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let text = read(folder.path(), &memory).unwrap();
        assert_eq!(text, "one\ntwo\nthree\nfour\nfive\n");
    }
}

//! The log in the encrypted disk: [`FILES`] files of at most [`MOST`] bytes each
//! and one handing-over more, the oldest of which goes first.

use init::kept_log::{FILES, rotated};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a file from which on another is begun.
const MOST: u64 = 256 << 10;

/// A folder with the files.
pub struct OnDisk {
    folder: PathBuf,
}

impl OnDisk {
    /// Takes a folder, which is made with the first line.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Appends lines and returns when they are on the card.
    ///
    /// # Errors
    /// The disk is full, read-only or fails.
    pub fn append(&self, text: &[u8]) -> io::Result<()> {
        let path = |age| self.folder.join(rotated(age));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let size = fs::metadata(path(0)).map_or(0, |meta| meta.len());
        if size >= MOST {
            for age in (0..FILES - 1).rev() {
                match fs::rename(path(age), path(age + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let is_new = !path(0).exists();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path(0))?;
        file.write_all(text)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_files_are_roots_alone_and_never_grow_without_end() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("system/log");
        let log = OnDisk::new(&folder);
        let hour = [&[b'x'; 60 << 10][..], b"\n"].concat();
        for number in 0..40 {
            log.append(format!("hour {number}\n").as_bytes()).unwrap();
            log.append(&hour).unwrap();
        }
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        let files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(files.len(), FILES);
        for file in files {
            let meta = file.metadata().unwrap();
            assert_eq!(meta.mode() & 0o777, 0o600);
            assert!(meta.len() <= MOST + hour.len() as u64, "{}", meta.len());
        }
        // What was said last is there, and in its order.
        let text = init::kept_log::read(&folder, &root.path().join("none")).unwrap();
        let hours: Vec<&str> = text.lines().filter(|l| l.starts_with("hour")).collect();
        assert_eq!(hours.last(), Some(&"hour 39"));
        assert!(hours.len() >= 13, "{hours:?}");
        let numbers = hours.iter().map(|hour| hour[5..].parse::<u32>().unwrap());
        assert!(numbers.is_sorted());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        OnDisk::new(&root.path().join("file/log"))
            .append(b"x")
            .unwrap_err();
    }
}

//! A table on the disk, in its person's folder. That person's processes write
//! it, the gate reads it.

use crate::table::MAX_BYTES;
use crate::{Damaged, Table};
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use whole_file::WholeFile;

/// The table's name in the folder.
pub const FILE: &str = "table";
/// What is locked while it is replaced.
const LOCK: &str = "lock";
/// The person may write it; the folder's group, which is the gate's, may read it.
const MODE: u32 = 0o640;

/// Why a table was not read or not replaced. The old one is in its place then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not one.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: Damaged,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The table in `folder`; `None` when nothing was learnt yet. Nothing that its
/// writer may have put in its place is followed or waited for.
///
/// # Errors
/// When it can't be read or is damaged.
pub fn read(folder: &Path) -> Result<Option<Table>, StoreError> {
    let path = folder.join(FILE);
    let bytes = match bytes(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    let table = Table::from_bytes(&bytes);
    table
        .map(Some)
        .map_err(|source| StoreError::Damaged { path, source })
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    // One more than a table can have, which is then refused.
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Changes the table in `folder`, one change at a time; a power cut leaves the
/// old one or the new one. `change` says whether there is something to write.
/// Where there was no table, or a damaged one, it begins with an empty one.
///
/// # Errors
/// When the folder can't be written. Nothing was changed then.
pub fn update(folder: &Path, change: impl FnOnce(&mut Table) -> bool) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.custom_flags(O_NOFOLLOW).open(folder.join(LOCK));
    let lock = Flock::lock(lock.map_err(failed)?, FlockArg::LockExclusive);
    let _one_at_a_time = lock.map_err(|(_, error)| failed(error.into()))?;
    let mut table = match read(folder) {
        Ok(table) => table.unwrap_or_default(),
        Err(StoreError::Damaged { .. }) => Table::default(),
        Err(error) => return Err(error),
    };
    if change(&mut table) {
        // Whatever the mask of the mail program is.
        let file = WholeFile::at(folder.join(FILE), MODE).exactly();
        file.write(&table.to_bytes()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use channels::tokens::Counts;
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};

    const TOKENS: [[u8; 5]; 2] = [*b"aaaaa", *b"bbbbb"];

    fn learn(folder: &Path, kind: Kind) {
        update(folder, |table| table.learn(&TOKENS, kind, 1)).unwrap();
    }

    fn messages(folder: &Path) -> Counts {
        read(folder).unwrap().unwrap().messages()
    }

    #[test]
    fn what_was_learnt_is_there_and_for_the_group_to_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        learn(folder.path(), Kind::Spam);
        assert_eq!(messages(folder.path()), Counts { spam: 1, ham: 0 });
        let file = fs::metadata(folder.path().join(FILE)).unwrap();
        assert_eq!(file.mode() & 0o7777, MODE);
        // Learnt already: not written again.
        learn(folder.path(), Kind::Spam);
        let again = fs::metadata(folder.path().join(FILE)).unwrap();
        assert_eq!(again.ino(), file.ino());
        learn(folder.path(), Kind::Ham);
        assert_eq!(messages(folder.path()), Counts { spam: 0, ham: 1 });
    }

    #[test]
    fn what_a_crash_left_is_overwritten_and_a_damaged_table_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        learn(folder.path(), Kind::Spam);
        fs::write(folder.path().join("table.new"), "half of a table").unwrap();
        learn(folder.path(), Kind::Ham);
        assert_eq!(messages(folder.path()), Counts { spam: 0, ham: 1 });
        fs::write(folder.path().join(FILE), "pxlearn1 and more").unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        learn(folder.path(), Kind::Spam);
        assert_eq!(messages(folder.path()), Counts { spam: 1, ham: 0 });
    }

    #[test]
    fn many_at_once_are_all_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let folder = folder.path();
                scope.spawn(move || {
                    update(folder, |table| table.learn(&[[number; 5]], Kind::Spam, 1)).unwrap();
                });
            }
        });
        assert_eq!(messages(folder.path()), Counts { spam: 8, ham: 0 });
    }

    #[test]
    fn nothing_in_the_table_s_place_is_followed_or_waited_for() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        learn(other.path(), Kind::Spam);
        let table = folder.path().join(FILE);
        symlink(other.path().join(FILE), &table).unwrap();
        assert!(read(folder.path()).is_err());
        fs::remove_file(&table).unwrap();
        nix::unistd::mkfifo(&table, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(folder.path()).is_err());
        fs::remove_file(&table).unwrap();
        let large = File::create(&table).unwrap();
        large.set_len(1 << 40).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

//! Which user ids each service has on the host.
//!
//! Every service of the app (the box has one) has 65,536 ids that nobody else
//! has, and keeps them for ever:
//! its files on the encrypted disk belong to them. They are written down beside
//! those files, one line `SERVICE FIRST` each, and lines are only ever added.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use whole_file::WholeFile;

/// The first id that is given away. Those of the host and of the console are below.
const FIRST: u32 = 1_000_000;
/// How many ids a service has.
pub const RANGE: u32 = 65_536;

/// The ids could not be read or written down.
#[derive(Debug, thiserror::Error)]
pub enum IdsError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not of this program's hand. To guess would give one service's
    /// files to another.
    #[error("{}:{line}: not a service's name and the first of its ids; restore the file from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// All ids are given away.
    #[error("{}: no ids are left", .0.display())]
    Used(PathBuf),
}

/// The ids of all services, as they are on the disk.
#[derive(Debug)]
pub struct Ids {
    path: PathBuf,
    known: Vec<(String, u32)>,
}

impl Ids {
    /// Reads them; none yet is an empty list.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    pub fn open(path: &Path) -> Result<Self, IdsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(IdsError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let mut known: Vec<(String, u32)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let parsed = line.split_once(' ').and_then(|(name, first)| {
                let first: u32 = first.parse().ok()?;
                let free = known.iter().all(|(n, f)| n != name && *f != first);
                let ours = first >= FIRST && (first - FIRST).is_multiple_of(RANGE);
                (ours && free && !name.is_empty()).then(|| (name.to_owned(), first))
            });
            known.push(parsed.ok_or_else(|| IdsError::Damaged {
                path: path.to_owned(),
                line: index + 1,
            })?);
        }
        Ok(Self {
            path: path.to_owned(),
            known,
        })
    }

    /// The first id of `service`, which gets new ones if it has none yet; they
    /// are on the disk before this returns.
    ///
    /// # Errors
    /// When they can't be written down, or none are left.
    pub fn first(&mut self, service: &str) -> Result<u32, IdsError> {
        if let Some((_, first)) = self.known.iter().find(|(name, _)| name == service) {
            return Ok(*first);
        }
        let last = self.known.iter().map(|(_, first)| *first).max();
        let next = last.map_or(Some(FIRST), |last| last.checked_add(RANGE));
        // The last id of the range has to exist, and 4294967295 is none (chown(2)).
        let next = next
            .filter(|first| first.checked_add(RANGE).is_some())
            .ok_or_else(|| IdsError::Used(self.path.clone()))?;
        self.known.push((service.to_owned(), next));
        if let Err(source) = self.write() {
            self.known.pop();
            return Err(IdsError::Io {
                path: self.path.clone(),
                source,
            });
        }
        Ok(next)
    }

    fn write(&self) -> io::Result<()> {
        let line = |(name, first): &(String, u32)| format!("{name} {first}\n");
        let text: String = self.known.iter().map(line).collect();
        WholeFile::at(&self.path, 0o644).write(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_given_twice_and_never_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let mut ids = Ids::open(&path).unwrap();
        assert_eq!(ids.first("dovecot").unwrap(), 1_000_000);
        assert_eq!(ids.first("signer").unwrap(), 1_065_536);
        // Another start, and another order of services.
        let mut ids = Ids::open(&path).unwrap();
        assert_eq!(ids.first("blog").unwrap(), 1_131_072);
        assert_eq!(ids.first("signer").unwrap(), 1_065_536);
        assert_eq!(ids.first("dovecot").unwrap(), 1_000_000);
    }

    #[test]
    fn a_damaged_list_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        for wrong in [
            "dovecot",
            "dovecot x",
            " 1000000",
            "dovecot 0",
            "dovecot 1000001",
            "a 1000000\nb 1000000",
            "a 1000000\na 1065536",
        ] {
            fs::write(&path, wrong).unwrap();
            let error = Ids::open(&path).unwrap_err();
            let line = wrong.lines().count();
            assert!(
                matches!(error, IdsError::Damaged { line: at, .. } if at == line),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn what_cannot_be_written_down_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let mut ids = Ids::open(&path).unwrap();
        fs::create_dir(folder.path().join("ids.new")).unwrap();
        assert!(matches!(ids.first("dovecot"), Err(IdsError::Io { .. })));
        fs::remove_dir(folder.path().join("ids.new")).unwrap();
        assert_eq!(ids.first("signer").unwrap(), 1_000_000);
    }
}

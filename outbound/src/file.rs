//! A small JSON file that is there whole or not at all.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use whole_file::WholeFile;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{}: {source}; is the volume there?", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what the supervisor writes.
    #[error("{}: {source}; choose the settings again", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Reads `path`; `None` when it is not there.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(FileError::Io { path, source });
        }
    };
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|source| FileError::Form {
        path: path.to_owned(),
        source,
    })
}

/// Removes `path`, and what a power cut left of writing it. It may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    let remove = || -> io::Result<()> {
        gone(&beside(path))?;
        gone(path)?;
        match File::open(path.parent().unwrap_or(Path::new("."))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.sync_all(),
        }
    };
    remove().map_err(|source| FileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// What the file is called until it is whole.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file in the place of `path`, so that a power cut leaves one or the other. It
/// belongs to `owner`, if one is named, with the permission bits `mode`.
///
/// # Errors
/// When the disk fails; what was there before is there still.
pub fn write<T: Serialize>(
    path: &Path,
    content: &T,
    mode: u32,
    owner: Option<u32>,
) -> Result<(), FileError> {
    let mut file = WholeFile::at(path, mode).beside(beside(path));
    if let Some(owner) = owner {
        file = file.owner(owner);
    }
    let text = serde_json::to_string_pretty(content).map_err(io::Error::other);
    let written = text.and_then(|text| file.write(text.as_bytes()));
    written.map_err(|source| FileError::Io {
        path: path.to_owned(),
        source,
    })
}

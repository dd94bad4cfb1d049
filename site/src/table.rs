//! The table: which text is shown at which name and path. One JSON file that is there
//! whole or not at all.

use crate::sts;
use outbound::FileError;
use outbound::file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The file in the volume `web`.
pub const FILE: &str = "site.json";

/// The largest file that is read, in bytes: a policy for each of ten thousand domains.
const MOST: u64 = 4 << 20;

/// All that strangers may see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Table {
    /// By the name in small letters, then by the path as it is asked for.
    pub hosts: BTreeMap<String, BTreeMap<String, Shown>>,
}

/// What is shown at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shown {
    /// What it is.
    pub kind: Kind,
    /// All of it.
    pub text: String,
}

/// What a text is, as its `Content-Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `text/plain`, which MTA-STS wants (RFC 8461 section 3.2).
    Plain,
}

impl Kind {
    /// The media type (RFC 9110 section 8.3.1).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain",
        }
    }
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system refused.
    #[error("{}: {source}; is the volume there?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what the supervisor writes.
    #[error("{}: {source}; restart the box, which writes it anew", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is longer than any table may be.
    #[error("{}: larger than {MOST} bytes; restart the box, which writes it anew", .0.display())]
    TooLarge(PathBuf),
}

impl Table {
    /// The policies of these domains, whose mail goes to the server `hostname`. Nothing
    /// at all where the world can't find that name ([`sts::policy`]).
    pub fn of<'a>(hostname: &str, domains: impl IntoIterator<Item = &'a str>) -> Self {
        let Some(policy) = sts::policy(hostname) else {
            return Self::default();
        };
        let shown = Shown {
            kind: Kind::Plain,
            text: policy,
        };
        let paths = BTreeMap::from([(sts::PATH.to_owned(), shown)]);
        let hosts = domains.into_iter().map(|domain| {
            let host = sts::host(&domain.to_ascii_lowercase());
            (host, paths.clone())
        });
        Self {
            hosts: hosts.collect(),
        }
    }

    /// The table in `folder`.
    ///
    /// # Errors
    /// When there is none, or it is damaged: then nothing is shown.
    pub fn read(folder: &Path) -> Result<Self, TableError> {
        let path = folder.join(FILE);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MOST + 1).read_to_end(&mut text));
        match read {
            Err(source) => Err(TableError::Read { path, source }),
            Ok(_) if text.len() as u64 > MOST => Err(TableError::TooLarge(path)),
            Ok(_) => {
                let table = serde_json::from_slice(&text);
                table.map_err(|source| TableError::Form { path, source })
            }
        }
    }

    /// Makes it the table in `folder`, for its reader to see, unless it is that already.
    ///
    /// # Errors
    /// When the disk fails; what was there before is shown then.
    pub fn keep(&self, folder: &Path) -> Result<(), FileError> {
        if Self::read(folder).is_ok_and(|there| there == *self) {
            return Ok(());
        }
        file::write(&folder.join(FILE), self, 0o644, None)
    }

    /// What is shown at this path of this host, both exactly.
    pub fn shown(&self, host: &str, path: &str) -> Option<&Shown> {
        self.hosts.get(host)?.get(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn each_domain_has_the_policy_at_one_path_and_nothing_else_is_shown() {
        let table = Table::of("box.home.example", ["home.example", "Other.example"]);
        let names: Vec<_> = table.hosts.keys().collect();
        assert_eq!(names, ["mta-sts.home.example", "mta-sts.other.example"]);
        let shown = table.shown("mta-sts.home.example", sts::PATH).unwrap();
        assert_eq!(shown.text, sts::policy("box.home.example").unwrap());
        for (host, path) in [
            ("home.example", sts::PATH),
            ("mta-sts.home.example", "/"),
            ("mta-sts.home.example", "/.well-known/"),
            (
                "mta-sts.home.example",
                "/.well-known/../.well-known/mta-sts.txt",
            ),
        ] {
            assert_eq!(table.shown(host, path), None, "{host} {path}");
        }
        assert_eq!(
            Table::of("projectx.local", ["home.example"]),
            Table::default()
        );
    }

    #[test]
    fn a_table_is_written_once_for_all_to_read_and_a_damaged_one_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let table = Table::of("box.home.example", ["home.example"]);
        assert!(matches!(
            Table::read(folder.path()),
            Err(TableError::Read { .. })
        ));
        table.keep(folder.path()).unwrap();
        let first = fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o644);
        table.keep(folder.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        assert_eq!(Table::read(folder.path()).unwrap(), table);

        fs::write(&path, "{\"hosts\":{},\"more\":1}").unwrap();
        let error = Table::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("site.json: unknown field"), "{error}");
        fs::write(&path, vec![b' '; MOST as usize + 1]).unwrap();
        let error = Table::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("larger than"), "{error}");
        table.keep(folder.path()).unwrap();
        assert_eq!(Table::read(folder.path()).unwrap(), table);

        Table::default().keep(folder.path()).unwrap();
        assert_eq!(Table::read(folder.path()).unwrap(), Table::default());
    }
}

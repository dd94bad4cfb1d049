//! What apps and their services say: kept in memory, gone with the power.
//!
//! A service may quote mail, so its lines reach neither the serial console nor
//! the kernel's log nor the log in the encrypted disk (`log.rs`), only a file in
//! `/run` that none but root can read. Two
//! files of at most [`MOST`] bytes follow each other.

use crate::log;
use crate::seen::{self, Seen};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes of one file.
const MOST: u64 = 256 << 10;
/// Where it is.
const FILE: &str = "/run/projectx/journal";

/// The journal of one app.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
    seen: Arc<Seen>,
}

impl Journal {
    /// The box's.
    pub fn new() -> Self {
        Self::at(Path::new(FILE))
    }

    fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: Mutex::default(),
            seen: Arc::default(),
        }
    }

    /// Who was refused, and what others report.
    pub fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    fn write(&self, text: &str) {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let full = guard.as_ref().is_some_and(|(_, size)| *size >= MOST);
        if full {
            fs::rename(&self.path, self.path.with_extension("1")).ok();
            *guard = None;
        }
        if guard.is_none() {
            let opened = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path);
            *guard = opened.ok().map(|file| {
                let size = file.metadata().map_or(0, |meta| meta.len());
                (file, size)
            });
        }
        // Logging never stops the work: without memory the line is lost.
        if let Some((file, size)) = guard.as_mut()
            && file.write_all(text.as_bytes()).is_ok()
        {
            *size += text.len() as u64;
        }
    }
}

impl services::runtime::Journal for Journal {
    fn event(&self, words: &str) {
        log::line(words);
        self.write(&format!("{words}\n"));
    }

    fn line(&self, service: &str, words: &str) {
        if let Some(says) = seen::report(service, words) {
            self.seen.reported(says, SystemTime::now());
        }
        self.write(&format!("{service}: {words}\n"));
    }

    fn receipt(&self, words: &str) {
        self.line("runtime", words);
        // Nothing of what was said is in it, so it may be on the encrypted disk.
        log::keep_line(words);
    }

    fn served(&self, front: &str, peer: IpAddr, outcome: &str) {
        if (front, outcome) == seen::REFUSED {
            self.seen.refused(peer, SystemTime::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::runtime::Journal as _;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_a_service_says_is_kept_for_root_and_never_grows_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::at(&path);
        journal.line("gate-1", "first");
        assert_eq!(fs::read_to_string(&path).unwrap(), "gate-1: first\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let long = "x".repeat(1024);
        for _ in 0..1000 {
            journal.line("gate-2", &long);
        }
        let sizes: u64 = [path.clone(), path.with_extension("1")]
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(sizes <= 2 * (MOST + 2048), "{sizes}");
        // Another supervisor goes on in the same file.
        let next = Journal::at(&path);
        next.line("gate-3", "last");
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with("gate-3: last\n")
        );
    }
}

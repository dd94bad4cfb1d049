//! Policies that were fetched, on the disk: they count until they are too old,
//! even when nobody answers (RFC 8461 sections 3.3 and 5.1). Without the disk a
//! power cut would forget them, and the next message could be misled.

use crate::sts::{Policy, is_name};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use whole_file::WholeFile;

/// The most policies that are kept: a household writes to fewer domains.
const MOST: usize = 2000;

/// Two of Postfix's processes may ask for the same domain at once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A policy, and what it was fetched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The `id` of the record at that time.
    pub id: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched: u64,
    /// The policy.
    pub policy: Policy,
}

impl Kept {
    /// Whether it counts at this time.
    pub fn counts(&self, now: SystemTime) -> bool {
        let end = self.fetched.saturating_add(self.policy.max_age);
        // A damaged file may name a time that no clock can show; it is fetched anew.
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(end));
        end.is_some_and(|end| now < end)
    }
}

/// The folder, a file for each domain.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

impl Cache {
    /// In `folder`, which must be there.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The policy that is kept for `domain`. A file that is none is as good as
    /// none: it is fetched anew.
    pub fn get(&self, domain: &str) -> Option<Kept> {
        let text = fs::read_to_string(self.path(domain)?).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps it; a power cut leaves the old one or the new one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put(&self, domain: &str, kept: &Kept) -> io::Result<()> {
        let path = self.path(domain).ok_or(io::ErrorKind::InvalidInput)?;
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() && fs::read_dir(&self.0)?.count() >= MOST {
            self.make_room()?;
        }
        // No domain's name begins so; one may well end in `.new`.
        let beside = self.0.join(format!(".{domain}.new"));
        let file = WholeFile::at(path, 0o666).beside(beside);
        file.write(&serde_json::to_vec(kept)?)
    }

    /// Removes the one that was fetched first.
    fn make_room(&self) -> io::Result<()> {
        let files = fs::read_dir(&self.0)?.filter_map(Result::ok);
        let dated = files.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file)));
        match dated.min_by_key(|(modified, _)| *modified) {
            Some((_, oldest)) => fs::remove_file(oldest.path()),
            None => Ok(()),
        }
    }

    fn path(&self, domain: &str) -> Option<PathBuf> {
        (is_name(domain) && !domain.starts_with('.')).then(|| self.0.join(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sts::parse;

    fn kept(fetched: u64, max_age: u64) -> Kept {
        let text = format!("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: {max_age}\n");
        Kept {
            id: "1".into(),
            fetched,
            policy: parse(&text).unwrap(),
        }
    }

    #[test]
    fn a_policy_is_kept_until_it_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.get("b.example"), None);
        cache.put("b.example", &kept(100, 10)).unwrap();
        let found = Cache::new(folder.path()).get("b.example").unwrap();
        assert_eq!(found, kept(100, 10));
        assert!(found.counts(UNIX_EPOCH + Duration::from_secs(109)));
        assert!(!found.counts(UNIX_EPOCH + Duration::from_secs(110)));
    }

    #[test]
    fn a_policy_from_a_time_that_no_clock_shows_does_not_count() {
        for fetched in [u64::MAX, u64::MAX - 10, 1 << 63] {
            assert!(!kept(fetched, 10).counts(UNIX_EPOCH));
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_has_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("inside"));
        fs::create_dir(folder.path().join("inside")).unwrap();
        for name in ["../x", ".x", "", "a/b", "a..b"] {
            cache.put(name, &kept(1, 1)).unwrap_err();
            assert_eq!(cache.get(name), None);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_same_domain_may_be_kept_many_times_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| cache.put("b.example", &kept(100, 10)).unwrap());
            }
        });
        assert_eq!(cache.get("b.example"), Some(kept(100, 10)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

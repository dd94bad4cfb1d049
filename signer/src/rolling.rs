//! Port 25's key and the next one. Who reaches the box by DANE knows the key from a
//! TLSA record and remembers the record for its time to live; so the next key's record
//! stands beside it long before the key is used (RFC 7671 section 8.1).
//!
//! | file | what is in it |
//! | --- | --- |
//! | `key.der` | the present key |
//! | `next.der` | the next one, made at the first start |
//! | `tlsa` | the SHA-256 of both, for the supervisor to read |
//! | `roll` | the SHA-256 of the key that shall be the present one; the supervisor writes it |
//!
//! The change is one rename(2) of `next.der` to `key.der`; all the rest is made from what
//! is there, now or at the next start. The old key is gone then. While a certificate of a
//! public authority for the old key lies there ([`crate::chain`]), nothing is changed: who
//! knows the box by such a certificate would not know it any more.

use crate::chain;
use crate::keys::{KeyError, Signer, digest_of, file, lock, make_key, read, write_whole};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The file that says which key shall be the present one.
pub const WISH: &str = "roll";
/// The file that says both digests, `present HEX` and `next HEX`, a line each.
pub const TLSA: &str = "tlsa";

const PRESENT: &str = "key.der";
const NEXT: &str = "next.der";

/// Why the next key did not become the present one.
#[derive(Debug, thiserror::Error)]
enum RollError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{WISH} names neither the present key nor the next one; nothing was changed")]
    NoSuchKey,
    #[error(
        "a certificate of a public authority for the present key is in {}; nothing was changed",
        chain::FILE
    )]
    Certified,
}

/// The keys, of which one is present.
pub struct Rolling {
    folder: PathBuf,
    name: String,
    present: Mutex<Arc<Signer>>,
    /// What was said last, so that it is said once.
    said: Mutex<String>,
}

impl Rolling {
    /// Opens both keys in `folder` and makes what is missing for the host `name`.
    ///
    /// # Errors
    /// When a file can't be read or written, or is no key.
    pub fn open(folder: &Path, name: &str) -> Result<Self, KeyError> {
        let present = opened(folder, name)?;
        let rolling = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            present: Mutex::new(Arc::new(present)),
            said: Mutex::default(),
        };
        // What was wished for before a power cut.
        rolling.present();
        Ok(rolling)
    }

    /// The key that is the present one now. A wish is fulfilled first; one that can't be
    /// is told on standard error, and the key stays.
    pub fn present(&self) -> Arc<Signer> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let words = match self.wished(&present) {
            Ok(None) => String::new(),
            Ok(Some(signer)) => {
                *present = Arc::new(signer);
                eprintln!("signer: port 25 has its next key");
                String::new()
            }
            Err(error) => error.to_string(),
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != words {
            if !words.is_empty() {
                eprintln!("signer: the next key is not used: {words}");
            }
            *said = words;
        }
        Arc::clone(&present)
    }

    /// The key that was wished for, if it is another one.
    fn wished(&self, present: &Signer) -> Result<Option<Signer>, RollError> {
        let Some(wish) = read(&self.folder.join(WISH))? else {
            return Ok(None);
        };
        let wish = String::from_utf8_lossy(&wish).trim().to_owned();
        if wish == present.digest() {
            return Ok(None);
        }
        self.roll(&wish)?;
        Ok(Some(opened(&self.folder, &self.name)?))
    }

    fn roll(&self, wish: &str) -> Result<(), RollError> {
        let _lock = lock(&self.folder)?;
        let (key, next) = (self.folder.join(PRESENT), self.folder.join(NEXT));
        // Another try, of which the rest failed.
        if digest_of(&key)?.as_deref() == Some(wish) {
            return Ok(());
        }
        if digest_of(&next)?.as_deref() != Some(wish) {
            return Err(RollError::NoSuchKey);
        }
        if read(&self.folder.join(chain::FILE))?.is_some() {
            return Err(RollError::Certified);
        }
        fs::rename(&next, &key).map_err(file(&key))?;
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(synced.map_err(file(&self.folder))?)
    }
}

/// The present key, with a next one beside it and both digests written down.
fn opened(folder: &Path, name: &str) -> Result<Signer, KeyError> {
    let present = Signer::open(folder, name)?;
    let _lock = lock(folder)?;
    let path = folder.join(NEXT);
    make_key(&path, name)?;
    let next = digest_of(&path)?.unwrap_or_default();
    let text = format!("present {}\nnext {next}\n", present.digest());
    let path = folder.join(TLSA);
    if read(&path)?.as_deref() != Some(text.as_bytes()) {
        write_whole(&path, 0o644, text.as_bytes())?;
    }
    Ok(present)
}

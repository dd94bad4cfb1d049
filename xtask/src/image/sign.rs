//! The key that apps are signed with: an Ed25519 seed (RFC 8032), 64
//! hexadecimal digits in a file that only its owner reads. The public half goes
//! into the system image; `init/src/app_image.rs` verifies with it.
//!
//! Without a key of one's own, a key for development is made once beside the
//! results: cards from two machines then do not take each other's apps.

use super::step::hex;
use anyhow::{Context, Result, bail};
use ed25519_dalek::{Signer, SigningKey};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What a key file holds, in bytes.
const SEED: usize = 32;

/// A key with both halves. Its debug form shows only the public one.
#[derive(Debug)]
pub struct AppKey(SigningKey);

impl AppKey {
    /// Reads the seed from `path`.
    ///
    /// Fails when others than the owner may read the file, or when it is not
    /// 64 hexadecimal digits.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = || format!("{}: the key cannot be read", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let mode = file.metadata().with_context(unreadable)?.mode();
        if mode & 0o077 != 0 {
            bail!(
                "{0}: others may read this private key (mode {1:04o}); run: chmod 600 {0}",
                path.display(),
                mode & 0o7777
            );
        }
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(unreadable)?;
        // The text itself stays out of every message: it is secret.
        let seed = seed(text.strip_suffix('\n').unwrap_or(&text))
            .with_context(|| format!("{}: not {} hexadecimal digits", path.display(), 2 * SEED))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads the key for development, and makes it when there is none.
    pub fn for_development(path: &Path) -> Result<Self> {
        let uncreatable = || format!("{}: the key cannot be made", path.display());
        if !fs::exists(path).with_context(uncreatable)? {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).with_context(uncreatable)?;
            }
            let mut seed = [0; SEED];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut seed))
                .context("/dev/urandom: cannot be read")?;
            make_private(path, &(hex(&seed) + "\n")).with_context(uncreatable)?;
        }
        Self::read(path)
    }

    /// The name of the public half's file.
    pub fn public_file(&self) -> String {
        format!("{}.pub", &self.public_text()[..16])
    }

    /// The public half as it stands in that file.
    pub fn public_text(&self) -> String {
        hex(self.0.verifying_key().as_bytes()) + "\n"
    }

    /// The signature over `bytes`, as it stands in a `.sig` file. The same
    /// bytes always give the same signature.
    pub fn sign(&self, bytes: &[u8]) -> String {
        hex(&self.0.sign(bytes).to_bytes()) + "\n"
    }
}

/// Makes a file that only its owner reads, whole or not at all. One that
/// appeared meanwhile stays as it is.
fn make_private(path: &Path, text: &str) -> std::io::Result<()> {
    let new = super::step::sibling(path, &format!(".{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::hard_link(&new, path));
    let removed = fs::remove_file(&new);
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => removed,
        other => other.and(removed),
    }
}

fn seed(text: &str) -> Option<[u8; SEED]> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.len() != 2 * SEED || !is_hex {
        return None;
    }
    let mut seed = [0; SEED];
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signature, VerifyingKey};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// RFC 8032, section 7.1, test 2.
    const SECRET: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn the_key_and_signature_of_the_standard_come_out() {
        let (_folder, path) = file(&format!("{SECRET}\n"), 0o400);
        let key = AppKey::read(&path).unwrap();
        assert_eq!(key.public_text(), format!("{PUBLIC}\n"));
        assert_eq!(key.public_file(), "3d4017c3e843895a.pub");
        assert_eq!(key.sign(&[0x72]), format!("{SIGNATURE}\n"));
    }

    #[test]
    fn what_is_signed_verifies_as_the_box_does_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = AppKey::for_development(&folder.path().join("key")).unwrap();
        let bytes = |text: &str| -> Vec<u8> {
            let text = text.strip_suffix('\n').unwrap();
            let pairs = (0..text.len()).step_by(2);
            pairs
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect()
        };
        let public = bytes(&key.public_text()).try_into().unwrap();
        let public = VerifyingKey::from_bytes(&public).unwrap();
        let signature = bytes(&key.sign(b"data_blocks=1\n")).try_into().unwrap();
        let signature = Signature::from_bytes(&signature);
        public
            .verify_strict(b"data_blocks=1\n", &signature)
            .unwrap();
        assert!(
            public
                .verify_strict(b"data_blocks=2\n", &signature)
                .is_err()
        );
    }

    #[test]
    fn a_key_for_development_is_made_once_and_is_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image/app-key");
        let first = AppKey::for_development(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let second = AppKey::for_development(&path).unwrap();
        assert_eq!(first.public_text(), second.public_text());
        let other = AppKey::for_development(&folder.path().join("other")).unwrap();
        assert_ne!(first.public_text(), other.public_text());
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "half-written files");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o620] {
            let (_folder, path) = file(SECRET, mode);
            let error = AppKey::read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let short = &SECRET[1..];
        let sign = format!("+{short}");
        for text in ["", short, &sign, &format!("{SECRET}\n\n")] {
            let (_folder, path) = file(text, 0o600);
            let error = format!("{:#}", AppKey::read(&path).unwrap_err());
            assert!(error.ends_with("key: not 64 hexadecimal digits"), "{error}");
        }
    }
}

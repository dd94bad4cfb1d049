//! An app, a second image on the card in the running slot's folder; and an
//! update of rules on the encrypted disk, which is signed the same way.
//!
//! `FILE.verity` holds what opens `FILE.img`: a line `name=…` that says what the
//! image is, and the four lines of `/system.verity`. `FILE.sig` is an Ed25519
//! signature (RFC 8032) over its bytes by one of the keys in the system image.
//! The card may be altered by whoever has it in hand: the description is used
//! only in the bytes that were verified, and dm-verity checks every block of the
//! image against it. What is signed as one thing is never taken as another.

use crate::device_mapper::{self, MapperError};
use crate::loop_device::{self, LoopError};
use crate::verity::{Verity, VerityError};
use ed25519_dalek::{Signature, VerifyingKey};
use nix::mount::MsFlags;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why an app can't be used. Nothing of it is mounted then.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file could not be read.
    #[error("{}: not read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key or signature is not hexadecimal text of its length.
    #[error("{}: not {expected} hexadecimal digits", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// How many digits there should be.
        expected: usize,
    },
    /// No key of the system image has signed this.
    #[error(
        "{}: signed by none of this system's keys; it is not one for this box, or it is damaged and must be written anew",
        .0.display()
    )]
    Signature(PathBuf),
    /// Signed, but as something else.
    #[error("{}: not signed as \"{name}\" but as \"{found}\"", path.display())]
    Name {
        /// The description.
        path: PathBuf,
        /// What was wanted.
        name: String,
        /// Its first line, without `name=` if it has that.
        found: String,
    },
    /// The image is shorter than its description says.
    #[error("{}: {length} bytes, and {expected} are signed; a part of it is missing", path.display())]
    Short {
        /// The image.
        path: PathBuf,
        /// How long it is.
        length: u64,
        /// How long it should be at least.
        expected: u64,
    },
    /// The signed description is wrong.
    #[error("{}: {source}", path.display())]
    Verity {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: VerityError,
    },
    /// No loop device.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// No verified device.
    #[error(transparent)]
    Mapper(#[from] MapperError),
    /// The file system was not mounted.
    #[error("{}: not mounted as squashfs: {source}", device.display())]
    Mount {
        /// The verified device.
        device: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Mounts the app `name` of `folder` read-only at `place`, which is made.
/// `keys` is the folder of the system's public keys, `*.pub`.
///
/// # Errors
/// See [`AppError`].
pub fn mount(folder: &Path, name: &str, keys: &Path, place: &Path) -> Result<(), AppError> {
    let app = Signed::verify(&folder.join(name), name, keys)?;
    app.mount(&format!("app-{name}"), place, MsFlags::empty())
}

/// An image whose description a key of the system has signed.
#[derive(Debug)]
pub struct Signed {
    image: PathBuf,
    verity: Verity,
}

impl Signed {
    /// Verifies `FILE.verity` by `FILE.sig`. `name` is what it must be signed as:
    /// an app's name, or one with a slash in it, which no app has.
    ///
    /// # Errors
    /// See [`AppError`].
    pub fn verify(file: &Path, name: &str, keys: &Path) -> Result<Self, AppError> {
        let path = file.with_extension("verity");
        let description = read(&path)?;
        let signature = Signature::from_bytes(&digits::<64>(&file.with_extension("sig"))?);
        // Strict: no weak key and no second form of a signature is taken.
        let signed = public_keys(keys)?
            .iter()
            .any(|key| key.verify_strict(&description, &signature).is_ok());
        if !signed {
            return Err(AppError::Signature(path));
        }
        let text = String::from_utf8_lossy(&description);
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        if first.strip_prefix("name=") != Some(name) {
            return Err(AppError::Name {
                path,
                name: name.to_owned(),
                found: first.strip_prefix("name=").unwrap_or(first).to_owned(),
            });
        }
        let verity = Verity::parse(rest).map_err(|source| AppError::Verity { path, source })?;
        Ok(Self {
            image: file.with_extension("img"),
            verity,
        })
    }

    /// The root of its hash tree, in hexadecimal, which stands for its content.
    pub fn root_hash(&self) -> &str {
        self.verity.root_hash()
    }

    /// Mounts it read-only at `place`, which is made, by a device of the name
    /// `device`; nosuid, nodev and `more`.
    ///
    /// # Errors
    /// See [`AppError`].
    pub fn mount(&self, device: &str, place: &Path, more: MsFlags) -> Result<(), AppError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| AppError::Read { path, source }
        };
        // dm-verity finds what is altered, but late what is not there at all.
        let length = fs::metadata(&self.image)
            .map_err(failed(&self.image))?
            .len();
        if length < self.verity.bytes() {
            return Err(AppError::Short {
                path: self.image.clone(),
                length,
                expected: self.verity.bytes(),
            });
        }
        let data = loop_device::attach_read_only(&self.image)?;
        let table = self.verity.table(&data.number);
        let sectors = self.verity.sectors();
        let name = device;
        let device = device_mapper::create_read_only(name, sectors, "verity", &table)?;
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | more;
        let mounted = fs::create_dir_all(place)
            .map_err(failed(place))
            .and_then(|()| {
                nix::mount::mount(Some(&device), place, Some("squashfs"), flags, None::<&str>)
                    .map_err(|errno| AppError::Mount {
                        device,
                        source: errno.into(),
                    })
            });
        if mounted.is_err() {
            device_mapper::remove_when_unused(name).ok();
        }
        mounted
    }
}

fn public_keys(folder: &Path) -> Result<Vec<VerifyingKey>, AppError> {
    let failed = |source| AppError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "pub") {
            let key = VerifyingKey::from_bytes(&digits::<32>(&path)?);
            keys.push(key.map_err(|_| AppError::Text { path, expected: 64 })?);
        }
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<Vec<u8>, AppError> {
    fs::read(path).map_err(|source| AppError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A file of `2 * N` lower-case hexadecimal digits and a line feed.
fn digits<const N: usize>(path: &Path) -> Result<[u8; N], AppError> {
    let wrong = || AppError::Text {
        path: path.to_owned(),
        expected: 2 * N,
    };
    let text = read(path)?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    if text.len() != 2 * N {
        return Err(wrong());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(wrong()),
            };
            *byte = *byte << 4 | value;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    const DESCRIPTION: &str = "name=email\ndata_blocks=100\nhash_offset=409600\n\
        salt=0000000000000000000000000000000000000000000000000000000000000001\n\
        root_hash=0000000000000000000000000000000000000000000000000000000000000002\n";

    struct Card {
        folder: tempfile::TempDir,
    }

    impl Card {
        /// A card and a system with the public half of key `trusted`, and an
        /// app signed by key `signer`.
        fn new(trusted: u8, signer: u8) -> Self {
            let card = Self {
                folder: tempfile::tempdir().unwrap(),
            };
            let key = |seed| SigningKey::from_bytes(&[seed; 32]);
            fs::create_dir(card.keys()).unwrap();
            card.write(
                "keys/ours.pub",
                &hex(key(trusted).verifying_key().as_bytes()),
            );
            card.write("email.verity", DESCRIPTION);
            card.write(
                "email.sig",
                &hex(&key(signer).sign(DESCRIPTION.as_bytes()).to_bytes()),
            );
            card
        }

        fn keys(&self) -> PathBuf {
            self.folder.path().join("keys")
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn verified(&self) -> Result<Signed, AppError> {
            self.verified_as("email")
        }

        fn verified_as(&self, name: &str) -> Result<Signed, AppError> {
            Signed::verify(&self.folder.path().join("email"), name, &self.keys())
        }
    }

    fn hex(bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    }

    #[test]
    fn an_app_signed_by_a_key_of_the_system_is_opened_as_it_says() {
        let card = Card::new(1, 1);
        let verity = card.verified().unwrap().verity;
        let lines = DESCRIPTION.strip_prefix("name=email\n").unwrap();
        assert_eq!(verity, Verity::parse(lines).unwrap());
        // A second key, for the change from one to the next.
        let card = Card::new(1, 2);
        let second = SigningKey::from_bytes(&[2; 32]).verifying_key();
        card.write("keys/next.pub", &hex(second.as_bytes()));
        card.verified().unwrap();
    }

    #[test]
    fn a_stranger_s_signature_or_a_changed_byte_is_refused() {
        let refused = |card: &Card| matches!(card.verified(), Err(AppError::Signature(_)));
        assert!(refused(&Card::new(1, 2)));
        let card = Card::new(1, 1);
        card.write("email.verity", &DESCRIPTION.replace("=100", "=101"));
        assert!(refused(&card));
        let card = Card::new(1, 1);
        fs::remove_file(card.keys().join("ours.pub")).unwrap();
        assert!(refused(&card));
    }

    #[test]
    fn what_is_signed_as_one_thing_is_not_taken_as_another() {
        let card = Card::new(1, 1);
        let error = card.verified_as("email/rules").unwrap_err().to_string();
        let words = "email.verity: not signed as \"email/rules\" but as \"email\"";
        assert!(error.ends_with(words), "{error}");
        // A description of before there were names, or with the name elsewhere.
        let sign = |text: &str| {
            card.write("email.verity", text);
            let signature = SigningKey::from_bytes(&[1; 32]).sign(text.as_bytes());
            card.write("email.sig", &hex(&signature.to_bytes()));
        };
        let lines = DESCRIPTION.strip_prefix("name=email\n").unwrap();
        for text in [lines.to_owned(), format!("{lines}name=email\n")] {
            sign(&text);
            let error = card.verified().unwrap_err();
            assert!(matches!(error, AppError::Name { .. }), "{error}");
        }
        sign(&DESCRIPTION.replace("email", "email/rules"));
        card.verified_as("email/rules").unwrap();
        assert!(card.verified().is_err());
    }

    #[test]
    fn an_image_with_a_missing_end_gets_no_device() {
        let card = Card::new(1, 1);
        // 100 blocks of data and the one of the tree.
        let image = vec![0; 101 * 4096];
        for (length, words) in [
            (image.len() - 1, "a part of it is missing"),
            (image.len(), ""),
        ] {
            fs::write(card.folder.path().join("email.img"), &image[..length]).unwrap();
            let place = card.folder.path().join("place");
            let app = card.verified().unwrap();
            // The whole one is as little mounted: its tree is all zeros.
            let error = app.mount("app-test", &place, MsFlags::empty()).unwrap_err();
            let is_short = matches!(error, AppError::Short { .. });
            assert_eq!(is_short, !words.is_empty(), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_no_signature_is_named() {
        for (name, text, words) in [
            ("email.sig", "", "email.sig: not 128 hexadecimal digits"),
            ("email.sig", "zz", "email.sig: not 128 hexadecimal digits"),
            ("keys/ours.pub", "00", "ours.pub: not 64 hexadecimal digits"),
        ] {
            let card = Card::new(1, 1);
            card.write(name, text);
            let error = card.verified().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let card = Card::new(1, 1);
        fs::remove_file(card.folder.path().join("email.sig")).unwrap();
        let error = card.verified().unwrap_err().to_string();
        assert!(error.contains("email.sig: not read"), "{error}");
    }

    #[test]
    fn a_weak_key_that_anything_verifies_with_is_no_key() {
        // The point of order 1, with which an all-zero signature would pass.
        let card = Card::new(1, 1);
        card.write("keys/ours.pub", &format!("01{}\n", "0".repeat(62)));
        card.write("email.sig", &format!("01{}\n", "0".repeat(126)));
        assert!(card.verified().is_err());
    }
}

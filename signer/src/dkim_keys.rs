//! The DKIM keys of one domain: for each number an RSA key of 2048 bits and an
//! Ed25519 key (RFC 8301, RFC 8463), made when they are first wanted.
//!
//! `DOMAIN/N-rsa.der` and `DOMAIN/N-ed25519.der` are PKCS #8. The keys of the number
//! in force sign; those of the next are there already, so that their records can
//! be published before they are needed. `DOMAIN/records` has the records of both.
//!
//! The RSA key is made with the crate `rsa` and used with ring: of `rsa` nothing
//! runs that an outsider could time (RUSTSEC-2023-0071 is about using a key).

use crate::keys::{KeyError, file, lock, read, write_whole};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey;
use std::fs;
use std::path::{Path, PathBuf};

/// RFC 8301 section 3.2; larger ones do not fit one string of a TXT record.
const BITS: usize = 2048;

/// The two keys of one number.
pub struct Pair {
    number: u32,
    rsa: RsaKeyPair,
    ed25519: Ed25519KeyPair,
}

/// How a signature was made (RFC 6376 section 3.5, `a=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`
    Rsa,
    /// `ed25519-sha256`
    Ed25519,
}

impl Algorithm {
    /// Both, the one that everybody knows last: its field stands on top.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Rsa];

    /// Its name in `a=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }

    /// Its name in a record, `k=`.
    fn kind(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl Pair {
    /// The keys of `number` for `domain`, made if they are not there.
    ///
    /// # Errors
    /// When a file can't be read or written, or is no key.
    pub fn open(folder: &Path, domain: &str, number: u32) -> Result<Self, KeyError> {
        let own = folder.join(domain);
        match fs::create_dir(&own) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(file(&own)(error));
            }
            _ => {}
        }
        let _lock = lock(&own)?;
        let path = |kind: Algorithm| own.join(format!("{number}-{}.der", kind.kind()));
        let der = kept(&path(Algorithm::Rsa), new_rsa)?;
        let bad = |kind| move |_| KeyError::Damaged(path(kind));
        let rsa = RsaKeyPair::from_pkcs8(&der).map_err(bad(Algorithm::Rsa))?;
        let der = kept(&path(Algorithm::Ed25519), new_ed25519)?;
        let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        let ed25519 = ed25519.map_err(bad(Algorithm::Ed25519))?;
        Ok(Self {
            number,
            rsa,
            ed25519,
        })
    }

    /// The name of a key's record below `_domainkey` (RFC 6376 section 3.1).
    pub fn selector(&self, algorithm: Algorithm) -> String {
        format!("px{}-{}", self.number, algorithm.kind())
    }

    /// The text of a key's record (section 3.6.1).
    pub fn record(&self, algorithm: Algorithm) -> String {
        let public = match algorithm {
            // ring's is an RSAPublicKey; `p=` is a SubjectPublicKeyInfo.
            Algorithm::Rsa => with_algorithm(self.rsa.public_key().as_ref()),
            Algorithm::Ed25519 => self.ed25519.public_key().as_ref().to_vec(),
        };
        let public = base64(&public);
        format!("v=DKIM1; k={}; p={public}", algorithm.kind())
    }

    /// Signs `text`; `None` when there is no randomness.
    pub(crate) fn sign(&self, algorithm: Algorithm, text: &[u8]) -> Option<Vec<u8>> {
        match algorithm {
            Algorithm::Rsa => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                let random = SystemRandom::new();
                let signed = self
                    .rsa
                    .sign(&RSA_PKCS1_SHA256, &random, text, &mut signature);
                signed.ok().map(|()| signature)
            }
            // What is signed is the hash (RFC 8463 section 3).
            Algorithm::Ed25519 => {
                let hash = ring::digest::digest(&ring::digest::SHA256, text);
                Some(self.ed25519.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }
}

/// Writes down the records of these pairs of `domain`, a line each.
///
/// # Errors
/// When the disk fails.
pub fn write_records(folder: &Path, domain: &str, pairs: &[Pair]) -> Result<(), KeyError> {
    let mut text = String::new();
    for pair in pairs {
        for algorithm in Algorithm::ALL {
            let (selector, record) = (pair.selector(algorithm), pair.record(algorithm));
            text += &format!("{selector}._domainkey.{domain} {record}\n");
        }
    }
    let path: PathBuf = folder.join(domain).join("records");
    if read(&path)?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    write_whole(&path, 0o644, text.as_bytes())
}

fn kept(path: &Path, make: impl Fn() -> Option<Vec<u8>>) -> Result<Vec<u8>, KeyError> {
    if let Some(der) = read(path)? {
        return Ok(der);
    }
    let der = make().ok_or_else(|| KeyError::Damaged(path.to_owned()))?;
    write_whole(path, 0o600, &der)?;
    Ok(der)
}

fn new_rsa() -> Option<Vec<u8>> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, BITS).ok()?;
    Some(key.to_pkcs8_der().ok()?.as_bytes().to_vec())
}

fn new_ed25519() -> Option<Vec<u8>> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok()?;
    Some(document.as_ref().to_vec())
}

/// SubjectPublicKeyInfo (RFC 5280 section 4.1) of an RSAPublicKey: rsaEncryption,
/// no parameters, and the key as a bit string.
fn with_algorithm(key: &[u8]) -> Vec<u8> {
    const RSA: [u8; 15] = [
        0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0,
    ];
    let bits = der(0x03, &[&[0], key].concat());
    der(0x30, &[&RSA[..], &bits].concat())
}

/// One element of DER with its length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match length {
        0..128 => element.push(length as u8),
        _ => {
            let bytes = length.to_be_bytes();
            let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
            element.push(0x80 | (8 - first) as u8);
            element.extend(&bytes[first..]);
        }
    }
    element.extend(content);
    element
}

/// RFC 4648 section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let number = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() {
                letter.into()
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

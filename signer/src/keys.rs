//! Keys and self-signed certificates, made once and kept in files that are there
//! whole or not at all.
//!
//! Such a certificate is valid for centuries: nobody checks the dates of a mail
//! server's own, and a box without a clock must not be without TLS.

use crate::chain::{Chain, P256};
use nix::fcntl::{Flock, FlockArg};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use whole_file::WholeFile;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("{path}: {source}; is the volume there and writable?", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("certificate for {name}: {source}; the name must be a host name")]
    Certificate {
        /// The host name.
        name: String,
        /// What was wrong.
        source: rcgen::Error,
    },
    /// The key's file holds something else.
    #[error("{path}: no ECDSA P-256 key in PKCS #8; move the file away and restart", path = .0.display())]
    NotAKey(PathBuf),
    /// A file holds something else than what was written there.
    #[error("{path}: not what is kept there; move the file away and restart", path = .0.display())]
    Damaged(PathBuf),
}

/// A key for TLS and its certificate.
pub struct Signer {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
    /// Where a certificate of a public authority may be.
    chain: Option<Chain>,
    random: SystemRandom,
}

impl Signer {
    /// Opens `folder/key.der` and `folder/certificate.der`, and makes what is
    /// missing for the host `name`: a new key on the first start. A chain of a public
    /// authority for that key ([`crate::chain`]) is shown instead of the certificate.
    ///
    /// # Errors
    /// When a file can't be read or written, or is no key.
    pub fn open(folder: &Path, name: &str) -> Result<Self, KeyError> {
        let _lock = lock(folder)?;
        let (key_path, certificate_path) = (folder.join("key.der"), folder.join("certificate.der"));
        let key_der = match read(&key_path)? {
            Some(der) => der,
            None => {
                let der = new_key(name)?.serialize_der();
                // A certificate without its key is of no use to anybody.
                remove(&certificate_path)?;
                write_whole(&key_path, 0o600, &der)?;
                der
            }
        };
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key_der, &random)
            .map_err(|_| KeyError::NotAKey(key_path.clone()))?;
        let point = key.public_key().as_ref();
        // One of an earlier key is left where the power was cut between the two files.
        let own = read(&certificate_path)?.filter(|der| is_for(der, point));
        let certificate = match own {
            Some(der) => der,
            None => {
                let pair = KeyPair::try_from(key_der.as_slice())
                    .map_err(|_| KeyError::NotAKey(key_path))?;
                let der = self_signed(name, &pair)?.der().to_vec();
                write_whole(&certificate_path, 0o644, &der)?;
                der
            }
        };
        Ok(Self {
            key,
            certificate,
            chain: Some(Chain::new(folder)),
            random,
        })
    }

    /// Opens `folder/key.pem` and `folder/certificate.pem`, which
    /// [`self_signed_pem`] has made.
    ///
    /// # Errors
    /// When a file can't be read, or is no key or certificate.
    pub fn open_pem(folder: &Path) -> Result<Self, KeyError> {
        let (key_path, certificate_path) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let bad = |path: &Path| KeyError::Damaged(path.to_owned());
        let text = fs::read(&key_path).map_err(file(&key_path))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| bad(&key_path))?;
        let random = SystemRandom::new();
        let (kind, der) = (&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der());
        let key = EcdsaKeyPair::from_pkcs8(kind, der, &random).map_err(|_| bad(&key_path))?;
        let text = fs::read(&certificate_path).map_err(file(&certificate_path))?;
        let certificate = CertificateDer::from_pem_slice(&text);
        let certificate = certificate.map_err(|_| bad(&certificate_path))?.to_vec();
        Ok(Self {
            key,
            certificate,
            chain: None,
            random,
        })
    }

    /// The box's own certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of the public key as SubjectPublicKeyInfo, in hexadecimal: what a TLSA
    /// record 3 1 1 holds (RFC 6698 section 2.1).
    pub fn digest(&self) -> String {
        digest(self.key.public_key().as_ref())
    }

    /// What is shown in a handshake, in DER: the authority's chain if there is one now,
    /// else the box's own certificate.
    pub fn shown(&self) -> Vec<Vec<u8>> {
        let point = self.key.public_key().as_ref();
        let chain = self.chain.as_ref().and_then(|chain| chain.read(point));
        chain.unwrap_or_else(|| vec![self.certificate.clone()])
    }

    /// ECDSA with SHA-256 over `text`, in DER; `None` when there is no randomness.
    pub(crate) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.key.sign(&self.random, text).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// Makes `folder/certificate.pem` and `folder/key.pem` (0640: the folder's group
/// is the mail server, which reads them) for the host `name`, unless both are there. The key is written last but one, the
/// certificate last: a pair that a power cut left half is made anew.
///
/// # Errors
/// When a file can't be written.
pub fn self_signed_pem(folder: &Path, name: &str) -> Result<(), KeyError> {
    let _lock = lock(folder)?;
    let (key_path, certificate_path) = (folder.join("key.pem"), folder.join("certificate.pem"));
    if read(&key_path)?.is_some() && read(&certificate_path)?.is_some() {
        return Ok(());
    }
    remove(&certificate_path)?;
    let pair = new_key(name)?;
    let certificate = self_signed(name, &pair)?;
    write_whole(&key_path, 0o640, pair.serialize_pem().as_bytes())?;
    write_whole(&certificate_path, 0o644, certificate.pem().as_bytes())
}

/// Copies the pair that [`self_signed_pem`] has made in `from` for a second
/// service, which the group of `to` is. A pair that is the same stays.
///
/// # Errors
/// When a file can't be read or written.
pub fn copy_pem(from: &Path, to: &Path) -> Result<(), KeyError> {
    let _lock = lock(to)?;
    for (name, mode) in [("key.pem", 0o640), ("certificate.pem", 0o644)] {
        let (from, to) = (from.join(name), to.join(name));
        let bytes = fs::read(&from).map_err(file(&from))?;
        if read(&to)?.as_ref() != Some(&bytes) {
            write_whole(&to, mode, &bytes)?;
        }
    }
    Ok(())
}

/// As [`Signer::digest`], of an uncompressed point of P-256.
fn digest(point: &[u8]) -> String {
    let whole = [&P256[..], point].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &whole);
    let bytes = digest.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The same of the key in `path`; `None` where there is none.
pub(crate) fn digest_of(path: &Path) -> Result<Option<String>, KeyError> {
    let Some(der) = read(path)? else {
        return Ok(None);
    };
    let (kind, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let key = EcdsaKeyPair::from_pkcs8(kind, &der, &random);
    let key = key.map_err(|_| KeyError::NotAKey(path.to_owned()))?;
    Ok(Some(digest(key.public_key().as_ref())))
}

/// Makes the key in `path` for the host `name`, if there is none.
pub(crate) fn make_key(path: &Path, name: &str) -> Result<(), KeyError> {
    match read(path)? {
        Some(_) => Ok(()),
        None => write_whole(path, 0o600, &new_key(name)?.serialize_der()),
    }
}

/// Whether a certificate in DER is for the key with this uncompressed point.
fn is_for(der: &[u8], point: &[u8]) -> bool {
    let der = CertificateDer::from(der);
    webpki::EndEntityCert::try_from(&der)
        .is_ok_and(|own| own.subject_public_key_info().as_ref() == [&P256[..], point].concat())
}

fn new_key(name: &str) -> Result<KeyPair, KeyError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| KeyError::Certificate {
        name: name.to_owned(),
        source,
    })
}

fn self_signed(name: &str, pair: &KeyPair) -> Result<rcgen::Certificate, KeyError> {
    let made = CertificateParams::new([name.to_owned()]).and_then(|mut params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(pair)
    });
    made.map_err(|source| KeyError::Certificate {
        name: name.to_owned(),
        source,
    })
}

/// Two starts at once would make two keys.
pub(crate) fn lock(folder: &Path) -> Result<Flock<File>, KeyError> {
    let opened = File::open(folder).map_err(file(folder))?;
    Flock::lock(opened, FlockArg::LockExclusive)
        .map_err(|(_, errno)| file(folder)(io::Error::from(errno)))
}

pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), KeyError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file(path)(error)),
        _ => Ok(()),
    }
}

/// Replaces `path`, which has this mode afterwards: the umask may be stricter than what
/// the reader needs.
pub(crate) fn write_whole(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    let whole = WholeFile::at(path, mode).exactly();
    whole.write(bytes).map_err(file(path))
}

pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { path, source }
}

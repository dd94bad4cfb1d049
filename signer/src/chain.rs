//! A certificate of a public authority, beside the key that the signer made itself:
//! `chain.pem`, the box's own certificate first, then those that lead to the authority
//! (RFC 8446 section 4.4.2). Whoever gets such certificates writes the file; it is read
//! again for every connection, so a new one counts at once.
//!
//! A chain that is not for the key would end every handshake, so it is not shown: the
//! box's own certificate is, and the log says why.

use crate::keys::{KeyError, file};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file, in the folder of the key.
pub const FILE: &str = "chain.pem";

/// The longest file, in bytes: as a chain in hexadecimal, half as much again, it is still
/// shorter than the longest line of the channel.
const MOST: u64 = 32 << 10;
/// A public key of P-256 in a certificate (RFC 5480 section 2), up to its point.
pub(crate) const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Where a chain may be.
#[derive(Debug)]
pub(crate) struct Chain {
    path: PathBuf,
    /// What was said last, so that it is said once.
    said: Mutex<String>,
}

impl Chain {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE),
            said: Mutex::default(),
        }
    }

    /// The chain in DER; `None` where there is none, or none for the key with this
    /// uncompressed point.
    pub(crate) fn read(&self, point: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (chain, words) = match self.look(point) {
            Ok(Some(chain)) => (Some(chain), String::new()),
            Ok(None) => (None, String::new()),
            Err(words) => (None, words),
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != words {
            if !words.is_empty() {
                eprintln!("signer: {words}; the box's own certificate is shown instead");
            }
            *said = words;
        }
        chain
    }

    fn look(&self, point: &[u8]) -> Result<Option<Vec<Vec<u8>>>, String> {
        let path = self.path.display();
        let Some(text) = read_some(&self.path).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        if text.len() as u64 > MOST {
            return Err(format!("{path}: larger than {MOST} bytes"));
        }
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = read.map_err(|error| format!("{path}: {error}"))?;
        let first = chain.first();
        let own = first.ok_or_else(|| format!("{path}: no certificate in it"))?;
        let own = webpki::EndEntityCert::try_from(own)
            .map_err(|error| format!("{path}: the first certificate: {error}"))?;
        if own.subject_public_key_info().as_ref() != [&P256[..], point].concat() {
            return Err(format!(
                "{path}: the first certificate is not for the key in key.der"
            ));
        }
        Ok(Some(chain.iter().map(|der| der.to_vec()).collect()))
    }
}

/// The file, or one byte more of it than there may be; `None` where there is none.
fn read_some(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let mut text = Vec::new();
    let opened = File::open(path);
    match opened.and_then(|opened| opened.take(MOST + 1).read_to_end(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path)(error)),
    }
}

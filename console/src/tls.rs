//! The box's own certificate for the page, and TLS 1.2 and 1.3 with it.
//!
//! The key is made when the process starts and is in its memory only: before the
//! disk is open, nothing secret may lie on the card. So the certificate is another
//! one after each start (docs/decisions/https-with-own-certificate.md).

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why there is no TLS. The page over HTTP is there nevertheless.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("certificate of the page: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refuses the key or the certificate.
    #[error("TLS of the page: {0}")]
    Tls(#[from] rustls::Error),
}

/// A key and a certificate of this process.
pub struct Tls {
    /// Takes connections.
    pub acceptor: TlsAcceptor,
    /// SHA-256 of the certificate's DER: 32 bytes.
    pub fingerprint: [u8; 32],
}

impl Tls {
    /// A new key (ECDSA P-256) and its certificate for `projectx.local` and
    /// `<name>.local`. It is valid for centuries: browsers ask about it in any case,
    /// and a box without a clock must not be without TLS.
    ///
    /// # Errors
    /// When the name is no host name.
    pub fn generate(name: &str) -> Result<Self, TlsError> {
        let mut names = vec!["projectx.local".to_owned(), format!("{name}.local")];
        names.dedup();
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = DistinguishedName::new();
        let subject = format!("{name}.local");
        parameters
            .distinguished_name
            .push(DnType::CommonName, subject);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters.self_signed(&key)?.der().clone();
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Nothing of one connection is kept for another.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint: std::array::from_fn(|i| fingerprint.as_ref()[i]),
        })
    }
}

/// As browsers show it: `AB:CD:…`, 32 pairs.
pub fn pairs(fingerprint: &[u8; 32]) -> String {
    fingerprint.map(|byte| format!("{byte:02X}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_certificate_of_its_own() {
        let (one, other) = (Tls::generate("attic"), Tls::generate("attic"));
        assert_ne!(one.unwrap().fingerprint, other.unwrap().fingerprint);
    }

    #[test]
    fn a_fingerprint_reads_as_in_a_browser() {
        let mut fingerprint = [0; 32];
        fingerprint[0] = 0xab;
        let text = pairs(&fingerprint);
        assert!(text.starts_with("AB:00:00:"), "{text}");
        assert_eq!(text.len(), 32 * 3 - 1);
    }
}

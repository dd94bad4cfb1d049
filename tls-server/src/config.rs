//! TLS whose key is elsewhere: rustls hands over the text to sign, and only its
//! parts go to the signer.

use crate::key_exchange;
use channels::tls_sign::{Reply, Request, ask, from_hex, to_hex};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme, version};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// A server of TLS 1.2 and 1.3 (RFC 8996, RFC 9325 section 3.1), with two groups,
/// without tickets, sessions and early data (RFC 8446 section 8). It is for one
/// connection: the signer at the other end of `channel` signs one handshake. `None` when
/// the signer is in trouble.
pub fn config(mut channel: UnixStream) -> Option<Arc<ServerConfig>> {
    let Ok(Reply::Certificate { chain }) = ask(&mut channel, &Request::Certificate) else {
        return None;
    };
    let chain: Option<Vec<_>> = chain
        .iter()
        .map(|der| from_hex(der).map(CertificateDer::from))
        .collect();
    let key = Arc::new(Elsewhere(Arc::new(Mutex::new(channel))));
    let certified = CertifiedKey::new(chain.filter(|chain| !chain.is_empty())?, key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(key_exchange::provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .ok()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Some(Arc::new(config))
}

#[derive(Debug, Clone)]
struct Elsewhere(Arc<Mutex<UnixStream>>);

impl SigningKey for Elsewhere {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Elsewhere {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |why: &str| Error::General(why.to_owned());
        let request = parts(message).ok_or_else(|| failed("not a handshake to sign"))?;
        let mut channel = self.0.lock().map_err(|_| failed("signer in use"))?;
        match ask(&mut *channel, &request) {
            Ok(Reply::Signature { signature }) => {
                from_hex(&signature).ok_or_else(|| failed("signature is not hexadecimal"))
            }
            _ => Err(failed("the signer gave no signature")),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Takes the text apart: RFC 8446 section 4.4.3, or RFC 8422 section 5.4.
fn parts(message: &[u8]) -> Option<Request> {
    let context = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0"].concat();
    if let Some(hash) = message.strip_prefix(context.as_slice()) {
        return Some(Request::Tls13 {
            transcript_hash: to_hex(hash),
        });
    }
    let (client, rest) = message.split_at_checked(32)?;
    let (server, rest) = rest.split_at_checked(32)?;
    let [3, high, low, length, point @ ..] = rest else {
        return None;
    };
    (usize::from(*length) == point.len()).then(|| Request::Tls12 {
        client_random: to_hex(client),
        server_random: to_hex(server),
        curve: u16::from_be_bytes([*high, *low]),
        point: to_hex(point),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_handshake_is_not_taken_apart() {
        let key_exchange = [&[1; 64][..], &[3, 0, 29, 32], &[9; 32]].concat();
        assert!(matches!(
            parts(&key_exchange),
            Some(Request::Tls12 { curve: 29, .. })
        ));
        for bad in [&key_exchange[..99], &key_exchange[..66], b"", &[0; 100]] {
            assert_eq!(parts(bad), None);
        }
    }
}

//! X25519MLKEM768, the hybrid of draft-ietf-tls-ecdhe-mlkem, for a server: who
//! keeps today's bytes until there are quantum computers must break both X25519
//! and ML-KEM (FIPS 203). Why it is put together here:
//! docs/decisions/post-quantum-key-exchange.md.

use ml_kem::kem::{Encapsulate, TryKeyInit};
use ml_kem::ml_kem_768::EncapsulationKey;
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

/// An encapsulation key of ML-KEM-768 (FIPS 203 table 3); the client's share of
/// X25519 stands behind it.
const KEY: usize = 1184;

/// ring's provider with the two groups that this server takes. Of those that a
/// client offers, rustls takes the one that the client names first (RFC 8446
/// section 4.2.7): every library that has the hybrid on by default names it first.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![HYBRID, X25519],
        ..rustls::crypto::ring::default_provider()
    }
}

static HYBRID: &dyn SupportedKxGroup = &X25519MlKem768;

#[derive(Debug)]
struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    /// A server answers to a client's share, it never begins.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Err(Error::General("only for servers".to_owned()))
    }

    /// ML-KEM stands first in the shares and in the secret (section 4 of the
    /// draft); a key that is none by FIPS 203 section 7.2 ends the handshake.
    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let (key, point) = share.split_at_checked(KEY).ok_or_else(invalid)?;
        let key = EncapsulationKey::new_from_slice(key).map_err(|_| invalid())?;
        let classical = X25519.start_and_complete(point)?;
        let (ciphertext, secret) = key.encapsulate();
        let secret = [&secret[..], classical.secret.secret_bytes()].concat();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&ciphertext[..], &classical.pub_key].concat(),
            secret: SharedSecret::from(secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    /// Section 3 of the draft: TLS 1.3 only.
    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_none_ends_the_handshake() {
        // No coefficient of a key is above 3328: this one has 4095 (FIPS 203 section 7.2).
        let high = [&[0xff; KEY][..], &[9; 32]].concat();
        let zero_point = vec![0; KEY + 32];
        for share in [&[][..], &[0; KEY], &[0; KEY + 31], &[0; KEY + 33], &high] {
            let error = X25519MlKem768.start_and_complete(share).err();
            assert!(matches!(error, Some(Error::PeerMisbehaved(_))), "{error:?}");
        }
        // A point of small order gives a secret that everybody knows (RFC 7748 section 6.1).
        assert!(X25519MlKem768.start_and_complete(&zero_point).is_err());
        let good = [&[0; KEY][..], &[9; 32]].concat();
        let good = X25519MlKem768.start_and_complete(&good).unwrap();
        assert_eq!(good.pub_key.len(), 1088 + 32);
    }
}

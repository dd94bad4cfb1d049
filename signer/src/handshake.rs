//! What is signed: the two messages of a TLS server's handshake, built here from
//! parts of fixed size, so that no other text can ever be signed.

use channels::tls_sign::{Request, from_hex};

/// RFC 8446 section 4.4.3.
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
/// `curve_type` named_curve (RFC 8422 section 5.4).
const NAMED_CURVE: u8 = 3;

/// The text to sign for `request`; `None` when it asks for no signature or its
/// parts are not those of a handshake.
pub fn to_be_signed(request: &Request) -> Option<Vec<u8>> {
    match request {
        Request::Certificate => None,
        Request::Tls13 { transcript_hash } => {
            let hash = from_hex(transcript_hash).filter(|hash| matches!(hash.len(), 32 | 48))?;
            Some([&[b' '; 64][..], CONTEXT, &hash].concat())
        }
        Request::Tls12 {
            client_random,
            server_random,
            curve,
            point,
        } => {
            let random = |text| from_hex(text).filter(|bytes| bytes.len() == 32);
            let (client, server) = (random(client_random)?, random(server_random)?);
            let point = from_hex(point).filter(|point| is_point(*curve, point))?;
            let [high, low] = curve.to_be_bytes();
            let head = [NAMED_CURVE, high, low, point.len() as u8];
            Some([&client[..], &server, &head, &point].concat())
        }
    }
}

/// Whether `point` has the form of a public point of `curve`: 23 and 24 are
/// secp256r1 and secp384r1, uncompressed; 29 is x25519.
fn is_point(curve: u16, point: &[u8]) -> bool {
    match curve {
        23 => point.len() == 65 && point[0] == 4,
        24 => point.len() == 97 && point[0] == 4,
        29 => point.len() == 32,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use channels::tls_sign::to_hex;

    fn tls12(client: usize, server: usize, curve: u16, point: &[u8]) -> Option<Vec<u8>> {
        to_be_signed(&Request::Tls12 {
            client_random: to_hex(&vec![1; client]),
            server_random: to_hex(&vec![2; server]),
            curve,
            point: to_hex(point),
        })
    }

    #[test]
    fn a_tls13_hash_is_signed_in_its_context_only() {
        for length in [0, 20, 31, 33, 47, 49, 64] {
            let transcript_hash = to_hex(&vec![0; length]);
            assert_eq!(to_be_signed(&Request::Tls13 { transcript_hash }), None);
        }
        for length in [32, 48] {
            let transcript_hash = to_hex(&vec![9; length]);
            let text = to_be_signed(&Request::Tls13 { transcript_hash }).unwrap();
            assert_eq!(text.len(), 64 + 34 + length);
            assert_eq!(&text[64..98], b"TLS 1.3, server CertificateVerify\0");
        }
    }

    #[test]
    fn a_tls12_key_exchange_has_a_point_of_its_curve() {
        let of = |length: usize| [&[4][..], &vec![7; length - 1]].concat();
        for (curve, length) in [(23, 65), (24, 97), (29, 32)] {
            let text = tls12(32, 32, curve, &of(length)).unwrap();
            assert_eq!(text[64..68], [3, 0, curve as u8, length as u8]);
            for wrong in [1, 31, 33, 64, 66, 96, 98] {
                assert_eq!(tls12(32, 32, curve, &of(wrong)), None);
            }
        }
        for curve in [0, 22, 25, 30, 0x11ec] {
            assert_eq!(tls12(32, 32, curve, &of(65)), None);
        }
        assert_eq!(tls12(31, 32, 29, &of(32)), None);
        assert_eq!(tls12(32, 33, 29, &of(32)), None);
        assert_eq!(tls12(32, 32, 23, &[2; 65]), None, "not uncompressed");
    }
}

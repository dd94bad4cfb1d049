//! `tls-sign`: the port-25 certificate and one handshake signature. The channels
//! `private-tls-sign` and `web-tls-sign`, of other keys, are the same.
//!
//! smtp-in asks in lines of JSON; the signer answers each with one. The signer
//! builds itself what it signs, out of parts of fixed size, so that a taken-over
//! smtp-in can't have anything else signed than the handshake of TLS 1.3
//! (RFC 8446 section 4.4.3) or TLS 1.2 with ECDHE (RFC 8422 section 5.4).

use crate::line::{ChannelError, read_json, write_json};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "tls-sign";

/// The longest line: a certificate chain in hexadecimal.
const MAX_LINE: usize = 64 << 10;

/// What smtp-in may ask for. Bytes are hexadecimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The certificate chain.
    Certificate,
    /// The signature of a TLS 1.3 CertificateVerify.
    Tls13 {
        /// The transcript hash: 32 or 48 bytes.
        transcript_hash: String,
    },
    /// The signature of a TLS 1.2 ServerKeyExchange.
    Tls12 {
        /// 32 bytes.
        client_random: String,
        /// 32 bytes.
        server_random: String,
        /// The NamedCurve (RFC 8422 section 5.1.1).
        curve: u16,
        /// The server's ephemeral public point, at most 255 bytes.
        point: String,
    },
}

/// What the signer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// X.509 certificates in DER, the box's own first, in hexadecimal.
    Certificate {
        /// The chain.
        chain: Vec<String>,
    },
    /// An ECDSA signature with SHA-256 in DER (RFC 8446 section 4.2.3,
    /// `ecdsa_secp256r1_sha256`), in hexadecimal.
    Signature {
        /// The signature.
        signature: String,
    },
    /// The parts are not those of a handshake, or the one signature of this
    /// connection has been given.
    Refused,
}

/// smtp-in: asks and waits for the answer.
///
/// # Errors
/// When there is none.
pub fn ask(stream: &mut (impl Read + Write), request: &Request) -> Result<Reply, ChannelError> {
    write_json(NAME, stream, request)?;
    read_json(NAME, stream, MAX_LINE)?.ok_or(ChannelError::Closed { channel: NAME })
}

/// The signer: the next request; `None` when smtp-in has ended.
///
/// # Errors
/// When it is not in the protocol.
pub fn read(stream: &mut impl Read) -> Result<Option<Request>, ChannelError> {
    read_json(NAME, stream, 2048)
}

/// The signer: answers.
///
/// # Errors
/// When the stream broke.
pub fn answer(stream: &mut impl Write, reply: &Reply) -> Result<(), ChannelError> {
    write_json(NAME, stream, reply)
}

/// Bytes as hexadecimal text.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal text as bytes; `None` when it is none.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_text_is_read_back_and_nothing_else_is() {
        assert_eq!(
            from_hex(&to_hex(&[0, 0x7f, 0xff])).unwrap(),
            [0, 0x7f, 0xff]
        );
        for bad in ["0", "0g", "+1", "\u{e4}0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_with_anything_more_in_it_is_refused() {
        let good = r#"{"request":"certificate"}"#;
        assert_eq!(
            read(&mut format!("{good}\n").as_bytes()).unwrap(),
            Some(Request::Certificate)
        );
        for bad in [
            r#"{"request":"tls13","transcript_hash":"00","context":"00"}"#,
            r#"{"request":"sign-anything"}"#,
        ] {
            read(&mut format!("{bad}\n").as_bytes()).unwrap_err();
        }
    }
}

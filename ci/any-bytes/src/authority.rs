//! What is asked of the services that hold keys: whoever asks may have been taken over,
//! and must not have anything signed but what it is for.

use channels::dkim_sign::Reply;
use channels::tls_sign::Request;
use channels::{dkim_sign as dkim_channel, tls_sign as tls_channel};
use outbound::settings::{Domain, Settings};
use signer::dkim::Signer;
use signer::handshake::to_be_signed;
use std::sync::OnceLock;

/// What RFC 8446 section 4.4.3 has before the hash of a handshake.
const TLS13: usize = 64 + 34;

/// What would be signed is one of the two texts of a handshake, and none can be taken
/// for the other.
///
/// # Panics
/// When that does not hold.
pub fn tls_sign(mut input: &[u8]) {
    while let Ok(Some(request)) = tls_channel::read(&mut input) {
        let Some(text) = to_be_signed(&request) else {
            continue;
        };
        match request {
            Request::Certificate => panic!("a signature of nothing"),
            Request::Tls13 { .. } => {
                assert!(text.starts_with(&[b' '; 64]));
                assert!(text[64..].starts_with(b"TLS 1.3, server CertificateVerify\0"));
                assert!([32, 48].contains(&(text.len() - TLS13)));
            }
            Request::Tls12 { curve, .. } => {
                // Where the other kind has its `T`, this one has the kind of curve.
                assert_eq!(text[64], 3);
                assert_eq!(text[65..67], curve.to_be_bytes());
                assert_eq!(text.len(), 68 + usize::from(text[67]));
            }
        }
    }
}

/// A signature of mail is one whole field for the box's own domain, or none.
///
/// # Panics
/// When that does not hold.
pub fn dkim_sign(mut input: &[u8]) {
    while let Ok(Some(request)) = dkim_channel::read(&mut input) {
        let Reply::Signed { fields } = signer().reply(&request) else {
            continue;
        };
        assert!(request.domain.eq_ignore_ascii_case("home.example"));
        assert_eq!(fields.len(), 2, "an Ed25519 and an RSA key");
        for field in fields {
            let text = field.strip_suffix("\r\n").expect("a line's end");
            let mut lines = text.split("\r\n");
            let first = lines.next().expect("a line");
            assert!(first.starts_with("DKIM-Signature: v=1; a="), "{first}");
            assert!(first.contains("; d=home.example;"), "{first}");
            for line in text.split("\r\n") {
                assert!(line.len() <= 998, "{line}");
                assert!(
                    line.bytes()
                        .all(|b| (b' '..=b'~').contains(&b) || b == b'\t')
                );
            }
            assert!(lines.all(|line| line.starts_with('\t') && line.trim() != ""));
            // An author can't be added (RFC 6376 section 8.15).
            let names = text
                .split("h=")
                .nth(1)
                .and_then(|rest| rest.split(';').next());
            let names = names.expect("the names").split(':').map(str::trim);
            assert_eq!(names.filter(|name| *name == "From").count(), 2, "{text}");
        }
    }
}

/// With keys of its own, made once: RSA takes a moment.
fn signer() -> &'static Signer {
    static SIGNER: OnceLock<(Signer, tempfile::TempDir)> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            domains: vec![Domain {
                name: "home.example".into(),
                dkim: 1,
            }],
            ..Settings::default()
        };
        settings.write(folder.path()).expect("settings");
        (Signer::new(folder.path(), folder.path()), folder)
    };
    &SIGNER.get_or_init(make).0
}

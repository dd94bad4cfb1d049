//! Port 25's key, and the one that follows it.

use channels::tls_sign::{Reply, Request, ask, from_hex, to_hex};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use signer::rolling::{Rolling, TLSA, WISH};
use signer::serve::serve_rolling;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

const NAME: &str = "box.example";

fn opened(folder: &Path) -> Arc<Rolling> {
    Arc::new(Rolling::open(folder, NAME).unwrap())
}

/// The digests that are written down.
fn digests(folder: &Path) -> (String, String) {
    let text = fs::read_to_string(folder.join(TLSA)).unwrap();
    let mut lines = text.lines();
    let mut line = |word| lines.next().unwrap().strip_prefix(word).unwrap().to_owned();
    (line("present "), line("next "))
}

fn wish(folder: &Path, digest: &str) {
    fs::write(folder.join(WISH), digest).unwrap();
}

/// The SHA-256 of a certificate's public key, as openssl sees it.
fn by_openssl(certificate: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certificate");
    fs::write(&path, certificate).unwrap();
    let words = "openssl x509 -inform DER -noout -pubkey -in \"$0\" \
                 | openssl pkey -pubin -outform DER | sha256sum";
    let said = Command::new("sh")
        .args(["-c", words])
        .arg(&path)
        .stderr(Stdio::null())
        .output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    said.split_whitespace().next().unwrap().to_owned()
}

fn shown(stream: &mut UnixStream) -> Vec<u8> {
    match ask(stream, &Request::Certificate).unwrap() {
        Reply::Certificate { chain } => from_hex(&chain[0]).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Whether a signature by this connection is by the key of this certificate.
fn signs_with(stream: &mut UnixStream, certificate: &[u8]) -> bool {
    let hash = [7; 32];
    let request = Request::Tls13 {
        transcript_hash: to_hex(&hash),
    };
    let Reply::Signature { signature } = ask(stream, &request).unwrap() else {
        panic!("no signature");
    };
    let label = b"TLS 1.3, server CertificateVerify\0";
    let text = [&[b' '; 64][..], label, &hash].concat();
    let der = CertificateDer::from(certificate);
    let own = webpki::EndEntityCert::try_from(&der).unwrap();
    let info = own.subject_public_key_info();
    let point = &info.as_ref()[info.as_ref().len() - 65..];
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(&text, &from_hex(&signature).unwrap()).is_ok()
}

#[test]
fn the_digests_are_those_of_the_world_and_all_may_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let keys = opened(folder.path());
    let (present, next) = digests(folder.path());
    assert_eq!(by_openssl(keys.present().certificate()), present);
    assert_ne!(present, next);
    let mode = |name: &str| {
        let meta = fs::metadata(folder.path().join(name)).unwrap();
        meta.permissions().mode() & 0o777
    };
    assert_eq!(
        (mode(TLSA), mode("next.der"), mode("key.der")),
        (0o644, 0o600, 0o600)
    );
    // Another start changes nothing.
    opened(folder.path());
    assert_eq!(digests(folder.path()), (present, next));
}

#[test]
fn the_next_key_becomes_the_present_one_and_who_is_there_keeps_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let keys = opened(folder.path());
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = Arc::clone(&keys);
    thread::spawn(move || serve_rolling(&listener, &serving));
    let connect = || UnixStream::connect(&socket).unwrap();
    let (present, next) = digests(folder.path());

    let mut early = connect();
    let old = shown(&mut early);
    wish(folder.path(), &next);
    let mut late = connect();
    let new = shown(&mut late);
    assert_eq!(
        (by_openssl(&old), by_openssl(&new)),
        (present, next.clone())
    );
    assert!(signs_with(&mut early, &old));
    assert!(signs_with(&mut late, &new));
    let (now, after) = digests(folder.path());
    assert_eq!(now, next);
    assert_ne!(after, next);
    // The wish is fulfilled: it means nothing to a later start.
    assert_eq!(opened(folder.path()).present().digest(), next);
    assert_eq!(digests(folder.path()), (now, after));
}

#[test]
fn a_power_cut_after_the_rename_loses_nothing_but_the_old_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    opened(folder.path());
    let (_, next) = digests(folder.path());
    wish(folder.path(), &next);
    fs::rename(at("next.der"), at("key.der")).unwrap();
    fs::write(at("next.der.new"), "half").unwrap();
    let keys = opened(folder.path());
    assert_eq!(keys.present().digest(), next);
    assert_eq!(by_openssl(keys.present().certificate()), next);
    assert_eq!(digests(folder.path()).0, next);
    assert_ne!(digests(folder.path()).1, next);
}

#[test]
fn a_wish_before_the_start_is_fulfilled_by_it() {
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path());
    let (_, next) = digests(folder.path());
    wish(folder.path(), &format!("{next}\n"));
    assert_eq!(opened(folder.path()).present().digest(), next);
}

#[test]
fn a_wish_for_another_key_or_beside_a_public_certificate_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = opened(folder.path());
    let (present, next) = digests(folder.path());
    for words in ["", "next", &"ab".repeat(32)] {
        wish(folder.path(), words);
        assert_eq!(keys.present().digest(), present, "{words}");
    }
    fs::write(folder.path().join("chain.pem"), "a chain").unwrap();
    wish(folder.path(), &next);
    assert_eq!(keys.present().digest(), present);
    assert_eq!(digests(folder.path()), (present, next.clone()));
    // Whoever takes the chain away lets the wish come true.
    fs::remove_file(folder.path().join("chain.pem")).unwrap();
    assert_eq!(keys.present().digest(), next);
}

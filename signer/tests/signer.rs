//! The signer over its channel and in its folder.

use channels::tls_sign::{Reply, Request, ask, from_hex, to_hex};
use rcgen::{CertificateParams, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use signer::keys::{Signer, copy_pem, self_signed_pem};
use signer::serve::serve;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// A signer that serves on a socket in `folder`.
fn started(folder: &Path) -> impl Fn() -> UnixStream {
    let signer = Arc::new(Signer::open(folder, "mail.example").unwrap());
    let socket = folder.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || serve(&listener, &signer));
    move || UnixStream::connect(&socket).unwrap()
}

fn tls13(length: usize) -> Request {
    Request::Tls13 {
        transcript_hash: to_hex(&vec![7; length]),
    }
}

/// The public point in a P-256 certificate: it follows the curve's identifier.
fn public_point(certificate: &[u8]) -> Vec<u8> {
    const CURVE: [u8; 10] = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let at = certificate.windows(10).position(|bytes| bytes == CURVE);
    let start = at.unwrap() + 10 + 3;
    certificate[start..start + 65].to_vec()
}

#[test]
fn a_signature_verifies_with_the_certificate_and_there_is_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let connect = started(folder.path());
    for (request, text) in [
        (
            tls13(48),
            [
                &[b' '; 64][..],
                b"TLS 1.3, server CertificateVerify\0",
                &[7; 48],
            ]
            .concat(),
        ),
        (
            Request::Tls12 {
                client_random: to_hex(&[1; 32]),
                server_random: to_hex(&[2; 32]),
                curve: 29,
                point: to_hex(&[3; 32]),
            },
            [&[1; 32][..], &[2; 32], &[3, 0, 29, 32], &[3; 32]].concat(),
        ),
    ] {
        let mut stream = connect();
        let Reply::Certificate { chain } = ask(&mut stream, &Request::Certificate).unwrap() else {
            panic!("no certificate");
        };
        assert_eq!(ask(&mut stream, &tls13(20)).unwrap(), Reply::Refused);
        let Reply::Signature { signature } = ask(&mut stream, &request).unwrap() else {
            panic!("no signature");
        };
        let point = public_point(&from_hex(&chain[0]).unwrap());
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(&text, &from_hex(&signature).unwrap())
            .unwrap();
        assert_eq!(ask(&mut stream, &request).unwrap(), Reply::Refused);
        assert_eq!(ask(&mut stream, &tls13(32)).unwrap(), Reply::Refused);
        assert!(matches!(
            ask(&mut stream, &Request::Certificate).unwrap(),
            Reply::Certificate { .. }
        ));
    }
}

#[test]
fn a_client_that_says_nothing_stops_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let connect = started(folder.path());
    let _stuck: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    assert!(matches!(
        ask(&mut connect(), &tls13(32)).unwrap(),
        Reply::Signature { .. }
    ));
}

#[test]
fn the_key_and_its_certificate_survive_a_restart_and_a_half_written_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("key.der.new"), b"half").unwrap();
    fs::write(path.join("certificate.der.new"), b"half").unwrap();
    let first = Signer::open(path, "mail.example").unwrap();
    let key = path.join("key.der");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = Signer::open(path, "mail.example").unwrap();
    assert_eq!(first.certificate(), second.certificate());
    // A power cut between the two files: the same key gets a certificate again.
    fs::remove_file(path.join("certificate.der")).unwrap();
    let third = Signer::open(path, "mail.example").unwrap();
    assert_eq!(
        public_point(first.certificate()),
        public_point(third.certificate())
    );
    assert!(!path.join("key.der.new").exists());
}

#[test]
fn a_key_file_that_holds_something_else_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.der"), b"junk").unwrap();
    let Err(error) = Signer::open(folder.path(), "mail.example") else {
        panic!("junk is no key");
    };
    assert!(error.to_string().contains("key.der: no ECDSA P-256 key"));
    assert_eq!(fs::read(folder.path().join("key.der")).unwrap(), b"junk");
}

#[test]
fn a_pem_pair_is_made_once_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let pair = || ["certificate.pem", "key.pem"].map(|name| fs::read_to_string(path.join(name)));
    fs::write(path.join("key.pem.new"), b"half").unwrap();
    self_signed_pem(path, "mail.example").unwrap();
    let [certificate, key] = pair().map(Result::unwrap);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let mode = fs::metadata(path.join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    self_signed_pem(path, "mail.example").unwrap();
    assert_eq!(pair().map(Result::unwrap), [certificate.clone(), key]);
    fs::remove_file(path.join("key.pem")).unwrap();
    self_signed_pem(path, "mail.example").unwrap();
    assert_ne!(pair().map(Result::unwrap)[0], certificate);
}

#[test]
fn the_private_services_pair_is_copied_and_signs_with_the_same_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, copy) = (folder.path().join("tls"), folder.path().join("copy"));
    for part in [&tls, &copy] {
        fs::create_dir(part).unwrap();
    }
    assert!(Signer::open_pem(&copy).is_err());
    for _first_and_second_start in 0..2 {
        self_signed_pem(&tls, "mail.example").unwrap();
        copy_pem(&tls, &copy).unwrap();
    }
    for name in ["key.pem", "certificate.pem"] {
        assert_eq!(
            fs::read(copy.join(name)).unwrap(),
            fs::read(tls.join(name)).unwrap()
        );
    }
    let mode = fs::metadata(copy.join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
    // A pair that is only to be read, as private-signer has it.
    let signer = Signer::open_pem(&copy).unwrap();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || signer::serve::connection(theirs, &signer));
    let Reply::Certificate { chain } = ask(&mut ours, &Request::Certificate).unwrap() else {
        panic!("no certificate");
    };
    let certificate = from_hex(&chain[0]).unwrap();
    let Reply::Signature { signature } = ask(&mut ours, &tls13(32)).unwrap() else {
        panic!("no signature");
    };
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_point(&certificate));
    let context = [
        &[b' '; 64][..],
        b"TLS 1.3, server CertificateVerify\0",
        &[7; 32],
    ]
    .concat();
    key.verify(&context, &from_hex(&signature).unwrap())
        .unwrap();
    // Another pair takes the place of the copy.
    fs::remove_file(tls.join("certificate.pem")).unwrap();
    self_signed_pem(&tls, "mail.example").unwrap();
    copy_pem(&tls, &copy).unwrap();
    Signer::open_pem(&copy).unwrap();
    assert_eq!(
        fs::read(copy.join("key.pem")).unwrap(),
        fs::read(tls.join("key.pem")).unwrap()
    );
}

#[test]
fn a_public_chain_is_shown_as_soon_as_it_is_there_and_only_for_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(signer::chain::FILE);
    let signer = Signer::open(folder.path(), "mail.example").unwrap();
    let own = vec![signer.certificate().to_vec()];
    assert_eq!(signer.shown(), own);

    let certificate = |key: &KeyPair| {
        let params = CertificateParams::new(["mx.example".to_owned()]).unwrap();
        params.self_signed(key).unwrap()
    };
    let key = fs::read(folder.path().join("key.der")).unwrap();
    let key = KeyPair::try_from(key.as_slice()).unwrap();
    let (first, above) = (
        certificate(&key),
        certificate(&KeyPair::generate().unwrap()),
    );
    let both = first.pem() + &above.pem();
    fs::write(&path, &both).unwrap();
    let chain = vec![first.der().to_vec(), above.der().to_vec()];
    assert_eq!(signer.shown(), chain);
    // What would end every handshake is not shown.
    for bad in [
        above.pem() + &first.pem(),
        String::new(),
        "no certificate".to_owned(),
        both[..both.len() / 3].to_owned(),
        both.clone() + &" ".repeat(32 << 10),
    ] {
        fs::write(&path, &bad).unwrap();
        assert_eq!(signer.shown(), own, "{bad:.60}");
    }
    fs::write(&path, &both).unwrap();
    assert_eq!(signer.shown(), chain);
    fs::remove_file(&path).unwrap();
    assert_eq!(signer.shown(), own);
}

//! Who sent it: SPF, DKIM, DMARC, ARC and the lists that the owner chose.

use crate::dialogue::PLAIN;
use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use channels::rules::Rules;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_auth::hickory_resolver::proto::rr::RecordType;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults, DmarcOutput, DmarcResult};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use smtp_in::session::Came;
use std::process::{Command, Stdio};

fn txt(name: &str, text: &str) -> (String, RecordType, String) {
    (name.to_owned(), RecordType::TXT, text.to_owned())
}

fn a(name: &str, address: &str) -> (String, RecordType, String) {
    (name.to_owned(), RecordType::A, address.to_owned())
}

/// A key, and its public half as DNS has it.
fn ed25519() -> (Ed25519Key, String) {
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = STANDARD.encode(pair.public_key());
    (Ed25519Key::from_pkcs8_der(pkcs8.as_ref()).unwrap(), public)
}

/// The same of RSA with 2048 bits, made by OpenSSL.
fn rsa() -> (RsaKey<Sha256>, String) {
    let openssl = |arguments: &[&str], input: &[u8]| {
        let mut program = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut program.stdin.take().unwrap(), input).unwrap();
        program.wait_with_output().unwrap().stdout
    };
    let bits = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
    ];
    let private = openssl(&[&bits[..], &["-outform", "DER"]].concat(), b"");
    let public = openssl(
        &["pkey", "-inform", "DER", "-pubout", "-outform", "DER"],
        &private,
    );
    // PKCS #1 from OpenSSL 3.0, PKCS #8 from later ones.
    let key = PrivateKeyDer::try_from(private).unwrap();
    (RsaKey::from_key_der(key).unwrap(), STANDARD.encode(public))
}

/// The `Authentication-Results` of a message that came in, or the reply to it.
fn judged(play: Play, message: &[u8]) -> Result<String, String> {
    let (mut client, ends) = started(play);
    let reply = client.send("a@sender.example", message);
    if reply != "250 2.0.0 Delivered" {
        return Err(reply);
    }
    let text = String::from_utf8(ends.delivered.recv().unwrap()).unwrap();
    Ok(text.split("Received: ").next().unwrap().to_owned())
}

fn results(zone: Option<Zone>, message: &[u8]) -> Result<String, String> {
    let play = Play {
        zone,
        ..Play::default()
    };
    judged(play, message)
}

#[test]
fn spf_dkim_and_dmarc_are_judged_and_dns_trouble_loses_nothing() {
    let (key, public) = ed25519();
    let signature = DkimSigner::from_key(key)
        .domain("sender.example")
        .selector("s")
        .headers(["From", "Subject"])
        .sign(PLAIN)
        .unwrap();
    let mut signed = Vec::new();
    signature.write_header(&mut signed);
    signed.extend_from_slice(PLAIN);
    let broken = [&signed[..], b"more\r\n"].concat();

    let zone = || {
        vec![
            txt(
                "s._domainkey.sender.example.",
                &format!("v=DKIM1; k=ed25519; p={public}"),
            ),
            txt("_dmarc.sender.example.", "v=DMARC1; p=reject"),
            txt(
                "sender.example.",
                "v=spf1 ip4:192.0.2.1 exists:no.example -all",
            ),
        ]
    };
    let good = results(Some(zone()), &signed).unwrap();
    for part in [
        "dkim=pass",
        "spf=fail",
        "dmarc=pass",
        "header.from=sender.example",
        "iprev=fail",
    ] {
        assert!(good.contains(part), "{part}: {good}");
    }
    let refusal = "550 5.7.1 Refused by the DMARC policy of sender.example";
    assert_eq!(results(Some(zone()), &broken).unwrap_err(), refusal);
    assert_eq!(results(Some(zone()), PLAIN).unwrap_err(), refusal);
    let mut lenient = zone();
    lenient.retain(|(name, ..)| !name.starts_with("_dmarc."));
    let changed = results(Some(lenient), &broken).unwrap();
    assert!(changed.contains("dkim=fail (body hash"), "{changed}");
    let nothing = results(Some(Vec::new()), PLAIN).unwrap();
    const NONE: &str =
        ";\r\n\tdkim=none;\r\n\tdmarc=none header.from=sender.example policy.dmarc=none\r\n";
    assert!(
        nothing.contains("spf=none") && nothing.ends_with(NONE),
        "{nothing}"
    );
    let trouble = results(None, &signed).unwrap();
    for part in ["dkim=temperror", "spf=temperror", "dmarc=temperror"] {
        assert!(trouble.contains(part), "{part}: {trouble}");
    }
}

#[test]
fn a_signature_by_rsa_counts_and_one_over_sha1_does_not() {
    let (key, public) = rsa();
    let signature = DkimSigner::from_key(key)
        .domain("sender.example")
        .selector("s")
        .headers(["From", "Subject"])
        .sign(PLAIN)
        .unwrap();
    let mut signed = Vec::new();
    signature.write_header(&mut signed);
    signed.extend_from_slice(PLAIN);
    let zone = vec![
        txt(
            "s._domainkey.sender.example.",
            &format!("v=DKIM1; k=rsa; p={public}"),
        ),
        txt("_dmarc.sender.example.", "v=DMARC1; p=reject"),
    ];
    let good = results(Some(zone.clone()), &signed).unwrap();
    assert!(
        good.contains("dkim=pass") && good.contains("dmarc=pass"),
        "{good}"
    );
    // RFC 8301 section 3.1.
    let text = String::from_utf8(signed).unwrap();
    let weak = text.replace("rsa-sha256", "rsa-sha1");
    let none = results(Some(zone[..1].to_vec()), weak.as_bytes()).unwrap();
    assert!(
        none.contains("dkim=none") && !none.contains("dkim=fail"),
        "{none}"
    );
}

#[test]
fn the_policy_for_names_that_do_not_exist_is_for_those_alone() {
    let zone = vec![
        txt(
            "_dmarc.sender.example.",
            "v=DMARC1; p=none; sp=none; np=reject",
        ),
        a("there.sender.example.", "192.0.2.1"),
    ];
    let from = |domain: &str| format!("From: <a@{domain}>\r\n\r\nx\r\n");
    let nowhere = results(
        Some(zone.clone()),
        from("nowhere.sender.example").as_bytes(),
    );
    let refusal = "550 5.7.1 Refused by the DMARC policy of nowhere.sender.example";
    assert_eq!(nowhere.unwrap_err(), refusal);
    for domain in ["there.sender.example", "sender.example"] {
        let there = results(Some(zone.clone()), from(domain).as_bytes()).unwrap();
        let expected =
            format!("dmarc=fail (policy not aligned) header.from={domain} policy.dmarc=none");
        assert!(there.contains(&expected), "{there}");
    }
    // A test of the policy is one level less (t=y).
    let test = vec![txt(
        "_dmarc.sender.example.",
        "v=DMARC1; p=none; np=reject; t=y",
    )];
    let told = results(Some(test), from("nowhere.sender.example").as_bytes()).unwrap();
    assert!(told.contains("policy.dmarc=quarantine"), "{told}");
}

#[test]
fn of_several_authors_each_domain_is_asked() {
    let zone = vec![
        txt("_dmarc.bank.example.", "v=DMARC1; p=reject"),
        txt("_dmarc.shop.example.", "v=DMARC1; p=quarantine"),
    ];
    let from = "From: A <a@sender.example>, <b@shop.example>, C <c@Bank.example>\r\n\r\nx\r\n";
    let refused = results(Some(zone.clone()), from.as_bytes()).unwrap_err();
    assert_eq!(
        refused,
        "550 5.7.1 Refused by the DMARC policy of bank.example"
    );
    let two = from.replace(", C <c@Bank.example>", "");
    let taken = results(Some(zone), two.as_bytes()).unwrap();
    for part in [
        "dmarc=none header.from=sender.example policy.dmarc=none",
        "dmarc=fail (policy not aligned) header.from=shop.example policy.dmarc=quarantine",
    ] {
        assert!(taken.contains(part), "{part}: {taken}");
    }
}

#[test]
fn of_two_records_for_spf_neither_counts_nor_of_two_for_dmarc() {
    let zone = vec![
        txt("sender.example.", "v=spf1 ip4:127.0.0.1 -all"),
        txt("sender.example.", "v=spf1 -all"),
        txt("sender.example.", "v=spf10 -all"),
        txt("_dmarc.sender.example.", "v=DMARC1; p=reject"),
        txt("_dmarc.sender.example.", "v=DMARC1; p=none"),
    ];
    let told = results(Some(zone.clone()), PLAIN).unwrap();
    assert!(
        told.contains("spf=permerror") && told.contains("dmarc=none"),
        "{told}"
    );
    let one = [&zone[..1], &zone[2..4]].concat();
    let told = results(Some(one), PLAIN).unwrap();
    assert!(
        told.contains("spf=pass") && told.contains("dmarc=pass"),
        "{told}"
    );
}

/// A message that a list has changed and sealed, and the list's key in DNS.
fn forwarded(said: DmarcResult) -> (Vec<u8>, Zone) {
    let (key, public) = rsa();
    let sealer = ArcSealer::from_key(key)
        .domain("lists.example")
        .selector("s")
        .headers(["From", "Subject"]);
    let parsed = AuthenticatedMessage::parse(PLAIN).unwrap();
    let dmarc = DmarcOutput::new("sender.example".into()).with_spf_result(said);
    let told = AuthenticationResults::new("lists.example").with_dmarc_result(&dmarc);
    let set = sealer.seal(&parsed, &told, &ArcOutput::default()).unwrap();
    let mut sealed = Vec::new();
    set.write_header(&mut sealed);
    sealed.extend_from_slice(PLAIN);
    let zone = vec![
        txt(
            "s._domainkey.lists.example.",
            &format!("v=DKIM1; p={public}"),
        ),
        txt("_dmarc.sender.example.", "v=DMARC1; p=reject"),
    ];
    (sealed, zone)
}

#[test]
fn a_sealed_message_is_let_in_on_the_word_of_whom_the_owner_trusts_alone() {
    let trusting = |zone: &Zone, sealer: &str| Play {
        zone: Some(zone.clone()),
        rules: Rules {
            trusted_sealers: vec![sealer.to_owned()],
            ..Rules::default()
        },
        ..Play::default()
    };
    let refusal = "550 5.7.1 Refused by the DMARC policy of sender.example";
    let (sealed, zone) = forwarded(DmarcResult::Pass);
    let taken = judged(trusting(&zone, "lists.example"), &sealed).unwrap();
    for part in [
        "arc=pass smtp.remote-ip=127.0.0.1",
        "dmarc=fail (policy not aligned) header.from=sender.example policy.dmarc=reject (vouched for by lists.example, which this box trusts)",
    ] {
        assert!(taken.contains(part), "{part}: {taken}");
    }
    let others = judged(trusting(&zone, "other.example"), &sealed);
    assert_eq!(others.unwrap_err(), refusal);
    assert_eq!(results(Some(zone.clone()), &sealed).unwrap_err(), refusal);
    let changed = [&sealed[..], b"more\r\n"].concat();
    let changed = judged(trusting(&zone, "lists.example"), &changed);
    assert_eq!(changed.unwrap_err(), refusal);
    let (sealed, zone) = forwarded(DmarcResult::None);
    let silent = judged(trusting(&zone, "lists.example"), &sealed);
    assert_eq!(silent.unwrap_err(), refusal);
}

#[test]
fn a_listed_peer_reaches_the_postmaster_alone_and_without_a_list_nobody_is_listed() {
    let entry = |address: &str| Some(vec![a("1.0.0.127.bl.example.", address)]);
    let play = |address: &str, lists: &[&str]| Play {
        zone: entry(address),
        rules: Rules {
            block_lists: lists.iter().map(|zone| (*zone).to_owned()).collect(),
            ..Rules::default()
        },
        ..Play::default()
    };
    let (mut client, ends) = started(play("127.0.0.2", &["none.example", "bl.example"]));
    client.say("MAIL FROM:<>");
    let refusal =
        "554 5.7.1 127.0.0.1 is listed by bl.example; write to postmaster here if that is wrong";
    assert_eq!(client.say("RCPT TO:<me@box.example>"), refusal);
    assert_eq!(
        client.say("RCPT TO:<Postmaster@box.example>"),
        "250 2.1.5 OK"
    );
    client.say("QUIT");
    let (line, came) = ends.log.join().unwrap();
    assert_eq!(
        (line.as_str(), came),
        ("127.0.0.1: refused: block list", Came::Refused)
    );
    for (address, lists) in [
        ("127.0.0.2", &[][..]),
        ("127.0.0.2", &["other.example"]),
        // The list says that it was asked too often.
        ("127.255.255.254", &["bl.example"]),
    ] {
        let (mut client, _ends) = started(play(address, lists));
        client.say("MAIL FROM:<>");
        assert_eq!(client.say("RCPT TO:<me@box.example>"), "250 2.1.5 OK");
    }
    // A resolver in trouble holds up no mail.
    let (mut client, _ends) = started(Play {
        zone: None,
        ..play("127.0.0.2", &["bl.example"])
    });
    client.say("MAIL FROM:<>");
    assert_eq!(client.say("RCPT TO:<me@box.example>"), "250 2.1.5 OK");
}

//! What each domain's mail server shows and what its names promise, judged by
//! Postfix's own judge, posttls-finger(1).

use internet::tree::Peers;
use internet::{Domain, Internet};

/// What posttls-finger says at a level of security, line by line, without its
/// own name; from the host of [`Domain::Postfix`].
fn finger(internet: &Internet, domain: Domain, level: &str) -> Vec<String> {
    let name = domain.name();
    let words = ["posttls-finger", "-c", "-l", level, "-L", "summary", &name];
    let authority = ["-F", "/world/authority.pem"];
    let words = [&words[..6], &authority, &words[6..]].concat();
    let said = internet.host(Domain::Postfix).run(&words).unwrap();
    let said = String::from_utf8(said).unwrap();
    let lines = said.lines();
    lines
        .map(|line| line.trim_start_matches("posttls-finger: ").to_owned())
        .collect()
}

/// How the connection is called, and what is wrong with the certificate.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Connection(&'static str, Option<&'static str>),
    NoTls,
    NoConnection(&'static str),
}

use Judged::{Connection, NoConnection, NoTls};

const EXPIRED: &str = "certificate has expired";
const OWN: &str = "self-signed certificate";
const NO_TLSA: &str = "no TLSA records found, resorting to \"secure\"";

/// With a name that must be in a certificate of a known authority (`secure`),
/// and with DANE where the names have it (`dane-only`).
fn expected(domain: Domain) -> [Judged; 2] {
    let both = |one: fn() -> Judged| [one(), one()];
    match domain {
        Domain::Plaintext => both(|| NoTls),
        Domain::WrongName => both(|| Connection("Trusted", Some("num=62:hostname mismatch"))),
        Domain::Expired => both(|| Connection("Untrusted", Some(EXPIRED))),
        Domain::SelfSigned => both(|| Connection("Untrusted", Some(OWN))),
        Domain::Dane => [
            Connection("Untrusted", Some(OWN)),
            Connection("Verified", None),
        ],
        Domain::WrongDane => [
            Connection("Verified", None),
            Connection("Untrusted", Some("num=65:no matching DANE TLSA records")),
        ],
        Domain::Down => both(|| NoConnection("Connection refused")),
        Domain::Bogus => both(|| {
            NoConnection(
                "Name service error for name=bogus.example type=MX: Host not found, try again",
            )
        }),
        _ => both(|| Connection("Verified", None)),
    }
}

fn check(domain: Domain, said: &[String], expected: &Judged) {
    let has = |words: &str| said.iter().any(|line| line.contains(words));
    let (mx, address) = (domain.mx(), domain.address());
    let about = format!("{domain}, {expected:?}: {said:#?}");
    match expected {
        Connection(word, complaint) => {
            let words =
                format!("{word} TLS connection established to {mx}[{address}]:25: TLSv1.3 ");
            assert!(said.iter().any(|line| line.starts_with(&words)), "{about}");
            match complaint {
                Some(words) => assert!(has(words), "{about}"),
                None => assert!(!has("verification failed"), "{about}"),
            }
        }
        NoTls => assert!(!has("TLS connection") && !has("Failed"), "{about}"),
        NoConnection(words) => assert!(has(words) && !has("TLS connection"), "{about}"),
    }
}

#[test]
fn each_domain_is_as_secure_as_it_is_meant_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let internet = Internet::start(folder.path()).unwrap();
    for domain in Domain::ALL {
        let [secure, dane] = expected(domain);
        check(domain, &finger(&internet, domain, "secure"), &secure);
        let said = finger(&internet, domain, "dane-only");
        check(domain, &said, &dane);
        let has_dane = [Domain::Dane, Domain::WrongDane, Domain::Bogus].contains(&domain);
        assert_eq!(
            !has_dane,
            said.iter().any(|line| line == NO_TLSA),
            "{domain}: {said:?}"
        );
    }
}

#[test]
fn mta_sts_policies_are_fetched_over_https_with_the_authority_s_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let domains = [Domain::Sts, Domain::WrongSts];
    let internet = Internet::with(folder.path(), &domains).unwrap();
    let get = |url: &str| internet.run(Peers::Internet, &["curl", "-sS", "--fail", url]);
    for (domain, mx) in [
        (Domain::Sts, "mx.sts.example"),
        (Domain::WrongSts, "mx.elsewhere.example"),
    ] {
        let words = ["kdig", "+short", &format!("_mta-sts.{domain}"), "TXT"];
        let said = internet.run(Peers::Internet, &words).unwrap();
        assert_eq!(said, "\"v=STSv1; id=1;\"\n");
        let policy = get(&format!("https://mta-sts.{domain}/.well-known/mta-sts.txt"));
        let expected = format!("version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n");
        assert_eq!(policy.unwrap(), expected);
    }
    // The certificate is for the name and not for whatever else is at the address.
    let error = get("https://mx.sts.example/.well-known/mta-sts.txt").unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("no alternative certificate subject name matches"),
        "{said}"
    );
}

//! What the zones say: one text for each, as Knot reads it.

use crate::domains::Domain;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The name server of every zone below the root.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 53);
/// The validating resolver of the foreign mail servers.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 54);
/// The time server, `ntp.example`.
pub const TIME_SERVER: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 123);
/// Where the box is on the internet.
pub const BOX: Ipv4Addr = Ipv4Addr::new(128, 66, 0, 25);
/// The domain of the people of the box.
pub const HOME: &str = "home.example";
/// What `home.example` says at first; [`crate::Internet::publish`] changes it.
pub(crate) const HOME_RECORDS: &str = "@ MX 10 box\nbox A 128.66.0.25\n";
/// The zone of the addresses 128.66.x.x (RFC 1035 section 3.5).
pub(crate) const REVERSE: &str = "66.128.in-addr.arpa.";
/// The selector of the DKIM key (RFC 6376 section 3.1).
pub(crate) const SELECTOR: &str = "s1";
/// A TLSA record for a key that nobody has: the SHA-256 of nothing.
const NOBODYS: &str = "3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The beginning of a zone, for records relative to its name. Nothing is kept
/// for long by who asks, so that a test may change what it says.
pub(crate) fn start(zone: &str, serial: u32) -> String {
    format!(
        "$ORIGIN {zone}\n\
         $TTL 60\n\
         @ SOA ns.example. hostmaster.example. {serial} 3600 600 86400 5\n"
    )
}

/// The root; `anchors` are DS records of what is below it.
pub(crate) fn root(hints: &str, anchors: &[&str]) -> String {
    let mut text = start(".", 1);
    for kind in ["NS", "A"] {
        for words in records(hints, kind) {
            let _ = writeln!(text, "{}", words.join(" "));
        }
    }
    for zone in ["example.", REVERSE] {
        let _ = writeln!(text, "{zone} NS ns.example.");
    }
    let _ = writeln!(text, "ns.example. A {NAME_SERVER}");
    text + &anchors.join("\n") + "\n"
}

/// The top-level domain, which delegates every other one.
pub(crate) fn example(anchors: &[&str]) -> String {
    let mut text = start("example.", 1);
    let _ = writeln!(
        text,
        "@ NS ns\nns A {NAME_SERVER}\nresolver A {RESOLVER}\nntp A {TIME_SERVER}\nhome NS ns"
    );
    for domain in Domain::ALL {
        let _ = writeln!(text, "{} NS ns", domain.label());
    }
    text + &anchors.join("\n") + "\n"
}

/// What the zone of a domain is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// TLSA data for the key of [`Domain::Dane`].
    pub(crate) tlsa: &'a str,
    /// The public half of [`Domain::Strict`]'s DKIM key, in base64.
    pub(crate) dkim: &'a str,
}

/// The zone of a foreign domain.
pub(crate) fn of_domain(domain: Domain, keys: Keys<'_>) -> String {
    let address = domain.address();
    let mut text = start(&format!("{domain}."), 1);
    let _ = writeln!(
        text,
        "@ NS ns.example.\n@ MX 10 mx\nmx A {address}\n@ TXT \"v=spf1 mx -all\""
    );
    let more = match domain {
        Domain::Dane => format!("_25._tcp.mx TLSA {}", keys.tlsa),
        Domain::WrongDane => format!("_25._tcp.mx TLSA {NOBODYS}"),
        Domain::Sts | Domain::WrongSts => {
            format!("_mta-sts TXT \"v=STSv1; id=1;\"\nmta-sts A {address}")
        }
        Domain::Strict => {
            // A string of a TXT record holds 255 bytes at most (RFC 1035 section 3.3).
            let (one, two) = keys.dkim.split_at(keys.dkim.len() / 2);
            format!(
                "_dmarc TXT \"v=DMARC1; p=reject\"\n\
                 {SELECTOR}._domainkey TXT \"v=DKIM1; k=rsa; p={one}\" \"{two}\""
            )
        }
        _ => String::new(),
    };
    text + &more + "\n"
}

/// The names of the addresses.
pub(crate) fn reverse() -> String {
    let mut text = start(REVERSE, 1) + "@ NS ns.example.\n25.0 PTR box.home.example.\n";
    for domain in Domain::ALL {
        let [_, _, c, d] = domain.address().octets();
        let _ = writeln!(text, "{d}.{c} PTR {}.", domain.mx());
    }
    text
}

/// The same DS record with another digest: it fits no key.
pub fn spoil(anchor: &str) -> String {
    let (start, end) = anchor.split_at(anchor.len() - 8);
    let other = match end {
        "00000000" => "11111111",
        _ => "00000000",
    };
    format!("{start}{other}")
}

/// The records of one type in root.hints: owner, TTL, type, data.
pub fn records<'a>(hints: &'a str, kind: &'a str) -> impl Iterator<Item = Vec<&'a str>> + use<'a> {
    hints
        .lines()
        .filter(|line| !line.starts_with(';'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(move |words| words.len() == 4 && words[2] == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: &str = ";  a comment\n\
        .                 3600000      NS    A.ROOT-SERVERS.NET.\n\
        A.ROOT-SERVERS.NET.   3600000  A     198.41.0.4\n\
        A.ROOT-SERVERS.NET.   3600000  AAAA  2001:503:ba3e::2:30\n";

    #[test]
    fn the_root_zone_names_the_servers_of_the_hints_by_ipv4_only() {
        let text = root(HINTS, &["example. DS 1 13 2 ab"]);
        assert!(
            text.contains(". 3600000 NS A.ROOT-SERVERS.NET.\n"),
            "{text}"
        );
        assert!(text.contains("A.ROOT-SERVERS.NET. 3600000 A 198.41.0.4\n"));
        assert!(!text.contains("AAAA") && text.ends_with("example. DS 1 13 2 ab\n"));
    }

    #[test]
    fn a_spoilt_anchor_differs_in_its_digest_only() {
        assert_eq!(
            spoil("x. DS 1 13 2 aaaabbbbcccc"),
            "x. DS 1 13 2 aaaa00000000"
        );
        assert_eq!(
            spoil("x. DS 1 13 2 aaaa00000000"),
            "x. DS 1 13 2 aaaa11111111"
        );
    }

    #[test]
    fn each_mail_server_has_a_name_that_leads_back_to_its_address() {
        let (reverse, keys) = (
            reverse(),
            Keys {
                tlsa: "",
                dkim: "kk",
            },
        );
        for domain in Domain::ALL {
            let last = domain.address().octets()[3];
            let forward = of_domain(domain, keys);
            assert!(forward.contains(&format!("\nmx A 128.66.1.{last}\n")));
            assert!(reverse.contains(&format!("\n{last}.1 PTR {}.\n", domain.mx())));
        }
    }
}

//! Block lists in DNS (RFC 5782), those that the owner has chosen and no others.

use crate::dns::Dns;
use std::net::{IpAddr, Ipv4Addr};

/// The first of `zones` that lists `peer`. A list that can't be asked lists nobody.
pub(crate) fn lists<'a>(dns: &Dns, peer: IpAddr, zones: &'a [String]) -> Option<&'a str> {
    let name = reversed(peer);
    let listed = zones.iter().find(|zone| {
        dns.ipv4(&format!("{name}.{zone}."))
            .iter()
            .any(means_listed)
    });
    listed.map(String::as_str)
}

/// RFC 5782 section 2.1 and 2.4.
fn reversed(peer: IpAddr) -> String {
    let labels: Vec<String> = match peer {
        IpAddr::V4(address) => address.octets().iter().map(u8::to_string).collect(),
        IpAddr::V6(address) => address
            .octets()
            .iter()
            .flat_map(|byte| [format!("{:x}", byte >> 4), format!("{:x}", byte & 15)])
            .collect(),
    };
    let labels: Vec<String> = labels.into_iter().rev().collect();
    labels.join(".")
}

/// RFC 5782 section 2.1: an entry is in 127.0.0.0/8. 127.0.0.1 is no entry (section
/// 5), 127.255.255.0/24 is how lists say that they were asked in a wrong way, and
/// any other address is a zone that has another owner by now.
fn means_listed(address: &Ipv4Addr) -> bool {
    let [first, second, third, last] = address.octets();
    first == 127 && (second, third) != (255, 255) && (second, third, last) != (0, 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_asked_for_backwards() {
        let v4 = reversed("192.0.2.99".parse().unwrap());
        assert_eq!(v4, "99.2.0.192");
        let v6 = reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap());
        let expected = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
        assert_eq!(v6, expected);
    }

    #[test]
    fn only_an_entry_means_listed() {
        for (address, listed) in [
            ("127.0.0.2", true),
            ("127.0.0.10", true),
            ("127.1.2.3", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(means_listed(&address.parse().unwrap()), listed, "{address}");
        }
    }
}

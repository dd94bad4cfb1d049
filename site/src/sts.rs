//! The box's own policy of MTA-STS (RFC 8461): who sends mail to one of its domains
//! sends it to the box alone, over TLS, to a certificate that is valid for its name.
//!
//! A policy is believed by who fetched it for as long as it says, so it is made only
//! for a name that the whole world can know the box by: with any other, whoever
//! believes it would keep the mail.

use sha2::{Digest, Sha256};

/// Where the policy lies (section 3.3).
pub const PATH: &str = "/.well-known/mta-sts.txt";

/// How long it counts, in seconds: two weeks. The RFC wants weeks (section 3.2); a box
/// that moves to another name has its old one remembered for as long.
pub const MAX_AGE: u32 = 14 * 24 * 60 * 60;

/// The name that shows a domain's policy (section 3.3).
pub fn host(domain: &str) -> String {
    format!("mta-sts.{domain}")
}

/// The policy (section 3.2) for mail that goes to the server `mx` and no other: mode
/// `enforce`, lines that end with CR LF. `None` when `mx` is no name that others can
/// find: not two labels or more of letters, digits and hyphens (RFC 5321 section 2.3.5),
/// or one of a home network (RFC 6762 section 3).
pub fn policy(mx: &str) -> Option<String> {
    let mx = mx.to_ascii_lowercase();
    let labels: Vec<&str> = mx.split('.').collect();
    let good = |label: &&str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(letters)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let public = labels.len() > 1 && mx.len() <= 253 && labels.last() != Some(&"local");
    (public && labels.iter().all(good))
        .then(|| format!("version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: {MAX_AGE}\r\n"))
}

/// The `id` of a policy in the TXT record of `_mta-sts.DOMAIN` (section 3.1): another
/// for every other policy, the same for the same. 32 letters and digits, the beginning
/// of the policy's SHA-256.
pub fn id(policy: &str) -> String {
    let digest = Sha256::digest(policy);
    let bytes = digest.iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The whole data of that record.
pub fn record(policy: &str) -> String {
    format!("v=STSv1; id={};", id(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_box_and_no_other() {
        assert_eq!(
            policy("Box.Home.example").unwrap(),
            "version: STSv1\r\nmode: enforce\r\nmx: box.home.example\r\nmax_age: 1209600\r\n"
        );
    }

    #[test]
    fn a_name_that_nobody_finds_has_no_policy() {
        for name in [
            "projectx.local",
            "projectx-2.local",
            "localhost",
            "",
            "box..example",
            "box.example.",
            "-box.example",
            "*.example",
            "box.example\r\nmx: evil.example",
            &format!("{}.example", "x".repeat(64)),
        ] {
            assert_eq!(policy(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_id_is_the_policy_s_and_fits_the_rfc() {
        let (one, other) = (policy("a.example").unwrap(), policy("b.example").unwrap());
        assert_eq!(id(&one), id(&one.clone()));
        assert_ne!(id(&one), id(&other));
        // printf 'version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 1209600\r\n' |
        // sha256sum
        assert_eq!(
            record(&one),
            "v=STSv1; id=2bc5a0fd37e1a207ebac30d3b8871140;"
        );
    }
}

//! What the signers say of their public keys: the texts beside the keys, read as what a
//! sandbox has written.

use crate::untrusted;
use std::path::Path;

/// The longest text of a domain's DKIM records, in bytes: four lines of 500.
const DKIM_MOST: u64 = 8 << 10;
/// The longest record of one key.
const KEY_MOST: usize = 600;

/// The SHA-256 of port 25's keys, as SubjectPublicKeyInfo: what TLSA 3 1 1 holds
/// (RFC 6698 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// Of the key that port 25 shows, 64 hexadecimal digits in lower case.
    pub present: String,
    /// Of the key that it will show next.
    pub next: String,
}

/// A DKIM key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dkim {
    /// Its whole name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads `keys/tlsa`, as the signer writes it (`signer/src/rolling.rs`); `None` where
/// there is none yet, or it says something else.
pub fn tlsa(keys: &Path) -> Option<Tlsa> {
    let text = text(&keys.join("tlsa"), 1 << 10)?;
    let mut lines = text.lines();
    let mut digest = |word: &str| {
        let digest = lines.next()?.strip_prefix(word)?.strip_prefix(' ')?;
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (digest.len() == 64 && digest.bytes().all(hex)).then(|| digest.to_owned())
    };
    Some(Tlsa {
        present: digest("present")?,
        next: digest("next")?,
    })
}

/// Reads `dkim/DOMAIN/records`, as `dkim` writes it (`signer/src/dkim_keys.rs`). A line
/// that is no key of that domain is left out.
pub fn dkim(folder: &Path, domain: &str) -> Vec<Dkim> {
    let Some(text) = text(&folder.join(domain).join("records"), DKIM_MOST) else {
        return Vec::new();
    };
    let below = format!("._domainkey.{domain}");
    let lines = text.lines().filter_map(|line| {
        let (name, text) = line.split_once(' ')?;
        let selector = name.strip_suffix(&below)?;
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=63).contains(&selector.len())
            && selector.bytes().all(label)
            && text.len() <= KEY_MOST
            && text.starts_with("v=DKIM1; ")
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        good.then(|| Dkim {
            name: name.to_owned(),
            text: text.to_owned(),
        })
    });
    // Two kinds of keys of two numbers.
    lines.take(4).collect()
}

fn text(path: &Path, most: u64) -> Option<String> {
    let bytes = untrusted::read(path, most).ok()??;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_digests_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tlsa");
        assert_eq!(tlsa(folder.path()), None);
        let (one, other) = ("ab".repeat(32), "01".repeat(32));
        fs::write(&path, format!("present {one}\nnext {other}\n")).unwrap();
        let read = tlsa(folder.path()).unwrap();
        assert_eq!((read.present, read.next), (one.clone(), other));
        for bad in [
            format!("present {one}\n"),
            format!("present {one}\nnext {one}0\n"),
            format!("present {one}\nnext {}\n", "AB".repeat(32)),
            format!("next {one}\npresent {one}\n"),
        ] {
            fs::write(&path, &bad).unwrap();
            assert_eq!(tlsa(folder.path()), None, "{bad}");
        }
    }

    #[test]
    fn only_keys_of_the_domain_itself_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("a.example");
        fs::create_dir(&own).unwrap();
        let lines = "px1-rsa._domainkey.a.example v=DKIM1; k=rsa; p=AA\n\
                     px1-rsa._domainkey.b.example v=DKIM1; k=rsa; p=AA\n\
                     *._domainkey.a.example v=DKIM1; p=AA\n\
                     a.example v=DKIM1; p=AA\n\
                     px2-rsa._domainkey.a.example v=spf1 +all\n\
                     px3-rsa._domainkey.a.example v=DKIM1; \u{1b}\n";
        fs::write(own.join("records"), lines).unwrap();
        let read = dkim(folder.path(), "a.example");
        assert_eq!(read.len(), 1, "{read:?}");
        assert_eq!(read[0].name, "px1-rsa._domainkey.a.example");
        assert_eq!(read[0].text, "v=DKIM1; k=rsa; p=AA");
        assert!(dkim(folder.path(), "c.example").is_empty());
    }
}

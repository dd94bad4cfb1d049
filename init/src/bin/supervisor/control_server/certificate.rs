//! The certificate of the page over TLS, told on the box's own screen: there its owner
//! can compare it with what the browser shows.

use super::refused;
use crate::{log, screen};
use control::{Refusal, Reply};

/// What one console has told. A console that was taken over later can't tell another.
#[derive(Debug, Default)]
pub struct OneCertificate(bool);

impl OneCertificate {
    /// Writes the line; only the first time, and only what is a SHA-256.
    pub fn told(&mut self, sha256: &str) -> Reply {
        match pairs(sha256) {
            Some(pairs) if !std::mem::replace(&mut self.0, true) => {
                log::line(&format!("page certificate SHA-256 {pairs}"));
                screen::certificate(pairs);
                Reply::Done
            }
            _ => refused(Refusal::WrongState, "That is not told here.", 0),
        }
    }
}

/// As browsers show it: `AB:CD:…`.
fn pairs(sha256: &str) -> Option<String> {
    let digits = sha256.as_bytes();
    let hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    if digits.len() != 64 || !hexadecimal {
        return None;
    }
    let pairs: Vec<String> = digits
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
        .collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_once_and_nothing_else_is() {
        let mut one = OneCertificate::default();
        for no in [
            "",
            "ab",
            &"x".repeat(64),
            &"ä".repeat(32),
            &format!("{}\n", "a".repeat(63)),
        ] {
            assert_ne!(one.told(no), Reply::Done, "{no:?}");
        }
        assert_eq!(one.told(&"0a".repeat(32)), Reply::Done);
        assert_ne!(one.told(&"0b".repeat(32)), Reply::Done);
    }

    #[test]
    fn the_line_reads_as_in_a_browser() {
        let shown = pairs(&"0a".repeat(32)).unwrap_or_default();
        assert_eq!(shown, ["0A"; 32].join(":"));
    }
}

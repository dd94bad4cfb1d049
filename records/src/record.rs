//! One record: what it is for, and how it is written down.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// How long others may remember a record, in seconds, as the printed lines say.
pub const TTL: u32 = 3600;

/// The longest string of a TXT record, in bytes (RFC 1035 section 3.3).
const STRING: usize = 255;

/// A record that the box needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// What it is for.
    pub purpose: Purpose,
    /// Its whole name in small letters, without a dot at the end.
    pub name: String,
    /// Its data as a provider's form takes it: the text of a TXT record in one piece and
    /// without quotation marks, `10 box.example.org` for MX. Empty for an address, which
    /// the box does not know.
    pub value: String,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Where the box is (RFC 5321 section 5.1).
    Address,
    /// Which server takes the domain's mail (the same).
    Mx,
    /// Who sends the domain's mail (RFC 7208).
    Spf,
    /// A DKIM key in force (RFC 6376 section 3.6).
    DkimPresent,
    /// A DKIM key that will be.
    DkimNext,
    /// What others do with mail that is not the domain's (RFC 7489).
    Dmarc,
    /// That there is a policy of MTA-STS (RFC 8461 section 3.1).
    StsRecord,
    /// Where the policy is (section 3.3).
    StsHost,
    /// Where reports on TLS go (RFC 8460 section 3).
    TlsReports,
    /// Port 25's key (RFC 7672).
    TlsaPresent,
    /// The key that port 25 will have next (RFC 7671 section 8.1).
    TlsaNext,
}

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An address, of IPv4 or IPv6.
    Address,
    /// Another name for a host.
    Cname,
    /// A mail server.
    Mx,
    /// A text.
    Txt,
    /// A key.
    Tlsa,
}

impl Kind {
    /// As a zone file and a provider's form call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "A",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Tlsa => "TLSA",
        }
    }
}

impl Purpose {
    /// The kind of its record.
    pub fn kind(self) -> Kind {
        match self {
            Self::Address => Kind::Address,
            Self::Mx => Kind::Mx,
            Self::StsHost => Kind::Cname,
            Self::TlsaPresent | Self::TlsaNext => Kind::Tlsa,
            _ => Kind::Txt,
        }
    }

    /// Whether it counts only when it is signed: without, nobody can use DANE (RFC 7672
    /// section 2.2).
    pub fn wants_signature(self) -> bool {
        use Purpose::{Address, Mx, TlsaNext, TlsaPresent};
        matches!(self, Address | Mx | TlsaPresent | TlsaNext)
    }

    /// In one sentence, for the owner.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Address => "Says at which public address the box is.",
            Self::Mx => "Says that mail to this domain goes to the box, and to no other server.",
            Self::Spf => "Says that the box alone sends mail of this domain.",
            Self::DkimPresent => "The key by which others check the signature on your mail.",
            Self::DkimNext => {
                "The key that will sign your mail one day; it must be known before that day."
            }
            Self::Dmarc => "Tells others to refuse mail that only pretends to be yours.",
            Self::StsRecord => {
                "Tells others that the box has rules for mail to it: never without protection."
            }
            Self::StsHost => "Where others find those rules: at the box itself.",
            Self::TlsReports => {
                "Says to whom others report when they could not reach the box safely."
            }
            Self::TlsaPresent => "The key by which others know that it is the box that they reach.",
            Self::TlsaNext => {
                "The key that the box will have one day; it must be known before that day."
            }
        }
    }
}

impl Record {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.purpose.kind()
    }

    /// Its line in a zone file (RFC 1035 section 5.1), without the line's end. That of an
    /// address is a comment, since the box does not know its public one.
    pub fn zone_line(&self) -> String {
        let Self { name, value, .. } = self;
        let start = format!("{name}. {TTL} IN {}", self.kind().word());
        match self.kind() {
            Kind::Address => format!("; {start} (the public address of your home)"),
            Kind::Cname | Kind::Mx => format!("{start} {value}."),
            Kind::Tlsa => format!("{start} {value}"),
            Kind::Txt => format!("{start} {}", strings(value)),
        }
    }
}

/// A text as the strings of a TXT record, each in quotation marks. Others put them
/// together again without a blank (RFC 7208 section 3.3, RFC 6376 section 3.6.2.2).
fn strings(text: &str) -> String {
    let mut written = String::new();
    for piece in text.as_bytes().chunks(STRING) {
        if !written.is_empty() {
            written.push(' ');
        }
        written.push('"');
        for byte in piece {
            match byte {
                b'"' | b'\\' => {
                    written.push('\\');
                    written.push(char::from(*byte));
                }
                b' '..=b'~' => written.push(char::from(*byte)),
                _ => {
                    let _ = write!(written, "\\{byte:03}");
                }
            }
        }
        written.push('"');
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_written_as_in_a_zone_file() {
        for (purpose, value, line) in [
            (
                Purpose::Mx,
                "10 box.example",
                "a.example. 3600 IN MX 10 box.example.",
            ),
            (
                Purpose::StsHost,
                "box.example",
                "a.example. 3600 IN CNAME box.example.",
            ),
            (
                Purpose::Spf,
                "v=spf1 mx -all",
                "a.example. 3600 IN TXT \"v=spf1 mx -all\"",
            ),
            (
                Purpose::TlsaNext,
                "3 1 1 00ff",
                "a.example. 3600 IN TLSA 3 1 1 00ff",
            ),
            (
                Purpose::Address,
                "",
                "; a.example. 3600 IN A (the public address of your home)",
            ),
        ] {
            let name = "a.example".into();
            let value = value.into();
            let record = Record {
                purpose,
                name,
                value,
            };
            assert_eq!(record.zone_line(), line);
        }
    }

    #[test]
    fn a_long_text_is_cut_into_strings_and_nothing_leaves_its_quotation_marks() {
        let long = "x".repeat(256);
        assert_eq!(strings(&long), format!("\"{}\" \"x\"", "x".repeat(255)));
        assert_eq!(
            strings(&"x".repeat(255)),
            format!("\"{}\"", "x".repeat(255))
        );
        assert_eq!(strings("a\"\\\n"), "\"a\\\"\\\\\\010\"");
    }
}

//! The foreign mail domains: which program runs each, and what is special.
//!
//! | domain | program | what is special |
//! | --- | --- | --- |
//! | `postfix.example` | Postfix | nothing: a certificate of a known authority |
//! | `exim.example` | Exim | the same |
//! | `opensmtpd.example` | OpenSMTPD | the same; its zone is not signed |
//! | `strict.example` | Exim | signs with DKIM; SPF `-all`, DMARC `p=reject` |
//! | `plaintext.example` | Postfix | knows no TLS |
//! | `wrongname.example` | Postfix | the certificate is for another name |
//! | `expired.example` | Postfix | the certificate ended in 2020 |
//! | `selfsigned.example` | Postfix | the certificate is its own |
//! | `dane.example` | Postfix | the certificate is its own, and TLSA 3 1 1 names its key |
//! | `wrongdane.example` | Postfix | a good certificate, and TLSA 3 1 1 names another key |
//! | `sts.example` | Postfix | MTA-STS `enforce`, and all is as the policy says |
//! | `wrongsts.example` | Postfix | a good certificate, and an MTA-STS policy that names another MX |
//! | `slow.example` | Postfix | thinks for seconds before each answer |
//! | `greylisting.example` | Postfix | `451` at first, taken when it is tried again later |
//! | `down.example` | Postfix | refuses connections until it is told to come up |
//! | `bogus.example` | Postfix | DNSSEC: the DS record in `example` fits no key |

use std::fmt;
use std::net::Ipv4Addr;

/// A foreign mail domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// A good Postfix.
    Postfix,
    /// A good Exim.
    Exim,
    /// A good OpenSMTPD; its names are not signed.
    OpenSmtpd,
    /// All its mail is signed, and nobody else may send any.
    Strict,
    /// No TLS.
    Plaintext,
    /// A certificate for another name.
    WrongName,
    /// A certificate that has ended.
    Expired,
    /// A certificate that no authority vouches for.
    SelfSigned,
    /// DANE that fits.
    Dane,
    /// DANE that fits not.
    WrongDane,
    /// MTA-STS that fits.
    Sts,
    /// MTA-STS that fits not.
    WrongSts,
    /// Slow answers.
    Slow,
    /// Later, please.
    Greylisting,
    /// Nobody there, at first.
    Down,
    /// Names with wrong signatures.
    Bogus,
}

/// The program that serves a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Postfix.
    Postfix,
    /// Exim.
    Exim,
    /// OpenSMTPD.
    OpenSmtpd,
}

/// What a domain's mail server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// Of the authority, for the server's name.
    Good,
    /// Of the authority, for another name.
    OtherName,
    /// Of the authority, for the server's name, ended in 2020.
    Expired,
    /// The server's own.
    Own,
    /// Nothing: no TLS.
    Absent,
}

impl Domain {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Postfix,
        Self::Exim,
        Self::OpenSmtpd,
        Self::Strict,
        Self::Plaintext,
        Self::WrongName,
        Self::Expired,
        Self::SelfSigned,
        Self::Dane,
        Self::WrongDane,
        Self::Sts,
        Self::WrongSts,
        Self::Slow,
        Self::Greylisting,
        Self::Down,
        Self::Bogus,
    ];

    /// The name without `.example`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::OpenSmtpd => "opensmtpd",
            Self::Strict => "strict",
            Self::Plaintext => "plaintext",
            Self::WrongName => "wrongname",
            Self::Expired => "expired",
            Self::SelfSigned => "selfsigned",
            Self::Dane => "dane",
            Self::WrongDane => "wrongdane",
            Self::Sts => "sts",
            Self::WrongSts => "wrongsts",
            Self::Slow => "slow",
            Self::Greylisting => "greylisting",
            Self::Down => "down",
            Self::Bogus => "bogus",
        }
    }

    /// The domain's name: what stands behind the `@`.
    pub fn name(self) -> String {
        format!("{}.example", self.label())
    }

    /// The name of its mail server, which its MX record names.
    pub fn mx(self) -> String {
        format!("mx.{}", self.name())
    }

    /// The address of its mail server, and of its web server if it has one.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(128, 66, 1, 10 + self as u8)
    }

    /// Which program it is.
    pub fn program(self) -> Program {
        match self {
            Self::Exim | Self::Strict => Program::Exim,
            Self::OpenSmtpd => Program::OpenSmtpd,
            _ => Program::Postfix,
        }
    }

    /// Whether its zone is signed.
    pub(crate) fn is_signed(self) -> bool {
        self != Self::OpenSmtpd
    }

    pub(crate) fn certificate(self) -> Certificate {
        match self {
            Self::Plaintext => Certificate::Absent,
            Self::WrongName => Certificate::OtherName,
            Self::Expired => Certificate::Expired,
            Self::SelfSigned | Self::Dane => Certificate::Own,
            _ => Certificate::Good,
        }
    }

    /// Which mail servers its MTA-STS policy names, if it has one.
    pub(crate) fn sts_names(self) -> Option<String> {
        match self {
            Self::Sts => Some(self.mx()),
            Self::WrongSts => Some("mx.elsewhere.example".into()),
            _ => None,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.example", self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_domain_has_a_name_and_an_address_of_its_own() {
        let names: BTreeSet<String> = Domain::ALL.map(Domain::name).into();
        let addresses: BTreeSet<Ipv4Addr> = Domain::ALL.map(Domain::address).into();
        assert_eq!((names.len(), addresses.len()), (16, 16));
        assert_eq!(Domain::Dane.mx(), "mx.dane.example");
        assert_eq!(Domain::Postfix.address().to_string(), "128.66.1.10");
        assert_eq!(Domain::Bogus.address().to_string(), "128.66.1.25");
    }
}

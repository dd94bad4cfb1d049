//! Whether a mail server can be known by DANE: RFC 7672 section 2.2.
//!
//! Every link of the chain must be signed: the MX records, the address of the
//! server, and its TLSA records. Which certificate fits is Postfix's to check
//! (`dane-only`); here is decided only whether it can.

use crate::dns::{Dns, DnsError};
use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector, TLSA};
use hickory_proto::rr::{RData, RecordType};

/// What the DNS says of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dane {
    /// It has TLSA records that Postfix can use.
    Usable,
    /// It has none, or none that count.
    None,
}

/// Looks whether the server `host` can be known by DANE at TCP port `port`.
///
/// # Errors
/// When the DNS does not say now; the server must not be used then (section 2.1.2).
pub fn of_host(dns: &Dns, host: &str, port: u16) -> Result<Dane, DnsError> {
    let (secure, addresses) = dns.addresses(host)?;
    if !secure || addresses.is_empty() {
        return Ok(Dane::None);
    }
    let answer = dns.ask(&format!("_{port}._tcp.{host}"), RecordType::TLSA)?;
    let usable = answer.records.iter().any(|data| match data {
        RData::TLSA(record) => is_usable(record),
        _ => false,
    });
    Ok(match answer.secure && usable {
        true => Dane::Usable,
        false => Dane::None,
    })
}

/// DANE-TA and DANE-EE with a form that is known (section 3.1).
fn is_usable(record: &TLSA) -> bool {
    let usage = matches!(record.cert_usage, CertUsage::DaneTa | CertUsage::DaneEe);
    let selector = matches!(record.selector, Selector::Full | Selector::Spki);
    let length = record.cert_data.len();
    let data = match record.matching {
        Matching::Raw => length > 0,
        Matching::Sha256 => length == 32,
        Matching::Sha512 => length == 64,
        _ => false,
    };
    usage && selector && data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_that_name_the_server_s_own_chain_count() {
        let record = |usage, selector, matching, length| {
            TLSA::new(usage, selector, matching, vec![7; length])
        };
        use {CertUsage as U, Matching as M, Selector as S};
        for (usable, record) in [
            (true, record(U::DaneEe, S::Spki, M::Sha256, 32)),
            (true, record(U::DaneTa, S::Full, M::Sha512, 64)),
            (true, record(U::DaneTa, S::Full, M::Raw, 700)),
            (false, record(U::PkixEe, S::Spki, M::Sha256, 32)),
            (false, record(U::PkixTa, S::Spki, M::Sha256, 32)),
            (false, record(U::DaneEe, S::Spki, M::Sha256, 31)),
            (false, record(U::DaneEe, S::Unassigned(9), M::Sha256, 32)),
            (false, record(U::DaneEe, S::Spki, M::Unassigned(9), 32)),
        ] {
            assert_eq!(is_usable(&record), usable, "{record:?}");
        }
    }
}

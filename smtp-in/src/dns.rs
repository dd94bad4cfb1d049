//! DNS for mail-auth over the one stream that this program has (RFC 7766).
//!
//! mail-auth looks into its caches before it asks a resolver, and its resolver
//! only opens sockets of its own. So the caches here look names up themselves;
//! the resolver behind them knows no server, and whatever reaches it fails at
//! once, which mail-auth takes for a temporary error.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Atps;
use mail_auth::dmarc::Dmarc;
use mail_auth::spf::Spf;
use mail_auth::{DnsError, DnssecStatus, Error, MX, RecordSet, ResolverCache, Txt};
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::{Duration, Instant};

/// One lookup, and all of them: DNS never holds a message for longer.
const ONE: Duration = Duration::from_secs(15);
const ALL: Duration = Duration::from_secs(60);
/// The most lookups for one message; SPF, DKIM and DMARC have limits of their own.
const MOST: usize = 100;
/// Marks a name of an SPF `exists:` (see [`without_exists`]).
const EXISTS: &str = ".exists.projectx.invalid";

type Answers = HashMap<(String, RecordType), Option<(ResponseCode, Vec<RData>)>>;

/// The stream, what it said, and the peer whose name may be asked for.
pub struct Dns {
    stream: RefCell<TcpStream>,
    answers: RefCell<Answers>,
    peer: IpAddr,
    deadline: Instant,
}

impl Dns {
    /// Over a connection to a resolver, about `peer`.
    pub fn new(stream: TcpStream, peer: IpAddr) -> Self {
        Self {
            stream: RefCell::new(stream),
            answers: RefCell::default(),
            peer,
            deadline: Instant::now() + ALL,
        }
    }

    /// Lookups have their time from now on.
    pub(crate) fn begin(&mut self) {
        self.deadline = Instant::now() + ALL;
    }

    /// The IPv4 addresses of a name; none when there is trouble.
    pub(crate) fn ipv4(&self, name: &str) -> Vec<Ipv4Addr> {
        let found = self.lookup(name, RecordType::A);
        let records = found.map(|(_, records)| records).unwrap_or_default();
        let address = |data: &RData| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        };
        records.iter().filter_map(address).collect()
    }

    /// Whether there is no such name at all (RFC 8020).
    pub(crate) fn is_nowhere(&self, name: &str) -> bool {
        matches!(
            self.lookup(name, RecordType::A),
            Some((ResponseCode::NXDomain, _))
        )
    }

    /// Whether `domain` has a DMARC policy of its own.
    pub(crate) fn has_own_policy(&self, domain: &str) -> bool {
        matches!(self.txt(&format!("_dmarc.{domain}.")), Txt::Dmarc(_))
    }

    /// The answer to a question, which is asked once; `None` is trouble.
    fn lookup(&self, name: &str, kind: RecordType) -> Option<(ResponseCode, Vec<RData>)> {
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), kind);
        if let Some(known) = self.answers.borrow().get(&key) {
            return known.clone();
        }
        if self.answers.borrow().len() >= MOST {
            return None;
        }
        let answer = match Name::from_ascii(format!("{}.", key.0)) {
            Ok(name) => self.ask(name, kind),
            // A name that DNS can't hold does not exist.
            Err(_) => Some((ResponseCode::NXDomain, Vec::new())),
        };
        self.answers.borrow_mut().insert(key, answer.clone());
        answer
    }

    fn ask(&self, name: Name, kind: RecordType) -> Option<(ResponseCode, Vec<RData>)> {
        let mut stream = self.stream.borrow_mut();
        let left = self
            .deadline
            .saturating_duration_since(Instant::now())
            .min(ONE);
        if left.is_zero() {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        stream.set_write_timeout(Some(left)).ok()?;
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(name, kind));
        let bytes = query.to_vec().ok()?;
        let framed = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
        stream.write_all(&framed).ok()?;
        // A late answer to a question that was given up has another number.
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).ok()?;
            let answer = Message::from_vec(&bytes).ok()?;
            if answer.metadata.id != query.metadata.id {
                continue;
            }
            let code = answer.metadata.response_code;
            if answer.queries != query.queries
                || !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
            {
                return None;
            }
            let answers = answer.answers.into_iter().map(|record| record.data);
            return Some((
                code,
                answers.filter(|data| data.record_type() == kind).collect(),
            ));
        }
    }

    fn txt(&self, name: &str) -> Txt {
        let Some((code, records)) = self.lookup(name, RecordType::TXT) else {
            return Txt::Error(Error::Dns(DnsError::Resolver("no answer".to_owned())));
        };
        if records.is_empty() {
            return Txt::Error(Error::Dns(DnsError::RecordNotFound(code)));
        }
        let texts: Vec<Vec<u8>> = records
            .iter()
            .filter_map(|data| match data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            })
            .collect();
        let labels = format!(".{}", name.to_ascii_lowercase());
        if labels.contains("._domainkey.") {
            first::<DomainKey>(&texts)
        } else if labels.contains("._atps.") {
            first::<Atps>(&texts)
        } else if labels.starts_with("._dmarc.") {
            // RFC 9989 section 4.10: of several none counts.
            match count(&texts, b"v=DMARC1") {
                0 | 1 => first::<Dmarc>(&texts),
                _ => Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
            }
        } else {
            // RFC 7208 section 4.5: several are a permanent error.
            match count(&texts, b"v=spf1") {
                0 => Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
                1 => {
                    let record = texts.iter().find(|text| begins(text, b"v=spf1"));
                    let record = record.map(|text| without_exists(text));
                    first::<Spf>(record.as_slice())
                }
                _ => Txt::Error(Error::ParseError),
            }
        }
    }

    /// Addresses of `name`; of a name marked with [`EXISTS`], `any` if it has one.
    fn addresses<T>(
        &self,
        name: &str,
        kind: RecordType,
        any: T,
        address: impl Fn(&RData) -> Option<T>,
    ) -> Option<RecordSet<T>> {
        let lower = name.trim_end_matches('.').to_ascii_lowercase();
        let found: Vec<T> = if let Some(name) = lower.strip_suffix(EXISTS) {
            let (_, records) = self.lookup(name, RecordType::A)?;
            records.first().map(|_| any).into_iter().collect()
        } else {
            self.lookup(&lower, kind)?
                .1
                .iter()
                .filter_map(address)
                .collect()
        };
        Some(record_set(found))
    }
}

fn record_set<T>(found: Vec<T>) -> RecordSet<T> {
    RecordSet {
        rrset: found.into(),
        dnssec_status: DnssecStatus::Indeterminate,
    }
}

/// Whether a record begins with its version as a whole word.
fn begins(text: &[u8], version: &[u8]) -> bool {
    text.split_at_checked(version.len())
        .is_some_and(|(head, rest)| {
            let ends = rest
                .first()
                .is_none_or(|next| !next.is_ascii_alphanumeric());
            head.eq_ignore_ascii_case(version) && ends
        })
}

fn count(texts: &[Vec<u8>], version: &[u8]) -> usize {
    texts.iter().filter(|text| begins(text, version)).count()
}

fn first<T: TxtRecordParser + Into<Txt>>(texts: &[Vec<u8>]) -> Txt {
    let mut result = Err(Error::Dns(DnsError::InvalidRecordType));
    for text in texts {
        result = T::parse(text);
        if result.is_ok() {
            break;
        }
    }
    result.into()
}

/// SPF's `exists:NAME` as `a:NAME.exists.projectx.invalid/0//0`, which matches in
/// the same cases once [`Dns::addresses`] answers for the marked name: mail-auth
/// asks its resolver, not its cache, whether a name does not exist.
fn without_exists(record: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(record) else {
        return record.to_vec();
    };
    let terms = text.split(' ').map(|term| {
        let (sign, rest) = match term.as_bytes().first() {
            Some(b'+' | b'-' | b'~' | b'?') => term.split_at(1),
            _ => ("", term),
        };
        match rest.split_at_checked(7) {
            Some((head, name)) if head.eq_ignore_ascii_case("exists:") => {
                format!("{sign}a:{}{EXISTS}/0//0", name.trim_end_matches('.'))
            }
            _ => term.to_owned(),
        }
    });
    terms.collect::<Vec<_>>().join(" ").into_bytes()
}

/// The name in a cache's generic key, which can only be hashed and compared: the
/// text is what is hashed, and the comparison makes sure of it.
fn name_of<Q: Hash + Eq + ?Sized>(key: &Q) -> Option<String>
where
    Box<str>: Borrow<Q>,
{
    struct Hashed(Vec<u8>);
    impl Hasher for Hashed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hashed = Hashed(Vec::new());
    key.hash(&mut hashed);
    let bytes = hashed.0.strip_suffix(b"\xff").unwrap_or(&hashed.0);
    let name: Box<str> = std::str::from_utf8(bytes).ok()?.into();
    let same = <Box<str> as Borrow<Q>>::borrow(&name) == key;
    same.then(|| name.into_string())
}

/// A cache of mail-auth over [`Dns`]: `get` by name, nothing to put in.
macro_rules! cache {
    ($value:ty, |$dns:ident, $name:ident| $get:expr) => {
        impl ResolverCache<Box<str>, $value> for Dns {
            fn get<Q>(&self, key: &Q) -> Option<$value>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                let ($dns, $name) = (self, &name_of(key)?);
                $get
            }

            fn remove<Q>(&self, _: &Q) -> Option<$value>
            where
                Box<str>: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: Box<str>, _: $value, _: Instant) {}
        }
    };
}

cache!(Txt, |dns, name| Some(dns.txt(name)));
cache!(RecordSet<Ipv4Addr>, |dns, name| dns.addresses(
    name,
    RecordType::A,
    Ipv4Addr::UNSPECIFIED,
    |data| match data {
        RData::A(a) => Some(a.0),
        _ => None,
    }
));
cache!(RecordSet<Ipv6Addr>, |dns, name| dns.addresses(
    name,
    RecordType::AAAA,
    Ipv6Addr::UNSPECIFIED,
    |data| match data {
        RData::AAAA(aaaa) => Some(aaaa.0),
        _ => None,
    }
));
cache!(RecordSet<MX>, |dns, name| {
    let (_, records) = dns.lookup(name, RecordType::MX)?;
    let mut found: Vec<MX> = records
        .iter()
        .filter_map(|data| match data {
            RData::MX(mx) => Some(MX {
                exchanges: Box::new([mx.exchange.to_ascii().to_ascii_lowercase().into()]),
                preference: mx.preference,
            }),
            _ => None,
        })
        .collect();
    found.sort_by_key(|mx| mx.preference);
    Some(record_set(found))
});

impl ResolverCache<IpAddr, RecordSet<Box<str>>> for Dns {
    /// mail-auth asks for no other address than the peer's.
    fn get<Q>(&self, key: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if <IpAddr as Borrow<Q>>::borrow(&self.peer) != key {
            return None;
        }
        let name = Name::from(self.peer).to_ascii();
        let (_, records) = self.lookup(&name, RecordType::PTR)?;
        let names = records.iter().filter_map(|data| match data {
            RData::PTR(name) => Some(name.to_ascii().to_ascii_lowercase().into()),
            _ => None,
        });
        Some(record_set(names.collect()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: IpAddr, _: RecordSet<Box<str>>, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_name_that_was_hashed() {
        assert_eq!(name_of("a.example.").as_deref(), Some("a.example."));
        assert_eq!(name_of("").as_deref(), Some(""));
    }

    #[test]
    fn exists_becomes_an_address_match_that_any_address_meets() {
        let rewritten = without_exists(b"v=spf1 ?exists:%{ir}.list.example. a -all");
        let expected = "v=spf1 ?a:%{ir}.list.example.exists.projectx.invalid/0//0 a -all";
        assert_eq!(String::from_utf8(rewritten).unwrap(), expected);
        assert!(Spf::parse(expected.as_bytes()).is_ok());
    }
}

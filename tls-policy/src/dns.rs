//! Questions to Unbound over TCP (RFC 7766), and whether its answers are signed
//! (the AD bit, RFC 6840 section 5.7).

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long one question may take. Unbound itself gives up a name after some
/// seconds; Postfix waits 100 seconds for an answer of the table.
const ONE: Duration = Duration::from_secs(12);

/// Where names are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Dns {
    server: SocketAddr,
}

/// What is known of a name.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Whether DNSSEC proves it, be it records or that there are none.
    pub secure: bool,
    /// The records of the wanted kind.
    pub records: Vec<RData>,
}

/// Why nothing is known now.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The name can't be one in the DNS.
    #[error("{0} is no name")]
    Name(String),
    /// Unbound was not reached, or did not answer in time.
    #[error("{name}: no answer: {source}")]
    Silent {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Unbound could not find out: servers are away, or signatures are wrong.
    #[error("{name}: {code}")]
    Refused {
        /// The name.
        name: String,
        /// What it answered.
        code: ResponseCode,
    },
}

impl Dns {
    /// The resolver at `server`.
    pub fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// The records of `name`; none when it does not exist.
    ///
    /// # Errors
    /// When nothing is known now.
    pub fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, DnsError> {
        let wire = format!("{}.", name.trim_end_matches('.'));
        let wire = Name::from_ascii(wire).map_err(|_| DnsError::Name(name.to_owned()))?;
        let silent = |source| DnsError::Silent {
            name: name.to_owned(),
            source,
        };
        let answer = self.exchange(wire, kind).map_err(silent)?;
        let code = answer.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            let name = name.to_owned();
            return Err(DnsError::Refused { name, code });
        }
        let records = answer.answers.into_iter().map(|record| record.data);
        Ok(Answer {
            secure: answer.metadata.authentic_data,
            records: records.filter(|data| data.record_type() == kind).collect(),
        })
    }

    /// The IPv4 addresses of `name`.
    ///
    /// # Errors
    /// When nothing is known now.
    pub fn addresses(&self, name: &str) -> Result<(bool, Vec<Ipv4Addr>), DnsError> {
        let answer = self.ask(name, RecordType::A)?;
        let addresses = answer.records.iter().filter_map(|data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        Ok((answer.secure, addresses.collect()))
    }

    fn exchange(&self, name: Name, kind: RecordType) -> io::Result<Message> {
        let mut stream = TcpStream::connect_timeout(&self.server, ONE)?;
        stream.set_read_timeout(Some(ONE))?;
        stream.set_write_timeout(Some(ONE))?;
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.metadata.authentic_data = true;
        query.add_query(Query::query(name, kind));
        let bytes = query.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes)?;
        let answer = Message::from_vec(&bytes).map_err(io::Error::other)?;
        if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
            return Err(io::Error::other("an answer to another question"));
        }
        Ok(answer)
    }
}

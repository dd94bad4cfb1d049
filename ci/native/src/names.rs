//! Plays the root name servers: one small table, for which every one of them is
//! the authority (RFC 1035). What is not in it exists and has no such record.
//!
//! | name | what its records say |
//! | --- | --- |
//! | `plain.example` ([`DOMAIN`]) | SPF for all senders; no DMARC, no DKIM |
//! | `strict.example` ([`STRICT`]) | SPF for nobody; DMARC `p=reject` |
//! | `mailN.plain.example` | the sender 128.66.1.N, and back |
//!
//! Limits: nothing is signed.

use crate::world::{SENDERS, sender, sender_name};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

/// A domain for which all senders may send.
pub const DOMAIN: &str = "plain.example";
/// A domain for which nobody may, and whose policy says so.
pub const STRICT: &str = "strict.example";

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const PTR: u16 = 12;
const TXT: u16 = 16;
const TTL: u32 = 3600;
const PORT: u16 = 53;

/// Names and addresses of the root servers in a root.hints of Debian's.
pub fn roots(hints: &str) -> Vec<(String, Ipv4Addr)> {
    let lines = hints.lines().map(str::split_whitespace);
    lines
        .filter_map(|words| match words.collect::<Vec<_>>()[..] {
            [owner, _, "A", address] => {
                let name = owner.trim_end_matches('.').to_lowercase();
                Some((name, address.parse().ok()?))
            }
            _ => None,
        })
        .collect()
}

/// Every record: by name, in small letters and without the last dot, and type.
#[derive(Debug)]
pub(crate) struct Table(BTreeMap<(String, u16), Vec<Vec<u8>>>);

impl Table {
    pub(crate) fn new(roots: &[(String, Ipv4Addr)]) -> Self {
        let mut table = Self(BTreeMap::new());
        for (name, address) in roots {
            table.add("", NS, wire_name(name));
            table.add(name, A, address.octets().to_vec());
        }
        for number in SENDERS {
            let address = sender(number);
            let [a, b, c, d] = address.octets();
            table.add(&sender_name(number), A, address.octets().to_vec());
            let back = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
            table.add(&back, PTR, wire_name(&sender_name(number)));
        }
        table.add(DOMAIN, TXT, text("v=spf1 ip4:128.66.1.0/24 -all"));
        table.add(STRICT, TXT, text("v=spf1 -all"));
        table.add(&format!("_dmarc.{STRICT}"), TXT, text("v=DMARC1; p=reject"));
        table
    }

    fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) {
        self.0
            .entry((name.to_owned(), kind))
            .or_default()
            .push(data);
    }

    /// The answer to a query; `None` to what is none.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(query, 12)?;
        let question = query.get(12..end + 4)?;
        let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
        let found = self.0.get(&(name, kind)).map_or(&[][..], Vec::as_slice);
        let mut answer = query[..2].to_vec();
        // QR and AA, RD as it came, no error (RFC 1035 section 4.1.1).
        answer.extend([0x84 | query[2] & 1, 0, 0, 1]);
        answer.extend(u16::try_from(found.len()).ok()?.to_be_bytes());
        answer.extend([0, u8::from(found.is_empty()), 0, 0]);
        answer.extend(question);
        for data in found {
            // The name that was asked for, by a pointer (section 4.1.4).
            record(&mut answer, &[0xc0, 12], kind, data);
        }
        if found.is_empty() {
            let mut soa = [wire_name("a.root-servers.net"), wire_name("nobody")].concat();
            for number in [1, TTL, 600, 86400, TTL] {
                soa.extend(number.to_be_bytes());
            }
            record(&mut answer, &[0], SOA, &soa);
        }
        Some(answer)
    }
}

fn record(answer: &mut Vec<u8>, name: &[u8], kind: u16, data: &[u8]) {
    answer.extend(name);
    answer.extend(kind.to_be_bytes());
    answer.extend([0, 1]);
    answer.extend(TTL.to_be_bytes());
    // No record here is longer than a name or a short text.
    answer.extend((data.len() as u16).to_be_bytes());
    answer.extend(data);
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Data of a TXT record, one string.
fn text(text: &str) -> Vec<u8> {
    let mut data = vec![text.len() as u8];
    data.extend(text.as_bytes());
    data
}

/// The name at `at`, and where it ends. A question has no pointers.
fn read_name(query: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return Some((labels.join("."), at)),
            1..64 => {
                let label = query.get(at..at + length)?;
                labels.push(String::from_utf8_lossy(label).to_lowercase());
                at += length;
            }
            _ => return None,
        }
    }
}

/// Answers at port 53 of each address, for as long as the process lives.
pub(crate) fn serve(addresses: &[Ipv4Addr], table: &Table) {
    // One socket each: an answer must come from where the question went.
    let bind = |address: &Ipv4Addr| UdpSocket::bind((*address, PORT)).ok();
    let sockets: Vec<UdpSocket> = addresses.iter().filter_map(bind).collect();
    let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)) else {
        return;
    };
    loop {
        let ready = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds: Vec<PollFd> = sockets.iter().map(|socket| ready(socket.as_fd())).collect();
        fds.push(ready(listener.as_fd()));
        poll(&mut fds, PollTimeout::NONE).ok();
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for (socket, _) in sockets.iter().zip(&is_ready).filter(|(_, ready)| **ready) {
            let mut query = [0; 4096];
            if let Ok((length, from)) = socket.recv_from(&mut query)
                && let Some(answer) = table.answer(&query[..length])
            {
                socket.send_to(&answer, from).ok();
            }
        }
        if is_ready.last() == Some(&true)
            && let Ok((stream, _)) = listener.accept()
        {
            over_tcp(stream, table);
        }
    }
}

/// One query over TCP (section 4.2.2); who is slow is not waited for.
fn over_tcp(mut stream: TcpStream, table: &Table) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut query).ok()?;
    let answer = table.answer(&query)?;
    let length = u16::try_from(answer.len()).ok()?.to_be_bytes();
    stream.write_all(&[&length[..], &answer].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(wire_name(name));
        query.extend(kind.to_be_bytes());
        query.extend([0, 1]);
        query
    }

    fn table() -> Table {
        let hints =
            "; x\n. 3600000 NS A.ROOT-SERVERS.NET.\nA.ROOT-SERVERS.NET. 3600000 A 198.41.0.4\n";
        Table::new(&roots(hints))
    }

    #[test]
    fn a_record_is_answered_whatever_the_case_of_the_question() {
        let answer = table().answer(&query("Mail3.Plain.Example", A)).unwrap();
        assert_eq!(answer[..4], [7, 9, 0x85, 0]);
        assert_eq!(answer[6..10], [0, 1, 0, 0]);
        assert!(answer.ends_with(&[0, 4, 128, 66, 1, 3]));
    }

    #[test]
    fn what_is_not_there_has_no_record_and_the_root_s_authority() {
        let answer = table().answer(&query("_dmarc.plain.example", TXT)).unwrap();
        assert_eq!(answer[6..10], [0, 0, 0, 1]);
    }

    #[test]
    fn the_root_names_its_servers_and_nonsense_gets_no_answer() {
        let answer = table().answer(&query("", NS)).unwrap();
        assert_eq!(answer[6..8], [0, 1]);
        assert_eq!(table().answer(&[0; 12]), None);
        assert_eq!(table().answer(&[0xff; 40]), None);
    }
}

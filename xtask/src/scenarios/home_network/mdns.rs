//! One question to everybody in the network: which addresses has this name?
//!
//! Asked as a plain resolver asks that is no mDNS responder itself (RFC 6762,
//! section 6.7), so the answer comes to us alone. Wire format: RFC 1035,
//! section 4.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const A: u16 = 1;
const AAAA: u16 = 28;
const HEADER: usize = 12;

/// The addresses that are answered for `name` to the host at `from`.
pub(in crate::scenarios) fn lookup(from: Ipv4Addr, name: &str) -> io::Result<Vec<IpAddr>> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    for kind in [A, AAAA] {
        socket.send_to(&question(name, kind), GROUP)?;
    }
    let end = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    let mut packet = [0; 1500];
    while Instant::now() < end {
        let Ok((length, _)) = socket.recv_from(&mut packet) else {
            continue;
        };
        for address in answers(&packet[..length], name).unwrap_or_default() {
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    Ok(found)
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    packet[5] = 1; // one question
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&1_u16.to_be_bytes());
    packet
}

/// The addresses in a packet's answers for `name`; `None` if it is cut short.
fn answers(packet: &[u8], name: &str) -> Option<Vec<IpAddr>> {
    let questions = word(packet, 4)?;
    let answers = word(packet, 6)?;
    let mut at = HEADER;
    for _ in 0..questions {
        at = name_at(packet, at)?.1 + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        let (owner, after) = name_at(packet, at)?;
        let kind = word(packet, after)?;
        let length = usize::from(word(packet, after + 8)?);
        let data = packet.get(after + 10..after + 10 + length)?;
        at = after + 10 + length;
        if !owner.eq_ignore_ascii_case(name) {
            continue;
        }
        match kind {
            A => found.push(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
            AAAA => found.push(IpAddr::from(<[u8; 16]>::try_from(data).ok()?)),
            _ => {}
        }
    }
    Some(found)
}

/// The name that begins at `at`, and where it ends there. Pointers lead back
/// only, so this ends.
fn name_at(packet: &[u8], at: usize) -> Option<(String, usize)> {
    let length = *packet.get(at)?;
    if length == 0 {
        return Some((String::new(), at + 1));
    }
    if length >= 0xc0 {
        let target = usize::from(word(packet, at)? & 0x3fff);
        let name = (target < at).then(|| name_at(packet, target)).flatten()?.0;
        return Some((name, at + 2));
    }
    let end = at + 1 + usize::from(length);
    let label = std::str::from_utf8(packet.get(at + 1..end)?).ok()?;
    let (rest, after) = name_at(packet, end)?;
    let dot = if rest.is_empty() { "" } else { "." };
    Some((format!("{label}{dot}{rest}"), after))
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The question repeated, then `name` by a pointer to it, with an address.
    fn answer() -> Vec<u8> {
        let mut packet = question("projectx.local", A);
        packet[2] = 0x84;
        packet[7] = 1;
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4]);
        packet.extend_from_slice(&[192, 168, 77, 9]);
        packet
    }

    #[test]
    fn the_address_of_the_name_asked_for_is_read_from_an_answer() {
        let found = answers(&answer(), "Projectx.local").unwrap();
        assert_eq!(found, [IpAddr::from([192, 168, 77, 9])]);
        assert!(answers(&answer(), "other.local").unwrap().is_empty());
    }

    #[test]
    fn a_packet_cut_short_or_pointing_at_itself_is_no_answer() {
        let whole = answer();
        for length in 0..whole.len() {
            assert!(answers(&whole[..length], "projectx.local").is_none());
        }
        let mut circle = whole;
        let pointer = circle.len() - 16;
        circle[pointer + 1] = u8::try_from(pointer).unwrap();
        assert!(answers(&circle, "projectx.local").is_none());
    }
}

//! A time server that tells any time and can be silent (RFC 5905, client and
//! server mode; no leap seconds, no authentication).

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of a packet without extensions.
const PACKET: usize = 48;
/// From the beginning of 1900, where NTP counts from, to that of 1970.
const SECONDS_TO_1970: u64 = 2_208_988_800;

/// A time server on a thread of its own, for the life of this process.
#[derive(Debug, Clone)]
pub(in crate::scenarios) struct TimeServer {
    speaks: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl TimeServer {
    /// Listens on `address`, silent at first. Tells the host's time plus `ahead`.
    pub(in crate::scenarios) fn start(address: IpAddr, ahead: Duration) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 123))?;
        let server = Self {
            speaks: Arc::default(),
            asked: Arc::default(),
        };
        let thread = server.clone();
        std::thread::spawn(move || {
            let mut request = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut request) {
                thread.asked.fetch_add(1, Ordering::Relaxed);
                let now = SystemTime::now() + ahead;
                if thread.speaks.load(Ordering::Relaxed)
                    && let Some(reply) = reply(&request[..length], now)
                {
                    // A client that has gone asks again.
                    socket.send_to(&reply, client).ok();
                }
            }
        });
        Ok(server)
    }

    /// Answers from now on.
    pub(in crate::scenarios) fn speak(&self) {
        self.speaks.store(true, Ordering::Relaxed);
    }

    /// How many requests came.
    pub(in crate::scenarios) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The answer of a server of the first stratum to a client's request.
fn reply(request: &[u8], now: SystemTime) -> Option<[u8; PACKET]> {
    const CLIENT: u8 = 3;
    const SERVER: u8 = 4;
    let request: &[u8; PACKET] = request.get(..PACKET)?.try_into().ok()?;
    if request[0] & 7 != CLIENT {
        return None;
    }
    let now = timestamp(now)?;
    let mut reply = [0; PACKET];
    reply[0] = request[0] & 0b0011_1000 | SERVER;
    reply[1] = 1;
    reply[2] = request[2];
    reply[3] = 0xec; // precision: 2^-20 s
    reply[12..16].copy_from_slice(b"TEST");
    reply[16..24].copy_from_slice(&now);
    reply[24..32].copy_from_slice(&request[40..48]);
    reply[32..40].copy_from_slice(&now);
    reply[40..48].copy_from_slice(&now);
    Some(reply)
}

/// Seconds since 1900 and their fraction, both 32 bits.
fn timestamp(time: SystemTime) -> Option<[u8; 8]> {
    let since_1970 = time.duration_since(UNIX_EPOCH).ok()?;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    let seconds = since_1970.as_secs() + SECONDS_TO_1970;
    Some((seconds << 32 | fraction).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_its_own_stamp_back_and_the_time() {
        let mut request = [0; PACKET];
        request[0] = 0x23; // version 4, client
        request[40..].copy_from_slice(b"ORIGINAL");
        // 1 January 2000 is 3155673600 in NTP (RFC 5905, figure 4).
        let time = UNIX_EPOCH + Duration::from_millis(946_684_800_500);
        let reply = reply(&request, time).unwrap();
        assert_eq!(reply[0], 0x24);
        assert_eq!(&reply[24..32], b"ORIGINAL");
        assert_eq!(reply[40..44], 3_155_673_600_u32.to_be_bytes());
        assert_eq!(reply[44..48], [0x80, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_request_gets_no_answer() {
        assert!(reply(&[0x23; 47], UNIX_EPOCH).is_none());
        assert!(reply(&[0x24; 48], UNIX_EPOCH).is_none());
    }
}

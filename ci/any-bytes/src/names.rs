//! Answers of the DNS. They come from Unbound, which has them from strangers.
//!
//! The input is divided into answers by its own lengths: a code and flags (one byte), a
//! number of records (one), a length (two, big-endian), and the records as they travel
//! (RFC 1035 section 4.1.3), where the question's name is at 0xc00c.

use crate::loopback::pair;
use crate::message::{clean, letter};
use hickory_proto::rr::{RData, RecordType};
use smtp_in::authenticate::{Envelope, check};
use smtp_in::dns::Dns;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use tls_policy::dane::{Dane, of_host};
use tls_policy::dns::Dns as Proofs;
use tls_policy::sts;

/// Set in the first byte of an answer: it is signed (RFC 4035 section 3.2.3, AD).
const SIGNED: u8 = 0x80;

fn answers(mut input: &[u8]) -> VecDeque<Vec<u8>> {
    let mut answers = VecDeque::new();
    while let [code, count, high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (records, after) = rest.split_at(length.min(rest.len()));
        answers.push_back([&[*code, *count], records].concat());
        input = after;
    }
    answers
}

/// Answers the questions on `stream` until there is nothing more to say.
fn serve(stream: &mut TcpStream, mut next: impl FnMut() -> Option<Vec<u8>>) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).ok()?;
        let answer = next()?;
        let [code, count, records @ ..] = answer.as_slice() else {
            return None;
        };
        let flags = [0x81, 0x80 | (code & 0x0f) | ((code & SIGNED) >> 2)];
        let numbers = [0, 1, 0, *count, 0, 0, 0, 0];
        let bytes = [
            &question[..2],
            &flags,
            &numbers,
            question.get(12..)?,
            records,
        ]
        .concat();
        let length = u16::try_from(bytes.len()).ok()?;
        stream
            .write_all(&[&length.to_be_bytes()[..], &bytes].concat())
            .ok()?;
    }
}

/// A message is judged, and no byte of any answer leaves the field of ours.
///
/// # Panics
/// When that does not hold.
pub fn names(input: &[u8]) {
    let mut list = answers(input);
    let (ours, mut theirs) = pair();
    let resolver = std::thread::spawn(move || serve(&mut theirs, || list.pop_front()));
    let peer = Ipv4Addr::new(192, 0, 2, 1).into();
    {
        let mut dns = Dns::new(ours, peer);
        let envelope = Envelope {
            peer,
            helo: "client.example",
            sender: "a@sender.example",
        };
        if let Some(found) = check(&mut dns, crate::message::HOST, &envelope, &[], &letter()) {
            clean(&found.header);
            for name in [&found.reverse_name, &found.rejected_by]
                .into_iter()
                .flatten()
            {
                assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{name:?}");
            }
        }
    }
    resolver.join().expect("a resolver");
}

type Answers = Mutex<VecDeque<Vec<u8>>>;

/// A server counts as known by DANE only when every answer is signed, and only records
/// that were asked for are found.
///
/// # Panics
/// When that does not hold.
pub fn proofs(input: &[u8]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (server, next) = resolver();
    let list = answers(input);
    let signed = list.iter().take(2).all(|answer| answer[0] & SIGNED != 0);
    let dns = Proofs::new(server);
    *next.lock().unwrap_or_else(PoisonError::into_inner) = list.clone();
    if let Ok(Dane::Usable) = of_host(&dns, "mx.example", 25) {
        assert!(signed && list.len() >= 2);
    }
    *next.lock().unwrap_or_else(PoisonError::into_inner) = list.clone();
    if let Ok(found) = dns.ask("_mta-sts.a.example", RecordType::TXT) {
        assert!(
            found
                .records
                .iter()
                .all(|data| matches!(data, RData::TXT(_)))
        );
        assert_eq!(found.secure, list[0][0] & SIGNED != 0);
        let texts: Vec<String> = found.records.iter().map(ToString::to_string).collect();
        sts::id(&texts);
    }
    *next.lock().unwrap_or_else(PoisonError::into_inner) = list;
    if let Ok(found) = dns.ask("a.example", RecordType::MX) {
        assert!(
            found
                .records
                .iter()
                .all(|data| matches!(data, RData::MX(_)))
        );
    }
}

/// One resolver for all: the code of ours dials anew for each question.
fn resolver() -> (SocketAddr, &'static Answers) {
    static RESOLVER: OnceLock<(SocketAddr, Answers)> = OnceLock::new();
    let (address, answers) = RESOLVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let next = || {
                    let (_, answers) = RESOLVER.get()?;
                    answers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front()
                };
                if let Ok(mut stream) = stream {
                    serve(&mut stream, next);
                }
            }
        });
        (address, Mutex::default())
    });
    (*address, answers)
}

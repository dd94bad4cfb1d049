//! `report`: a message that may be a report on mail (RFC 8460, RFC 9990), for the
//! sandbox that reads such ones.
//!
//! The gate sends the message's bytes, after it has said what became of it, and shuts its
//! end down; nothing comes back. A connection without such a message sends none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The channel's name.
pub const NAME: &str = "report";
/// The longest message that is handed over, in bytes: reports are small and packed.
pub const MAX_SIZE: u64 = 2 << 20;
/// How long the gate waits for a reader that takes little or nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a message of `size` bytes to `recipient` is handed over: reports are asked
/// for at `postmaster@DOMAIN`, which each domain has (RFC 5321 section 4.5.1).
pub fn wants(recipient: &str, size: u64) -> bool {
    let local = recipient
        .rsplit_once('@')
        .map_or(recipient, |(local, _)| local);
    local.eq_ignore_ascii_case("postmaster") && size <= MAX_SIZE
}

/// The gate: hands the message over.
///
/// # Errors
/// When the reader is gone or too slow. The message is delivered all the same.
pub fn hand_over(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut rest = message;
    while !rest.is_empty() {
        // One write waits for so long; all of them together must not.
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// The reader: the message; `None` when there is none, or it is longer than any is.
///
/// # Errors
/// When the stream broke.
pub fn take(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    stream.take(MAX_SIZE + 1).read_to_end(&mut message)?;
    let is_one = (1..=MAX_SIZE).contains(&(message.len() as u64));
    Ok(is_one.then_some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_and_none_is_none() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let sent = vec![b'x'; 300_000];
        let expected = sent.clone();
        let gate = std::thread::spawn(move || hand_over(&mut ours, &sent).unwrap());
        assert_eq!(take(&mut theirs).unwrap(), Some(expected));
        gate.join().unwrap();
        assert_eq!(take(&mut &b""[..]).unwrap(), None);
        let long = vec![b'x'; MAX_SIZE as usize + 1];
        assert_eq!(take(&mut long.as_slice()).unwrap(), None);
    }

    #[test]
    fn a_reader_that_takes_nothing_costs_the_gate_seconds_and_one_that_is_gone_none() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let message = vec![b'x'; MAX_SIZE as usize];
        let begun = Instant::now();
        hand_over(&mut ours, &message).unwrap_err();
        assert!(begun.elapsed() < PATIENCE * 3 / 2, "{:?}", begun.elapsed());
        drop(theirs);
        let begun = Instant::now();
        hand_over(&mut ours, &message).unwrap_err();
        assert!(begun.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn only_postmaster_s_small_messages_are_wanted() {
        for (recipient, size, yes) in [
            ("postmaster@example.org", 1, true),
            ("PostMaster@example.org", MAX_SIZE, true),
            ("postmaster", 1, true),
            ("postmaster@example.org", MAX_SIZE + 1, false),
            ("anna@example.org", 1, false),
            ("postmaster.x@example.org", 1, false),
        ] {
            assert_eq!(wants(recipient, size), yes, "{recipient} {size}");
        }
    }
}

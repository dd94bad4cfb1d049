//! What is said to a connection that finds no place, so that its sender knows at
//! once and comes again: one line, and a proper end.
//!
//! Closing a socket that has unread input resets the connection, and a reset
//! may overtake the line (RFC 2525 section 2.17; RFC 1122 section 4.2.2.13). So
//! our half is closed first, and what the sender says is read and thrown away
//! until it closes its own, for [`LINGER`] and [`MOST`] bytes at most.
//! Nothing here blocks but [`Farewell::finish`].

use manifest::Piece;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a sender may take to close its half.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a sender that are read meanwhile.
const MOST: usize = 64 << 10;

/// The line of the manifest with the box's name filled in, and its end (CR LF);
/// empty where the manifest has none.
pub(super) fn line(pieces: &[Piece], hostname: &str) -> String {
    let words: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Hostname => hostname,
        })
        .collect();
    match words.is_empty() {
        true => words,
        false => words + "\r\n",
    }
}

/// A connection that was told, and is not closed yet.
#[derive(Debug)]
pub(super) struct Farewell {
    connection: TcpStream,
    end: Instant,
    left: usize,
}

impl Farewell {
    /// Says `line` and closes our half. Nothing was sent on the connection
    /// before, so its buffer has room for the line.
    pub(super) fn begin(mut connection: TcpStream, line: &str) -> Self {
        // One that has gone already is told nothing: is_over finds it.
        let told = connection
            .set_nonblocking(true)
            .and_then(|()| connection.write_all(line.as_bytes()))
            .and_then(|()| connection.shutdown(Shutdown::Write));
        Self {
            connection,
            end: Instant::now() + told.map_or(Duration::ZERO, |()| LINGER),
            left: MOST,
        }
    }

    /// Reads what has come. `true` when the connection can be closed: drop it.
    pub(super) fn is_over(&mut self) -> bool {
        let mut bytes = [0; 4096];
        while Instant::now() < self.end && self.left > 0 {
            match self.connection.read(&mut bytes) {
                Ok(0) => return true,
                Ok(read) => self.left = self.left.saturating_sub(read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
        true
    }

    /// Waits until it is over, [`LINGER`] at most.
    pub(super) fn finish(mut self) {
        while !self.is_over() {
            let left = self.end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left + Duration::from_millis(1));
            let mut fds = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, left.unwrap_or(PollTimeout::ZERO)).ok();
        }
    }
}

/// Those whom the thread that accepts has turned away.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    all: Vec<Farewell>,
}

impl Farewells {
    /// More would be a flood; then the oldest is closed at once.
    const MOST: usize = 64;

    /// Turns one away.
    pub(super) fn add(&mut self, connection: TcpStream, line: &str) {
        if self.all.len() >= Self::MOST {
            self.all.remove(0);
        }
        self.all.push(Farewell::begin(connection, line));
    }

    /// Closes those that are over.
    pub(super) fn sweep(&mut self) {
        self.all.retain_mut(|farewell| !farewell.is_over());
    }

    /// Waits for all of them, [`LINGER`] at most together.
    pub(super) fn finish(self) {
        self.all.into_iter().for_each(Farewell::finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_sender_that_has_said_much_still_reads_the_whole_line() {
        let (mut client, server) = pair();
        // Unread input at a close would be a reset.
        client.write_all(&[b'x'; 20_000]).unwrap();
        let begun = Instant::now();
        let told = std::thread::spawn(|| Farewell::begin(server, "421 busy\r\n").finish());
        std::thread::sleep(Duration::from_millis(100));
        client.write_all(b"EHLO late\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "421 busy\r\n");
        drop(client);
        told.join().unwrap();
        assert!(begun.elapsed() < LINGER, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_sender_that_stays_is_left_after_two_seconds_or_64_kib() {
        let (mut client, server) = pair();
        let begun = Instant::now();
        Farewell::begin(server, "421 busy\r\n").finish();
        let took = begun.elapsed();
        assert!((LINGER..LINGER * 2).contains(&took), "{took:?}");
        client.write_all(b"x").ok();

        let (mut client, server) = pair();
        let told = std::thread::spawn(|| Farewell::begin(server, "421 busy\r\n").finish());
        let mut written = 0;
        while let Ok(more) = client.write(&[b'x'; 4096]) {
            written += more;
            assert!(written < 64 << 20, "it is read without an end");
        }
        told.join().unwrap();
    }

    #[test]
    fn the_line_has_the_name_of_the_box() {
        let text = |text: &str| Piece::Text(text.into());
        let pieces = [text("421 "), Piece::Hostname, text(" busy")];
        assert_eq!(line(&pieces, "mx.example"), "421 mx.example busy\r\n");
        assert_eq!(line(&[], "mx.example"), "");
    }
}

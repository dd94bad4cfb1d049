//! A socket with time limits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A socket that gives up after `idle` of silence, and at `deadline` in any case.
#[derive(Debug)]
pub struct Timed {
    /// The connection.
    pub socket: TcpStream,
    /// How long one read or write may take.
    pub idle: Duration,
    /// When all is over.
    pub deadline: Instant,
    /// What there is after the deadline, to say so.
    pub farewell: Duration,
}

impl Timed {
    fn limit(&self, grace: Duration) -> io::Result<Duration> {
        let end = self.deadline + grace;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left.min(self.idle))
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let limit = self.limit(Duration::ZERO)?;
        self.socket.set_read_timeout(Some(limit))?;
        self.socket.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = self.limit(self.farewell)?;
        self.socket.set_write_timeout(Some(limit))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Both ends of a connection of loopback.
    fn pair(idle: u64, session: u64) -> (TcpStream, Timed) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let timed = Timed {
            socket: listener.accept().unwrap().0,
            idle: Duration::from_millis(idle),
            deadline: Instant::now() + Duration::from_millis(session),
            farewell: Duration::from_secs(5),
        };
        (ours, timed)
    }

    #[test]
    fn silence_and_the_deadline_end_it_and_a_farewell_is_still_said() {
        let (mut client, mut timed) = pair(50, 10_000);
        let error = timed.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "silence");
        client.write_all(b"late").unwrap();
        timed.read_exact(&mut [0; 4]).unwrap();

        let (mut client, mut timed) = pair(10_000, 0);
        client.write_all(b"x").unwrap();
        let error = timed.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "over");
        timed.write_all(b"bye").unwrap();
        let mut said = [0; 3];
        client.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"bye");
        timed.farewell = Duration::ZERO;
        assert_eq!(
            timed.write(b"more").unwrap_err().kind(),
            ErrorKind::TimedOut
        );
    }
}

//! One connection: two sockets, and what is on its way between them.

use nix::libc;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes on their way in one direction.
const BUFFER: usize = 16 << 10;

/// Two ends, and the direction that begins at each.
#[derive(Debug)]
pub struct Connection {
    ends: [TcpStream; 2],
    ways: [Way; 2],
    is_broken: bool,
}

/// One direction.
#[derive(Debug)]
struct Way {
    buffer: Vec<u8>,
    /// What of the buffer has been written.
    written: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There may be more.
    Open,
    /// The source has ended; what is in the buffer is still to be written.
    Ended,
    /// The other side has been told.
    Closed,
}

impl Connection {
    /// Joins two stream sockets. `None` when they can't be made non-blocking.
    pub fn between(ends: [OwnedFd; 2]) -> Option<Self> {
        // Any stream socket has these calls, whatever the type's name says.
        let ends = ends.map(TcpStream::from);
        for end in &ends {
            end.set_nonblocking(true).ok()?;
        }
        let way = || Way {
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            state: State::Open,
        };
        Some(Self {
            ends,
            ways: [way(), way()],
            is_broken: false,
        })
    }

    /// The ends with something to wait for. The others are left out: poll(2)
    /// would report their hang-up again and again.
    pub fn waits_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        (0..2).filter_map(|end| {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, self.ways[end].wants_bytes());
            events.set(PollFlags::POLLOUT, self.ways[1 - end].has_bytes());
            (!events.is_empty()).then(|| PollFd::new(self.ends[end].as_fd(), events))
        })
    }

    /// Moves what can be moved without waiting.
    pub fn carry(&mut self) {
        let [first, second] = &self.ends;
        let there = self.ways[0].carry(first, second);
        let back = self.ways[1].carry(second, first);
        self.is_broken |= there.and(back).is_err();
    }

    /// Whether both directions have ended, or one has failed.
    pub fn is_over(&self) -> bool {
        self.is_broken || self.ways.iter().all(|way| way.state == State::Closed)
    }
}

impl Drop for Connection {
    /// One that was cut off ends with a reset at either side: a plain end could
    /// be taken for that of a whole message (socket(7), SO_LINGER).
    fn drop(&mut self) {
        if self.is_broken {
            let reset = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            for end in &self.ends {
                // At worst the end looks plain.
                setsockopt(end, sockopt::Linger, &reset).ok();
            }
        }
    }
}

impl Way {
    fn has_bytes(&self) -> bool {
        self.written < self.buffer.len()
    }

    fn wants_bytes(&self) -> bool {
        self.state == State::Open && !self.has_bytes()
    }

    /// One buffer at most, so that a fast connection does not hold up others.
    fn carry(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        if self.wants_bytes() {
            self.buffer.resize(BUFFER, 0);
            self.written = 0;
            let count = unless_it_would_block(from.read(&mut self.buffer))?;
            self.buffer.truncate(count.unwrap_or(0));
            if count == Some(0) {
                self.state = State::Ended;
            }
        }
        while self.has_bytes() {
            match unless_it_would_block(to.write(&self.buffer[self.written..]))? {
                Some(count) => self.written += count,
                None => return Ok(()),
            }
        }
        if self.state == State::Ended {
            to.shutdown(Shutdown::Write)?;
            self.state = State::Closed;
        }
        Ok(())
    }
}

fn unless_it_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}

//! What a daemon says, line by line, on its way to the kernel's log.
//!
//! The daemon writes into a pipe. It could be slowed by a supervisor that does not read,
//! but it never waits for long: the loop reads four times a second.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

/// Longer lines are cut: nobody needs their end.
const LONGEST: usize = 1024;

/// The reading end.
#[derive(Debug)]
pub struct Ear {
    pipe: File,
    begun: Vec<u8>,
}

impl Ear {
    /// An ear and what the daemon gets as its standard error.
    ///
    /// # Errors
    /// No more descriptors.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let ear = Self {
            pipe: reading.into(),
            begun: Vec::new(),
        };
        Ok((ear, writing))
    }

    /// The lines that have been said since the last call, which go to the kernel's log too.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.take(&buffer[..length], &mut lines),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if !lines.is_empty()
            && let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg")
        {
            for line in &lines {
                // One write is one record.
                log.write_all(line.as_bytes()).ok();
            }
        }
        lines
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.begun);
                lines.push(String::from_utf8_lossy(&line).into_owned());
            } else if self.begun.len() < LONGEST {
                self.begun.push(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_written() {
        let (mut ear, pipe) = Ear::new().unwrap();
        let mut daemon = File::from(pipe);
        assert_eq!(ear.lines(), Vec::<String>::new());
        daemon.write_all(b"first\nsec").unwrap();
        assert_eq!(ear.lines(), ["first"]);
        daemon.write_all(b"ond\n").unwrap();
        daemon.write_all(&[b'x'; 3000]).unwrap();
        daemon.write_all(b"\n").unwrap();
        let lines = ear.lines();
        assert_eq!(lines[0], "second");
        assert_eq!(lines[1].len(), LONGEST);
        drop(daemon);
        assert!(ear.lines().is_empty());
    }
}

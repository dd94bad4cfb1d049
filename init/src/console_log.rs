//! Lines on `/dev/console` that can never stop the work.
//!
//! The box may have no console, and a serial line may stand still (flow
//! control), so each line waits at most [`PATIENCE`] and is then dropped.
//! `/dev/console` never becomes a controlling terminal (`tty_open`).

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// How long one line may wait for the console.
const PATIENCE: Duration = Duration::from_millis(500);

/// The console, opened when the first line comes.
pub struct ConsoleLog {
    /// Who speaks: `init` gives lines `init: …`.
    speaker: &'static str,
    device: &'static str,
    console: Option<File>,
}

impl ConsoleLog {
    /// A log whose lines begin with `speaker` and a colon.
    pub const fn new(speaker: &'static str) -> Self {
        Self {
            speaker,
            device: "/dev/console",
            console: None,
        }
    }

    /// The same on the box's screen, `/dev/tty0`, for words to whoever owns
    /// the box; none if `/dev/console` is that screen already.
    pub fn on_screen(speaker: &'static str) -> Option<Self> {
        let consoles = std::fs::read_to_string("/sys/class/tty/console/active").ok()?;
        // The last one listed is /dev/console (kernel serial-console.rst).
        let is_screen = consoles.split_ascii_whitespace().next_back() == Some("tty0");
        (!is_screen).then_some(Self {
            speaker,
            device: "/dev/tty0",
            console: None,
        })
    }

    /// Writes `text` as one line, or one line each where it has several.
    pub fn line(&mut self, text: &str) {
        let lines: String = text
            .lines()
            .map(|line| format!("{}: {line}\n", self.speaker))
            .collect();
        if self.console.is_none() {
            self.console = OpenOptions::new()
                .write(true)
                .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
                .open(self.device)
                .ok();
        }
        if let Some(console) = &mut self.console
            && !write_within(console, lines.as_bytes(), PATIENCE)
        {
            // A hung-up terminal gives errors for ever; the next line opens it anew.
            self.console = None;
        }
    }
}

/// Writes `bytes` to a non-blocking file; false if it took too long or failed.
fn write_within(file: &mut File, mut bytes: &[u8], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return false,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
                let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                // An interrupted wait only means one more turn of the loop.
                poll(&mut waiting, PollTimeout::from(millis)).ok();
            }
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn pipe() -> (File, File) {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).expect("a pipe");
        (File::from(reader), File::from(writer))
    }

    #[test]
    fn a_console_that_stands_still_costs_half_a_second_and_no_more() {
        let (_reader, mut writer) = pipe();
        let start = Instant::now();
        assert!(!write_within(
            &mut writer,
            &vec![b'x'; 1 << 20],
            Duration::from_millis(100)
        ));
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_line_arrives_whole() {
        let (mut reader, mut writer) = pipe();
        assert!(write_within(
            &mut writer,
            b"init: mounts\n",
            Duration::from_millis(100)
        ));
        let mut text = [0; 64];
        let length = reader.read(&mut text).expect("something to read");
        assert_eq!(&text[..length], b"init: mounts\n");
    }
}

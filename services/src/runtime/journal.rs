//! Where the runtime and its services say what happens.

use super::RuntimeError;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a service's line that are kept; the rest of a longer one is dropped.
const LINE: u64 = 1024;

/// Lines of one sandbox that are taken in a second.
const MOST_A_SECOND: u32 = 64;
const SECOND: Duration = Duration::from_secs(1);

/// Takes what is said. Called from many threads.
pub trait Journal: Debug + Send + Sync {
    /// Something happened to a part of the app: words of the runtime, never of
    /// a message.
    fn event(&self, words: &str);

    /// A line that a service wrote on its standard error. It may quote mail, so
    /// it must never leave memory.
    fn line(&self, service: &str, words: &str);

    /// The receipt of one connection: which sandboxes there were, when, and how
    /// they ended; nothing of what was said.
    fn receipt(&self, words: &str) {
        self.line("runtime", words);
    }

    /// A connection from `peer` to the service `front` is over, and what the manifest
    /// says of the code with which the front ended. Nobody's log: an address is
    /// somebody's.
    fn served(&self, front: &str, peer: IpAddr, outcome: &str) {
        let _ = (front, peer, outcome);
    }
}

/// The standard error of one sandbox: the end to give away. A thread reads the
/// other until all copies of it are closed.
pub(super) fn standard_error(
    journal: &Arc<dyn Journal>,
    name: &str,
) -> Result<OwnedFd, RuntimeError> {
    let (reader, writer) = std::io::pipe().map_err(RuntimeError::io("a pipe"))?;
    let (journal, name) = (Arc::clone(journal), name.to_owned());
    std::thread::Builder::new()
        .name("journal".into())
        .stack_size(64 << 10)
        .spawn(move || copy(reader, |words| journal.line(&name, words)))
        .map_err(RuntimeError::io("a thread"))?;
    Ok(writer.into())
}

fn copy(reader: impl Read, mut say: impl FnMut(&str)) {
    let mut reader = BufReader::with_capacity(LINE as usize, reader);
    let mut line = Vec::new();
    let (mut begun, mut said) = (Instant::now(), 0);
    loop {
        // A service that floods its log is slowed down by its full pipe.
        if said == MOST_A_SECOND {
            std::thread::sleep(SECOND.saturating_sub(begun.elapsed()));
        }
        if begun.elapsed() >= SECOND {
            (begun, said) = (Instant::now(), 0);
        }
        said += 1;
        line.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let whole = line.ends_with(b"\n");
        // A terminal may be looking: nothing in a line moves its cursor.
        let words: String = String::from_utf8_lossy(&line)
            .trim_end()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        say(&words);
        if !whole && skip_line(&mut reader).is_none() {
            return;
        }
    }
}

/// Drops the rest of a line; `None` at the end of the input.
fn skip_line(reader: &mut impl BufRead) -> Option<()> {
    loop {
        let bytes = reader.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
        let (length, found) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (bytes.len(), false),
        };
        reader.consume(length);
        if found {
            return Some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut said = Vec::new();
        copy(text, |words| said.push(words.to_owned()));
        said
    }

    #[test]
    fn lines_come_one_by_one_and_move_no_cursor() {
        assert_eq!(
            lines(b"one\ntwo\x1b[2J\r\n\xff\nlast"),
            ["one", "two [2J", "\u{fffd}", "last"]
        );
    }

    #[test]
    fn who_floods_the_log_is_slowed_down() {
        let begun = Instant::now();
        let text = "x\n".repeat(150);
        assert_eq!(lines(text.as_bytes()).len(), 150);
        assert!(begun.elapsed() >= Duration::from_millis(1900));
    }

    #[test]
    fn the_rest_of_an_endless_line_is_dropped() {
        let mut text = vec![b'a'; 100_000];
        text.extend(b"\nnext\n");
        assert_eq!(lines(&text), ["a".repeat(1024), "next".to_owned()]);
        assert_eq!(lines(&[b'a'; 5000]), ["a".repeat(1024)]);
    }
}

//! Command lines, message data and chunks.

use channels::recipient_check::is_path;
use smtp_in::command::{self, Command};
use smtp_in::wire::{Data, Line, Wire};
use std::io::{self, Read, Write};

/// A command line is refused with one reply, or is what it says and nothing else.
///
/// # Panics
/// When that does not hold.
pub fn command(input: &[u8]) {
    let line = [input, b"\r\n"].concat();
    let is_chunk = input
        .get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
        && matches!(input.get(4), None | Some(b' ' | b'\t'));
    match command::parse(&line) {
        Ok(command) => {
            let plain = |byte: &u8| byte.is_ascii_graphic() || b" \t".contains(byte);
            assert!(input.iter().all(plain), "not ASCII: {command:?}");
            assert_eq!(is_chunk, matches!(command, Command::Chunk { .. }));
            match command {
                Command::Hello { host, .. } => {
                    assert!((1..=255).contains(&host.len()));
                    assert!(!host.contains(|letter: char| " ()<>;\"\\,@".contains(letter)));
                }
                Command::Mail { from, .. } => assert!(is_path(&from)),
                Command::Rcpt(to) => assert!(is_path(&to) && !to.is_empty()),
                Command::Chunk { size, .. } => assert!(size < 1_000_000_000_000),
                _ => {}
            }
        }
        Err(reply) => {
            assert!(reply.starts_with('5') && reply.len() < 512, "{reply}");
            assert!(reply.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            // How much follows a chunk's line is not known: the session must see it.
            assert_eq!(is_chunk, reply == smtp_in::reply::CHUNK_SYNTAX, "{reply}");
        }
    }
}

/// Gives so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(bytes.len()).min(self.0.len());
        let (now, later) = self.0.split_at(count);
        bytes[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes over the wire is cut into lines, messages and chunks exactly where a
/// plain search cuts it, however it arrives. The first byte is the size of the
/// pieces, the second how it is read.
///
/// # Panics
/// When that does not hold.
pub fn wire(input: &[u8]) {
    let [pieces, how, input @ ..] = input else {
        return;
    };
    let mut wire = Wire::new(Pieces(input, usize::from(*pieces) + 1));
    match how % 3 {
        0 => lines(&mut wire, input),
        1 => data(&mut wire, input),
        _ => chunk(&mut wire, input, usize::from(*how)),
    }
}

fn lines(wire: &mut Wire<Pieces<'_>>, input: &[u8]) {
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let got = wire.line();
        if !line.ends_with(b"\n") {
            assert!(got.is_err());
            return;
        }
        match got.expect("a line") {
            Line::Whole(got) => assert!(got == line && line.ends_with(b"\r\n")),
            Line::TooLong(got) => assert!(line.len() > 1000 && got[..500] == line[..500]),
            Line::Bare(got) => assert!(got == line && !line.ends_with(b"\r\n")),
        }
    }
    assert!(wire.line().is_err());
}

/// The limit here, so that small inputs reach it.
const MOST: usize = 100;

fn data(wire: &mut Wire<Pieces<'_>>, input: &[u8]) {
    let framed = [b"\r\n", input].concat();
    let end = framed.windows(5).position(|five| five == b"\r\n.\r\n");
    let Some(end) = end else {
        assert!(wire.data(MOST).is_err());
        return;
    };
    let got = wire.data(MOST).expect("a message");
    let expected = unstuffed(&input[..end]);
    match got {
        Data::Whole(got) => assert_eq!(got, expected),
        Data::TooBig => assert!(expected.len() > MOST, "{}", expected.len()),
    }
    rest(wire, &input[end + 3..]);
}

/// Lines end with CR LF; the first dot of each goes (RFC 5321 section 4.5.2).
fn unstuffed(stuffed: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut line_begins = true;
    for (at, byte) in stuffed.iter().enumerate() {
        if !(line_begins && *byte == b'.') {
            message.push(*byte);
        }
        line_begins = *byte == b'\n' && at > 0 && stuffed[at - 1] == b'\r';
    }
    message
}

fn chunk(wire: &mut Wire<Pieces<'_>>, input: &[u8], size: usize) {
    let mut got = Vec::new();
    let whole = wire.chunk(size as u64, |part| got.extend_from_slice(part));
    assert_eq!(whole.is_ok(), size <= input.len());
    assert_eq!(got, input[..size.min(input.len())]);
    if whole.is_ok() {
        rest(wire, &input[size..]);
    }
}

/// What follows is still there, to its last byte.
fn rest(wire: &mut Wire<Pieces<'_>>, rest: &[u8]) {
    let mut got = Vec::new();
    wire.chunk(rest.len() as u64, |part| got.extend_from_slice(part))
        .expect("the rest");
    assert_eq!(got, rest);
    assert!(!wire.has_more());
}

/// What is taken for a mailbox is one plain word that a command has as it is.
///
/// # Panics
/// When that does not hold.
pub fn path(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if !smtp_in::path::is_mailbox(&text) {
        return;
    }
    assert!(is_path(&text) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let (local, domain) = text.rsplit_once('@').expect("an @");
    assert!((1..=64).contains(&local.len()) && !domain.is_empty());
    assert!(
        !local.contains(['@', '"', '\\', ',', '<', '>', ' ']),
        "{text}"
    );
    let postmaster = local.eq_ignore_ascii_case("postmaster");
    assert_eq!(smtp_in::path::is_postmaster(&text), postmaster);
    match command::parse(format!("RCPT TO:<{text}>\r\n").as_bytes()) {
        Ok(Command::Rcpt(to)) => assert_eq!(to, text),
        // An address literal is nobody's here, and smtp-proto takes none.
        Err(reply) if domain.starts_with('[') => assert!(reply.starts_with("501 5.1.3")),
        other => panic!("{text}: {other:?}"),
    }
}

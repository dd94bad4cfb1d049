//! What a message must look like before anything else reads it (RFC 5321
//! section 2.3.8 and 4.5.3.1, RFC 5322 section 2 and 3.6). Whatever is not so
//! is refused as a whole; nothing is ever mended.

use crate::reply;

/// The longest line, in octets without its end: RFC 5322 section 2.1.1 says 998.
const MAX_LINE: usize = 16_000;
/// The largest header, in octets.
const MAX_HEADER: usize = 256 << 10;
/// The most header fields, and of those the most `Received` (RFC 5321 section 6.3).
const MAX_FIELDS: usize = 1000;
const MAX_RECEIVED: usize = 100;

/// Looks at a whole message, whose last line has its end.
///
/// # Errors
/// The reply to a message that is not taken.
pub fn check(message: &[u8]) -> Result<(), &'static str> {
    lines(message)?;
    let header = header(message);
    if header.len() > MAX_HEADER {
        return Err(reply::BIG_HEADER);
    }
    let (mut fields, mut from, mut received) = (0, 0, 0);
    for field in Fields(header) {
        fields += 1;
        let name = name(field);
        if name.eq_ignore_ascii_case(b"from") {
            // Behind a space, or with its colon on another line, it is one to some
            // readers and none to others: never exactly one.
            let line = field.split(|byte| *byte == b'\r').next().unwrap_or(field);
            let begins = line.get(..4).unwrap_or(b"").eq_ignore_ascii_case(b"from");
            from += if begins && line.contains(&b':') { 1 } else { 2 };
        }
        received += usize::from(name.eq_ignore_ascii_case(b"received"));
    }
    if fields > MAX_FIELDS {
        Err(reply::FIELDS)
    } else if received > MAX_RECEIVED {
        Err(reply::LOOP)
    } else if from != 1 {
        Err(reply::FROM)
    } else {
        Ok(())
    }
}

fn lines(message: &[u8]) -> Result<(), &'static str> {
    let (mut previous, mut length, mut long, mut nul) = (0, 0_usize, false, false);
    for byte in message {
        let ends = previous == b'\r' && *byte == b'\n';
        if !ends && (previous == b'\r' || *byte == b'\n') {
            return Err(reply::BARE);
        }
        length = if ends { 0 } else { length + 1 };
        // The carriage return is counted when its line feed has yet to come.
        long |= length > MAX_LINE + 1;
        nul |= *byte == 0;
        previous = *byte;
    }
    if previous == b'\r' {
        Err(reply::BARE)
    } else if nul {
        Err(reply::NUL)
    } else if long {
        Err(reply::LONG_LINE)
    } else {
        Ok(())
    }
}

/// The header of a message, without the empty line behind it.
pub(crate) fn header(message: &[u8]) -> &[u8] {
    if message.starts_with(b"\r\n") {
        return b"";
    }
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    &message[..end.map_or(message.len(), |at| at + 2)]
}

/// A field's name; empty when the line has no colon.
pub(crate) fn name(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|byte| *byte == b':');
    colon.map_or(b"", |colon| field[..colon].trim_ascii())
}

/// The fields of a header, each with its continuation lines and their ends
/// (RFC 5322 section 2.2.3).
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            let line = self.0[end..].windows(2).position(|pair| pair == b"\r\n");
            end = line.map_or(self.0.len(), |at| end + at + 2);
            if !matches!(self.0.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_as_it_must_be_is_taken_up_to_each_limit() {
        let line = "x".repeat(MAX_LINE);
        let fields = "a: b\r\n".repeat(MAX_FIELDS - 1);
        let received = "Received: x\r\n".repeat(MAX_RECEIVED);
        for good in [
            format!("From: a@b\r\n\r\n{line}\r\n"),
            format!("{fields}From: a@b\r\n\r\nFrom: c\r\n"),
            format!("{received}fRoM : a@b\r\n"),
            "From:\r\n a@b\r\n From: c\r\n\r\n\u{e4}\r\n".to_owned(),
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_message_that_is_not_so_gets_the_reply_to_its_fault() {
        let from = "From: a@b\r\n";
        let line = "x".repeat(MAX_LINE + 1);
        let fields = "a: b\r\n".repeat(MAX_FIELDS);
        let received = "Received: x\r\n".repeat(MAX_RECEIVED + 1);
        let header = format!("a: {}\r\n", "y".repeat(9_000)).repeat(30);
        for (bad, said) in [
            (format!("{from}\r\nx\ny\r\n"), reply::BARE),
            (format!("{from}\r\nx\ry\r\n"), reply::BARE),
            (format!("{from}\r\nx\r\r\n"), reply::BARE),
            (format!("{from}\r\nx\r"), reply::BARE),
            (format!("{from}\r\nx\0y\r\n"), reply::NUL),
            (format!("{from}\r\n{line}\r\n"), reply::LONG_LINE),
            (format!("{from}{header}\r\n"), reply::BIG_HEADER),
            (format!("{from}{fields}\r\n"), reply::FIELDS),
            (format!("{from}{received}\r\n"), reply::LOOP),
            (format!("{from}{from}\r\n"), reply::FROM),
            (format!("\r\n{from}"), reply::FROM),
            ("From\r\n : a@b\r\n\r\n".to_owned(), reply::FROM),
            (format!("{from}From\r\n : c\r\n\r\n"), reply::FROM),
            (format!(" {from}\r\n"), reply::FROM),
            (String::new(), reply::FROM),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(said));
        }
    }
}

//! The hash of a body in its relaxed form: RFC 6376 section 3.4.4.

use ring::digest::{Context, SHA256};

/// SHA-256 of the relaxed form of `body`, whose lines end with CR LF.
pub fn hash(body: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    // Empty lines at the end do not count, so they wait for one that is not.
    let mut empty = 0;
    let text = body.strip_suffix(b"\r\n").unwrap_or(body);
    for line in split_lines(text) {
        let line = relaxed(line);
        if line.is_empty() {
            empty += 1;
            continue;
        }
        for _ in 0..empty {
            context.update(b"\r\n");
        }
        empty = 0;
        context.update(&line);
        context.update(b"\r\n");
    }
    context.finish().as_ref().to_vec()
}

fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Only CR LF is there: a bare one was refused.
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Each run of blanks is one space, none at the end.
fn relaxed(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut blank = false;
    for byte in line {
        if matches!(byte, b' ' | b'\t') {
            blank = true;
            continue;
        }
        if blank {
            out.push(b' ');
            blank = false;
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Vec<u8> {
        ring::digest::digest(&SHA256, text).as_ref().to_vec()
    }

    #[test]
    fn the_relaxed_body_is_that_of_the_rfc() {
        // RFC 6376 section 3.4.5.
        assert_eq!(hash(b" C \r\nD \t E\r\n\r\n\r\n"), of(b" C\r\nD E\r\n"));
    }

    #[test]
    fn an_empty_body_is_the_empty_text() {
        for body in [&b""[..], b"\r\n", b"\r\n\r\n", b" \t\r\n"] {
            assert_eq!(hash(body), of(b""), "{body:?}");
        }
        assert_eq!(hash(b"a"), of(b"a\r\n"));
        assert_eq!(hash(b"\r\n\r\na\r\n"), of(b"\r\n\r\na\r\n"));
    }
}

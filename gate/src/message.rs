//! A message in parts: what it must look like, and its dots doubled.

/// Finds bytes that would be another message to somebody: a line feed or a
/// carriage return on its own (RFC 5321 section 2.3.8), or a missing last CRLF.
/// smtp-in refuses those before; if they come, it is not smtp-in that speaks.
#[derive(Debug, Default)]
pub struct Lines {
    after_return: bool,
    ended: bool,
}

impl Lines {
    /// Whether the message is lawful up to here.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.after_return != (*byte == b'\n') {
                return false;
            }
            self.ended = *byte == b'\n';
            self.after_return = *byte == b'\r';
        }
        true
    }

    /// Whether it may end here.
    pub fn may_end(&self) -> bool {
        self.ended
    }
}

/// Doubles a dot at a line's beginning (RFC 5321 section 4.5.2).
#[derive(Debug)]
pub struct Stuffing {
    line_begins: bool,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { line_begins: true }
    }
}

impl Stuffing {
    /// The next part of the message as it goes over the wire.
    pub fn stuff(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut stuffed = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 8);
        for byte in bytes {
            if self.line_begins && *byte == b'.' {
                stuffed.push(b'.');
            }
            stuffed.push(*byte);
            self.line_begins = *byte == b'\n';
        }
        stuffed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lawful(parts: &[&[u8]]) -> bool {
        let mut lines = Lines::default();
        parts.iter().all(|part| lines.take(part)) && lines.may_end()
    }

    #[test]
    fn only_lines_that_end_with_both_are_lawful_wherever_the_parts_are_cut() {
        let whole = b"a: b\r\n\r\n.\r\n..x\r\n";
        for cut in 0..=whole.len() {
            assert!(lawful(&[&whole[..cut], &whole[cut..]]), "{cut}");
        }
        for bad in [
            &b""[..],
            b"x",
            b"x\n",
            b"x\r",
            b"x\ry\r\n",
            b"\n.\r\n",
            b"\r\r\n",
            b"x\r\n\n",
        ] {
            for cut in 0..=bad.len() {
                assert!(!lawful(&[&bad[..cut], &bad[cut..]]), "{bad:?} {cut}");
            }
        }
    }

    #[test]
    fn a_dot_at_a_lines_beginning_is_doubled_wherever_the_parts_are_cut() {
        let whole = b".\r\nx.\r\n.y\r\n..\r\n";
        for cut in 0..=whole.len() {
            let mut stuffing = Stuffing::default();
            let mut stuffed = stuffing.stuff(&whole[..cut]);
            stuffed.extend(stuffing.stuff(&whole[cut..]));
            assert_eq!(stuffed, b"..\r\nx.\r\n..y\r\n...\r\n", "{cut}");
        }
    }
}

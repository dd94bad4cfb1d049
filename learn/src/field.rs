//! The header field that carries a message's tokens: base64 of all of them, or
//! `none`. The gate puts it above everything that came from outside, so that
//! the first one is always the gate's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channels::tokens::{MAX_TOKENS, Token};

/// The field's name.
pub const NAME: &str = "X-ProjectX-Tokens";
/// How much of a message is looked at, in bytes. The gate's field has 30,000 at
/// most, and above it are only those that Dovecot writes.
pub const HEAD: usize = 64 << 10;

/// Of a line with its fold, within the 78 of RFC 5322 section 2.1.1.
const LINE: usize = 76;

/// The field, folded, with CRLF at the end of each line. Where there are no
/// tokens it says so: without it, another one could pass for the gate's.
pub fn write(tokens: Option<&[Token]>) -> String {
    let tokens = tokens.unwrap_or_default();
    if tokens.is_empty() {
        return format!("{NAME}: none\r\n");
    }
    let text = STANDARD.encode(tokens.as_flattened());
    let mut field = format!("{NAME}:");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        field += "\r\n ";
        field += line;
        rest = after;
    }
    field + "\r\n"
}

/// The tokens of the first field of this name in `head`, the first [`HEAD`]
/// bytes of a message; `None` when it has none or is not as [`write()`] makes it.
pub fn find(head: &[u8]) -> Option<Vec<Token>> {
    let mut value: Option<Vec<u8>> = None;
    let mut ended = false;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let continues = matches!(line.first(), Some(b' ' | b'\t'));
        if let Some(value) = &mut value {
            if !continues {
                ended = true;
                break;
            }
            value.extend(text.trim_ascii_start());
        } else if text.is_empty() {
            break;
        } else if !continues {
            value = value_of(text);
        }
    }
    // What was cut off may have lost its last tokens.
    let whole = ended || head.len() < HEAD;
    tokens(&value.filter(|_| whole)?)
}

/// What follows the colon, if the field is ours.
fn value_of(line: &[u8]) -> Option<Vec<u8>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let value = line[colon + 1..].trim_ascii();
    name.eq_ignore_ascii_case(NAME.as_bytes())
        .then(|| value.to_vec())
}

fn tokens(value: &[u8]) -> Option<Vec<Token>> {
    let bytes = STANDARD.decode(value).ok()?;
    let (tokens, cut) = bytes.as_chunks::<5>();
    let lawful = cut.is_empty()
        && (1..=MAX_TOKENS).contains(&tokens.len())
        && tokens.is_sorted_by(|one, next| one < next);
    lawful.then(|| tokens.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: u32) -> Vec<Token> {
        let token = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            [a, b, c, d, 7]
        };
        (0..count).map(token).collect()
    }

    #[test]
    fn the_longest_field_is_found_where_it_was_put() {
        let tokens = many(MAX_TOKENS as u32);
        let field = write(Some(&tokens));
        assert!(field.lines().all(|line| line.len() <= 78));
        assert!(field.len() < 30_000);
        for message in [
            format!("Return-Path: <a@b>\r\n{field}Subject: x\r\n\r\nbody"),
            format!("{field}Subject: x\n\n").replace("\r\n", "\n"),
            field.clone(),
            field.replace("X-ProjectX-Tokens:", "x-projectx-TOKENS :"),
        ] {
            assert_eq!(find(message.as_bytes()).as_ref(), Some(&tokens));
        }
    }

    #[test]
    fn a_second_field_a_body_and_a_message_without_tokens_teach_nothing() {
        let other = write(Some(&many(3)));
        for message in [
            format!("{}{other}\r\n", write(None)),
            format!("{}{other}\r\n", write(Some(&[]))),
            format!("Subject: x\r\n\r\n{other}"),
            format!("\r\n{other}"),
            "Subject: x\r\n X-ProjectX-Tokens: AAAAAAE=\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(find(message.as_bytes()), None, "{message}");
        }
        assert_eq!(find(format!("{other}\r\n").as_bytes()), Some(many(3)));
    }

    #[test]
    fn what_the_gate_would_not_write_is_not_read() {
        let of = |bytes: &[u8]| format!("{NAME}: {}\r\n\r\n", STANDARD.encode(bytes));
        assert!(find(of(b"aaaaabbbbb").as_bytes()).is_some());
        for bad in [
            of(b"bbbbbaaaaa"),
            of(b"aaaaaaaaaa"),
            of(b"aaaaabbbb"),
            of(many(MAX_TOKENS as u32 + 1).as_flattened()),
            format!("{NAME}: aaaa!aaa\r\n\r\n"),
            format!("{NAME}:\r\n\r\n"),
        ] {
            assert_eq!(find(bad.as_bytes()), None, "{bad}");
        }
        // Cut off within the field, at a boundary of lines.
        let mut long = format!("A: {}\r\n", "x".repeat(HEAD - 300));
        long += &write(Some(&many(3000)));
        long.truncate(HEAD);
        assert_eq!(find(long.as_bytes()), None);
    }
}

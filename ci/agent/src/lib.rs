//! The language that the boot tests and the test agent speak over a serial line.
//!
//! One line a request, one line an answer. A request is words separated by
//! single spaces: a command and its arguments. An answer is `ok` or `error`
//! and one word. Whatever a word holds, spaces and line ends included, is
//! percent-encoded, so a line can neither be split nor run into the next.
//! Both ends use this file; nothing that is shipped does.

pub mod leftovers;

/// What the agent answered, or why a line was no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The agent tried and failed; the text is its reason.
    #[error("the test agent could not do it: {0}")]
    Refused(String),
    /// The line is not in this protocol (noise on the serial line, say).
    #[error("not an answer of the test agent: {0:?}")]
    Malformed(String),
}

/// One request as a line, without its line end.
pub fn request(words: &[&str]) -> String {
    let encoded: Vec<String> = words.iter().map(|word| encode(word.as_bytes())).collect();
    encoded.join(" ")
}

/// The words of a request line. Bytes that are no UTF-8 are replaced.
pub fn parse_request(line: &str) -> Vec<String> {
    line.split_ascii_whitespace()
        .map(|word| String::from_utf8_lossy(&decode(word)).into_owned())
        .collect()
}

/// The answer as a line, without its line end.
pub fn answer(result: &Result<Vec<u8>, String>) -> String {
    match result {
        Ok(bytes) => format!("ok {}", encode(bytes)),
        Err(reason) => format!("error {}", encode(reason.as_bytes())),
    }
}

/// The bytes of an `ok` answer, or what went wrong.
pub fn parse_answer(line: &str) -> Result<Vec<u8>, AnswerError> {
    match line.trim_end().split_once(' ') {
        Some(("ok", word)) => Ok(decode(word)),
        Some(("error", word)) => Err(AnswerError::Refused(
            String::from_utf8_lossy(&decode(word)).into_owned(),
        )),
        _ if line.trim_end() == "ok" => Ok(Vec::new()),
        _ => Err(AnswerError::Malformed(line.to_owned())),
    }
}

/// Letters, digits and a little punctuation stay; every other byte is `%XX`.
fn encode(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-_.:=,".contains(&byte) {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02X}"));
        }
    }
    if word.is_empty() {
        "%".to_owned()
    } else {
        word
    }
}

/// The inverse of [`encode`]. A `%` without two hexadecimal digits is nothing.
fn decode(word: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        if let Some(value) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(value);
            rest = &tail[2..];
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_spaces_and_line_ends_stays_one_line_and_keeps_its_words() {
        let line = request(&["write", "/data/a b", "one\ntwo %20 ü", ""]);
        assert!(!line.contains('\n'));
        assert_eq!(
            parse_request(&line),
            ["write", "/data/a b", "one\ntwo %20 ü", ""]
        );
    }

    #[test]
    fn an_answer_survives_the_line_with_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let line = answer(&Ok(bytes.clone()));
        assert!(line.is_ascii() && !line.contains('\r'));
        assert_eq!(parse_answer(&line), Ok(bytes));
        assert_eq!(parse_answer("ok %\r"), Ok(Vec::new()));
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let line = answer(&Err("no such file".into()));
        assert_eq!(
            parse_answer(&line),
            Err(AnswerError::Refused("no such file".into()))
        );
    }

    #[test]
    fn noise_is_not_an_answer() {
        assert!(matches!(
            parse_answer("[ 1.2] random: ok"),
            Err(AnswerError::Malformed(_))
        ));
    }
}

//! `tokens`: what a message consists of, and how often each part was seen in
//! the recipient's spam and in the recipient's other mail.
//!
//! A child of SpamAssassin sends the number of its tokens (32 bits, big-endian,
//! at most [`MAX_TOKENS`]) and each token, in ascending order and none twice. A
//! token is five bytes, the last of the SHA-1 of a word or a mark of the
//! message, as SpamAssassin makes them. The gate answers how many messages the
//! recipient has called spam and how many not, then for each token in how many
//! of either it was: pairs of 32 bits, big-endian. All of it is zero when
//! nothing is known, and when it is nobody's business.
//!
//! That is the whole of it: one question on one connection. The child has read
//! a stranger's message, and with a second question it could ask for words that
//! the message does not have.

use crate::line::{ChannelError, write_all};
use std::io::{Read, Write};

/// The channel's name.
pub const NAME: &str = "tokens";
/// The most tokens of one message. Of 2,000 messages of a corpus the longest had
/// 3,594; a child sends the lowest of a longer one, an even sample, as they are
/// hashes.
pub const MAX_TOKENS: usize = 4096;

/// The length of a number.
const NUMBER: usize = 4;

/// One token.
pub type Token = [u8; 5];

/// In how many messages of a kind something was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// That the recipient has called spam.
    pub spam: u32,
    /// That the recipient has called none.
    pub ham: u32,
}

/// A question as far as it has come.
#[derive(Debug, Default)]
pub struct Question {
    bytes: Vec<u8>,
}

impl Question {
    /// How many bytes may be read next, without a single one of what follows.
    pub fn wanted(&self) -> usize {
        match self.bytes.first_chunk::<NUMBER>() {
            None => NUMBER - self.bytes.len(),
            Some(count) => {
                let count = u32::from_be_bytes(*count) as usize;
                let whole = NUMBER + count.min(MAX_TOKENS) * size_of::<Token>();
                whole - self.bytes.len()
            }
        }
    }

    /// Takes what was read, at most [`Question::wanted`] bytes; gives the tokens
    /// when they are complete.
    ///
    /// # Errors
    /// When it is not in the protocol.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Vec<Token>>, ChannelError> {
        let protocol = |what| ChannelError::Protocol {
            channel: NAME,
            what,
        };
        self.bytes.extend_from_slice(bytes);
        let Some((count, rest)) = self.bytes.split_first_chunk::<NUMBER>() else {
            return Ok(None);
        };
        let count = u32::from_be_bytes(*count) as usize;
        if count > MAX_TOKENS {
            return Err(protocol("at most 4096 tokens"));
        }
        let (tokens, cut) = rest.as_chunks::<5>();
        if tokens.len() < count {
            return Ok(None);
        }
        if tokens.len() > count || !cut.is_empty() {
            return Err(protocol("one question only"));
        }
        if !tokens.is_sorted_by(|one, next| one < next) {
            return Err(protocol("each token once, in ascending order"));
        }
        Ok(Some(tokens.to_vec()))
    }
}

/// The gate: answers with the messages learnt from and the counts of each token
/// of the question, in its order.
///
/// # Errors
/// When the child does not take it.
pub fn answer(
    stream: &mut impl Write,
    messages: Counts,
    tokens: &[Counts],
) -> Result<(), ChannelError> {
    let all = [messages].into_iter().chain(tokens.iter().copied());
    let bytes: Vec<u8> = all
        .flat_map(|counts| [counts.spam, counts.ham])
        .flat_map(u32::to_be_bytes)
        .collect();
    write_all(NAME, stream, &bytes)
}

/// What the child does, in Rust: it is Perl on the box. Gives the messages
/// learnt from and each token's counts.
///
/// # Errors
/// When there is no whole answer.
pub fn ask(
    stream: &mut (impl Read + Write),
    tokens: &[Token],
) -> Result<(Counts, Vec<Counts>), ChannelError> {
    let mut question = (tokens.len() as u32).to_be_bytes().to_vec();
    question.extend(tokens.as_flattened());
    write_all(NAME, stream, &question)?;
    let mut bytes = vec![0; (1 + tokens.len()) * 2 * NUMBER];
    let io = |source| ChannelError::Io {
        channel: NAME,
        source,
    };
    stream.read_exact(&mut bytes).map_err(io)?;
    let (numbers, _) = bytes.as_chunks::<NUMBER>();
    let numbers: Vec<u32> = numbers.iter().map(|n| u32::from_be_bytes(*n)).collect();
    let (pairs, _) = numbers.as_chunks::<2>();
    let mut counts = pairs.iter().map(|[spam, ham]| Counts {
        spam: *spam,
        ham: *ham,
    });
    let messages = counts.next().unwrap_or_default();
    Ok((messages, counts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [Token; 3] = [*b"aaaaa", *b"bbbbb", [0xff; 5]];

    fn frame(count: u32, tokens: &[u8]) -> Vec<u8> {
        [&count.to_be_bytes(), tokens].concat()
    }

    #[test]
    fn a_question_is_read_in_parts_and_never_beyond_its_end() {
        let whole = frame(3, TOKENS.as_flattened());
        for size in 1..=whole.len() {
            let mut question = Question::default();
            let (mut at, mut found) = (0, None);
            while found.is_none() {
                let part = question.wanted().min(size);
                assert!(part > 0 && at + part <= whole.len(), "{size}");
                found = question.take(&whole[at..at + part]).unwrap();
                at += part;
            }
            assert_eq!(found.unwrap(), TOKENS);
            assert_eq!((at, question.wanted()), (whole.len(), 0), "{size}");
        }
        let none = Question::default().take(&frame(0, b"")).unwrap();
        assert_eq!(none, Some(Vec::new()));
    }

    #[test]
    fn what_a_taken_over_child_might_ask_is_refused() {
        for bad in [
            frame(4097, b""),
            frame(u32::MAX, b"aaaaa"),
            frame(2, b"bbbbbaaaaa"),
            frame(2, b"aaaaaaaaaa"),
            frame(1, b"aaaaab"),
            frame(1, b"aaaaabbbbb"),
            frame(0, b"x"),
        ] {
            assert!(Question::default().take(&bad).is_err(), "{bad:?}");
        }
        // So that a number of that size can't be waited for either.
        let mut question = Question::default();
        assert!(question.take(&u32::MAX.to_be_bytes()[..3]).is_ok());
        assert_eq!(question.wanted(), 1);
    }

    #[test]
    fn an_answer_is_what_was_answered() {
        let (mut child, mut gate) = std::os::unix::net::UnixStream::pair().unwrap();
        let of = |spam, ham| Counts { spam, ham };
        let counts = [of(1, 2), of(0, 0), of(u32::MAX, 3)];
        answer(&mut gate, of(20, 30), &counts).unwrap();
        let found = ask(&mut child, &TOKENS).unwrap();
        assert_eq!(found, (of(20, 30), counts.to_vec()));
        let mut bytes = [0; 4];
        gate.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0, 3]);
        drop(gate);
        assert!(ask(&mut child, &TOKENS).is_err());
    }
}

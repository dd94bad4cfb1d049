//! What SpamAssassin's child asks about the message: answered once, from what
//! the one recipient's filter has learnt.
//!
//! The child has read a stranger's message and may be somebody else's by now. It
//! gets numbers for at most 4096 tokens, and whatever it does otherwise ends its
//! channel and nothing else: the message is still delivered.

use channels::ChannelError;
use channels::tokens::{self, Counts, Question, Token};
use learn::{Table, store};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the answer may take to be taken; it fits into the socket's buffer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The channel to the child, and what came over it.
#[derive(Debug)]
pub(crate) struct Scan {
    stream: Option<UnixStream>,
    question: Question,
    tokens: Option<Vec<Token>>,
    judged_for: Option<String>,
}

impl Scan {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            question: Question::default(),
            tokens: None,
            judged_for: None,
        }
    }

    /// The channel, while there is anything to expect of it.
    pub(crate) fn stream(&self) -> Option<&UnixStream> {
        self.stream.as_ref()
    }

    /// The message's tokens, if the child has said them.
    pub(crate) fn tokens(&self) -> Option<&[Token]> {
        self.tokens.as_deref()
    }

    /// Whether a message to these recipients may be delivered: when it was judged
    /// by what one recipient's filter knows, to nobody but this one, or others
    /// would learn of it. They are addresses as Dovecot took them.
    pub(crate) fn allows(&self, recipients: &[String]) -> bool {
        let one = self.judged_for.as_ref();
        one.is_none_or(|one| recipients == std::slice::from_ref(one))
    }

    /// Reads what has come, and answers when the question is complete. Does not
    /// wait: the stream is readable. `approved` are the recipients so far.
    pub(crate) fn read(&mut self, approved: &[String], learned: &Path) {
        match self.step(approved, learned) {
            Ok(true) => {}
            Ok(false) => self.stream = None,
            Err(error) => {
                // The child reads an end of file and goes on without an answer.
                self.stream = None;
                eprintln!("gate: {error}; the message goes on without it");
            }
        }
    }

    /// Whether there may be more.
    fn step(&mut self, approved: &[String], learned: &Path) -> Result<bool, ChannelError> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let io = |source| ChannelError::Io {
            channel: tokens::NAME,
            source,
        };
        // After the answer a single byte is too much.
        let mut part = vec![0; self.question.wanted().max(1)];
        let count = match stream.read(&mut part) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(io(error)),
        };
        let Some(asked) = self.question.take(&part[..count])? else {
            return Ok(true);
        };
        let known = match approved {
            [one] => table(one, learned).map(|table| (one, table)),
            _ => None,
        };
        let mut messages = Counts::default();
        let mut counts = vec![messages; asked.len()];
        if let Some((one, table)) = known {
            messages = table.messages();
            counts = asked.iter().map(|token| table.counts(token)).collect();
            self.judged_for = Some(one.clone());
        }
        self.tokens = Some(asked);
        stream.set_write_timeout(Some(PATIENCE)).map_err(io)?;
        tokens::answer(stream, messages, &counts)?;
        Ok(true)
    }
}

/// What `recipient`'s filter has learnt. The supervisor has made a link of the
/// address's name in `learned` to the person's folder.
fn table(recipient: &str, learned: &Path) -> Option<Table> {
    let name = without_detail(&recipient.to_ascii_lowercase());
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte);
    // An address that this box gives out (people/src/address.rs): as a file's
    // name it leads nowhere else.
    if !name.bytes().all(letter) || name.starts_with('.') || !name.contains('@') {
        return None;
    }
    store::read(&learned.join(name)).unwrap_or_else(|error| {
        eprintln!(
            "gate: what a filter has learnt can't be used: {}",
            quiet(&error)
        );
        None
    })
}

/// `anna@example.org` of `anna+shop@example.org` (RFC 5233 section 1): Dovecot
/// gives both to Anna.
fn without_detail(address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address.to_owned();
    };
    let user = local.split('+').next().unwrap_or(local);
    format!("{user}@{domain}")
}

/// The log names nobody.
fn quiet(error: &store::StoreError) -> String {
    match error {
        store::StoreError::Damaged { source, .. } => source.to_string(),
        store::StoreError::Io { source, .. } => source.to_string(),
    }
}

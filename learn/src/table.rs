//! The table: how often each token was in spam and in other mail.
//!
//! Its bytes, numbers big-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `pxlearn1` |
//! | 4, 4 | messages learnt as spam, and as none |
//! | 4, 4 | number of tokens, number of remembered messages |
//! | 15 each | token (5), in how much spam (4) and other mail (4) it was, the day it was last learnt (2) |
//! | 19 each | a message (16), 1 if it was spam or 0 (1), the day (2) |
//!
//! Both lists are in ascending order of their first part, and none is there
//! twice. A day is one since 1970. A message is remembered by a hash of its
//! tokens, so that it counts once, and can be forgotten.

use channels::tokens::{Counts, Token};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"pxlearn1";
/// The most tokens. SpamAssassin's own limit is the same; the table then has
/// two megabytes.
pub const MAX_ENTRIES: usize = 150_000;
/// The most messages that are remembered. An older one could be learnt twice.
pub const MAX_SEEN: usize = 20_000;
/// How much is left of a list that has grown too long, so that it does not have
/// to be shortened for each message.
const KEPT: (usize, usize) = (9, 10);

const HEAD: usize = 24;
const ENTRY: usize = 15;
const SEEN: usize = 19;
/// The longest table, in bytes.
pub(crate) const MAX_BYTES: usize = HEAD + MAX_ENTRIES * ENTRY + MAX_SEEN * SEEN;

/// What a message is to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unwanted.
    Spam,
    /// Wanted.
    Ham,
}

/// The bytes are no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a table of what was learnt: {0}")]
pub struct Damaged(&'static str);

/// What was learnt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    messages: Counts,
    entries: Vec<Entry>,
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    token: Token,
    counts: Counts,
    day: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    id: [u8; 16],
    kind: Kind,
    day: u16,
}

impl Table {
    /// How many messages were learnt from.
    pub fn messages(&self) -> Counts {
        self.messages
    }

    /// In how many messages `token` was; zero when it is not known.
    pub fn counts(&self, token: &Token) -> Counts {
        let found = self.entries.binary_search_by_key(token, |one| one.token);
        found.map_or(Counts::default(), |at| self.entries[at].counts)
    }

    /// How many tokens are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no token is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Learns that the message with these tokens, in ascending order, is of this
    /// kind. One that was learnt as the other kind is forgotten first; false
    /// when it was learnt as this one already.
    pub fn learn(&mut self, tokens: &[Token], kind: Kind, day: u16) -> bool {
        let id = id(tokens);
        let at = match self.seen.binary_search_by_key(&id, |seen| seen.id) {
            Ok(at) if self.seen[at].kind == kind => return false,
            Ok(at) => {
                let Seen { kind, .. } = self.seen.remove(at);
                self.count(tokens, day, |counts| less(counts, kind));
                less(&mut self.messages, kind);
                at
            }
            Err(at) => at,
        };
        self.seen.insert(at, Seen { id, kind, day });
        self.count(tokens, day, |counts| more(counts, kind));
        more(&mut self.messages, kind);
        self.shorten();
        true
    }

    /// Merges `tokens` in, changing the counts of each.
    fn count(&mut self, tokens: &[Token], day: u16, change: impl Fn(&mut Counts)) {
        let mut merged = Vec::with_capacity(self.entries.len() + tokens.len());
        let mut old = std::mem::take(&mut self.entries).into_iter().peekable();
        for token in tokens {
            while let Some(before) = old.next_if(|entry| entry.token < *token) {
                merged.push(before);
            }
            let known = old.next_if(|entry| entry.token == *token);
            let mut entry = known.unwrap_or(Entry {
                token: *token,
                counts: Counts::default(),
                day,
            });
            change(&mut entry.counts);
            entry.day = entry.day.max(day);
            if entry.counts != Counts::default() {
                merged.push(entry);
            }
        }
        merged.extend(old);
        self.entries = merged;
    }

    /// Drops what was not learnt for longest when there is too much of it, and of
    /// the same day what is rarest.
    fn shorten(&mut self) {
        let rank = |entry: &Entry| {
            let Counts { spam, ham } = entry.counts;
            (entry.day, spam.saturating_add(ham))
        };
        shorten(&mut self.entries, MAX_ENTRIES, rank, |entry| entry.token);
        shorten(&mut self.seen, MAX_SEEN, |seen| seen.day, |seen| seen.id);
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let Counts { spam, ham } = self.messages;
        let lengths = [self.entries.len() as u32, self.seen.len() as u32];
        bytes.extend(
            [spam, ham]
                .into_iter()
                .chain(lengths)
                .flat_map(u32::to_be_bytes),
        );
        for Entry { token, counts, day } in &self.entries {
            bytes.extend(token);
            bytes.extend(counts.spam.to_be_bytes());
            bytes.extend(counts.ham.to_be_bytes());
            bytes.extend(day.to_be_bytes());
        }
        for Seen { id, kind, day } in &self.seen {
            bytes.extend(id);
            bytes.push(u8::from(*kind == Kind::Spam));
            bytes.extend(day.to_be_bytes());
        }
        bytes
    }

    /// Reads a table that anybody may have written.
    ///
    /// # Errors
    /// When it is not whole, too long, out of order, or contradicts itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut rest = bytes;
        if take(&mut rest)? != *MAGIC {
            return Err(Damaged("its first eight bytes"));
        }
        let messages = counts(&mut rest)?;
        let entries = u32::from_be_bytes(take(&mut rest)?) as usize;
        let seen = u32::from_be_bytes(take(&mut rest)?) as usize;
        if entries > MAX_ENTRIES || seen > MAX_SEEN {
            return Err(Damaged("too many of something"));
        }
        if rest.len() != entries * ENTRY + seen * SEEN {
            return Err(Damaged("its length"));
        }
        let mut table = Self {
            messages,
            entries: Vec::with_capacity(entries),
            seen: Vec::with_capacity(seen),
        };
        for _ in 0..entries {
            let (token, counts) = (take(&mut rest)?, counts(&mut rest)?);
            let day = u16::from_be_bytes(take(&mut rest)?);
            if counts.spam > messages.spam || counts.ham > messages.ham {
                return Err(Damaged("a token in more messages than there are"));
            }
            table.entries.push(Entry { token, counts, day });
        }
        for _ in 0..seen {
            let id = take(&mut rest)?;
            let kind = match take(&mut rest)? {
                [1] => Kind::Spam,
                [0] => Kind::Ham,
                _ => return Err(Damaged("a message of a third kind")),
            };
            let day = u16::from_be_bytes(take(&mut rest)?);
            table.seen.push(Seen { id, kind, day });
        }
        let ordered = table
            .entries
            .is_sorted_by(|one, next| one.token < next.token)
            && table.seen.is_sorted_by(|one, next| one.id < next.id);
        ordered.then_some(table).ok_or(Damaged("its order"))
    }
}

fn more(counts: &mut Counts, kind: Kind) {
    let count = of(counts, kind);
    *count = count.saturating_add(1);
}

fn less(counts: &mut Counts, kind: Kind) {
    let count = of(counts, kind);
    *count = count.saturating_sub(1);
}

fn of(counts: &mut Counts, kind: Kind) -> &mut u32 {
    match kind {
        Kind::Spam => &mut counts.spam,
        Kind::Ham => &mut counts.ham,
    }
}

fn id(tokens: &[Token]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(tokens.as_flattened()).into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

/// Leaves nine tenths of `most`, those of the highest rank.
fn shorten<T, R: Ord, K: Ord>(
    list: &mut Vec<T>,
    most: usize,
    rank: impl Fn(&T) -> R,
    key: impl Fn(&T) -> K,
) {
    if list.len() > most {
        list.sort_by_key(|one| std::cmp::Reverse(rank(one)));
        list.truncate(most * KEPT.0 / KEPT.1);
        list.sort_by_key(key);
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (first, after) = rest.split_first_chunk().ok_or(Damaged("its length"))?;
    *rest = after;
    Ok(*first)
}

fn counts(rest: &mut &[u8]) -> Result<Counts, Damaged> {
    let spam = u32::from_be_bytes(take(rest)?);
    let ham = u32::from_be_bytes(take(rest)?);
    Ok(Counts { spam, ham })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Token = *b"aaaaa";
    const B: Token = *b"bbbbb";
    const C: Token = *b"ccccc";

    fn counts_of(spam: u32, ham: u32) -> Counts {
        Counts { spam, ham }
    }

    fn learnt() -> Table {
        let mut table = Table::default();
        assert!(table.learn(&[A, B], Kind::Spam, 1));
        assert!(table.learn(&[B, C], Kind::Ham, 2));
        table
    }

    #[test]
    fn a_message_counts_once_and_changes_sides_whole() {
        let mut table = learnt();
        assert_eq!(table.messages(), counts_of(1, 1));
        assert_eq!(table.counts(&B), counts_of(1, 1));
        let before = table.clone();
        assert!(!table.learn(&[A, B], Kind::Spam, 3));
        assert_eq!(table, before);
        assert!(table.learn(&[A, B], Kind::Ham, 3));
        assert_eq!(table.messages(), counts_of(0, 2));
        assert_eq!(table.counts(&A), counts_of(0, 1));
        assert_eq!(table.counts(&B), counts_of(0, 2));
        assert_eq!(table.counts(b"zzzzz"), counts_of(0, 0));
        // And back: all is as it was, but for the days.
        assert!(table.learn(&[A, B], Kind::Spam, 1));
        assert_eq!(table.messages(), before.messages());
        assert_eq!(
            (table.counts(&A), table.counts(&B)),
            (counts_of(1, 0), counts_of(1, 1))
        );
    }

    #[test]
    fn the_bytes_are_as_documented_and_are_read_again() {
        let bytes = learnt().to_bytes();
        let head = b"pxlearn1\0\0\0\x01\0\0\0\x01\0\0\0\x03\0\0\0\x02";
        let tokens = b"aaaaa\0\0\0\x01\0\0\0\0\0\x01bbbbb\0\0\0\x01\0\0\0\x01\0\x02ccccc\0\0\0\0\0\0\0\x01\0\x02";
        assert_eq!(bytes[..HEAD], *head);
        assert_eq!(bytes[HEAD..HEAD + 45], *tokens);
        assert_eq!(bytes.len(), HEAD + 3 * ENTRY + 2 * SEEN);
        assert_eq!(Table::from_bytes(&bytes), Ok(learnt()));
        assert_eq!(
            Table::from_bytes(&Table::default().to_bytes()),
            Ok(Table::default())
        );
    }

    #[test]
    fn a_damaged_table_is_none() {
        let bytes = learnt().to_bytes();
        for length in 0..bytes.len() {
            assert!(Table::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Table::from_bytes(&bytes).map(drop)
        };
        assert_eq!(with(0, b'P'), Err(Damaged("its first eight bytes")));
        assert_eq!(with(16, 0xff), Err(Damaged("too many of something")));
        assert_eq!(with(20, 0xff), Err(Damaged("too many of something")));
        assert_eq!(with(19, 4), Err(Damaged("its length")));
        assert_eq!(with(HEAD, b'x'), Err(Damaged("its order")));
        assert_eq!(
            with(HEAD + 8, 2),
            Err(Damaged("a token in more messages than there are"))
        );
        let third = HEAD + 3 * ENTRY + 16;
        assert_eq!(with(third, 2), Err(Damaged("a message of a third kind")));
    }

    #[test]
    fn a_table_that_grew_too_long_loses_what_is_oldest_and_then_what_is_rarest() {
        let token = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            [a, b, c, d, 0]
        };
        let mut table = Table::default();
        let half = MAX_ENTRIES as u32 / 2;
        let (old, new): (Vec<_>, Vec<_>) = (0..2 * half).map(token).partition(|t| *t < token(half));
        table.learn(&old, Kind::Spam, 10);
        table.learn(&old[..3], Kind::Ham, 10);
        table.learn(&new, Kind::Spam, 11);
        assert_eq!(table.len(), MAX_ENTRIES);
        table.learn(&[A], Kind::Spam, 12);
        assert_eq!(table.len(), MAX_ENTRIES * 9 / 10);
        assert_eq!(table.counts(&A), counts_of(1, 0));
        assert!(new.iter().all(|t| table.counts(t) == counts_of(1, 0)));
        assert!(old[..3].iter().all(|t| table.counts(t) == counts_of(1, 1)));
        assert_eq!(Table::from_bytes(&table.to_bytes()), Ok(table.clone()));
        let mut table = Table::default();
        // Each message another choice of 15 tokens.
        for number in 1..=MAX_SEEN as u32 + 1 {
            let chosen = (0..15).filter(|bit| number >> bit & 1 == 1);
            table.learn(&chosen.map(token).collect::<Vec<_>>(), Kind::Ham, 1);
        }
        assert_eq!(table.seen.len(), MAX_SEEN * 9 / 10);
        assert_eq!(table.messages().ham, MAX_SEEN as u32 + 1);
    }
}

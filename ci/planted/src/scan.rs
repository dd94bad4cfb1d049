//! Looking through all of one's own memory without a file that says where it is:
//! rt_sigprocmask(2) with a nonsense `how` says `EFAULT` for an address that is
//! not mapped and `EINVAL` for one that is, and every policy allows it.

use crate::sys;
use std::collections::BTreeSet;

const PAGE: usize = 4096;
/// How far from one mapping the next is looked for.
const GAP: usize = 1 << 20;
/// The most that is looked at from one place on, each way.
const REACH: usize = 512 << 20;
/// Letters of a secret after the prefix, at most.
const LONGEST: usize = 40;

/// What in this process's memory begins with `prefix` and goes on with a name,
/// `-` and 16 hexadecimal digits. `also` is an address to begin at, beside the
/// stack, the heap, the program's data and what was mapped last.
pub(crate) fn secrets(prefix: &str, also: &[u8]) -> BTreeSet<String> {
    let on_stack = 0_u8;
    let small = Box::new(0_u8);
    let large = vec![0_u8; 8 << 20];
    let starts = [
        &raw const on_stack as usize,
        &raw const *small as usize,
        large.as_ptr() as usize,
        also.as_ptr() as usize,
        crate::MARKER.as_ptr() as usize,
    ];
    let mut seen = BTreeSet::new();
    let mut found = BTreeSet::new();
    for start in starts {
        let start = start / PAGE * PAGE;
        // Up, and down from the page before.
        let up = (0..REACH / PAGE).map(|page| start.wrapping_add(page * PAGE));
        let down = (1..REACH / PAGE).map(|page| start.wrapping_sub(page * PAGE));
        through(up, prefix, &mut seen, &mut found);
        through(down, prefix, &mut seen, &mut found);
    }
    found
}

fn through(
    pages: impl Iterator<Item = usize>,
    prefix: &str,
    seen: &mut BTreeSet<usize>,
    found: &mut BTreeSet<String>,
) {
    let mut missing = 0;
    for page in pages {
        if missing > GAP / PAGE || seen.contains(&page) {
            return;
        }
        if !sys::is_mapped(page) {
            missing += 1;
            continue;
        }
        missing = 0;
        seen.insert(page);
        // A secret may go on in the next page.
        let mut bytes = sys::page(page);
        if sys::is_mapped(page + PAGE) {
            bytes.extend(&sys::page(page + PAGE)[..prefix.len() + LONGEST]);
        }
        in_bytes(&bytes, prefix, found);
    }
}

fn in_bytes(bytes: &[u8], prefix: &str, found: &mut BTreeSet<String>) {
    let mut rest = bytes;
    while let Some(at) = position(rest, prefix.as_bytes()) {
        let after = &rest[at + prefix.len()..];
        found.extend(secret(after).map(|name| format!("{prefix}{name}")));
        rest = &rest[at + 1..];
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// `NAME-0123456789abcdef` at the start.
fn secret(bytes: &[u8]) -> Option<&str> {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_lowercase());
    let name = letters.count();
    let end = name + 1 + 16;
    let whole = bytes.get(..end)?;
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let fits = name > 0 && whole[name] == b'-' && whole[name + 1..].iter().all(is_hex);
    fits.then(|| str::from_utf8(whole).ok()).flatten()
}

//! Numbers and lists as people say them.

use std::fmt::Display;

/// `3 files`, `1 file`.
pub(super) fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    }
}

/// Bytes in the largest unit that gives a whole number.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(shift, _): &&(u32, &str)| bytes > 0 && bytes.trailing_zeros() >= *shift;
    match UNITS.iter().find(whole) {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => count(bytes, "byte"),
    }
}

/// `a, b, c`.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

/// How much `value` is of `most`, 0 to 100, and never 0 for something.
pub(super) fn percent(value: u64, most: u64) -> u64 {
    let share = u128::from(value) * 100;
    let share = share.div_ceil(u128::from(most.max(1)));
    u64::try_from(share.min(100)).unwrap_or(100)
}

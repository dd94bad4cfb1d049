//! A stranger's words and numbers, so that a page and a log can show them.

use mail_parser::DateTime;

/// The last second that has a year of four digits.
const LAST: u64 = 253_402_300_799;

/// Printable ASCII without `"` and `\`, `most` letters of it; each run of anything else
/// is one `?`, and of blanks one blank.
pub(crate) fn clean(words: &str, most: usize) -> String {
    let mut clean = String::new();
    for letter in words.trim().chars() {
        let letter = match letter {
            letter if letter.is_whitespace() => ' ',
            '!'..='~' if !matches!(letter, '"' | '\\') => letter,
            _ => '?',
        };
        let again = matches!(letter, ' ' | '?') && clean.ends_with(letter);
        if !again {
            clean.push(letter);
        }
        if clean.len() == most {
            break;
        }
    }
    clean
}

/// `2026-11-25`.
pub(crate) fn day(date: &DateTime) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

/// The same of seconds since 1970.
pub(crate) fn day_of(seconds: u64) -> String {
    let seconds = i64::try_from(seconds.min(LAST)).unwrap_or_default();
    day(&DateTime::from_timestamp(seconds))
}

/// The three highest counts with their names, `expired 3, other 1`.
pub(crate) fn highest(counts: impl IntoIterator<Item = (String, u64)>) -> String {
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let shown = counts.iter().take(3);
    let shown: Vec<String> = shown
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_is_short_printable_ascii() {
        assert_eq!(clean("  Google\r\n Inc. ", 40), "Google Inc.");
        assert_eq!(clean("\u{1b}[2J\"\\\u{202e}x", 40), "?[2J?x");
        assert_eq!(clean(&"y".repeat(100), 40).len(), 40);
    }

    #[test]
    fn the_highest_three_are_named_and_no_date_is_too_far() {
        let counts = [("a", 1), ("b", 5), ("c", 0), ("d", 1), ("e", 7)];
        let counts = counts.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(highest(counts), "e 7, b 5, a 1");
        assert_eq!(day_of(1_795_539_625), "2026-11-24");
        assert_eq!(day_of(u64::MAX), "9999-12-31");
    }
}

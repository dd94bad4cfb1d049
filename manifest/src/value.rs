//! Values that are written as text: names, sizes, durations, shares, paths.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// 1 to 32 of `a-z`, `0-9` and `-`, with a letter first and no `-` last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.len() <= 32
            && text.bytes().all(good)
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "\"{text}\" is not a name; write 1 to 32 of a-z, 0-9 and -, a letter first and no - last"
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Bytes; written with K, M or G (1024, 1024², 1024³), or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// Of so many bytes.
    pub(crate) const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a size; write a number with K, M or G");
        if text == "0" {
            return Ok(Self(0));
        }
        let shift = match text.bytes().last() {
            Some(b'K') => 10,
            Some(b'M') => 20,
            Some(b'G') => 30,
            _ => return Err(wrong()),
        };
        let number = digits(&text[..text.len() - 1]).ok_or_else(wrong)?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => out.write_str("0"),
            bytes if bytes % (1 << 30) == 0 => write!(out, "{}G", bytes >> 30),
            bytes if bytes % (1 << 20) == 0 => write!(out, "{}M", bytes >> 20),
            bytes => write!(out, "{}K", bytes >> 10),
        }
    }
}

/// Percent of one processor, 1 to 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(digits);
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(number @ 1..=400) => Ok(Self(number)),
            _ => Err(format!(
                "\"{text}\" is not a share of a processor; write 1% to 400%"
            )),
        }
    }

    /// 100 is one whole processor.
    pub fn of_one_processor(self) -> u32 {
        self.0
    }
}

/// `90s`, `10m` or `1h`, from a second to a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => 0,
    };
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(digits)
        .unwrap_or(0);
    match number.checked_mul(seconds) {
        Some(all @ 1..=86_400) => Ok(Duration::from_secs(all)),
        _ => Err(format!(
            "\"{text}\" is not a time; write a number with s, m or h, from 1s to 24h"
        )),
    }
}

/// An absolute path without `.`, `..` or empty names, and not the root itself.
pub(crate) fn path(text: &str) -> Result<PathBuf, String> {
    let names = text.strip_prefix('/');
    let good = names.is_some_and(|names| {
        names
            .split('/')
            .all(|name| !["", ".", ".."].contains(&name) && !name.contains('\0'))
    });
    if good {
        Ok(PathBuf::from(text))
    } else {
        Err(format!(
            "\"{text}\" is not a path; write one that begins with / and has no . or .. in it"
        ))
    }
}

/// A whole number of digits only: no sign, no space.
fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_comes_back_as_it_was_written() {
        for text in ["0", "1K", "128M", "2G", "1025K"] {
            assert_eq!(Size::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Size::parse("128M").unwrap().bytes(), 134_217_728);
        for text in ["", "M", "-1M", "1m", "1.5G", "99999999999999999999G", "é"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        assert_eq!(duration("10m").unwrap().as_secs(), 600);
        for text in ["", "m", "10", "0s", "25h", "1d", "é"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

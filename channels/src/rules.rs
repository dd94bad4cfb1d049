//! What the owner has chosen about strangers' mail: block lists and trusted
//! forwarders, both none unless somebody named some.
//!
//! The supervisor writes the file, one choice a line; the gate reads it and says
//! it to smtp-in, which has no file, before its first question on
//! `recipient-check`, as one line of JSON.

use crate::line::{ChannelError, read_json, write_json};
use crate::recipient_check::NAME;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{Read, Write};

/// The most lists, and the most forwarders: each list costs a look-up a message.
pub const MOST: usize = 8;
const MAX_LINE: usize = 8192;

/// The choices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Zones of DNS in which a peer's address must not be (RFC 5782).
    pub block_lists: Vec<String>,
    /// Domains whose word about a forwarded message is taken (RFC 8617).
    pub trusted_sealers: Vec<String>,
}

/// A file that is not as the supervisor writes it; none of it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of the rules for mail from outside is not \"block-list ZONE\" or \
     \"trust-seals-of DOMAIN\", eight of each at most; none of them is in force"
)]
pub struct RulesError {
    /// The line, from 1.
    pub line: usize,
}

impl Rules {
    /// Reads the file: `block-list ZONE` and `trust-seals-of DOMAIN`, `#` before
    /// a comment.
    ///
    /// # Errors
    /// When a line is neither, or there are too many.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let mut rules = Self::default();
        for (index, line) in text.lines().enumerate() {
            let error = RulesError { line: index + 1 };
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (word, domain) = line.split_once(' ').ok_or(error)?;
            let domain = domain.trim().to_ascii_lowercase();
            let list = match word {
                "block-list" => &mut rules.block_lists,
                "trust-seals-of" => &mut rules.trusted_sealers,
                _ => return Err(error),
            };
            if !is_domain(&domain) || list.len() == MOST {
                return Err(error);
            }
            list.push(domain);
        }
        Ok(rules)
    }

    fn is_lawful(&self) -> bool {
        [&self.block_lists, &self.trusted_sealers]
            .into_iter()
            .all(|list| list.len() <= MOST && list.iter().all(|domain| is_domain(domain)))
    }
}

impl fmt::Display for Rules {
    /// The file, as [`Rules::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for zone in &self.block_lists {
            writeln!(f, "block-list {zone}")?;
        }
        for domain in &self.trusted_sealers {
            writeln!(f, "trust-seals-of {domain}")?;
        }
        Ok(())
    }
}

/// A zone or domain as a person types it, in small letters and without a last dot;
/// `None` when it is none of those that a rule may have.
pub fn domain(typed: &str) -> Option<String> {
    let typed = typed.trim().to_ascii_lowercase();
    let domain = typed.strip_suffix('.').unwrap_or(&typed);
    is_domain(domain).then(|| domain.to_owned())
}

/// The gate: says them, before anything else.
///
/// # Errors
/// When the stream broke.
pub fn say(stream: &mut impl Write, rules: &Rules) -> Result<(), ChannelError> {
    write_json(NAME, stream, rules)
}

/// smtp-in: hears them.
///
/// # Errors
/// When they do not come, or are none.
pub fn hear(stream: &mut impl Read) -> Result<Rules, ChannelError> {
    let rules: Rules =
        read_json(NAME, stream, MAX_LINE)?.ok_or(ChannelError::Closed { channel: NAME })?;
    match rules.is_lawful() {
        true => Ok(rules),
        false => Err(ChannelError::Protocol {
            channel: NAME,
            what: "eight domains of each kind",
        }),
    }
}

/// A name of DNS with two labels at least, in small letters, short enough for an
/// IPv6 address before it.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
            })
    };
    text.len() <= 180 && text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_arrives_as_it_was_meant() {
        let text = "# chosen\n\nblock-list BL.example # one\ntrust-seals-of lists.example\n";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(rules.block_lists, ["bl.example"]);
        assert_eq!(rules.trusted_sealers, ["lists.example"]);
        let mut said = Vec::new();
        say(&mut said, &rules).unwrap();
        assert_eq!(hear(&mut said.as_slice()).unwrap(), rules);
        assert_eq!(Rules::parse(&rules.to_string()).unwrap(), rules);
        assert_eq!(Rules::parse("").unwrap(), Rules::default());
    }

    #[test]
    fn a_line_that_is_no_rule_is_named_and_nothing_else_arrives() {
        let nine = "block-list a.example\n".repeat(9);
        for (text, line) in [
            ("block-list", 1),
            ("\nblock-list example", 2),
            ("block-list a..example", 1),
            ("block-list a.example b.example", 1),
            ("allow a.example", 1),
            (&nine, 9),
        ] {
            assert_eq!(Rules::parse(text), Err(RulesError { line }), "{text}");
        }
        for said in [
            "",
            "{}",
            "\n",
            r#"{"block_lists":["A.example"],"trusted_sealers":[]}"#,
            r#"{"block_lists":["a.example\r\n"],"trusted_sealers":[]}"#,
            r#"{"block_lists":[],"trusted_sealers":[],"more":[]}"#,
        ] {
            hear(&mut format!("{said}\n").as_bytes()).unwrap_err();
        }
    }
}

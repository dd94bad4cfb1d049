//! What became of messages of one kind: counted, and why.

use super::package::Kind;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The field in which smtp-in writes what SpamAssassin says.
const STATUS: &[u8] = b"X-Spam-Status: ";
/// As many rules are named of which most was wrong.
const RULES: usize = 10;

/// What became of messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// In the Inbox.
    pub inbox: u64,
    /// In Junk.
    pub junk: u64,
    /// Of those in the Inbox, how many SpamAssassin has not judged.
    pub not_judged: u64,
    /// Refused, by the reply.
    pub refused: BTreeMap<String, u64>,
    /// How often each rule was true of those that were taken for what they are not.
    pub rules_of_wrong: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a message that was found, header and all.
    pub fn found(&mut self, kind: Kind, is_junk: bool, message: &[u8]) {
        let status = status(message);
        match is_junk {
            true => self.junk += 1,
            false => self.inbox += 1,
        }
        if status.is_none() {
            self.not_judged += 1;
        }
        if is_junk != (kind == Kind::Spam) {
            for rule in status.iter().flat_map(|status| rules(status)) {
                *self.rules_of_wrong.entry(rule.to_owned()).or_default() += 1;
            }
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.inbox += other.inbox;
        self.junk += other.junk;
        self.not_judged += other.not_judged;
        for (ours, others) in [
            (&mut self.refused, &other.refused),
            (&mut self.rules_of_wrong, &other.rules_of_wrong),
        ] {
            for (key, count) in others {
                *ours.entry(key.clone()).or_default() += count;
            }
        }
    }

    /// How many of `kind` are in the mailbox where they do not belong.
    pub fn wrong(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Ham => self.junk,
            Kind::Spam => self.inbox,
        }
    }

    /// How many were delivered.
    pub fn delivered(&self) -> u64 {
        self.inbox + self.junk
    }

    /// That all of so many messages were found, or were refused.
    ///
    /// # Errors
    /// When one is nowhere, or there twice.
    pub fn is_of_all(&self, sent: usize) -> Result<()> {
        let refused: u64 = self.refused.values().sum();
        let found = self.delivered();
        ensure!(
            found + refused == sent as u64,
            "{sent} sent, {found} found, {refused} refused"
        );
        Ok(())
    }

    /// In a few words.
    pub fn words(&self, kind: Kind) -> String {
        let share = self.wrong(kind) as f64 * 100.0 / self.delivered().max(1) as f64;
        let what = match kind {
            Kind::Ham => "false positives",
            Kind::Spam => "false negatives",
        };
        let refused: u64 = self.refused.values().sum();
        let mut words = format!(
            "{} in the Inbox, {} in Junk, {refused} refused: {} {what} ({share:.1} %)",
            self.inbox,
            self.junk,
            self.wrong(kind)
        );
        if self.not_judged > 0 {
            words += &format!("; {} not judged", self.not_judged);
        }
        for (reply, count) in &self.refused {
            words += &format!("; {count} times {reply:?}");
        }
        let mut rules: Vec<(&String, &u64)> = self.rules_of_wrong.iter().collect();
        rules.sort_by(|one, other| other.1.cmp(one.1));
        if kind == Kind::Ham && !rules.is_empty() {
            let said = rules.iter().take(RULES);
            let said: Vec<String> = said
                .map(|(rule, count)| format!("{rule} {count}"))
                .collect();
            words += &format!("; by {}", said.join(", "));
        }
        words
    }
}

/// What SpamAssassin said, unfolded; `None` when it said nothing. The uppermost
/// such field is the box's: smtp-in takes others off.
fn status(message: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(message, STATUS)? + STATUS.len();
    let text = String::from_utf8_lossy(&message[at..message.len().min(at + 4096)]).into_owned();
    let mut lines = text.lines();
    let first = lines.next()?.to_owned();
    let folds = lines.take_while(|line| line.starts_with(['\t', ' ']));
    let all = folds.fold(first, |all, line| all + line.trim());
    (all != "unknown").then_some(all)
}

fn rules(status: &str) -> impl Iterator<Item = &str> {
    let names = status.split_once("tests=").map_or("", |(_, names)| names);
    names
        .split(',')
        .filter(|name| !name.is_empty() && *name != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUDGED: &[u8] = b"X-Spam-Flag: YES\nX-Spam-Status: Yes, score=5.2 required=5.0\n\
        \ttests=DATE_IN_PAST,\n\tHTML_ONLY\nX-Spam-Report: x\n\nX-Spam-Status: forged\n";

    #[test]
    fn a_message_counts_where_it_lies_and_its_rules_only_if_that_is_wrong() {
        let mut tally = Tally::default();
        tally.found(Kind::Ham, false, JUDGED);
        assert_eq!((tally.inbox, tally.wrong(Kind::Ham)), (1, 0));
        assert!(tally.rules_of_wrong.is_empty());
        tally.found(Kind::Ham, true, JUDGED);
        assert_eq!((tally.junk, tally.wrong(Kind::Ham)), (1, 1));
        let rules: Vec<&str> = tally.rules_of_wrong.keys().map(String::as_str).collect();
        assert_eq!(rules, ["DATE_IN_PAST", "HTML_ONLY"]);
        tally.found(Kind::Ham, false, b"X-Spam-Status: unknown\r\n\r\nx");
        assert_eq!((tally.not_judged, tally.delivered()), (1, 3));
    }

    #[test]
    fn tallies_add_up_and_say_their_share_of_what_was_delivered() {
        let refused = BTreeMap::from([("550 5.6.0 No".to_owned(), 2)]);
        let one = Tally {
            inbox: 1,
            junk: 3,
            refused,
            ..Tally::default()
        };
        let mut both = one.clone();
        both.add(&one);
        assert_eq!(
            both.words(Kind::Spam),
            "2 in the Inbox, 6 in Junk, 4 refused: 2 false negatives (25.0 %); \
             4 times \"550 5.6.0 No\""
        );
        assert_eq!(both.wrong(Kind::Ham), 6);
        both.is_of_all(12).unwrap();
        let error = both.is_of_all(13).unwrap_err().to_string();
        assert_eq!(error, "13 sent, 8 found, 4 refused");
    }
}

//! What a session may see and set of the addresses that lead to people besides their
//! own: aliases, catch-alls, and aliases whose mail is passed on to others outside.

use serde::{Deserialize, Serialize};

/// Part of [`crate::Request::Addresses`]. Every text is as it was typed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "addresses", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AddressesRequest {
    /// Which there are.
    See,
    /// Give somebody another address.
    AddAlias {
        /// The new one.
        address: String,
        /// Somebody who has mail here.
        person: String,
    },
    /// Make an address whose mail is passed on to others.
    AddOutside {
        /// The new one.
        address: String,
        /// Who gets what can't be passed on.
        person: String,
        /// One to four addresses elsewhere, separated by commas or blanks.
        to: String,
    },
    /// Take either away.
    Remove {
        /// One in the list.
        address: String,
    },
    /// Give somebody what is for nobody in a domain.
    CatchAll {
        /// A domain that somebody has an address in.
        domain: String,
        /// Somebody who has mail here.
        person: String,
    },
    /// Refuse that mail again.
    NoCatchAll {
        /// One in the list.
        domain: String,
    },
}

/// What there is, for the page. The newest come first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherAddresses {
    /// Those that lead to somebody here.
    pub aliases: Vec<Alias>,
    /// Those whose mail is passed on.
    pub outside: Vec<Outside>,
    /// Of each domain that has one.
    pub catch_alls: Vec<CatchAll>,
    /// How many older ones of all these there are, which have no room in an answer.
    pub left_out: usize,
}

/// Another address of somebody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The address.
    pub address: String,
    /// Whose.
    pub person: String,
}

/// An address whose mail leaves the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// The address.
    pub address: String,
    /// Who gets what can't be passed on.
    pub person: String,
    /// One to four.
    pub to: Vec<String>,
}

/// Who gets what is for nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchAll {
    /// The domain.
    pub domain: String,
    /// Who.
    pub person: String,
}

/// The bytes that [`OtherAddresses::newest`] lets an answer have: it fits a line
/// ([`crate::wire::MAX_LINE`]), for the console too, which adds some words.
const ROOM: usize = 24 << 10;
/// What JSON puts around the texts of one entry, at the most.
const AROUND: usize = 64;

impl OtherAddresses {
    /// As many of them as there is room for, the newest first. They come in the order
    /// of arrival; the catch-alls, of which there are few, are taken first.
    pub fn newest(aliases: Vec<Alias>, outside: Vec<Outside>, catch_alls: Vec<CatchAll>) -> Self {
        let mut room = ROOM;
        let mut told = Self::default();
        let size = |texts: &[&str]| texts.iter().map(|text| text.len() + 4).sum::<usize>() + AROUND;
        let mut fits = |needed: usize| match room.checked_sub(needed) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let all = aliases.len() + outside.len() + catch_alls.len();
        for one in catch_alls.into_iter().rev() {
            if fits(size(&[&one.domain, &one.person])) {
                told.catch_alls.push(one);
            }
        }
        for one in outside.into_iter().rev() {
            let to: usize = one.to.iter().map(|to| to.len() + 4).sum();
            if fits(size(&[&one.address, &one.person]) + to) {
                told.outside.push(one);
            }
        }
        for one in aliases.into_iter().rev() {
            if fits(size(&[&one.address, &one.person])) {
                told.aliases.push(one);
            }
        }
        told.left_out = all - told.aliases.len() - told.outside.len() - told.catch_alls.len();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, wire};

    fn alias(address: String) -> Alias {
        let person = "anna@example.org".into();
        Alias { address, person }
    }

    #[test]
    fn however_many_there_are_the_newest_fit_a_line_and_the_others_are_counted() {
        let aliases = (0..1000).map(|number| alias(format!("a{number}@example.org")));
        let longest = "x".repeat(254);
        let outside = Outside {
            address: longest.clone(),
            person: longest.clone(),
            to: vec!["x".repeat(318); 4],
        };
        let catch_all = CatchAll {
            domain: longest.clone(),
            person: longest,
        };
        let told = OtherAddresses::newest(aliases.collect(), vec![outside; 9], vec![catch_all; 3]);
        assert_eq!((told.catch_alls.len(), told.outside.len()), (3, 9));
        assert_eq!(told.aliases[0].address, "a999@example.org");
        assert_eq!(told.left_out, 1000 - told.aliases.len());
        assert!(told.left_out > 0);
        let reply = Reply::Addresses(told);
        let mut bytes = Vec::new();
        wire::write(&mut bytes, &reply).unwrap();
        assert_eq!(wire::read::<Reply>(&mut bytes.as_slice()).unwrap(), reply);
    }

    #[test]
    fn a_household_s_are_all_there() {
        let told = OtherAddresses::newest(
            vec![alias("a@example.org".into()), alias("b@example.org".into())],
            Vec::new(),
            Vec::new(),
        );
        assert_eq!((told.aliases.len(), told.left_out), (2, 0));
        assert_eq!(told.aliases[0].address, "b@example.org");
    }
}

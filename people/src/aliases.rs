//! Other addresses for the same people: aliases, a catch-all for a domain, and
//! the postmaster that every domain has (RFC 5321 section 4.5.1).
//!
//! They are a second file for Dovecot, with nobody's password in it: mail comes
//! in by them, and nobody logs in. What follows a `+` in an address is Dovecot's
//! (`recipient_delimiter`); it needs nothing here.
//!
//! An alias to outside is a person's as well: its line has the addresses that its mail is
//! passed on to, for Dovecot's script `outside.sieve`, and the person gets what comes
//! back and what can't be passed on.

use crate::address::Address;
use crate::outside::OutsideAddress;
use crate::store::Person;

/// A local part that nobody can have ([`Address::parse`]): the gate asks Dovecot
/// for it when an address of the domain has nobody.
pub(crate) const CATCH_ALL: &str = "_";
const POSTMASTER: &str = "postmaster";
/// How a field of the user database begins in the last column of the file, and which
/// are of an alias to outside: settings of Dovecot's, for this one name.
const OWNER: &str = "userdb_sieve_user_email=";
const TO: &str = "userdb_sieve_environment/outside";

/// What a line of the file is for; its word stands in passwd(5)'s fifth field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Alias,
    CatchAll,
    /// Made here, never stored for its own sake.
    Postmaster,
    /// Passed on to all of these; the owner's address is the envelope sender.
    Outside {
        owner: Address,
        to: Vec<OutsideAddress>,
    },
}

impl Kind {
    fn word(&self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::CatchAll => "catch-all",
            Self::Postmaster => "postmaster",
            Self::Outside { .. } => "outside",
        }
    }

    /// The last column: fields of the user database, separated by spaces.
    fn extra(&self) -> String {
        let Self::Outside { owner, to } = self else {
            return String::new();
        };
        let mut extra = format!("{OWNER}{owner}");
        for (number, to) in (1..).zip(to) {
            extra += &format!(" {TO}{number}={to}");
        }
        extra
    }

    fn parse(word: &str, extra: &str) -> Option<Self> {
        match (word, extra) {
            ("alias", "") => Some(Self::Alias),
            ("catch-all", "") => Some(Self::CatchAll),
            ("postmaster", "") => Some(Self::Postmaster),
            ("outside", extra) => {
                let mut words = extra.split(' ');
                let owner = Address::parse(words.next()?.strip_prefix(OWNER)?).ok()?;
                let to = words.map(|word| {
                    let (_, to) = word.strip_prefix(TO)?.split_once('=')?;
                    OutsideAddress::parse(to).ok()
                });
                let to = to.collect::<Option<Vec<_>>>()?;
                let kind = Self::Outside { owner, to };
                // The numbers, and nothing besides.
                (kind.extra() == extra).then_some(kind)
            }
            _ => None,
        }
    }
}

/// An address that leads to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    /// `sales@example.org`; `_@example.org` for a catch-all; `postmaster`.
    pub(crate) name: String,
    /// The person's.
    pub(crate) uid: u32,
    kind: Kind,
}

impl Alias {
    pub(crate) fn new(address: &Address, uid: u32) -> Self {
        Self {
            name: address.as_str().to_owned(),
            uid,
            kind: Kind::Alias,
        }
    }

    pub(crate) fn catch_all(domain: &str, uid: u32) -> Self {
        Self {
            name: format!("{CATCH_ALL}@{}", domain.to_ascii_lowercase()),
            uid,
            kind: Kind::CatchAll,
        }
    }

    pub(crate) fn outside(address: &Address, owner: &Person, to: &[OutsideAddress]) -> Self {
        Self {
            name: address.as_str().to_owned(),
            uid: owner.uid,
            kind: Kind::Outside {
                owner: owner.address.clone(),
                to: to.to_vec(),
            },
        }
    }

    /// The address, if it is one that the owner has given to a person.
    pub(crate) fn given(&self) -> Option<Address> {
        let address = Address::parse(&self.name).ok()?;
        (self.kind == Kind::Alias).then_some(address)
    }

    /// Whom its mail is passed on to, if it is an alias to outside.
    pub(crate) fn leads_outside(&self) -> Option<(Address, &[OutsideAddress])> {
        match &self.kind {
            Kind::Outside { to, .. } => Some((Address::parse(&self.name).ok()?, to)),
            _ => None,
        }
    }

    /// The address, if the owner has given it, to whomever it leads.
    pub(crate) fn is(&self, address: &Address) -> bool {
        let given = matches!(self.kind, Kind::Alias | Kind::Outside { .. });
        given && self.name == address.as_str()
    }

    /// The domain, if it is a catch-all.
    pub(crate) fn catches(&self) -> Option<&str> {
        let (_, domain) = self.name.split_once('@')?;
        (self.kind == Kind::CatchAll).then_some(domain)
    }

    /// `address::uid:gid:kind:home::fields`
    pub(crate) fn line(&self, inside: &str) -> String {
        let Self { name, uid, kind } = self;
        let (word, extra) = (kind.word(), kind.extra());
        format!("{name}::{uid}:{uid}:{word}:{inside}/{uid}::{extra}\n")
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, "", uid, gid, word, _home, "", extra] = fields.as_slice() else {
            return None;
        };
        let kind = Kind::parse(word, extra)?;
        let lawful = match (&kind, name.split_once('@')) {
            (Kind::Alias | Kind::Outside { .. }, _) => {
                Address::parse(name).is_ok_and(|address| address.as_str() == *name)
            }
            (Kind::CatchAll, Some((local, domain))) => local == CATCH_ALL && is_domain(domain),
            (Kind::Postmaster, Some((local, domain))) => local == POSTMASTER && is_domain(domain),
            (Kind::Postmaster, None) => *name == POSTMASTER,
            (Kind::CatchAll, None) => false,
        };
        (lawful && uid == gid).then_some(Self {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            kind,
        })
    }
}

/// Whether `text` is the domain of an address that this box gives out.
pub(crate) fn is_domain(text: &str) -> bool {
    Address::parse(&format!("x@{text}")).is_ok_and(|address| address.domain() == text)
}

/// The file's lines: what was given, as far as its person is there, and a
/// postmaster for each domain, the first who came unless somebody is called so.
pub(crate) fn lines(people: &[Person], given: &[Alias]) -> Vec<Alias> {
    let is_there = |uid: u32| people.iter().any(|person| person.uid == uid);
    let mut lines: Vec<Alias> = given
        .iter()
        .filter(|alias| alias.kind != Kind::Postmaster && is_there(alias.uid))
        .cloned()
        .collect();
    let postmaster = |name: String, uid| Alias {
        name,
        uid,
        kind: Kind::Postmaster,
    };
    let mut first = None;
    for person in people {
        let name = format!("{POSTMASTER}@{}", person.address.domain());
        let named = people.iter().find(|other| other.address.as_str() == name);
        let aliased = lines.iter().find(|alias| alias.name == name);
        let uid = named
            .map(|person| person.uid)
            .or(aliased.map(|alias| alias.uid));
        first.get_or_insert(uid.unwrap_or(person.uid));
        if uid.is_none() {
            lines.push(postmaster(name, person.uid));
        }
    }
    lines.extend(first.map(|uid| postmaster(POSTMASTER.to_owned(), uid)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_no_other_is() {
        let address = Address::parse("sales@example.org").unwrap();
        for (alias, line) in [
            (
                Alias::new(&address, 20_001),
                "sales@example.org::20001:20001:alias:/mail/20001::\n",
            ),
            (
                Alias::catch_all("Example.org", 20_002),
                "_@example.org::20002:20002:catch-all:/mail/20002::\n",
            ),
            (
                Alias::outside(
                    &address,
                    &Person::of("anna@example.org", 20_001),
                    &["Bob@far.example", "c+d@far.example"]
                        .map(|to| OutsideAddress::parse(to).unwrap()),
                ),
                "sales@example.org::20001:20001:outside:/mail/20001::userdb_sieve_user_email=anna@example.org userdb_sieve_environment/outside1=Bob@far.example userdb_sieve_environment/outside2=c+d@far.example\n",
            ),
        ] {
            assert_eq!(alias.line("/mail"), line);
            assert_eq!(Alias::parse(line.trim_end()), Some(alias));
        }
        for bad in [
            "",
            "sales@example.org:x:20001:20001:alias:/mail/20001::",
            "sales@example.org::20001:20002:alias:/mail/20001::",
            "sales@example.org::20001:20001:other:/mail/20001::",
            "Sales@example.org::20001:20001:alias:/mail/20001::",
            "_@example.org::20001:20001:alias:/mail/20001::",
            "x@example.org::20001:20001:catch-all:/mail/20001::",
            "_@com::20001:20001:catch-all:/mail/20001::",
            "boss::20001:20001:postmaster:/mail/20001::",
            "sales@example.org::20001:20001:alias:/mail/20001::nologin",
            "sales@example.org::20001:20001:outside:/mail/20001::",
            "sales@example.org::20001:20001:outside:/mail/20001::userdb_uid=0",
            "sales@example.org::20001:20001:outside:/mail/20001::userdb_sieve_user_email=anna@example.org userdb_sieve_environment/outside2=bob@far.example",
            "sales@example.org::20001:20001:outside:/mail/20001::userdb_sieve_user_email=anna@example.org userdb_sieve_environment/outside1=bob@far.example nologin",
        ] {
            assert_eq!(Alias::parse(bad), None, "{bad}");
        }
    }
}

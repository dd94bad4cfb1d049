//! The list on the encrypted disk, and the homes.

use crate::address::Address;
use crate::aliases::{self, Alias};
use crate::outside::{MOST_OUTSIDE, OutsideAddress, OutsideError};
use crate::password::{self, PasswordError};
use control::Secret;
use nix::unistd::{Gid, Uid};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use whole_file::WholeFile;

/// The list's name in its folder.
const FILE: &str = "passwd";
/// The other addresses, in the same folder.
const ALIASES: &str = "aliases";
/// The first uid of a person, as the mail server's namespace numbers them.
const FIRST_UID: u32 = 20_001;
/// One behind the last.
const END_UID: u32 = 60_000;
/// What one box is for: a household.
const MOST: usize = 100;
const MOST_ALIASES: usize = 1000;
/// The mode of a folder of what a filter learns.
const LEARNED: u32 = 0o2750;

/// Why the list was not read or changed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The address has somebody.
    #[error("{0} exists already.")]
    Exists(Address),
    /// The address has nobody.
    #[error("{0} does not exist.")]
    Unknown(Address),
    /// The password is not taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The domain is not one that anybody has an address of.
    #[error("Nobody here has an address at {0}.")]
    NoDomain(String),
    /// The address is one of this box's own domains.
    #[error("{0} is an address of this box; mail is passed on only to others.")]
    NotOutside(OutsideAddress),
    /// An alias to outside without an address, or with too many.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// There are as many other addresses as there may be.
    #[error("This box has 1000 other addresses already; remove one first.")]
    FullOfAliases,
    /// There are as many people as there may be.
    #[error("This box has 100 addresses already; remove one first.")]
    Full,
    /// A line of the list is not what this program writes.
    #[error("{}:{line}: not a person; restore the file from a backup", path.display())]
    Damaged {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Somebody with mail here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The address, which is the login name too.
    pub address: Address,
    /// The uid in the mail server's namespace.
    pub uid: u32,
    hash: String,
}

#[cfg(test)]
impl Person {
    /// One with this address and uid, for tests of what names people.
    pub(crate) fn of(address: &str, uid: u32) -> Self {
        let address = Address::parse(address).unwrap();
        let hash = String::new();
        Self { address, uid, hash }
    }
}

/// Where homes are and who owns them.
#[derive(Debug, Clone)]
pub struct Homes {
    /// The folder of all homes on the host.
    pub folder: PathBuf,
    /// The same folder as the mail server sees it, `/mail` say.
    pub inside: String,
    /// The folder of what the filters have learnt. Its group reads what each
    /// person's processes write there.
    pub learned: PathBuf,
    /// The host's id for id 0 of the mail server's user namespace.
    pub first_id: u32,
}

/// The list, as it is on the disk.
#[derive(Debug)]
pub struct People {
    folder: PathBuf,
    homes: Homes,
    people: Vec<Person>,
    aliases: Vec<Alias>,
}

impl People {
    /// Reads the list in `folder`; none yet is an empty one.
    ///
    /// # Errors
    /// When it can't be read, or has a line that this program did not write.
    pub fn read(folder: &Path, homes: Homes) -> Result<Self, PeopleError> {
        Ok(Self {
            people: read(&folder.join(FILE), parse)?,
            aliases: read(&folder.join(ALIASES), Alias::parse)?,
            folder: folder.to_owned(),
            homes,
        })
    }

    /// Writes the empty list where there is none, and the list of other addresses
    /// where it is not what it should be. A mail server that finds no list says
    /// "later" to a sender, not "nobody here".
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin(&mut self) -> Result<(), PeopleError> {
        let path = self.folder.join(FILE);
        match fs::exists(&path) {
            Ok(true) => {}
            Ok(false) => self.replace(self.people.clone())?,
            Err(source) => return Err(PeopleError::Io { path, source }),
        }
        let there = fs::exists(self.folder.join(ALIASES)).unwrap_or(false);
        if !there || aliases::lines(&self.people, &self.aliases) != self.aliases {
            self.replace_aliases(self.aliases.clone())?;
        }
        Ok(())
    }

    /// Makes the folder of what a person's filter learns for everybody who has
    /// none: who came with a version of the box that did not learn yet. Returns
    /// why somebody goes without; the others have theirs.
    pub fn let_learn(&self) -> Vec<PeopleError> {
        let people = self.people.iter();
        let own = people.map(|person| (person.address.as_str(), person.uid));
        let others = self.aliases.iter();
        let others = others.map(|alias| (alias.name.as_str(), alias.uid));
        own.chain(others)
            .filter_map(|(name, uid)| self.make_learned(name, uid).err())
            .collect()
    }

    /// Everybody, in the order in which they came.
    pub fn all(&self) -> &[Person] {
        &self.people
    }

    /// Adds somebody, with an empty home.
    ///
    /// # Errors
    /// When the address is taken, the password is not, or the disk fails.
    pub fn add(&mut self, address: Address, password: &Secret) -> Result<(), PeopleError> {
        self.must_be_free(&address)?;
        if self.people.len() >= MOST {
            return Err(PeopleError::Full);
        }
        let hash = password::hash(password)?;
        let uid = self.unused_uid()?;
        self.make_home(uid)?;
        self.make_learned(address.as_str(), uid)?;
        let mut people = self.people.clone();
        people.push(Person { address, uid, hash });
        self.replace(people)?;
        self.replace_aliases(self.aliases.clone())
    }

    /// The other addresses that the owner has given, each with its person.
    pub fn aliases(&self) -> Vec<(Address, &Person)> {
        let given = self.aliases.iter();
        given
            .filter_map(|alias| Some((alias.given()?, self.by_uid(alias.uid)?)))
            .collect()
    }

    /// Gives a person another address.
    ///
    /// # Errors
    /// When the address is taken or of a domain that nobody here has, there is no such
    /// person, or the disk fails.
    pub fn add_alias(&mut self, alias: &Address, person: &Address) -> Result<(), PeopleError> {
        self.must_be_free(alias)?;
        let uid = self.uid_of(person)?;
        if !self.is_own(alias.domain()) {
            return Err(PeopleError::NoDomain(alias.domain().to_owned()));
        }
        if self.aliases.len() >= MOST_ALIASES {
            return Err(PeopleError::FullOfAliases);
        }
        let mut aliases = self.aliases.clone();
        aliases.push(Alias::new(alias, uid));
        self.replace_aliases(aliases)
    }

    /// The aliases to outside: each with its person and whom its mail is passed on to.
    pub fn outside(&self) -> Vec<(Address, &Person, &[OutsideAddress])> {
        let all = self.aliases.iter();
        all.filter_map(|alias| {
            let (address, to) = alias.leads_outside()?;
            Some((address, self.by_uid(alias.uid)?, to))
        })
        .collect()
    }

    /// Makes an address whose mail is passed on to one to four others outside. It is a
    /// person's, who gets the bounces, the junk, and what can't be passed on.
    ///
    /// # Errors
    /// When the address is taken or of a domain that nobody here has, there is no such
    /// person, one of the others is of this box, there are none or too many, or the disk
    /// fails.
    pub fn add_outside(
        &mut self,
        alias: &Address,
        owner: &Address,
        to: &[OutsideAddress],
    ) -> Result<(), PeopleError> {
        self.must_be_free(alias)?;
        if !self.is_own(alias.domain()) {
            return Err(PeopleError::NoDomain(alias.domain().to_owned()));
        }
        if let Some(inside) = to.iter().find(|to| self.is_own(to.domain())) {
            return Err(PeopleError::NotOutside(inside.clone()));
        }
        if !(1..=MOST_OUTSIDE).contains(&to.len()) {
            return Err(OutsideError::Number.into());
        }
        let uid = self.uid_of(owner)?;
        let unknown = || PeopleError::Unknown(owner.clone());
        let owner = self.by_uid(uid).ok_or_else(unknown)?;
        if self.aliases.len() >= MOST_ALIASES {
            return Err(PeopleError::FullOfAliases);
        }
        let mut aliases = self.aliases.clone();
        aliases.push(Alias::outside(alias, owner, to));
        self.replace_aliases(aliases)
    }

    /// Takes such an address away, to whomever it leads.
    ///
    /// # Errors
    /// When there is no such address, or the disk fails.
    pub fn remove_alias(&mut self, alias: &Address) -> Result<(), PeopleError> {
        let mut aliases = self.aliases.clone();
        aliases.retain(|known| !known.is(alias));
        if aliases.len() == self.aliases.len() {
            return Err(PeopleError::Unknown(alias.clone()));
        }
        self.replace_aliases(aliases)
    }

    /// Who gets what is for nobody in `domain`.
    pub fn catch_all(&self, domain: &str) -> Option<&Person> {
        let caught = |alias: &&Alias| alias.catches() == Some(domain);
        self.by_uid(self.aliases.iter().find(caught)?.uid)
    }

    /// Gives what is for nobody in `domain` to a person, or to nobody again: then
    /// it is refused.
    ///
    /// # Errors
    /// When nobody has an address in the domain, there is no such person, or the
    /// disk fails.
    pub fn set_catch_all(
        &mut self,
        domain: &str,
        person: Option<&Address>,
    ) -> Result<(), PeopleError> {
        let domain = domain.to_ascii_lowercase();
        if !self.is_own(&domain) {
            return Err(PeopleError::NoDomain(domain));
        }
        let mut aliases = self.aliases.clone();
        aliases.retain(|alias| alias.catches() != Some(&domain));
        if let Some(person) = person {
            aliases.push(Alias::catch_all(&domain, self.uid_of(person)?));
        }
        self.replace_aliases(aliases)
    }

    /// Whether somebody has an address there; `domain` in lower case.
    fn is_own(&self, domain: &str) -> bool {
        self.people.iter().any(|one| one.address.domain() == domain)
    }

    /// The domains with a catch-all, each with who gets what is for nobody there.
    pub fn catch_alls(&self) -> Vec<(&str, &Person)> {
        let all = self.aliases.iter();
        all.filter_map(|alias| Some((alias.catches()?, self.by_uid(alias.uid)?)))
            .collect()
    }

    fn must_be_free(&self, address: &Address) -> Result<(), PeopleError> {
        let owned = self.people.iter().any(|person| person.address == *address);
        match owned || self.aliases.iter().any(|alias| alias.is(address)) {
            true => Err(PeopleError::Exists(address.clone())),
            false => Ok(()),
        }
    }

    fn uid_of(&self, person: &Address) -> Result<u32, PeopleError> {
        let found = self.people.iter().find(|one| one.address == *person);
        let unknown = || PeopleError::Unknown(person.clone());
        found.map(|person| person.uid).ok_or_else(unknown)
    }

    fn by_uid(&self, uid: u32) -> Option<&Person> {
        self.people.iter().find(|person| person.uid == uid)
    }

    /// Gives somebody another password.
    ///
    /// # Errors
    /// When there is no such address, the password is not taken, or the disk fails.
    pub fn set_password(
        &mut self,
        address: &Address,
        password: &Secret,
    ) -> Result<(), PeopleError> {
        let mut people = self.people.clone();
        let person = people
            .iter_mut()
            .find(|person| person.address == *address)
            .ok_or_else(|| PeopleError::Unknown(address.clone()))?;
        person.hash = password::hash(password)?;
        self.replace(people)
    }

    /// Takes an address away. The mail stays in its home, under a uid that
    /// nobody else ever gets.
    ///
    /// # Errors
    /// When there is no such address, or the disk fails.
    pub fn remove(&mut self, address: &Address) -> Result<(), PeopleError> {
        let mut people = self.people.clone();
        people.retain(|person| person.address != *address);
        if people.len() == self.people.len() {
            return Err(PeopleError::Unknown(address.clone()));
        }
        self.replace(people)?;
        self.replace_aliases(self.aliases.clone())
    }

    /// One more than any that a person or a home has.
    fn unused_uid(&self) -> Result<u32, PeopleError> {
        let folder = &self.homes.folder;
        let io = |source| PeopleError::Io {
            path: folder.clone(),
            source,
        };
        let mut last = self.people.iter().map(|person| person.uid).max();
        for entry in fs::read_dir(folder).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            last = last.max(name.to_str().and_then(|name| name.parse().ok()));
        }
        let next = last.map_or(FIRST_UID, |last| last.saturating_add(1).max(FIRST_UID));
        if next < END_UID {
            Ok(next)
        } else {
            Err(PeopleError::Full)
        }
    }

    /// Before the list names it: a home without a person does no harm.
    fn make_home(&self, uid: u32) -> Result<(), PeopleError> {
        let path = self.homes.folder.join(uid.to_string());
        let id = self.homes.first_id + uid;
        // The folder above is the mail server's, which may put something else
        // there meanwhile: the owner is changed of what was opened, and of a
        // folder that is still root's.
        let open = || {
            let mut options = OpenOptions::new();
            let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
            options.read(true).custom_flags(flags).open(&path)
        };
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .and_then(|()| {
                let home = open()?;
                if home.metadata()?.uid() != nix::unistd::geteuid().as_raw() {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                nix::unistd::fchown(&home, Some(Uid::from_raw(id)), Some(Gid::from_raw(id)))?;
                File::open(&self.homes.folder)?.sync_all()
            })
            .map_err(|source| PeopleError::Io { path, source })
    }

    /// The folder of what the person's filter learns, and the name by which the
    /// gate finds it, as far as they are not there. The folder of one who had the
    /// address before stays, under its own uid, as the mail does.
    fn make_learned(&self, address: &str, uid: u32) -> Result<(), PeopleError> {
        let folder = &self.homes.learned;
        let path = folder.join(uid.to_string());
        let id = self.homes.first_id + uid;
        let make = || -> io::Result<()> {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // As in make_home: the folder above is the mail server's.
            let mut options = OpenOptions::new();
            let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
            let own = options.read(true).custom_flags(flags).open(&path)?;
            let now = own.metadata()?;
            if ![nix::unistd::geteuid().as_raw(), id].contains(&now.uid()) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            // The reader, who gets to what is made in it as well (inode(7), the
            // set-group-ID bit). The owner first: chown(2) takes the bit away.
            let group = fs::metadata(folder)?.gid();
            if (now.uid(), now.gid(), now.mode() & 0o7777) != (id, group, LEARNED) {
                nix::unistd::fchown(&own, Some(Uid::from_raw(id)), Some(Gid::from_raw(group)))?;
                own.set_permissions(Permissions::from_mode(LEARNED))?;
            }
            let (new, name) = (folder.join(".new"), folder.join(address));
            if fs::read_link(&name).is_ok_and(|leads| leads == Path::new(&uid.to_string())) {
                return Ok(());
            }
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            symlink(uid.to_string(), &new)?;
            fs::rename(&new, &name)?;
            File::open(folder)?.sync_all()
        };
        make().map_err(|source| PeopleError::Io {
            path: path.clone(),
            source,
        })
    }

    fn replace(&mut self, people: Vec<Person>) -> Result<(), PeopleError> {
        let inside = &self.homes.inside;
        let text: String = people.iter().map(|person| line(person, inside)).collect();
        self.write(FILE, &text)?;
        self.people = people;
        Ok(())
    }

    /// With those that are made of the people; whose person has gone, goes.
    fn replace_aliases(&mut self, aliases: Vec<Alias>) -> Result<(), PeopleError> {
        let aliases = aliases::lines(&self.people, &aliases);
        let new = |alias: &&Alias| !self.aliases.contains(alias);
        for alias in aliases.iter().filter(new) {
            self.make_learned(&alias.name, alias.uid)?;
        }
        let inside = &self.homes.inside;
        let text: String = aliases.iter().map(|alias| alias.line(inside)).collect();
        self.write(ALIASES, &text)?;
        self.aliases = aliases;
        Ok(())
    }

    /// Puts a list in the old one's place, so that a power cut leaves one or the
    /// other. The mail server's root may read it, nobody else.
    fn write(&self, name: &str, text: &str) -> Result<(), PeopleError> {
        let path = self.folder.join(name);
        let file = WholeFile::at(&path, 0o600).owner(self.homes.first_id);
        file.write(text.as_bytes())
            .map_err(|source| PeopleError::Io { path, source })
    }
}

/// Every line of a list; none yet is an empty one.
fn read<T>(path: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, PeopleError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            let path = path.to_owned();
            return Err(PeopleError::Io { path, source });
        }
    };
    let line = |(index, line): (usize, &str)| {
        parse(line).ok_or_else(|| PeopleError::Damaged {
            path: path.to_owned(),
            line: index + 1,
        })
    };
    text.lines().enumerate().map(line).collect()
}

/// `address:hash:uid:gid::home::`
fn line(person: &Person, inside: &str) -> String {
    let Person { address, uid, hash } = person;
    format!("{address}:{hash}:{uid}:{uid}::{inside}/{uid}::\n")
}

fn parse(line: &str) -> Option<Person> {
    let fields: Vec<&str> = line.split(':').collect();
    let [address, hash, uid, gid, "", _home, "", ""] = fields.as_slice() else {
        return None;
    };
    let uid: u32 = uid.parse().ok()?;
    let known = (FIRST_UID..END_UID).contains(&uid)
        && gid.parse() == Ok(uid)
        && hash.starts_with("{ARGON2ID}$argon2id$");
    known.then_some(Person {
        address: Address::parse(address).ok()?,
        uid,
        hash: (*hash).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Box {
        folder: tempfile::TempDir,
    }

    impl Box {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("mail")).unwrap();
            fs::create_dir(folder.path().join("learned")).unwrap();
            Self { folder }
        }

        fn homes(&self) -> PathBuf {
            self.folder.path().join("mail")
        }

        fn people(&self) -> Result<People, PeopleError> {
            let homes = Homes {
                folder: self.homes(),
                inside: "/mail".into(),
                learned: self.folder.path().join("learned"),
                first_id: 300_000,
            };
            People::read(self.folder.path(), homes)
        }

        fn text(&self) -> String {
            fs::read_to_string(self.folder.path().join(FILE)).unwrap()
        }
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_first_list_is_empty_and_a_later_one_stays() {
        let here = Box::new();
        here.people().unwrap().begin().unwrap();
        assert_eq!(here.text(), "");
        let anna = address("anna@example.org");
        let mut people = here.people().unwrap();
        people.add(anna, &secret("first password")).unwrap();
        let text = here.text();
        here.people().unwrap().begin().unwrap();
        assert_eq!(here.text(), text);
    }

    #[test]
    fn other_addresses_lead_to_their_person_and_go_with_them() {
        let here = Box::new();
        let aliases = || fs::read_to_string(here.folder.path().join(ALIASES)).unwrap();
        let (anna, ben) = (address("anna@example.org"), address("ben@two.example"));
        let sales = address("sales@example.org");
        let mut people = here.people().unwrap();
        people.begin().unwrap();
        assert_eq!(aliases(), "");
        let unknown = people.add_alias(&sales, &anna).unwrap_err();
        assert_eq!(unknown.to_string(), "anna@example.org does not exist.");
        people.add(anna.clone(), &secret("first password")).unwrap();
        people.add(ben.clone(), &secret("second password")).unwrap();
        people.add_alias(&sales, &ben).unwrap();
        people.set_catch_all("Example.ORG", Some(&anna)).unwrap();
        let taken = people.add_alias(&sales, &anna).unwrap_err();
        assert_eq!(taken.to_string(), "sales@example.org exists already.");
        let far = people.add_alias(&address("sales@far.example"), &anna);
        assert_eq!(
            far.unwrap_err().to_string(),
            "Nobody here has an address at far.example."
        );
        let taken = people.add(sales.clone(), &secret("third password"));
        assert_eq!(
            taken.unwrap_err().to_string(),
            "sales@example.org exists already."
        );
        let nowhere = people.set_catch_all("three.example", Some(&anna));
        let words = nowhere.unwrap_err().to_string();
        assert_eq!(words, "Nobody here has an address at three.example.");

        let again = here.people().unwrap();
        assert_eq!(again.aliases()[0].0, sales);
        assert_eq!(again.aliases()[0].1.address, ben);
        assert_eq!(again.catch_all("example.org").unwrap().address, anna);
        assert_eq!(again.catch_all("two.example"), None);
        let caught: Vec<_> = again.catch_alls().into_iter().collect();
        assert_eq!(caught.len(), 1);
        assert_eq!((caught[0].0, &caught[0].1.address), ("example.org", &anna));
        let ones = "20001:20001:";
        let expected = format!(
            "sales@example.org::20002:20002:alias:/mail/20002::
_@example.org::{ones}catch-all:/mail/20001::
postmaster@example.org::{ones}postmaster:/mail/20001::
postmaster@two.example::20002:20002:postmaster:/mail/20002::
postmaster::{ones}postmaster:/mail/20001::
"
        );
        assert_eq!(aliases(), expected);
        let file = fs::metadata(here.folder.path().join(ALIASES)).unwrap();
        assert_eq!((file.uid(), file.mode() & 0o777), (300_000, 0o600));
        // The filter's table is found by each of them.
        let learned = here.folder.path().join("learned");
        for (name, uid) in [(sales.as_str(), "20002"), ("_@example.org", "20001")] {
            assert_eq!(fs::read_link(learned.join(name)).unwrap(), Path::new(uid));
        }

        people.set_catch_all("example.org", None).unwrap();
        people.remove(&ben).unwrap();
        assert!(people.aliases().is_empty());
        let postmaster = address("postmaster@example.org");
        people.add_alias(&postmaster, &anna).unwrap();
        let expected = format!(
            "postmaster@example.org::{ones}alias:/mail/20001::
postmaster::{ones}postmaster:/mail/20001::
"
        );
        assert_eq!(aliases(), expected);
        people.remove_alias(&postmaster).unwrap();
        let unknown = people.remove_alias(&postmaster).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "postmaster@example.org does not exist."
        );
        // What an older version left is made good at the start.
        fs::remove_file(here.folder.path().join(ALIASES)).unwrap();
        here.people().unwrap().begin().unwrap();
        assert_eq!(aliases().lines().count(), 2);
    }

    #[test]
    fn an_alias_to_outside_is_a_person_s_and_leads_to_others_only() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        let (anna, ben) = (address("anna@example.org"), address("ben@two.example"));
        for person in [&anna, &ben] {
            let password = secret("a long password");
            people.add(person.clone(), &password).unwrap();
        }
        let to = |text: &str| OutsideAddress::parse_list(text).unwrap();
        let sales = address("sales@example.org");
        for (alias, owner, others, words) in [
            ("anna@example.org", &anna, "b@far.example", "exists already"),
            ("x@other.example", &anna, "b@far.example", "Nobody here has"),
            (
                "x@example.org",
                &address("cleo@example.org"),
                "b@far.example",
                "does not exist",
            ),
            (
                "x@example.org",
                &anna,
                "b@far.example,info@TWO.example",
                "info@two.example is an address of this box",
            ),
        ] {
            let error = people.add_outside(&address(alias), owner, &to(others));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let none = people.add_outside(&sales, &anna, &[]).unwrap_err();
        assert!(none.to_string().contains("one to 4"), "{none}");
        assert!(people.outside().is_empty());

        let others = to("bob@far.example cleo@third.example");
        people.add_outside(&sales, &ben, &others).unwrap();
        let again = here.people().unwrap();
        let outside = again.outside();
        assert_eq!(outside.len(), 1);
        assert_eq!((&outside[0].0, &outside[0].1.address), (&sales, &ben));
        assert_eq!(outside[0].2, others);
        // It is taken now, and nobody's login.
        let taken = people.add_alias(&sales, &anna).unwrap_err();
        assert!(taken.to_string().contains("exists already"), "{taken}");
        assert!(again.aliases().is_empty());
        assert_eq!(here.text().lines().count(), 2);
        // It goes alone, or with its person.
        people.remove_alias(&sales).unwrap();
        assert!(people.outside().is_empty());
        people.add_outside(&sales, &ben, &others).unwrap();
        people.remove(&ben).unwrap();
        assert!(people.outside().is_empty());
    }

    #[test]
    fn people_stay_and_each_has_a_home_that_only_their_uid_enters() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        people
            .add(address("ben@example.org"), &secret("second password"))
            .unwrap();
        let again = here.people().unwrap();
        assert_eq!(again.all(), people.all());
        assert_eq!(again.all().len(), 2);
        for (name, uid) in [("20001", 20_001), ("20002", 20_002)] {
            let meta = fs::metadata(here.homes().join(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, 0o700);
            assert_eq!((meta.uid(), meta.gid()), (300_000 + uid, 300_000 + uid));
        }
        let meta = fs::metadata(here.folder.path().join(FILE)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
        assert_eq!(meta.uid(), 300_000);
        let text = here.text();
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("anna@example.org:{ARGON2ID}$argon2id$v=19$"),
            "{first}"
        );
        assert!(first.ends_with(":20001:20001::/mail/20001::"), "{first}");
        assert!(!text.contains("first password"));
    }

    #[test]
    fn a_uid_is_never_given_to_somebody_else() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        fs::write(here.homes().join("20001/mail"), "old").unwrap();
        people.remove(&address("anna@example.org")).unwrap();
        let mut people = here.people().unwrap();
        people
            .add(address("ben@example.org"), &secret("second password"))
            .unwrap();
        assert_eq!(people.all()[0].uid, 20_002);
        assert_eq!(fs::read(here.homes().join("20001/mail")).unwrap(), b"old");
    }

    #[test]
    fn another_password_changes_the_hash_of_one_person_only() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        people
            .add(address("ben@example.org"), &secret("second password"))
            .unwrap();
        let before = people.all().to_vec();
        people
            .set_password(&address("ben@example.org"), &secret("third password"))
            .unwrap();
        let after = here.people().unwrap();
        assert_eq!(after.all()[0], before[0]);
        assert_ne!(after.all()[1], before[1]);
        assert_eq!(after.all()[1].uid, before[1].uid);
    }

    #[test]
    fn what_cannot_be_done_changes_nothing_and_says_why() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        let before = here.text();
        let anna = address("anna@example.org");
        let nobody = address("nobody@example.org");
        for (error, words) in [
            (
                people.add(anna, &secret("second password")),
                "exists already",
            ),
            (people.add(nobody.clone(), &secret("short")), "10 to 512"),
            (
                people.set_password(&nobody, &secret("second password")),
                "does not exist",
            ),
            (people.remove(&nobody), "does not exist"),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(here.text(), before);
        assert_eq!(fs::read_dir(here.homes()).unwrap().count(), 1);
    }

    #[test]
    fn a_half_written_list_of_an_earlier_power_cut_is_no_list() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        fs::write(here.folder.path().join("passwd.new"), "anna@exam").unwrap();
        assert!(here.people().unwrap().all().is_empty());
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        assert_eq!(here.people().unwrap().all().len(), 1);
        assert!(!here.folder.path().join("passwd.new").exists());
    }

    #[test]
    fn a_line_that_this_program_did_not_write_is_named_and_left_alone() {
        let here = Box::new();
        let mut people = here.people().unwrap();
        people
            .add(address("anna@example.org"), &secret("first password"))
            .unwrap();
        let good = here.text();
        for bad in [
            good.replace("20001:20001", "0:0"),
            good.replace("20001:20001", "20001:0"),
            good.replace("{ARGON2ID}", "{PLAIN}"),
            good.replace("::\n", ":: nopassword\n"),
            "anna".into(),
        ] {
            fs::write(here.folder.path().join(FILE), good.clone() + &bad).unwrap();
            let error = here.people().unwrap_err().to_string();
            assert!(error.contains("passwd:2: not a person"), "{error}");
        }
    }

    #[test]
    fn what_a_filter_learns_is_its_person_s_and_found_by_the_address_that_has_it_now() {
        let a_box = Box::new();
        let learned = a_box.folder.path().join("learned");
        std::os::unix::fs::chown(&learned, None, Some(4242)).unwrap();
        let anna = address("anna@example.org");
        let mut people = a_box.people().unwrap();
        for uid in [20_001, 20_002] {
            people.add(anna.clone(), &secret("annas password")).unwrap();
            let found = fs::metadata(learned.join("anna@example.org")).unwrap();
            assert_eq!((found.uid(), found.gid()), (300_000 + uid, 4242));
            assert_eq!(found.mode() & 0o7777, 0o2750);
            assert_eq!(
                found.ino(),
                fs::metadata(learned.join(uid.to_string())).unwrap().ino()
            );
            people.remove(&anna).unwrap();
        }
    }

    #[test]
    fn who_came_before_filters_learnt_gets_a_folder_and_what_is_there_stays() {
        let a_box = Box::new();
        let learned = a_box.folder.path().join("learned");
        std::os::unix::fs::chown(&learned, None, Some(4242)).unwrap();
        let mut people = a_box.people().unwrap();
        for name in ["anna", "ben", "cleo", "dora"] {
            let address = address(&format!("{name}@example.org"));
            people.add(address, &secret("a long password")).unwrap();
        }
        let of = |name: &str| {
            let meta = fs::metadata(learned.join(name)).unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        // Anna came before; Ben has learnt; the power went while Cleo's was made.
        fs::remove_dir(learned.join("20001")).unwrap();
        fs::remove_file(learned.join("anna@example.org")).unwrap();
        fs::write(learned.join("20002/table"), "learnt").unwrap();
        fs::remove_file(learned.join("cleo@example.org")).unwrap();
        std::os::unix::fs::chown(learned.join("20003"), Some(0), Some(0)).unwrap();
        // In Dora's place something was put that is not hers.
        fs::remove_dir(learned.join("20004")).unwrap();
        symlink("20002", learned.join("20004")).unwrap();

        for _first_and_second_start in 0..2 {
            let errors = a_box.people().unwrap().let_learn();
            assert_eq!(errors.len(), 1);
            let words = errors[0].to_string();
            assert!(words.contains("learned/20004: "), "{words}");
            for (name, uid) in [("anna", 20_001), ("ben", 20_002), ("cleo", 20_003)] {
                let expected = (300_000 + uid, 4242, LEARNED);
                assert_eq!(of(&format!("{name}@example.org")), expected);
                assert_eq!(of(&uid.to_string()), expected);
            }
        }
        let table = fs::read(learned.join("ben@example.org/table")).unwrap();
        assert_eq!(table, b"learnt");

        // Somebody else's folder is not given to her.
        fs::remove_file(learned.join("20004")).unwrap();
        fs::create_dir(learned.join("20004")).unwrap();
        std::os::unix::fs::chown(learned.join("20004"), Some(320_002), None).unwrap();
        assert_eq!(a_box.people().unwrap().let_learn().len(), 1);
        assert_eq!(of("20004").0, 320_002);
    }
}

//! The people who have mail here, for the page: who may see and change them (and how
//! mail goes out, `way_out.rs`), and what the page is told.
//!
//! The list itself is the `people` crate's. It is read from the disk for each
//! request; a hundred lines at most, and Dovecot reads the same file.

mod sessions;

use crate::seen::Seen;
use crate::{dns_records, log, other_addresses, way_in, way_out};
use control::{
    AddressesRequest, InboundRequest, OutboundRequest, PeopleRequest, RecordsRequest, Refusal,
    Reply, Secret,
};
use outbound::FileError;
use outbound::settings::Settings;
use people::{Address, AddressError, Homes, OutsideError, People, PeopleError};
use sessions::Sessions;
use site::Table;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The folder of homes as the mail server sees it.
const INSIDE: &str = "/mail";
/// How long the page waits before it asks a starting mail service again, seconds.
const STARTING: u64 = 5;

/// Where the mail service keeps its people.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder of the list, `/data/apps/email/people`. It exists.
    pub people: PathBuf,
    /// The folder of the homes, `/data/apps/email/mail`. It exists.
    pub mail: PathBuf,
    /// The folder of what the filters have learnt, `/data/apps/email/learned`. It
    /// exists.
    pub learned: PathBuf,
    /// The folder of what is set for mail on its way out, `/data/apps/email/outbound`.
    /// It exists.
    pub outbound: PathBuf,
    /// The folder of the smarthost, `/data/apps/email/smarthost`. It exists.
    pub smarthost: PathBuf,
    /// The folder of all the app's volumes, `/data/apps/email`.
    pub volumes: PathBuf,
    /// The folder of what strangers see on port 443, `/data/apps/email/web`. It exists.
    pub web: PathBuf,
    /// The folder of the rules for mail from outside, `/data/apps/email/door`. It exists.
    pub door: PathBuf,
    /// Who was refused, and what others report.
    pub seen: Arc<Seen>,
    /// The name that other mail servers know the box by.
    pub hostname: String,
    /// The host's id for id 0 of the mail server's user namespace.
    pub first_id: u32,
    /// The same of Postfix's, whose root alone may read the smarthost's password.
    pub postfix_id: u32,
}

impl Place {
    /// The people there.
    ///
    /// # Errors
    /// When the list can't be read or is damaged.
    pub fn read(&self) -> Result<People, PeopleError> {
        let homes = Homes {
            folder: self.mail.clone(),
            inside: INSIDE.into(),
            learned: self.learned.clone(),
            first_id: self.first_id,
        };
        People::read(&self.people, homes)
    }

    /// Makes the domains of these people the box's own: their mail is signed, and
    /// mail to them stays here.
    ///
    /// # Errors
    /// When the settings can't be read or written.
    pub fn own_domains(&self, people: &People) -> Result<(), FileError> {
        let addresses = people.all().iter();
        let domains = addresses.map(|person| person.address.domain());
        Settings::own(&self.outbound, domains).map(drop)
    }

    /// Shows strangers the policies of the domains of these people, and no others.
    ///
    /// # Errors
    /// When the table can't be written; what was shown before is shown then.
    pub fn show_domains(&self, people: &People) -> Result<(), FileError> {
        let addresses = people.all().iter();
        let domains = addresses.map(|person| person.address.domain());
        Table::of(&self.hostname, domains).keep(&self.web)
    }
}

/// The people, once the disk is open and the mail service has a place for them.
#[derive(Debug, Default)]
pub struct PeopleStore {
    place: Mutex<Option<Place>>,
    sessions: Mutex<Sessions>,
    /// Held from reading a file to replacing it; hashing a password takes a
    /// few hundred milliseconds on a Pi. Nothing else waits for it. The people's
    /// domains and the settings of mail on its way out are in one file.
    changing: Mutex<()>,
    /// Whether something was set that Postfix reads only when it starts.
    restart_postfix: AtomicBool,
}

impl PeopleStore {
    /// Where the mail service keeps its people; from now on they can be added.
    /// `None` while it does not run.
    pub fn opened(&self, place: Option<Place>) {
        *lock(&self.place) = place;
    }

    /// Begins the session of a browser that has proved the passphrase.
    pub fn begin_session(&self, session: Secret) -> Reply {
        if lock(&self.sessions).begin(session, Instant::now()) {
            return Reply::Done;
        }
        let words = "This page is not the box's own. Reload it.";
        refused(Refusal::NoSession, words.into(), 0)
    }

    /// Whether Postfix has to start again, since the last call.
    pub fn take_postfix_restart(&self) -> bool {
        self.restart_postfix.swap(false, Ordering::Relaxed)
    }

    /// Writes down which of the box's records in the DNS are wanted, for the service that
    /// looks for them.
    pub fn keep_records(&self) {
        let Some(place) = lock(&self.place).clone() else {
            return;
        };
        let _one_at_a_time = lock(&self.changing);
        dns_records::keep(&place);
    }

    /// Ends every session: the passphrase that they proved is no more.
    pub fn end_sessions(&self) {
        *lock(&self.sessions) = Sessions::default();
    }

    /// Answers a request, when its session has proved the passphrase.
    pub fn answer(&self, session: &Secret, request: PeopleRequest) -> Reply {
        self.answer_at(session, request, Instant::now())
    }

    fn answer_at(&self, session: &Secret, request: PeopleRequest, now: Instant) -> Reply {
        self.proved(session, now, |place| {
            let carried_out = carry_out(place, request);
            carried_out.map_or_else(Reply::from, |addresses| Reply::People { addresses })
        })
    }

    /// The same for a request about mail on its way out.
    pub fn answer_outbound(&self, session: &Secret, request: OutboundRequest) -> Reply {
        self.proved(session, Instant::now(), |place| {
            let carried_out = way_out::carry_out(place, request);
            carried_out.map_or_else(Reply::from, |done| {
                if done.restart_postfix {
                    self.restart_postfix.store(true, Ordering::Relaxed);
                }
                Reply::Outbound(done.set)
            })
        })
    }

    /// The same for a request about the other addresses.
    pub fn answer_addresses(&self, session: &Secret, request: AddressesRequest) -> Reply {
        self.proved(session, Instant::now(), |place| {
            other_addresses::carry_out(place, request).map_or_else(Reply::from, Reply::Addresses)
        })
    }

    /// The same for a request about the box's records in the DNS.
    pub fn answer_records(&self, session: &Secret, request: RecordsRequest) -> Reply {
        self.proved(session, Instant::now(), |place| {
            dns_records::answer(place, request)
        })
    }

    /// The same for a request about mail from others.
    pub fn answer_inbound(&self, session: &Secret, request: InboundRequest) -> Reply {
        self.proved(session, Instant::now(), |place| {
            way_in::carry_out(place, request).unwrap_or_else(Reply::from)
        })
    }

    /// Lets it be done if the session has proved the passphrase, and nothing else
    /// beside it.
    fn proved(&self, session: &Secret, now: Instant, act: impl FnOnce(&Place) -> Reply) -> Reply {
        if !lock(&self.sessions).holds(session, now) {
            let words = "For your safety this ends after 15 minutes. Give the passphrase again.";
            return refused(Refusal::NoSession, words.into(), 0);
        }
        let Some(place) = lock(&self.place).clone() else {
            let words = "The mail service is starting. Please wait a moment.";
            return refused(Refusal::NotReady, words.into(), STARTING);
        };
        let _one_at_a_time = lock(&self.changing);
        act(&place)
    }
}

/// Why a request was not carried out. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// What was typed as an address of the box.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// What was typed as an address of others.
    #[error(transparent)]
    Target(#[from] OutsideError),
    /// The list.
    #[error(transparent)]
    People(#[from] PeopleError),
}

impl From<Trouble> for Reply {
    fn from(trouble: Trouble) -> Self {
        use PeopleError::{
            Damaged, Exists, Full, FullOfAliases, Io, NoDomain, NotOutside, Outside, Password,
            Unknown,
        };
        let refusal = match &trouble {
            Trouble::Address(_)
            | Trouble::People(Exists(_) | Unknown(_) | NoDomain(_) | Full | FullOfAliases) => {
                Refusal::BadAddress
            }
            Trouble::Target(_) | Trouble::People(NotOutside(_) | Outside(_)) => Refusal::BadTarget,
            Trouble::People(Password(_)) => Refusal::BadPassword,
            Trouble::People(Damaged { .. } | Io { .. }) => {
                log::line(&format!("people: {trouble}"));
                let words = format!("The list of people was not changed: {trouble}.");
                return refused(Refusal::Failed, words, 0);
            }
        };
        refused(refusal, trouble.to_string(), 0)
    }
}

/// Does it and says who is there afterwards. The log gets no address.
fn carry_out(place: &Place, request: PeopleRequest) -> Result<Vec<String>, Trouble> {
    let mut people = place.read()?;
    match request {
        PeopleRequest::List => {}
        PeopleRequest::Add { address, password } => {
            people.add(Address::parse(&address)?, &password)?;
            log::line("people: one more");
        }
        PeopleRequest::SetPassword { address, password } => {
            people.set_password(&Address::parse(&address)?, &password)?;
            log::line("people: a new password");
        }
        PeopleRequest::Remove { address } => {
            people.remove(&Address::parse(&address)?)?;
            log::line("people: one less");
        }
    }
    // Who is there stands; the next start tries it again.
    for done in [place.own_domains(&people), place.show_domains(&people)] {
        if let Err(error) = done {
            log::line(&format!("people: {error}"));
        }
    }
    let addresses = people.all().iter();
    Ok(addresses.map(|person| person.address.to_string()).collect())
}

/// Nothing was changed.
pub fn refused(refusal: Refusal, words: String, retry_after: u64) -> Reply {
    Reply::Refused {
        refusal,
        words,
        retry_after,
    }
}

/// As in `control_server.rs`: a poisoned lock can't be met.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    pub const POSTFIX_ID: u32 = 400_000;
    const PASSWORD: &str = "annas first password";

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    pub fn session() -> Secret {
        secret(&"s".repeat(44))
    }

    /// Where things are in a folder that is there for a test.
    pub fn place(folder: &Path) -> Place {
        Place {
            people: folder.join("people"),
            mail: folder.join("mail"),
            learned: folder.join("learned"),
            outbound: folder.join("outbound"),
            smarthost: folder.join("smarthost"),
            web: folder.join("web"),
            volumes: folder.to_owned(),
            door: folder.join("door"),
            seen: Arc::default(),
            hostname: "box.example.org".into(),
            first_id: 300_000,
            postfix_id: POSTFIX_ID,
        }
    }

    /// A store with a session, and its folder.
    pub fn store() -> (PeopleStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir(&place.people).unwrap();
        fs::create_dir(&place.mail).unwrap();
        fs::create_dir(&place.learned).unwrap();
        fs::create_dir(&place.outbound).unwrap();
        fs::create_dir(&place.smarthost).unwrap();
        fs::create_dir(&place.web).unwrap();
        fs::create_dir(&place.door).unwrap();
        let store = PeopleStore::default();
        store.opened(Some(place));
        assert_eq!(store.begin_session(session()), Reply::Done);
        (store, folder)
    }

    fn add(address: &str, password: &str) -> PeopleRequest {
        PeopleRequest::Add {
            address: address.into(),
            password: secret(password),
        }
    }

    fn set_password(address: &str, password: &str) -> PeopleRequest {
        PeopleRequest::SetPassword {
            address: address.into(),
            password: secret(password),
        }
    }

    fn remove(address: &str) -> PeopleRequest {
        PeopleRequest::Remove {
            address: address.into(),
        }
    }

    fn ask(store: &PeopleStore, request: PeopleRequest) -> Reply {
        store.answer(&session(), request)
    }

    fn people(addresses: &[&str]) -> Reply {
        Reply::People {
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// Why it was refused, the words, and seconds to wait.
    pub fn refusal(reply: Reply) -> (Refusal, String, u64) {
        match reply {
            Reply::Refused {
                refusal,
                words,
                retry_after,
            } => (refusal, words, retry_after),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn people_come_get_another_password_and_go_and_the_mail_stays() {
        let (store, folder) = store();
        let list = folder.path().join("people/passwd");
        assert_eq!(ask(&store, PeopleRequest::List), people(&[]));
        let anna = ask(&store, add("Anna@Example.org", PASSWORD));
        assert_eq!(anna, people(&["anna@example.org"]));
        let both = people(&["anna@example.org", "ben@example.org"]);
        assert_eq!(ask(&store, add("ben@example.org", PASSWORD)), both);
        let before = fs::read_to_string(&list).unwrap();
        let changed = set_password("ben@example.org", "another password");
        assert_eq!(ask(&store, changed), both);
        assert_ne!(fs::read_to_string(&list).unwrap(), before);
        fs::write(folder.path().join("mail/20001/letter"), "old").unwrap();
        let ben = people(&["ben@example.org"]);
        assert_eq!(ask(&store, remove("anna@example.org")), ben);
        assert_eq!(ask(&store, PeopleRequest::List), ben);
        let letter = folder.path().join("mail/20001/letter");
        assert_eq!(fs::read(letter).unwrap(), b"old");
    }

    #[test]
    fn strangers_see_the_policy_of_each_domain_that_somebody_has_mail_in() {
        let (store, folder) = store();
        let shown = || {
            let table = Table::read(&folder.path().join("web")).unwrap();
            table.hosts.into_keys().collect::<Vec<_>>()
        };
        ask(&store, add("anna@example.org", PASSWORD));
        ask(&store, add("ben@example.net", PASSWORD));
        assert_eq!(shown(), ["mta-sts.example.net", "mta-sts.example.org"]);
        ask(&store, remove("ben@example.net"));
        assert_eq!(shown(), ["mta-sts.example.org"]);
    }

    #[test]
    fn a_browser_that_has_proved_nothing_sees_and_changes_nothing() {
        let (store, folder) = store();
        let other = secret(&"t".repeat(44));
        for request in [PeopleRequest::List, add("anna@example.org", PASSWORD)] {
            let (why, words, _) = refusal(store.answer(&other, request));
            assert_eq!(why, Refusal::NoSession);
            assert!(words.contains("passphrase again"), "{words}");
        }
        assert!(!folder.path().join("people/passwd").exists());
        let (why, ..) = refusal(store.begin_session(secret("short")));
        assert_eq!(why, Refusal::NoSession);
    }

    #[test]
    fn a_session_that_is_too_old_changes_nothing() {
        let (store, folder) = store();
        let late = Instant::now() + Duration::from_secs(15 * 60);
        let reply = store.answer_at(&session(), add("anna@example.org", PASSWORD), late);
        assert_eq!(refusal(reply).0, Refusal::NoSession);
        assert!(!folder.path().join("people/passwd").exists());
    }

    #[test]
    fn before_the_mail_service_has_its_folders_the_page_is_told_to_wait() {
        let store = PeopleStore::default();
        store.begin_session(session());
        let (why, words, wait) = refusal(ask(&store, PeopleRequest::List));
        assert_eq!((why, wait), (Refusal::NotReady, STARTING));
        assert!(words.contains("is starting"), "{words}");
    }

    #[test]
    fn each_mistake_is_told_beside_its_field() {
        let (store, _folder) = store();
        ask(&store, add("anna@example.org", PASSWORD));
        for (request, why, part) in [
            (add("anna", PASSWORD), Refusal::BadAddress, "one @"),
            (
                add("anna@example.org", PASSWORD),
                Refusal::BadAddress,
                "exists already",
            ),
            (
                add("ben@example.org", "short"),
                Refusal::BadPassword,
                "The password needs",
            ),
            (
                set_password("anna@example.org", "short"),
                Refusal::BadPassword,
                "The password needs",
            ),
            (
                set_password("ben@example.org", PASSWORD),
                Refusal::BadAddress,
                "does not exist",
            ),
            (
                remove("ben@example.org"),
                Refusal::BadAddress,
                "does not exist",
            ),
        ] {
            let shown = format!("{request:?}");
            let (refused, words, _) = refusal(ask(&store, request));
            assert_eq!(refused, why, "{shown}");
            assert!(words.contains(part), "{shown}: {words}");
            assert!(!words.contains("short"), "{shown}: {words}");
        }
        assert_eq!(
            ask(&store, PeopleRequest::List),
            people(&["anna@example.org"])
        );
    }

    #[test]
    fn a_damaged_list_is_named_and_left_alone() {
        let (store, folder) = store();
        let list = folder.path().join("people/passwd");
        fs::write(&list, "anna\n").unwrap();
        let (why, words, _) = refusal(ask(&store, add("ben@example.org", PASSWORD)));
        assert_eq!(why, Refusal::Failed);
        assert!(words.contains("passwd:1: not a person"), "{words}");
        assert_eq!(fs::read_to_string(&list).unwrap(), "anna\n");
    }
}

//! The other addresses, for the page: aliases, catch-alls, and aliases whose mail is
//! passed on to others outside.
//!
//! The list is the crate `people`'s; Dovecot reads the same file. The log says that
//! something was changed and gets no address.

use crate::log;
use crate::people::{Place, Trouble};
use control::addresses::{Alias, CatchAll, Outside};
use control::{AddressesRequest, OtherAddresses};
use people::{Address, OutsideAddress, People};

/// Does it and says which there are afterwards. The caller sees to it that no other
/// request is at the same files.
///
/// # Errors
/// When what was typed can't be set, or the disk fails.
pub fn carry_out(place: &Place, request: AddressesRequest) -> Result<OtherAddresses, Trouble> {
    let mut people = place.read()?;
    match request {
        AddressesRequest::See => {}
        AddressesRequest::AddAlias { address, person } => {
            people.add_alias(&Address::parse(&address)?, &Address::parse(&person)?)?;
            log::line("people: one more alias");
        }
        AddressesRequest::AddOutside {
            address,
            person,
            to,
        } => {
            let (address, person) = (Address::parse(&address)?, Address::parse(&person)?);
            people.add_outside(&address, &person, &OutsideAddress::parse_list(&to)?)?;
            log::line("people: one more alias to outside");
        }
        AddressesRequest::Remove { address } => {
            people.remove_alias(&Address::parse(&address)?)?;
            log::line("people: one alias less");
        }
        AddressesRequest::CatchAll { domain, person } => {
            people.set_catch_all(domain.trim(), Some(&Address::parse(&person)?))?;
            log::line("people: a catch-all was set");
        }
        AddressesRequest::NoCatchAll { domain } => {
            people.set_catch_all(domain.trim(), None)?;
            log::line("people: a catch-all was removed");
        }
    }
    Ok(shown(&people))
}

fn shown(people: &People) -> OtherAddresses {
    let aliases = people.aliases();
    let aliases = aliases.into_iter().map(|(address, person)| Alias {
        address: address.to_string(),
        person: person.address.to_string(),
    });
    let outside = people.outside();
    let outside = outside.into_iter().map(|(address, person, to)| Outside {
        address: address.to_string(),
        person: person.address.to_string(),
        to: to.iter().map(ToString::to_string).collect(),
    });
    let catch_alls = people.catch_alls();
    let catch_alls = catch_alls.into_iter().map(|(domain, person)| CatchAll {
        domain: domain.to_owned(),
        person: person.address.to_string(),
    });
    OtherAddresses::newest(aliases.collect(), outside.collect(), catch_alls.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::PeopleStore;
    use crate::people::tests::{refusal, session, store};
    use control::{PeopleRequest, Refusal, Reply, Secret};

    const ANNA: &str = "anna@example.org";

    fn ask(store: &PeopleStore, request: AddressesRequest) -> Reply {
        store.answer_addresses(&session(), request)
    }

    fn seen(store: &PeopleStore, request: AddressesRequest) -> OtherAddresses {
        match ask(store, request) {
            Reply::Addresses(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    /// A store in which Anna has mail, and its folder.
    fn with_anna() -> (PeopleStore, tempfile::TempDir) {
        let (store, folder) = store();
        let password = Secret::new("annas first password".into());
        let address = ANNA.into();
        store.answer(&session(), PeopleRequest::Add { address, password });
        (store, folder)
    }

    fn alias(address: &str, person: &str) -> AddressesRequest {
        AddressesRequest::AddAlias {
            address: address.into(),
            person: person.into(),
        }
    }

    fn outside(address: &str, to: &str) -> AddressesRequest {
        AddressesRequest::AddOutside {
            address: address.into(),
            person: ANNA.into(),
            to: to.into(),
        }
    }

    fn catch_all(domain: &str, person: &str) -> AddressesRequest {
        AddressesRequest::CatchAll {
            domain: domain.into(),
            person: person.into(),
        }
    }

    fn remove(address: &str) -> AddressesRequest {
        let address = address.into();
        AddressesRequest::Remove { address }
    }

    #[test]
    fn each_kind_is_in_dovecot_s_list_until_it_is_removed() {
        let (store, folder) = with_anna();
        let list = || std::fs::read_to_string(folder.path().join("people/aliases")).unwrap();
        let before = list();
        seen(&store, alias(" Sales@example.org ", ANNA));
        seen(
            &store,
            outside("club@example.org", "bob@far.example, eve@other.example"),
        );
        let all = seen(&store, catch_all(" Example.org", ANNA));
        assert_eq!(all.aliases[0].address, "sales@example.org");
        assert_eq!(all.aliases[0].person, ANNA);
        assert_eq!(all.outside[0].to, ["bob@far.example", "eve@other.example"]);
        assert_eq!(all.outside[0].person, ANNA);
        assert_eq!(all.catch_alls[0].domain, "example.org");
        for word in [
            "sales@example.org:",
            "outside2=eve@other.example",
            "_@example.org:",
        ] {
            assert!(list().contains(word), "{word}");
        }
        seen(&store, remove("sales@example.org"));
        seen(&store, remove("club@example.org"));
        let domain = "example.org".into();
        let none = seen(&store, AddressesRequest::NoCatchAll { domain });
        assert_eq!(none, OtherAddresses::default());
        assert_eq!(list(), before);
    }

    #[test]
    fn each_mistake_is_told_beside_its_field_and_changes_nothing() {
        use Refusal::{BadAddress, BadTarget};
        let (store, folder) = with_anna();
        seen(&store, alias("sales@example.org", ANNA));
        let list = || std::fs::read_to_string(folder.path().join("people/aliases")).unwrap();
        let before = list();
        for (request, why, part) in [
            (alias("sales", ANNA), BadAddress, "one @"),
            (
                alias("sales@example.org", ANNA),
                BadAddress,
                "exists already",
            ),
            (
                alias("sales@far.example", ANNA),
                BadAddress,
                "at far.example",
            ),
            (
                alias("shop@example.org", "ben@example.org"),
                BadAddress,
                "ben@example.org does not exist",
            ),
            (outside("club@example.org", ""), BadTarget, "write one to 4"),
            (
                outside("club@example.org", "bob"),
                BadTarget,
                "a whole mail",
            ),
            (
                outside("club@example.org", ANNA),
                BadTarget,
                "only to others",
            ),
            (catch_all("far.example", ANNA), BadAddress, "at far.example"),
            (remove("club@example.org"), BadAddress, "does not exist"),
            (remove(ANNA), BadAddress, "does not exist"),
        ] {
            let shown = format!("{request:?}");
            let (refused, words, _) = refusal(ask(&store, request));
            assert_eq!(refused, why, "{shown}");
            assert!(words.to_lowercase().contains(part), "{shown}: {words}");
        }
        assert_eq!(list(), before);
    }

    #[test]
    fn a_browser_that_has_proved_nothing_sees_and_sets_nothing() {
        let (store, _folder) = with_anna();
        let other = Secret::new("t".repeat(44));
        for request in [AddressesRequest::See, alias("sales@example.org", ANNA)] {
            let (why, ..) = refusal(store.answer_addresses(&other, request));
            assert_eq!(why, Refusal::NoSession);
        }
        let none = OtherAddresses::default();
        assert_eq!(seen(&store, AddressesRequest::See), none);
    }
}

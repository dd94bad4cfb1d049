//! How mail comes in, for the page: block lists, forwarders that are believed, and who
//! was refused; and what others report.
//!
//! The rules are a file that the gate reads for each connection
//! ([`channels::rules`]), so a change counts at once. The log says that something was
//! changed and gets no domain.

use crate::log;
use crate::people::{Place, refused};
use channels::rules::{self, MOST, Rules};
use control::{Inbound, InboundRequest, Refusal, Reply};
use std::fs;
use std::io;
use std::path::Path;
use whole_file::WholeFile;

/// The file's name in its volume.
const FILE: &str = "rules";

/// Why a request was not carried out. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Not a domain of DNS.
    #[error("Write a whole domain, like bl.example.org, in small letters a to z, digits and -.")]
    Domain,
    /// One more than there may be.
    #[error("There are {MOST} already; remove one first.")]
    Full,
    /// It is there.
    #[error("{0} is in the list already.")]
    Known(String),
    /// It is not there.
    #[error("{0} is not in the list.")]
    Unknown(String),
    /// The file was written by somebody else.
    #[error("{0}; mend the file door/rules, or remove it")]
    Rules(#[from] rules::RulesError),
    /// The disk.
    #[error("the rules for mail from others: {0}; is the volume there?")]
    Io(#[from] io::Error),
}

impl From<Trouble> for Reply {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Domain | Trouble::Full | Trouble::Known(_) | Trouble::Unknown(_) => {
                refused(Refusal::BadDomain, trouble.to_string(), 0)
            }
            Trouble::Rules(_) | Trouble::Io(_) => {
                log::line(&format!("inbound: {trouble}"));
                let words = format!("The settings were not changed: {trouble}.");
                refused(Refusal::Failed, words, 0)
            }
        }
    }
}

/// Does it and says what is set afterwards. The caller sees to it that no other
/// request is at the same file.
///
/// # Errors
/// When what was typed can't be set, or the disk fails.
pub fn carry_out(place: &Place, request: InboundRequest) -> Result<Reply, Trouble> {
    if matches!(request, InboundRequest::Reports) {
        return Ok(Reply::Reports(place.seen.reports()));
    }
    let mut rules = read(&place.door)?;
    let said = match request {
        InboundRequest::See | InboundRequest::Reports => None,
        InboundRequest::Block { zone } => {
            add(&mut rules.block_lists, &zone)?;
            Some("inbound: a block list more")
        }
        InboundRequest::Unblock { zone } => {
            remove(&mut rules.block_lists, &zone)?;
            Some("inbound: a block list less")
        }
        InboundRequest::Trust { domain } => {
            add(&mut rules.trusted_sealers, &domain)?;
            Some("inbound: one more forwarder is believed")
        }
        InboundRequest::Mistrust { domain } => {
            remove(&mut rules.trusted_sealers, &domain)?;
            Some("inbound: one forwarder less is believed")
        }
    };
    if let Some(said) = said {
        write(&place.door, &rules)?;
        log::line(said);
    }
    Ok(Reply::Inbound(Inbound {
        block_lists: rules.block_lists,
        trusted: rules.trusted_sealers,
        refused: place.seen.peers(),
    }))
}

fn add(list: &mut Vec<String>, typed: &str) -> Result<(), Trouble> {
    let domain = rules::domain(typed).ok_or(Trouble::Domain)?;
    if list.contains(&domain) {
        return Err(Trouble::Known(domain));
    }
    if list.len() >= MOST {
        return Err(Trouble::Full);
    }
    list.push(domain);
    Ok(())
}

fn remove(list: &mut Vec<String>, typed: &str) -> Result<(), Trouble> {
    let domain = rules::domain(typed).ok_or(Trouble::Domain)?;
    let place = list.iter().position(|known| *known == domain);
    list.remove(place.ok_or(Trouble::Unknown(domain))?);
    Ok(())
}

fn read(door: &Path) -> Result<Rules, Trouble> {
    match fs::read_to_string(door.join(FILE)) {
        Ok(text) => Ok(Rules::parse(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Rules::default()),
        Err(error) => Err(error.into()),
    }
}

/// The gate reads the one or the other, never a part, and so does a box after a power
/// cut.
fn write(door: &Path, rules: &Rules) -> Result<(), Trouble> {
    let file = WholeFile::at(door.join(FILE), 0o644);
    Ok(file.write(rules.to_string().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::PeopleStore;
    use crate::people::tests::{refusal, session, store};
    use control::Secret;

    fn ask(store: &PeopleStore, request: InboundRequest) -> Reply {
        store.answer_inbound(&session(), request)
    }

    fn seen(store: &PeopleStore, request: InboundRequest) -> Inbound {
        match ask(store, request) {
            Reply::Inbound(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    fn block(zone: &str) -> InboundRequest {
        let zone = zone.into();
        InboundRequest::Block { zone }
    }

    fn unblock(zone: &str) -> InboundRequest {
        let zone = zone.into();
        InboundRequest::Unblock { zone }
    }

    fn trust(domain: &str) -> InboundRequest {
        let domain = domain.into();
        InboundRequest::Trust { domain }
    }

    #[test]
    fn what_is_set_is_what_the_gate_reads_until_it_is_removed() {
        let (store, folder) = store();
        let file = folder.path().join("door/rules");
        let read = || Rules::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(seen(&store, InboundRequest::See), Inbound::default());
        assert!(!file.exists());
        seen(&store, block(" BL.example "));
        let set = seen(&store, trust("lists.example"));
        assert_eq!(set.block_lists, ["bl.example"]);
        assert_eq!(set.trusted, ["lists.example"]);
        assert_eq!(read().block_lists, ["bl.example"]);
        assert_eq!(read().trusted_sealers, ["lists.example"]);
        let domain = "lists.example".into();
        seen(&store, InboundRequest::Mistrust { domain });
        seen(&store, unblock("bl.example"));
        assert_eq!(read(), Rules::default());
    }

    #[test]
    fn what_can_t_be_set_is_told_and_changes_nothing() {
        let (store, folder) = store();
        for number in 0..MOST {
            seen(&store, block(&format!("bl{number}.example")));
        }
        let file = folder.path().join("door/rules");
        let before = fs::read(&file).unwrap();
        for (request, part) in [
            (block("localhost"), "whole domain"),
            (block("a.example\ntrust-seals-of b.example"), "whole domain"),
            (block("a.example # b"), "whole domain"),
            (trust(""), "whole domain"),
            (block("bl0.example"), "in the list already"),
            (block("bl9.example"), "8 already"),
            (unblock("bl9.example"), "not in the list"),
        ] {
            let (why, words, _) = refusal(ask(&store, request));
            assert_eq!(why, Refusal::BadDomain);
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn a_file_of_somebody_else_is_named_and_left_alone() {
        let (store, folder) = store();
        let file = folder.path().join("door/rules");
        fs::write(&file, "allow all\n").unwrap();
        let (why, words, _) = refusal(ask(&store, block("bl.example")));
        assert_eq!(why, Refusal::Failed);
        assert!(
            words.contains("line 1") && words.contains("door/rules"),
            "{words}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "allow all\n");
    }

    #[test]
    fn a_browser_that_has_proved_nothing_sees_and_sets_nothing() {
        let (store, folder) = store();
        let other = Secret::new("t".repeat(44));
        for request in [
            InboundRequest::See,
            InboundRequest::Reports,
            block("bl.example"),
        ] {
            let (why, ..) = refusal(store.answer_inbound(&other, request));
            assert_eq!(why, Refusal::NoSession);
        }
        assert!(!folder.path().join("door/rules").exists());
    }
}

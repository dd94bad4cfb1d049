//! How mail goes out, for the page: what the owner has set, and how it is changed.
//!
//! The settings are the crate `outbound`'s, in files that the services read. The log
//! says that something was changed and never for whom: it gets no domain, no
//! server and no login.

use crate::log;
use crate::people::{Place, refused};
use control::outbound::{self as told, Allow, Exception, SmarthostPort};
use control::{Outbound, OutboundRequest, Refusal, Reply};
use outbound::FileError;
use outbound::settings::{self, Settings, SettingsError};
use outbound::smarthost::{Port, Smarthost, SmarthostError};

/// Why a request was not carried out. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// What was typed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What was typed about the smarthost.
    #[error(transparent)]
    Smarthost(#[from] SmarthostError),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<Trouble> for Reply {
    fn from(trouble: Trouble) -> Self {
        use SettingsError::{Domain, Full, Hours, NoException, NotAscii, WarnedTooLate};
        let refusal = match &trouble {
            Trouble::Settings(Hours | WarnedTooLate) => Refusal::BadHours,
            Trouble::Settings(Domain | NotAscii | Full | NoException(_)) => Refusal::BadDomain,
            Trouble::Smarthost(SmarthostError::Host) => Refusal::BadHost,
            Trouble::Smarthost(SmarthostError::Login) => Refusal::BadLogin,
            Trouble::File(_) => {
                log::line(&format!("outbound: {trouble}"));
                let words = format!("The settings were not changed: {trouble}.");
                return refused(Refusal::Failed, words, 0);
            }
        };
        refused(refusal, trouble.to_string(), 0)
    }
}

/// A request that was carried out.
pub struct Done {
    /// What is set now.
    pub set: Outbound,
    /// Whether Postfix has to start again before it counts: it reads only when it
    /// starts.
    pub restart_postfix: bool,
}

/// Does it and says what is set afterwards. The caller sees to it that no other
/// request is at the same files.
///
/// # Errors
/// When what was typed can't be set, or the disk fails.
pub fn carry_out(place: &Place, request: OutboundRequest) -> Result<Done, Trouble> {
    // `tls-policy` reads them for every message: an exception counts at once.
    let mut settings = Settings::read(&place.outbound)?;
    let mut restart_postfix = false;
    match request {
        OutboundRequest::See => {}
        OutboundRequest::Except { domain, allow } => {
            settings.except(&domain, allowed(allow))?;
            settings.write(&place.outbound)?;
            log::line("outbound: an exception was set");
        }
        OutboundRequest::RemoveException { domain } => {
            settings.remove_exception(&domain)?;
            settings.write(&place.outbound)?;
            log::line("outbound: an exception was removed");
        }
        OutboundRequest::SetHours { give_up, warn } => {
            if settings.set_hours(&give_up, &warn)? {
                settings.write(&place.outbound)?;
                log::line("outbound: other hours were set");
                restart_postfix = true;
            }
        }
        OutboundRequest::SetSmarthost {
            host,
            port,
            login,
            password,
        } => {
            let smarthost = Smarthost {
                host: host.trim().to_ascii_lowercase(),
                port: match port {
                    SmarthostPort::ImplicitTls => Port::ImplicitTls,
                    SmarthostPort::StartTls => Port::StartTls,
                },
                login: login.trim().to_owned(),
                password: password.expose().to_owned(),
            };
            smarthost.check()?;
            smarthost.write(&place.smarthost, place.postfix_id)?;
            log::line("outbound: a smarthost was set");
            restart_postfix = true;
        }
        OutboundRequest::RemoveSmarthost => {
            Smarthost::remove(&place.smarthost)?;
            log::line("outbound: there is no smarthost");
            restart_postfix = true;
        }
    }
    let exceptions = settings.exceptions.into_iter().map(|exception| Exception {
        domain: exception.domain,
        allow: shown(exception.allow),
    });
    let smarthost = Smarthost::read(&place.smarthost)?.map(|smarthost| told::Smarthost {
        host: smarthost.host,
        port: match smarthost.port {
            Port::ImplicitTls => SmarthostPort::ImplicitTls,
            Port::StartTls => SmarthostPort::StartTls,
        },
        login: smarthost.login,
    });
    let set = Outbound {
        exceptions: exceptions.collect(),
        give_up_after_hours: settings.give_up_after_hours,
        warn_after_hours: settings.warn_after_hours,
        smarthost,
    };
    Ok(Done {
        set,
        restart_postfix,
    })
}

fn allowed(allow: Allow) -> settings::Allow {
    match allow {
        Allow::AnyCertificate => settings::Allow::AnyCertificate,
        Allow::Plaintext => settings::Allow::Plaintext,
    }
}

fn shown(allow: settings::Allow) -> Allow {
    match allow {
        settings::Allow::AnyCertificate => Allow::AnyCertificate,
        settings::Allow::Plaintext => Allow::Plaintext,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::PeopleStore;
    use crate::people::tests::{POSTFIX_ID, refusal, session, store};
    use control::{PeopleRequest, Secret};

    fn ask(store: &PeopleStore, request: OutboundRequest) -> Reply {
        store.answer_outbound(&session(), request)
    }

    fn seen(store: &PeopleStore, request: OutboundRequest) -> Outbound {
        match ask(store, request) {
            Reply::Outbound(seen) => seen,
            other => panic!("{other:?}"),
        }
    }

    fn except(domain: &str, allow: Allow) -> OutboundRequest {
        let domain = domain.into();
        OutboundRequest::Except { domain, allow }
    }

    fn remove(domain: &str) -> OutboundRequest {
        let domain = domain.into();
        OutboundRequest::RemoveException { domain }
    }

    #[test]
    fn an_exception_is_in_force_for_the_services_until_it_is_removed() {
        let (store, folder) = store();
        let folder = folder.path().join("outbound");
        assert!(seen(&store, OutboundRequest::See).exceptions.is_empty());
        let now = seen(&store, except("Old.Example", Allow::Plaintext));
        let one = Exception {
            domain: "old.example".into(),
            allow: Allow::Plaintext,
        };
        assert_eq!(now.exceptions, [one]);
        let read = || Settings::read(&folder).unwrap().exception("old.example");
        assert_eq!(read(), Some(settings::Allow::Plaintext));
        seen(&store, except("old.example", Allow::AnyCertificate));
        assert_eq!(read(), Some(settings::Allow::AnyCertificate));
        assert!(seen(&store, remove("old.example")).exceptions.is_empty());
        assert_eq!(read(), None);
    }

    fn hours(give_up: &str, warn: &str) -> OutboundRequest {
        let (give_up, warn) = (give_up.into(), warn.into());
        OutboundRequest::SetHours { give_up, warn }
    }

    #[test]
    fn other_hours_are_written_and_postfix_starts_again_once() {
        let (store, folder) = store();
        seen(&store, OutboundRequest::See);
        seen(&store, except("old.example", Allow::Plaintext));
        seen(&store, hours("48", "4"));
        assert!(
            !store.take_postfix_restart(),
            "nothing that it reads changed"
        );
        let now = seen(&store, hours("72", "6"));
        assert_eq!((now.give_up_after_hours, now.warn_after_hours), (72, 6));
        assert!(store.take_postfix_restart());
        assert!(!store.take_postfix_restart());
        let settings = Settings::read(&folder.path().join("outbound")).unwrap();
        assert_eq!(settings.give_up_after_hours, 72);
        assert_eq!(settings.exceptions.len(), 1);
    }

    #[test]
    fn hours_that_make_no_sense_are_told_and_restart_nothing() {
        let (store, _folder) = store();
        for (request, part) in [
            (hours("721", "4"), "from 1 to 720"),
            (hours("4", "5"), "before the message comes back"),
        ] {
            let (why, words, _) = refusal(ask(&store, request));
            assert_eq!(why, Refusal::BadHours);
            assert!(words.contains(part), "{words}");
        }
        assert!(!store.take_postfix_restart());
    }

    fn smarthost(host: &str, login: &str, password: &str) -> OutboundRequest {
        OutboundRequest::SetSmarthost {
            host: host.into(),
            port: SmarthostPort::StartTls,
            login: login.into(),
            password: Secret::new(password.into()),
        }
    }

    #[test]
    fn a_smarthost_is_postfix_s_alone_and_its_password_is_never_told() {
        use std::os::unix::fs::MetadataExt;
        let (store, folder) = store();
        let file = folder.path().join("smarthost/smarthost.json");
        let now = seen(
            &store,
            smarthost(" SMTP.example.org ", "anna ", "of the provider"),
        );
        assert!(!format!("{now:?}").contains("of the provider"));
        let shown = now.smarthost.unwrap();
        let shown = (&*shown.host, shown.port, &*shown.login);
        assert_eq!(shown, ("smtp.example.org", SmarthostPort::StartTls, "anna"));
        let meta = std::fs::metadata(&file).unwrap();
        let kept = (meta.mode() & 0o7777, meta.uid(), meta.gid());
        assert_eq!(kept, (0o600, POSTFIX_ID, POSTFIX_ID));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("of the provider"), "{text}");
        assert!(store.take_postfix_restart());

        let now = seen(&store, OutboundRequest::RemoveSmarthost);
        assert_eq!(now.smarthost, None);
        assert!(!file.exists());
        assert!(store.take_postfix_restart());
    }

    #[test]
    fn a_smarthost_that_postfix_could_not_use_is_told_beside_its_field() {
        let (store, folder) = store();
        for (request, why) in [
            (smarthost("localhost", "anna", "secret"), Refusal::BadHost),
            (smarthost("a.example", "an na", "secret"), Refusal::BadLogin),
            (smarthost("a.example", "anna", ""), Refusal::BadLogin),
        ] {
            let (refused, words, _) = refusal(ask(&store, request));
            assert_eq!(refused, why);
            assert!(!words.contains("secret"), "{words}");
        }
        assert!(!folder.path().join("smarthost/smarthost.json").exists());
        assert!(!store.take_postfix_restart());
    }

    #[test]
    fn exceptions_and_the_people_s_domains_leave_each_other_alone() {
        let (store, folder) = store();
        seen(&store, except("old.example", Allow::Plaintext));
        let password = Secret::new("annas first password".into());
        let address = "anna@home.example".into();
        let add = PeopleRequest::Add { address, password };
        assert!(matches!(
            store.answer(&session(), add),
            Reply::People { .. }
        ));
        seen(&store, except("older.example", Allow::Plaintext));
        let settings = Settings::read(&folder.path().join("outbound")).unwrap();
        assert!(settings.domain("home.example").is_some());
        assert_eq!(settings.exceptions.len(), 2);
    }

    #[test]
    fn a_browser_that_has_proved_nothing_sees_and_sets_nothing() {
        let (store, folder) = store();
        let other = Secret::new("t".repeat(44));
        for request in [
            OutboundRequest::See,
            except("old.example", Allow::Plaintext),
            remove("old.example"),
            smarthost("smtp.example.org", "anna", "of the provider"),
            OutboundRequest::RemoveSmarthost,
        ] {
            let (why, ..) = refusal(store.answer_outbound(&other, request));
            assert_eq!(why, Refusal::NoSession);
        }
        assert!(!folder.path().join("outbound/settings.json").exists());
    }

    #[test]
    fn what_is_no_domain_is_told_and_not_set() {
        let (store, folder) = store();
        for (request, part) in [
            (except("localhost", Allow::Plaintext), "a whole domain"),
            (except("b\u{fc}cher.example", Allow::Plaintext), "xn--"),
            (remove("old.example"), "no exception for old.example"),
        ] {
            let (why, words, _) = refusal(ask(&store, request));
            assert_eq!(why, Refusal::BadDomain);
            assert!(words.contains(part), "{words}");
        }
        assert!(!folder.path().join("outbound/settings.json").exists());
    }

    #[test]
    fn damaged_settings_are_named_and_left_alone() {
        let (store, folder) = store();
        let file = folder.path().join("outbound/settings.json");
        std::fs::write(&file, "{}").unwrap();
        let request = except("old.example", Allow::Plaintext);
        let (why, words, _) = refusal(ask(&store, request));
        assert_eq!(why, Refusal::Failed);
        assert!(words.contains("settings.json"), "{words}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}");
    }
}

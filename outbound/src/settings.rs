//! `settings.json`: the box's own domains, the owner's exceptions, and how long
//! a message may wait. Nothing in it is secret.

use crate::file::{self, FileError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in the volume `outbound`.
pub const FILE: &str = "settings.json";

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Domains whose mail is delivered here and signed.
    pub domains: Vec<Domain>,
    /// Domains for which the owner has lowered what is demanded.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
    /// After how many hours a message that can't be sent comes back.
    #[serde(default = "give_up_after")]
    pub give_up_after_hours: u32,
    /// After how many hours its sender is told that it still waits.
    #[serde(default = "warn_after")]
    pub warn_after_hours: u32,
}

/// Two days: who writes wants to know, and a server that is away over a weekend
/// is asked again by hand.
fn give_up_after() -> u32 {
    48
}

fn warn_after() -> u32 {
    4
}

/// A domain of the box's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Domain {
    /// In lower case, without a dot at the end.
    pub name: String,
    /// The number of the DKIM keys that sign now; the keys of the next number are
    /// kept ready, so that they can stand in the DNS before they are needed.
    #[serde(default = "first")]
    pub dkim: u32,
}

fn first() -> u32 {
    1
}

/// One exception, for one domain and nothing below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exception {
    /// The part of an address behind the @, in lower case.
    pub domain: String,
    /// What is still demanded.
    pub allow: Allow,
}

/// What the owner lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// TLS with any certificate: nobody on the way reads it who only listens.
    AnyCertificate,
    /// No TLS, if the other side has none: a postcard.
    Plaintext,
}

/// As many exceptions as a page can show: who needs more wants no rule at all.
pub const MOST_EXCEPTIONS: usize = 100;

/// After how many hours a message may come back, and its sender be told: up to 30 days.
/// `postfix.rs` brings what is in the file into the same range.
pub const HOURS: std::ops::RangeInclusive<u32> = 1..=720;

/// Why something is not set. The words are for the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a domain.
    #[error(
        "This is not a whole domain. Write what stands behind the @ in the mail address, like \
         example.org."
    )]
    Domain,
    /// A domain in another script than the DNS has (RFC 5890 section 2.3.2.1).
    #[error(
        "Write the domain with the letters a to z, digits and hyphens only. One with other \
         letters has such a form as well; it begins with xn--."
    )]
    NotAscii,
    /// There is no room for another one.
    #[error("There are {MOST_EXCEPTIONS} exceptions already. Remove one first.")]
    Full,
    /// Not hours.
    #[error(
        "Both must be whole numbers of hours, from {} to {}.",
        HOURS.start(),
        HOURS.end()
    )]
    Hours,
    /// The wrong way round.
    #[error(
        "The sender must be told before the message comes back: the first number can’t be \
         larger than the second."
    )]
    WarnedTooLate,
    /// Nothing to remove.
    #[error("There is no exception for {0}. Reload the page to see which there are.")]
    NoException(String),
}

/// Reads a domain as a person types it: the part of an address behind the @. Capitals
/// become small letters, and the dot at the end of a DNS name goes.
///
/// # Errors
/// The words say what to type instead.
pub fn domain_name(typed: &str) -> Result<String, SettingsError> {
    let typed = typed.trim();
    if !typed.is_ascii() {
        return Err(SettingsError::NotAscii);
    }
    let name = typed.strip_suffix('.').unwrap_or(typed);
    let name = name.to_ascii_lowercase();
    // RFC 1123 section 2.1: no hyphen at an end of a label, and no number as the last
    // one, or it would be an IPv4 address.
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit_once('.').map(|(_, last)| last);
    let is_domain = name.len() <= 253
        && name.split('.').all(is_label)
        && last.is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    is_domain.then_some(name).ok_or(SettingsError::Domain)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            exceptions: Vec::new(),
            give_up_after_hours: give_up_after(),
            warn_after_hours: warn_after(),
        }
    }
}

impl Settings {
    /// Reads them from `folder`. A box whose owner has chosen nothing has the
    /// usual ones, and no domain.
    ///
    /// # Errors
    /// When the file can't be read, or is not of this form.
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        Ok(file::read(&folder.join(FILE))?.unwrap_or_default())
    }

    /// Writes them, for all services to read.
    ///
    /// # Errors
    /// When the disk fails; those before are in force then.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        file::write(&folder.join(FILE), self, 0o644, None)
    }

    /// Makes exactly these the box's own domains, in the file as well if that
    /// changes anything. A domain that stays keeps the number of its keys.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn own<'a>(
        folder: &Path,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, FileError> {
        let mut settings = Self::read(folder)?;
        let mut domains: Vec<Domain> = Vec::new();
        for name in names {
            if domains.iter().any(|known| known.name == name) {
                continue;
            }
            let known = settings.domain(name).cloned();
            domains.push(known.unwrap_or_else(|| Domain {
                name: name.to_owned(),
                dkim: first(),
            }));
        }
        if domains != settings.domains {
            settings.domains = domains;
            settings.write(folder)?;
        }
        Ok(settings)
    }

    /// The box's own domain of this name.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        let mut all = self.domains.iter();
        all.find(|domain| domain.name.eq_ignore_ascii_case(name))
    }

    /// Lowers what is demanded for mail to the domain `typed`, or changes what was
    /// lowered. [`Self::write`] puts it in force.
    ///
    /// # Errors
    /// When it is no domain, or there are too many.
    pub fn except(&mut self, typed: &str, allow: Allow) -> Result<(), SettingsError> {
        let domain = domain_name(typed)?;
        let mut known = self.exceptions.iter_mut();
        if let Some(known) = known.find(|known| known.domain == domain) {
            known.allow = allow;
        } else if self.exceptions.len() >= MOST_EXCEPTIONS {
            return Err(SettingsError::Full);
        } else {
            self.exceptions.push(Exception { domain, allow });
        }
        Ok(())
    }

    /// Demands everything again for mail to the domain `typed`. [`Self::write`] puts it
    /// in force.
    ///
    /// # Errors
    /// When there is no exception for it.
    pub fn remove_exception(&mut self, typed: &str) -> Result<(), SettingsError> {
        let domain = typed.trim().to_ascii_lowercase();
        let before = self.exceptions.len();
        self.exceptions.retain(|known| known.domain != domain);
        if self.exceptions.len() == before {
            return Err(SettingsError::NoException(domain));
        }
        Ok(())
    }

    /// Sets the hours after which a message comes back, and after which its sender is
    /// told that it waits, both as they were typed. [`Self::write`] puts them in force
    /// when Postfix starts again. Returns whether that changes anything.
    ///
    /// # Errors
    /// The words say which hours there may be.
    pub fn set_hours(&mut self, give_up: &str, warn: &str) -> Result<bool, SettingsError> {
        let hours = |typed: &str| {
            let number = typed.trim().parse().ok();
            let number = number.filter(|hours| HOURS.contains(hours));
            number.ok_or(SettingsError::Hours)
        };
        let (give_up, warn) = (hours(give_up)?, hours(warn)?);
        if warn > give_up {
            return Err(SettingsError::WarnedTooLate);
        }
        let before = (self.give_up_after_hours, self.warn_after_hours);
        self.give_up_after_hours = give_up;
        self.warn_after_hours = warn;
        Ok(before != (give_up, warn))
    }

    /// What the owner lets pass for mail to `domain`.
    pub fn exception(&self, domain: &str) -> Option<Allow> {
        let mut all = self.exceptions.iter();
        let found = all.find(|exception| exception.domain.eq_ignore_ascii_case(domain));
        found.map(|exception| exception.allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_written_is_the_strict_default() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::read(folder.path()).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.exception("example.org"), None);
        settings.domains.push(Domain {
            name: "home.example".into(),
            dkim: 3,
        });
        settings.exceptions.push(Exception {
            domain: "old.example".into(),
            allow: Allow::AnyCertificate,
        });
        settings.write(folder.path()).unwrap();
        let read = Settings::read(folder.path()).unwrap();
        assert_eq!(read, settings);
        assert_eq!(read.domain("Home.Example").unwrap().dkim, 3);
        assert_eq!(read.exception("OLD.example"), Some(Allow::AnyCertificate));
        // For one domain only.
        assert_eq!(read.exception("sub.old.example"), None);
    }

    #[test]
    fn a_domain_that_stays_keeps_its_keys_and_one_without_people_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::own(folder.path(), ["a.example", "b.example"]).unwrap();
        settings.domains[1].dkim = 7;
        settings.write(folder.path()).unwrap();
        let people = ["b.example", "c.example", "b.example"];
        Settings::own(folder.path(), people).unwrap();
        let read = Settings::read(folder.path()).unwrap();
        let now: Vec<_> = (read.domains.iter())
            .map(|domain| (&*domain.name, domain.dkim))
            .collect();
        assert_eq!(now, [("b.example", 7), ("c.example", 1)]);
    }

    #[test]
    fn an_exception_is_for_one_domain_once_and_can_be_taken_back() {
        let mut settings = Settings::default();
        settings.except(" Old.Example. ", Allow::Plaintext).unwrap();
        settings
            .except("old.example", Allow::AnyCertificate)
            .unwrap();
        let one = [Exception {
            domain: "old.example".into(),
            allow: Allow::AnyCertificate,
        }];
        assert_eq!(settings.exceptions, one);
        let none = settings.remove_exception("new.example").unwrap_err();
        assert!(none.to_string().contains("no exception for new.example"));
        settings.remove_exception("OLD.example").unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_hundred_exceptions_are_enough_and_one_of_them_can_still_be_changed() {
        let mut settings = Settings::default();
        for number in 0..MOST_EXCEPTIONS {
            let domain = format!("{number}.example");
            settings.except(&domain, Allow::Plaintext).unwrap();
        }
        let another = settings.except("more.example", Allow::Plaintext);
        assert_eq!(another, Err(SettingsError::Full));
        settings.except("7.example", Allow::AnyCertificate).unwrap();
        assert_eq!(settings.exception("7.example"), Some(Allow::AnyCertificate));
    }

    #[test]
    fn only_a_whole_domain_in_ascii_has_an_exception() {
        let long = format!("{}.example", "x".repeat(64));
        for typed in [
            "",
            "localhost",
            "example..org",
            ".example.org",
            "-a.example",
            "a-.example",
            "a b.example",
            "a_b.example",
            "anna@example.org",
            "*.example.org",
            "192.0.2.1",
            "[192.0.2.1]",
            "a.example\nb",
            &long,
            &"a.".repeat(128),
        ] {
            assert_eq!(domain_name(typed), Err(SettingsError::Domain), "{typed:?}");
        }
        let umlaut = domain_name("b\u{fc}cher.example").unwrap_err();
        assert!(umlaut.to_string().contains("begins with xn--"), "{umlaut}");
        let ascii = domain_name("XN--Bcher-kva.example").unwrap();
        assert_eq!(ascii, "xn--bcher-kva.example");
    }

    #[test]
    fn who_sends_is_told_before_the_message_comes_back_and_both_within_30_days() {
        let mut settings = Settings::default();
        assert_eq!(settings.set_hours("48", "4"), Ok(false));
        assert_eq!(settings.set_hours(" 720 ", "720"), Ok(true));
        let hours = (settings.give_up_after_hours, settings.warn_after_hours);
        assert_eq!(hours, (720, 720));
        for (give_up, warn) in [
            ("721", "1"),
            ("0", "0"),
            ("4", "0"),
            ("", "4"),
            ("2.5", "1"),
            ("-1", "1"),
            ("two", "1"),
            ("99999999999", "1"),
        ] {
            let refused = settings.set_hours(give_up, warn);
            assert_eq!(refused, Err(SettingsError::Hours), "{give_up} {warn}");
        }
        let refused = settings.set_hours("4", "5");
        assert_eq!(refused, Err(SettingsError::WarnedTooLate));
        let words = SettingsError::Hours.to_string();
        assert!(words.contains("from 1 to 720"), "{words}");
        assert_eq!(settings.give_up_after_hours, 720);
    }

    #[test]
    fn a_word_that_is_not_known_is_an_error_and_no_exception() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            r#"{"domains": [], "exceptions": [{"domain": "a.example", "allow": "all"}]}"#,
            r#"{"domains": [], "exceptoins": []}"#,
            r#"{"exceptions": []}"#,
            "",
        ] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let error = Settings::read(folder.path()).unwrap_err().to_string();
            assert!(error.ends_with("; choose the settings again"), "{error}");
        }
    }
}

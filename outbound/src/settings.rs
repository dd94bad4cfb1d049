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

//! `smarthost.json`: a provider's server that takes all mail to the world, for
//! who can't send from home. It reads every message that is not end-to-end
//! encrypted, and the page says so.

use crate::file::{self, FileError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// The file in the volume `smarthost`.
pub const FILE: &str = "smarthost.json";

/// The server and the login.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Smarthost {
    /// Its name, for which its certificate must be valid.
    pub host: String,
    /// 465 (TLS from the first byte, RFC 8314) or 587 (STARTTLS, always demanded).
    pub port: Port,
    /// The login.
    pub login: String,
    /// The password.
    pub password: String,
}

/// The ports that the service's way out has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Port {
    /// 465
    #[serde(rename = "465")]
    ImplicitTls,
    /// 587
    #[serde(rename = "587")]
    StartTls,
}

impl Port {
    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Self::ImplicitTls => 465,
            Self::StartTls => 587,
        }
    }
}

/// Without the password.
impl fmt::Debug for Smarthost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.login, self.host, self.port.number())
    }
}

/// Why a smarthost is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SmarthostError {
    /// The host.
    #[error("The name of the server must be a whole host name, like smtp.example.org.")]
    Host,
    /// Login or password.
    #[error("Login and password must be there, without blanks or line breaks in the login.")]
    Login,
}

impl Smarthost {
    /// Reads it; `None` when the owner has chosen none.
    ///
    /// # Errors
    /// When the file can't be read, or is not of this form.
    pub fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        file::read(&folder.join(FILE))
    }

    /// Removes it: mail goes straight to its domains again.
    ///
    /// # Errors
    /// When the disk fails; it is in force then.
    pub fn remove(folder: &Path) -> Result<(), FileError> {
        file::remove(&folder.join(FILE))
    }

    /// Writes it, readable by `owner` alone (the host's id of Postfix's root).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, folder: &Path, owner: u32) -> Result<(), FileError> {
        file::write(&folder.join(FILE), self, 0o600, Some(owner))
    }

    /// Checks what goes into Postfix's tables as it is.
    ///
    /// # Errors
    /// The words are for the owner.
    pub fn check(&self) -> Result<(), SmarthostError> {
        let is_label = |label: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(good)
        };
        let labels = self.host.split('.');
        if labels.clone().count() < 2 || self.host.len() > 253 || !labels.clone().all(is_label) {
            return Err(SmarthostError::Host);
        }
        let good = |text: &str| !text.is_empty() && text.len() <= 256;
        let one_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        // A colon would end the login in the table (postconf(5),
        // smtp_sasl_password_maps); blanks at an end would be lost.
        let login = good(&self.login) && one_word(&self.login) && !self.login.contains(':');
        let password = good(&self.password)
            && self.password.trim() == self.password
            && !self.password.contains(|letter: char| letter.is_control());
        if login && password {
            Ok(())
        } else {
            Err(SmarthostError::Login)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smarthost() -> Smarthost {
        Smarthost {
            host: "smtp.example.org".into(),
            port: Port::StartTls,
            login: "anna@example.org".into(),
            password: "a password: with words".into(),
        }
    }

    #[test]
    fn the_password_is_readable_by_its_owner_alone_and_not_printed() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Smarthost::read(folder.path()).unwrap(), None);
        let own = nix::unistd::geteuid().as_raw();
        smarthost().write(folder.path(), own).unwrap();
        let meta = std::fs::metadata(folder.path().join(FILE)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, own));
        let read = Smarthost::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, smarthost());
        let printed = format!("{read:?}");
        assert_eq!(printed, "anna@example.org@smtp.example.org:587");
    }

    #[test]
    fn one_that_was_removed_leaves_no_password_and_none_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        Smarthost::remove(folder.path()).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        smarthost().write(folder.path(), own).unwrap();
        Smarthost::remove(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Smarthost::remove(&folder.path().join("away")).is_ok());
    }

    #[test]
    fn what_would_be_another_line_or_word_of_a_table_is_refused() {
        smarthost().check().unwrap();
        for host in [
            "",
            "localhost",
            "a b.example",
            "a.example\nx",
            "[::1].example",
        ] {
            let host = host.to_owned();
            let refused = Smarthost {
                host,
                ..smarthost()
            }
            .check();
            assert_eq!(refused, Err(SmarthostError::Host));
        }
        for login in ["", "a b", "a:b", "a\nb"] {
            let login = login.to_owned();
            let refused = Smarthost {
                login,
                ..smarthost()
            }
            .check();
            assert_eq!(refused, Err(SmarthostError::Login));
        }
        for password in ["", " x", "x\ny"] {
            let password = password.to_owned();
            let refused = Smarthost {
                password,
                ..smarthost()
            }
            .check();
            assert_eq!(refused, Err(SmarthostError::Login));
        }
    }
}

//! Which records the box needs.

use crate::record::{Purpose, Record};
use crate::sources::{self, Dkim, Tlsa};
use crate::untrusted;
use outbound::FileError;
use outbound::file;
use outbound::settings::Settings;
use serde::{Deserialize, Serialize};
use site::sts;
use std::io;
use std::path::{Path, PathBuf};

/// The file in the volume `records-wanted`.
pub const FILE: &str = "wanted.json";
/// The largest file that is read, in bytes: a thousand domains.
const MOST: u64 = 4 << 20;
/// To whom others report; every domain has this address (RFC 5321 section 4.5.1).
const REPORTS: &str = "postmaster";

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wanted {
    /// The name that the world knows the box by; `None` until it has one.
    pub hostname: Option<String>,
    /// The box's own domains.
    pub domains: Vec<String>,
    /// The host's records, then those of each domain.
    pub records: Vec<Record>,
    /// Another number asks for another look at once.
    pub asked: u64,
}

/// Why what is wanted could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// The system refused, or it is no file.
    #[error("{}: {source}; is the volume there?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It is not what the supervisor writes.
    #[error("{}: {source}; restart the box, which writes it anew", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// One of the box's domains and its keys.
#[derive(Debug)]
pub struct Domain {
    /// In lower case.
    pub name: String,
    /// The number of the DKIM keys in force.
    pub number: u32,
    /// Their records, and those of the next number.
    pub dkim: Vec<Dkim>,
}

impl Wanted {
    /// For a box that other mail servers know by `hostname`. Where the world can't find
    /// that name, only the DKIM keys can be said: MX and SPF published without it would
    /// turn the domain's mail away.
    pub fn of(hostname: &str, tlsa: Option<&Tlsa>, domains: &[Domain]) -> Self {
        let policy = sts::policy(hostname);
        let known = policy.as_ref().map(|_| hostname.to_ascii_lowercase());
        let mut records = Vec::new();
        if let Some(host) = &known {
            records.push(record(Purpose::Address, host.clone(), String::new()));
            if let Some(tlsa) = tlsa {
                let name = format!("_25._tcp.{host}");
                for (purpose, digest) in [
                    (Purpose::TlsaPresent, &tlsa.present),
                    (Purpose::TlsaNext, &tlsa.next),
                ] {
                    records.push(record(purpose, name.clone(), format!("3 1 1 {digest}")));
                }
            }
        }
        for domain in domains {
            let name = &domain.name;
            if let (Some(host), Some(policy)) = (&known, &policy) {
                records.extend(of_domain(name, host, policy));
            }
            for key in &domain.dkim {
                let selector = format!("px{}-", domain.number);
                let purpose = match key.name.starts_with(&selector) {
                    true => Purpose::DkimPresent,
                    false => Purpose::DkimNext,
                };
                records.push(record(purpose, key.name.clone(), key.text.clone()));
            }
        }
        Self {
            hostname: known,
            domains: domains.iter().map(|domain| domain.name.clone()).collect(),
            records,
            asked: 0,
        }
    }

    /// From what lies in the folder of the app's volumes: the settings, and what the
    /// signers say of their keys.
    ///
    /// # Errors
    /// When the settings can't be read.
    pub fn gather(hostname: &str, volumes: &Path) -> Result<Self, FileError> {
        let settings = Settings::read(&volumes.join("outbound"))?;
        let dkim = volumes.join("dkim");
        let domains = settings.domains.into_iter().map(|domain| Domain {
            dkim: sources::dkim(&dkim, &domain.name),
            name: domain.name,
            number: domain.dkim,
        });
        let domains: Vec<Domain> = domains.collect();
        let tlsa = sources::tlsa(&volumes.join("keys"));
        Ok(Self::of(hostname, tlsa.as_ref(), &domains))
    }

    /// The host's records and those of one domain, or of all.
    pub fn of_domain<'a>(&'a self, domain: Option<&str>) -> impl Iterator<Item = &'a Record> {
        let chosen = domain.map(str::to_owned);
        self.records.iter().filter(move |record| {
            let own = self.domain_of(record);
            own.is_none() || chosen.is_none() || own == chosen.as_deref()
        })
    }

    /// The domain that a record is for; `None` for the host's own.
    fn domain_of(&self, record: &Record) -> Option<&str> {
        use Purpose::{Address, TlsaNext, TlsaPresent};
        if matches!(record.purpose, Address | TlsaNext | TlsaPresent) {
            return None;
        }
        let within = |domain: &&String| {
            let rest = record.name.strip_suffix(domain.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        // One domain may be below another.
        let all = self.domains.iter().filter(within);
        all.max_by_key(|domain| domain.len()).map(String::as_str)
    }

    /// What is wanted, by the file in `folder`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, WantedError> {
        let path = folder.join(FILE);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        match untrusted::read(&path, MOST).and_then(|read| read.ok_or_else(missing)) {
            Err(source) => Err(WantedError::Read { path, source }),
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                read.map_err(|source| WantedError::Form { path, source })
            }
        }
    }

    /// Makes it the file in `folder`, for the service to read, unless it is that already.
    /// The number of [`Self::asked`] stays what it was there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(mut self, folder: &Path) -> Result<(), FileError> {
        if let Ok(there) = Self::read(folder) {
            self.asked = there.asked;
            if there == self {
                return Ok(());
            }
        }
        self.write(folder)
    }

    /// Asks the service to look again now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn ask_again(mut self, folder: &Path) -> Result<(), FileError> {
        self.asked = self.asked.wrapping_add(1);
        self.write(folder)
    }

    fn write(&self, folder: &Path) -> Result<(), FileError> {
        file::write(&folder.join(FILE), self, 0o644, None)
    }
}

fn of_domain(domain: &str, host: &str, policy: &str) -> Vec<Record> {
    let at = |label: &str| format!("{label}.{domain}");
    let reports = format!("rua=mailto:{REPORTS}@{domain}");
    vec![
        record(Purpose::Mx, domain.to_owned(), format!("10 {host}")),
        record(Purpose::Spf, domain.to_owned(), "v=spf1 mx -all".into()),
        record(
            Purpose::Dmarc,
            at("_dmarc"),
            format!("v=DMARC1; p=reject; {reports}"),
        ),
        record(Purpose::StsHost, sts::host(domain), host.to_owned()),
        record(Purpose::StsRecord, at("_mta-sts"), sts::record(policy)),
        record(
            Purpose::TlsReports,
            at("_smtp._tls"),
            format!("v=TLSRPTv1; {reports}"),
        ),
    ]
}

fn record(purpose: Purpose, name: String, value: String) -> Record {
    Record {
        purpose,
        name,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        let key = |selector: &str| Dkim {
            name: format!("{selector}._domainkey.home.example"),
            text: "v=DKIM1; k=ed25519; p=AA".into(),
        };
        Domain {
            name: "home.example".into(),
            number: 1,
            dkim: vec![key("px1-ed25519"), key("px2-ed25519")],
        }
    }

    fn tlsa() -> Tlsa {
        Tlsa {
            present: "aa".repeat(32),
            next: "bb".repeat(32),
        }
    }

    #[test]
    fn a_box_with_a_name_needs_all_of_them() {
        let wanted = Wanted::of("Box.Home.example", Some(&tlsa()), &[domain()]);
        assert_eq!(wanted.hostname.as_deref(), Some("box.home.example"));
        let lines: Vec<String> = wanted.records.iter().map(Record::zone_line).collect();
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let id = sts::record(&sts::policy("box.home.example").unwrap());
        let expected = [
            "; box.home.example. 3600 IN A (the public address of your home)".to_owned(),
            format!("_25._tcp.box.home.example. 3600 IN TLSA 3 1 1 {a}"),
            format!("_25._tcp.box.home.example. 3600 IN TLSA 3 1 1 {b}"),
            "home.example. 3600 IN MX 10 box.home.example.".into(),
            "home.example. 3600 IN TXT \"v=spf1 mx -all\"".into(),
            "_dmarc.home.example. 3600 IN TXT \
             \"v=DMARC1; p=reject; rua=mailto:postmaster@home.example\""
                .into(),
            "mta-sts.home.example. 3600 IN CNAME box.home.example.".into(),
            format!("_mta-sts.home.example. 3600 IN TXT \"{id}\""),
            "_smtp._tls.home.example. 3600 IN TXT \
             \"v=TLSRPTv1; rua=mailto:postmaster@home.example\""
                .into(),
            "px1-ed25519._domainkey.home.example. 3600 IN TXT \"v=DKIM1; k=ed25519; p=AA\"".into(),
            "px2-ed25519._domainkey.home.example. 3600 IN TXT \"v=DKIM1; k=ed25519; p=AA\"".into(),
        ];
        assert_eq!(lines, expected);
        let keys = &wanted.records[9..];
        assert_eq!(keys[0].purpose, Purpose::DkimPresent);
        assert_eq!(keys[1].purpose, Purpose::DkimNext);
    }

    #[test]
    fn a_box_without_a_name_can_say_its_dkim_keys_only() {
        let wanted = Wanted::of("projectx.local", Some(&tlsa()), &[domain()]);
        assert_eq!(wanted.hostname, None);
        let kinds: Vec<Purpose> = wanted.records.iter().map(|one| one.purpose).collect();
        assert_eq!(kinds, [Purpose::DkimPresent, Purpose::DkimNext]);
    }

    #[test]
    fn a_wish_for_another_look_outlives_other_records() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = || Wanted::of("box.home.example", None, &[domain()]);
        wanted().keep(folder.path()).unwrap();
        let read = || Wanted::read(folder.path()).unwrap();
        assert_eq!(read(), wanted());
        read().ask_again(folder.path()).unwrap();
        assert_eq!(read().asked, 1);
        wanted().keep(folder.path()).unwrap();
        assert_eq!(read().asked, 1);
        let other = Wanted::of("box.home.example", Some(&tlsa()), &[domain()]);
        other.clone().keep(folder.path()).unwrap();
        assert_eq!((read().asked, read().records), (1, other.records));
        std::fs::write(folder.path().join(FILE), "{}").unwrap();
        let error = Wanted::read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("which writes it anew"), "{error}");
        wanted().keep(folder.path()).unwrap();
        assert_eq!(read(), wanted());
    }
}

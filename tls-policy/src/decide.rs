//! How the mail server of a domain must prove itself.

use crate::cache::{Cache, Kept};
use crate::dane::{self, Dane};
use crate::dns::{Answer, Dns, DnsError};
use crate::fetch::Fetch;
use crate::sts::{self, Mode};
use hickory_proto::rr::{RData, RecordType};
use outbound::settings::{Allow, Settings};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is demanded: a level of TLS in Postfix's words (postconf(5),
/// smtp_tls_security_level), and nothing below it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// A certificate that fits the TLSA records, which are signed.
    Dane,
    /// A certificate from a public authority for one of these names, which the
    /// domain's MTA-STS policy has; one that begins with a dot is all below it.
    Servers(Vec<String>),
    /// A certificate from a public authority for the server's name.
    Certificate,
    /// The same for the smarthost that the owner has chosen by its name.
    Smarthost,
    /// TLS with any certificate: the owner's exception.
    AnyCertificate,
    /// TLS if it is offered: the owner's exception.
    Plaintext,
}

impl Demand {
    /// The line of a table smtp_tls_policy_maps.
    pub fn line(&self) -> String {
        match self {
            Self::Dane => "dane-only".into(),
            Self::Servers(names) => format!("secure match={} servername=hostname", names.join(":")),
            Self::Certificate => "verify match=hostname servername=hostname".into(),
            Self::Smarthost => "secure match=nexthop servername=hostname".into(),
            Self::AnyCertificate => "encrypt".into(),
            Self::Plaintext => "may".into(),
        }
    }
}

/// Why nothing can be said for the moment; the message waits.
#[derive(Debug, thiserror::Error)]
pub enum Wait {
    /// A name could not be looked up.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// What Postfix asks for is no place that mail goes to.
    #[error("{0}: not a domain or a server")]
    Destination(String),
    /// What the owner has chosen can't be read.
    #[error("{0}")]
    Settings(#[from] outbound::FileError),
}

/// Decides.
#[derive(Debug)]
pub struct Decide {
    /// Names.
    pub dns: Dns,
    /// MTA-STS policies from the web.
    pub fetch: Fetch,
    /// Those that were fetched.
    pub cache: Cache,
    /// The folder of the owner's settings.
    pub settings: PathBuf,
}

impl Decide {
    /// What is demanded for `destination`, as Postfix names it: `example.org`,
    /// `[smtp.example.org]:587`.
    ///
    /// # Errors
    /// When it can't be known now.
    pub fn demand(&self, destination: &str) -> Result<Demand, Wait> {
        if let Some(rest) = destination.strip_prefix('[') {
            return self.smarthost(destination, rest);
        }
        // `example.org:25` would be a destination with a port.
        let domain = destination.split(':').next().unwrap_or_default();
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if !sts::is_name(&domain) {
            return Err(Wait::Destination(destination.to_owned()));
        }
        match Settings::read(&self.settings)?.exception(&domain) {
            Some(Allow::AnyCertificate) => return Ok(Demand::AnyCertificate),
            Some(Allow::Plaintext) => return Ok(Demand::Plaintext),
            None => {}
        }
        let (secure, servers) = self.servers(&domain)?;
        if secure && self.any_has_dane(&servers)? {
            return Ok(Demand::Dane);
        }
        self.by_sts(&domain, &servers)
    }

    /// A server named by the owner, so without MX records.
    fn smarthost(&self, destination: &str, rest: &str) -> Result<Demand, Wait> {
        let wrong = || Wait::Destination(destination.to_owned());
        let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
        let port = match port {
            "" => 25,
            port => {
                let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
                port.ok_or_else(wrong)?
            }
        };
        // A certificate has no address in it, and the DNS no key for one.
        if host.parse::<IpAddr>().is_ok() || !sts::is_name(host) {
            return Err(wrong());
        }
        Ok(match dane::of_host(&self.dns, host, port)? {
            Dane::Usable => Demand::Dane,
            Dane::None => Demand::Smarthost,
        })
    }

    /// The servers of a domain, and whether their list is signed: RFC 5321
    /// section 5.1.
    fn servers(&self, domain: &str) -> Result<(bool, Vec<String>), Wait> {
        let Answer { secure, records } = self.dns.ask(domain, RecordType::MX)?;
        let names = records.iter().filter_map(|data| match data {
            RData::MX(mx) => {
                let name = mx.exchange.to_ascii().to_ascii_lowercase();
                Some(name.trim_end_matches('.').to_owned())
            }
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        if names.is_empty() {
            names.push(domain.to_owned());
        }
        // "." takes no mail (RFC 7505); Postfix says so to the sender.
        names.retain(|name| !name.is_empty());
        Ok((secure, names))
    }

    /// Whether one of the servers can be known by DANE. With `dane-only` Postfix
    /// leaves out those that can't. While nothing is known of one that is signed,
    /// no other way may be taken in its place (RFC 7672 section 2.1.2).
    fn any_has_dane(&self, servers: &[String]) -> Result<bool, Wait> {
        let mut unknown = None;
        for server in servers {
            match dane::of_host(&self.dns, server, 25) {
                Ok(Dane::Usable) => return Ok(true),
                Ok(Dane::None) => {}
                Err(error) => unknown = Some(error),
            }
        }
        match unknown {
            Some(error) => Err(error.into()),
            None => Ok(false),
        }
    }

    fn by_sts(&self, domain: &str, servers: &[String]) -> Result<Demand, Wait> {
        let Some(policy) = self.policy(domain) else {
            return Ok(Demand::Certificate);
        };
        // `testing` and `none` demand nothing; we do.
        if policy.policy.mode != Mode::Enforce {
            return Ok(Demand::Certificate);
        }
        let named = servers.iter().filter(|host| policy.policy.names(host));
        let named: Vec<String> = named.cloned().collect();
        if !named.is_empty() {
            return Ok(Demand::Servers(named));
        }
        // The policy names none of the servers that are there: none will show a
        // certificate for a name of the policy, and the sender is told so.
        let patterns = policy.policy.mx.iter();
        let patterns = patterns.map(|name| name.trim_start_matches('*').to_owned());
        Ok(Demand::Servers(patterns.collect()))
    }

    /// The policy that counts: the one that is kept, or a newer one from the web
    /// if the record says that there is one. One that can't be fetched does not
    /// undo the one that is kept (RFC 8461 section 5.1).
    fn policy(&self, domain: &str) -> Option<Kept> {
        let now = SystemTime::now();
        let kept = self.cache.get(domain).filter(|kept| kept.counts(now));
        let Ok(record) = self.dns.ask(&format!("_mta-sts.{domain}"), RecordType::TXT) else {
            return kept;
        };
        let texts: Vec<String> = record.records.iter().filter_map(text).collect();
        let Some(id) = sts::id(&texts) else {
            return kept;
        };
        if let Some(kept) = &kept
            && kept.id == id
        {
            return Some(kept.clone());
        }
        let fetched = self
            .fetch
            .get(domain)
            .and_then(|text| sts::parse(&text).ok_or_else(|| "what came is no policy".to_owned()));
        match fetched {
            Ok(policy) => {
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                let fetched = since.as_secs();
                let new = Kept {
                    id,
                    fetched,
                    policy,
                };
                if let Err(error) = self.cache.put(domain, &new) {
                    eprintln!("MTA-STS {domain}: not kept: {error}");
                }
                Some(new)
            }
            Err(why) => {
                eprintln!("MTA-STS {domain}: not fetched: {why}");
                kept
            }
        }
    }
}

fn text(data: &RData) -> Option<String> {
    match data {
        RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_demand_is_a_line_that_postfix_knows() {
        for (demand, line) in [
            (Demand::Dane, "dane-only"),
            (
                Demand::Servers(vec!["a.example".into(), "b.example".into()]),
                "secure match=a.example:b.example servername=hostname",
            ),
            (
                Demand::Certificate,
                "verify match=hostname servername=hostname",
            ),
            (
                Demand::Smarthost,
                "secure match=nexthop servername=hostname",
            ),
            (Demand::AnyCertificate, "encrypt"),
            (Demand::Plaintext, "may"),
        ] {
            assert_eq!(demand.line(), line);
        }
    }
}

//! The policy's text from `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`
//! (RFC 8461 section 3.3): over TLS with a certificate that is valid for that
//! name, without a redirect, as `text/plain`.

use crate::dns::Dns;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// How long it may take, all in all; the RFC allows a minute, and Postfix waits
/// 100 seconds for the whole decision.
const ALL: Duration = Duration::from_secs(30);
/// The longest policy, in bytes (section 3.3).
const MOST: u64 = 64 << 10;

/// Fetches policies.
#[derive(Debug, Clone)]
pub struct Fetch {
    agent: Agent,
}

/// Why nobody's certificate can be judged.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The list of authorities could not be read.
    #[error("{path}: {source}; make the image anew")]
    Read {
        /// The file.
        path: String,
        /// What is wrong.
        source: rustls_pki_types::pem::Error,
    },
    /// It names nobody.
    #[error("{0}: holds no certificate; make the image anew")]
    Empty(String),
}

impl Fetch {
    /// With the authorities in the PEM file `roots`, and names from `dns`.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn new(dns: Dns, roots: &Path) -> Result<Self, RootsError> {
        let path = roots.display().to_string();
        let read = CertificateDer::pem_file_iter(roots).and_then(Iterator::collect);
        let read: Result<Vec<CertificateDer<'static>>, _> = read;
        let found = read.map_err(|source| RootsError::Read {
            path: path.clone(),
            source,
        })?;
        if found.is_empty() {
            return Err(RootsError::Empty(path));
        }
        let certificates: Vec<Certificate<'static>> = found
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&certificates))
            .build();
        let config = Agent::config_builder()
            .https_only(true)
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(ALL))
            .max_idle_connections(0)
            .user_agent("")
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Names(dns));
        Ok(Self { agent })
    }

    /// The text, or why there is none.
    ///
    /// # Errors
    /// In words for the log.
    pub fn get(&self, domain: &str) -> Result<String, String> {
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let mut answer = self.agent.get(&url).call().map_err(|e| e.to_string())?;
        // Anything but 200 is none, a redirect too.
        if answer.status() != 200 {
            return Err(format!("status {}", answer.status()));
        }
        let kind = answer.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/plain") {
            return Err(format!("content type {kind:?}"));
        }
        let body = answer.body_mut().with_config().limit(MOST);
        body.read_to_string().map_err(|error| error.to_string())
    }
}

/// Names by way of Unbound; a static program has no other.
#[derive(Debug)]
struct Names(Dns);

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let found = self.0.addresses(host);
        let (_, addresses) = found.map_err(|_| Error::HostNotFound)?;
        let mut list = self.empty();
        for address in addresses.into_iter().take(4) {
            list.push((address, uri.port_u16().unwrap_or(443)).into());
        }
        match list.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(list),
        }
    }
}

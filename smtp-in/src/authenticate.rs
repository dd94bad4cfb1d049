//! Who sent it: SPF (RFC 7208), DKIM (RFC 6376, 8301, 8463), DMARC (RFC 9989),
//! ARC (RFC 8617) and iprev (RFC 8601 section 3), by mail-auth. Trouble with DNS
//! never loses a message.

pub mod seal;

use crate::dns::Dns;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::TokioResolver;
use mail_auth::hickory_resolver::config::ResolverConfig;
use mail_auth::hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, AuthenticationResults, DkimResult, DmarcOutput, DmarcResult, IprevResult,
    MX, MessageAuthenticator, Parameters, RecordSet, Txt,
};
use rustls::{ClientConfig, RootCertStore};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The most signatures that are looked at (RFC 6376 section 6.1 allows a limit).
const MAX_SIGNATURES: usize = 20;
/// The most domains of one From field.
const MAX_AUTHORS: usize = 10;

/// What is known of a message's sender.
pub struct Findings {
    /// The peer's name, if it has one that leads back to its address.
    pub reverse_name: Option<String>,
    /// The `Authentication-Results` field, with its last CR LF.
    pub header: String,
    /// The domain whose DMARC policy says to reject this message.
    pub rejected_by: Option<String>,
}

/// The envelope, as far as it is authenticated.
pub struct Envelope<'a> {
    /// The peer.
    pub peer: IpAddr,
    /// Its name in EHLO.
    pub helo: &'a str,
    /// The reverse-path; empty for the null one.
    pub sender: &'a str,
}

/// Checks `message` over `dns`, on behalf of the host `hostname`. `sealers` are
/// the domains whose word about a forwarded message is taken (RFC 8617).
/// `None` when mail-auth could not be started or the message has no headers.
pub fn check(
    dns: &mut Dns,
    hostname: &str,
    envelope: &Envelope<'_>,
    sealers: &[String],
    message: &[u8],
) -> Option<Findings> {
    dns.begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .ok()?;
    runtime.block_on(run(dns, hostname, envelope, sealers, message))
}

async fn run(
    dns: &Dns,
    hostname: &str,
    envelope: &Envelope<'_>,
    sealers: &[String],
    message: &[u8],
) -> Option<Findings> {
    let &Envelope { peer, helo, sender } = envelope;
    let nowhere = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    // Without a TLS configuration of ours it reads the certificate authorities
    // from the disk and fails where there are none.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_authorities = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let resolver = TokioResolver::builder_with_config(nowhere, TokioRuntimeProvider::default())
        .with_tls_config(no_authorities)
        .build()
        .ok()?;
    let authenticator = MessageAuthenticator(resolver);
    let mut parsed = AuthenticatedMessage::parse(message)?;
    parsed.dkim_headers.truncate(MAX_SIGNATURES);

    let iprev = authenticator.verify_iprev(over(dns, peer)).await;
    let spf_helo = authenticator
        .verify_spf(over(dns, SpfParameters::verify_ehlo(peer, helo, hostname)))
        .await;
    let spf_sender = if sender.is_empty() {
        None
    } else {
        let parameters = SpfParameters::verify_mail_from(peer, helo, hostname, sender);
        Some(authenticator.verify_spf(over(dns, parameters)).await)
    };
    let mut dkim = authenticator.verify_dkim(over(dns, &parsed)).await;
    // RFC 8301 section 3.1: not valid, whatever mail-auth makes of it.
    dkim.retain(|output| {
        output
            .signature()
            .is_none_or(|signature| signature.a != Algorithm::RsaSha1)
    });
    let spf = spf_sender.as_ref().unwrap_or(&spf_helo);
    let sender_domain = sender.rsplit_once('@').map_or(helo, |(_, domain)| domain);

    let mut results = AuthenticationResults::new(hostname)
        .with_iprev_result(&iprev, peer)
        .with_spf_ehlo_result(&spf_helo, peer, helo);
    if let Some(spf) = &spf_sender {
        results = results.with_spf_mailfrom_result(spf, peer, sender, helo);
    }
    results = results.with_dkim_results(&dkim, parsed.from());
    let sealed = seal::judge(&authenticator, dns, &parsed, sealers).await;
    if let Some(sealed) = &sealed {
        results = results.with_arc_result(&sealed.output, peer);
    }
    let mut header = in_the_words_of_rfc_8601(&text_of(&results), dkim.is_empty());

    let mut rejected_by = None;
    for author in authors(&parsed) {
        let mut one = AuthenticatedMessage::parse(b"From: x\r\n\r\n")?;
        one.from = vec![format!("author@{author}")];
        let parameters = DmarcParameters::new(&one, &dkim, sender_domain, spf);
        let dmarc = authenticator.verify_dmarc(over(dns, parameters)).await;
        let author = dmarc.domain();
        if author.is_empty() {
            continue;
        }
        let policy = policy(dns, &dmarc);
        let failed = matches!(dmarc.result(), DmarcResult::Fail(_));
        let vouched = sealed.as_ref().and_then(|sealed| sealed.vouches(author));
        append_dmarc(&mut header, &dmarc, policy, vouched.filter(|_| failed));

        // With DNS in trouble what would have passed may have failed. Trouble with
        // a domain that could not speak for the author is the sender's own.
        let trouble = dkim.iter().any(|output| {
            matches!(output.result(), DkimResult::TempError(_))
                && output
                    .signature()
                    .is_some_and(|signature| related(&signature.d, author))
        }) || spf.result() == mail_auth::SpfResult::TempError
            && related(spf.domain(), author);
        if failed && policy == Policy::Reject && !trouble && vouched.is_none() {
            rejected_by = Some(author.to_owned());
        }
    }
    let reverse_name = match (iprev.result(), &iprev.ptr) {
        (IprevResult::Pass, Some(names)) => names.first().and_then(|name| host_name(name)),
        _ => None,
    };
    Some(Findings {
        reverse_name,
        header,
        rejected_by,
    })
}

fn text_of(results: &AuthenticationResults<'_>) -> String {
    let mut header = Vec::new();
    results.write_header(&mut header);
    String::from_utf8_lossy(&header).into_owned()
}

/// The domains of the From field, each once. Where there are several, DMARC is
/// asked about each and the strictest policy of one that fails is applied: that
/// is RFC 7489 section 6.6.1. RFC 9989 lets such mail pass unasked, and every
/// program for mail shows the first of them.
fn authors(parsed: &AuthenticatedMessage<'_>) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for from in parsed.froms() {
        let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_new = !domain.is_empty() && !domains.contains(&domain);
        if is_new && domains.len() < MAX_AUTHORS {
            domains.push(domain);
        }
    }
    domains
}

/// The policy to apply, with `np` for a domain that does not exist (RFC 9989
/// section 4.7): mail-auth asks for that in a way that [`Dns`] can't answer.
fn policy(dns: &Dns, dmarc: &DmarcOutput) -> Policy {
    let Some(record) = dmarc.dmarc_record() else {
        return dmarc.policy();
    };
    if dns.has_own_policy(dmarc.domain()) || !dns.is_nowhere(dmarc.domain()) {
        return dmarc.policy();
    }
    match record.np {
        Policy::Unspecified => dmarc.policy(),
        // A test: one level less.
        Policy::Reject if record.t => Policy::Quarantine,
        Policy::Quarantine if record.t => Policy::None,
        stated => stated,
    }
}

/// Adds what came of DMARC for one domain.
fn append_dmarc(header: &mut String, dmarc: &DmarcOutput, policy: Policy, vouched: Option<&str>) {
    let whole = text_of(&AuthenticationResults::new("x").with_dmarc_result(dmarc));
    let Some((_, result)) = whole.trim_end().split_once(';') else {
        return;
    };
    let result = result.split(" policy.dmarc=").next().unwrap_or(result);
    let policy = match policy {
        Policy::Reject => "reject",
        Policy::Quarantine => "quarantine",
        _ => "none",
    };
    let mut added = format!("{result} policy.dmarc={policy}");
    if let Some(sealer) = vouched {
        added.push_str(&format!(
            " (vouched for by {sealer}, which this box trusts)"
        ));
    }
    let end = header.trim_end().len();
    header.insert_str(end, &format!(";{added}"));
}

/// What RFC 8601 section 2.7.1 calls the results for which mail-auth has other
/// words, or none: a body that was changed is `fail`, no signature is `none`.
fn in_the_words_of_rfc_8601(header: &str, unsigned: bool) -> String {
    let mut header = header.replace(
        "dkim=neutral (body hash did not verify)",
        "dkim=fail (body hash did not verify)",
    );
    if unsigned {
        let end = header.trim_end().len();
        header.insert_str(end, ";\r\n\tdkim=none");
    }
    header
}

/// mail-auth's parameters with all caches over `dns`.
pub(crate) fn over<P>(dns: &Dns, parameters: P) -> Parameters<'_, P, Dns, Dns, Dns, Dns, Dns>
where
    Dns: mail_auth::ResolverCache<Box<str>, Txt>
        + mail_auth::ResolverCache<Box<str>, RecordSet<MX>>
        + mail_auth::ResolverCache<Box<str>, RecordSet<Ipv4Addr>>
        + mail_auth::ResolverCache<Box<str>, RecordSet<Ipv6Addr>>,
{
    Parameters {
        params: parameters,
        cache_txt: Some(dns),
        cache_mx: Some(dns),
        cache_ptr: Some(dns),
        cache_ipv4: Some(dns),
        cache_ipv6: Some(dns),
    }
}

/// Whether one of two domains is the other or below it, and neither a top-level one.
fn related(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let below = |lower: &str, upper: &str| {
        upper.contains('.')
            && lower
                .strip_suffix(upper)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    below(&one, &other) || below(&other, &one)
}

/// A name from DNS that may be written into a header.
fn host_name(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    ((1..=253).contains(&name.len()) && name.bytes().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_domain_that_could_speak_for_the_author_is_related() {
        assert!(related("Mail.a.example", "a.example") && related("a.example", "a.example"));
        assert!(!related("evil.example", "a.example") && !related("ba.example", "a.example"));
        assert!(!related("example", "a.example"));
    }
}

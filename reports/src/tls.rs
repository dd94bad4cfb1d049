//! TLS reports (RFC 8460): how another server's connections to the box went.

use crate::text::{clean, day, highest};
use mail_auth::report::tlsrpt::{ResultType, TlsReport};
use std::collections::BTreeMap;

/// The line, for a report that `who` sent.
pub(crate) fn line(report: &TlsReport, who: &str) -> String {
    let dates = &report.date_range;
    let (begin, end) = (day(&dates.start_datetime), day(&dates.end_datetime));
    let name = clean(report.organization_name.as_deref().unwrap_or("nobody"), 40);
    let about = report.policies.first();
    let about = about.map_or(String::new(), |one| clean(&one.policy.policy_domain, 60));
    let (mut fine, mut failed) = (0_u64, 0_u64);
    let mut why: BTreeMap<&'static str, u64> = BTreeMap::new();
    for policy in &report.policies {
        fine += u64::from(policy.summary.total_success);
        failed += u64::from(policy.summary.total_failure);
        for detail in &policy.failure_details {
            let count = why.entry(word(detail.result_type)).or_default();
            *count += u64::from(detail.failed_session_count);
        }
    }
    let why = highest(
        why.into_iter()
            .map(|(word, count)| (word.to_owned(), count)),
    );
    let why = if why.is_empty() {
        why
    } else {
        format!(": {why}")
    };
    format!(
        "TLS {begin} to {end}, {who}, calls itself {name}, about {about}: \
         {fine} sessions fine, {failed} failed{why}"
    )
}

/// The RFC's own words (section 4.3).
fn word(result: ResultType) -> &'static str {
    match result {
        ResultType::StartTlsNotSupported => "starttls-not-supported",
        ResultType::CertificateHostMismatch => "certificate-host-mismatch",
        ResultType::CertificateExpired => "certificate-expired",
        ResultType::CertificateNotTrusted => "certificate-not-trusted",
        ResultType::ValidationFailure => "validation-failure",
        ResultType::TlsaInvalid => "tlsa-invalid",
        ResultType::DnssecInvalid => "dnssec-invalid",
        ResultType::DaneRequired => "dane-required",
        ResultType::StsPolicyFetchError => "sts-policy-fetch-error",
        ResultType::StsPolicyInvalid => "sts-policy-invalid",
        ResultType::StsWebpkiInvalid => "sts-webpki-invalid",
        ResultType::Other => "other",
    }
}

//! Aggregate reports of DMARC (RFC 9990): how much mail came somewhere that says it is
//! from one of the box's domains, and whether it was.

use crate::text::{clean, day_of, highest};
use mail_auth::report::{ActionDisposition, DmarcResult, Record, Report};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The line, for a report that `who` sent.
pub(crate) fn line(report: &Report, who: &str) -> String {
    let dates = &report.report_metadata.date_range;
    let (begin, end) = (day_of(dates.begin), day_of(dates.end));
    let name = clean(&report.report_metadata.org_name, 40);
    let about = clean(&report.policy_published.domain, 60);
    let (mut fine, mut failed, mut kept_out) = (0_u64, 0_u64, 0_u64);
    let mut sources: BTreeMap<IpAddr, u64> = BTreeMap::new();
    for record in &report.record {
        let count = u64::from(record.row.count);
        if passed(record) {
            fine += count;
            continue;
        }
        failed += count;
        kept_out += if was_kept_out(record) { count } else { 0 };
        if let Some(source) = record.row.source_ip {
            *sources.entry(source).or_default() += count;
        }
    }
    let sources = highest(
        sources
            .into_iter()
            .map(|(source, count)| (source.to_string(), count)),
    );
    let why = match failed {
        0 => String::new(),
        _ => format!(" ({kept_out} of them kept out): {sources}"),
    };
    format!(
        "DMARC {begin} to {end}, {who}, calls itself {name}, about {about}: \
         {fine} messages fine, {failed} failed{why}"
    )
}

/// Either of the two is enough (RFC 9989 section 5.4).
fn passed(record: &Record) -> bool {
    let judged = &record.row.policy_evaluated;
    judged.dkim == DmarcResult::Pass || judged.spf == DmarcResult::Pass
}

fn was_kept_out(record: &Record) -> bool {
    matches!(
        record.row.policy_evaluated.disposition,
        ActionDisposition::Quarantine | ActionDisposition::Reject
    )
}

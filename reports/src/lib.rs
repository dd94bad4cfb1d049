//! What a message reports on mail, in a line: a TLS report (RFC 8460) or an aggregate
//! report of DMARC (RFC 9990).
//!
//! The message is a stranger's, packed twice, and its readers are other people's
//! (mail-auth, with flate2, quick-xml and zip). So it is read in a sandbox of its own, made
//! for one message, that has neither network nor file nor much memory, and nothing waits
//! for it: what can't be read gives no line, and a bomb ends its own sandbox. A line is
//! short printable ASCII, whatever the report says.

mod dmarc;
mod proved;
mod text;
mod tls;

use mail_auth::report::Report;
use mail_auth::report::tlsrpt::TlsReport;

/// The longest line, in letters.
pub const LONGEST: usize = 240;
/// The most bytes that a report may have, unpacked: a provider's about a household has
/// some thousand.
const UNPACKED: usize = 8 << 20;

/// What `message` reports; `None` when it is no report, or can't be read. `hostname` is
/// the box's name, in the field by which smtp-in says who sent it.
pub fn line(message: &[u8], hostname: &str) -> Option<String> {
    let tls = TlsReport::parse_rfc5322(message, UNPACKED);
    let says = match tls {
        Ok(report) => tls::line(&report, &who(message, hostname)),
        Err(_) => {
            let report = Report::parse_rfc5322(message, UNPACKED).ok()?;
            dmarc::line(&report, &who(message, hostname))
        }
    };
    Some(text::clean(&says, LONGEST))
}

/// Who sent it: a domain if it has proved so much (DMARC).
fn who(message: &[u8], hostname: &str) -> String {
    match proved::domain(message, hostname) {
        Some(domain) => format!("{} (proved)", text::clean(&domain, 60)),
        None => "not proved".to_owned(),
    }
}

//! A provider's report on mail: it comes to `postmaster`, is in the mailbox like any
//! message, and the sandbox that was made for it says it in a line, with who has proved to
//! have sent it.

use super::{LIMIT, Meeting, STEP, inbox};
use anyhow::{Context, Result, ensure};
use internet::{Domain, HOME};
use std::time::Instant;

/// A report of Google's (`reports/tests/mail`), sent by a domain that signs.
const REPORT: &str = include_str!("../../../reports/tests/mail/google-tls.eml");
const FROM: &str = "reports@strict.example";
const SAYS: &str = ": report: TLS 2026-11-23 to 2026-11-23, strict.example (proved), calls itself \
                    Google Inc., about home.example: 42 sessions fine, 3 failed: \
                    certificate-expired 2, sts-policy-fetch-error 1";

/// Sends it, and sees what is said.
///
/// # Errors
/// When nothing is, or something else, or the message is not delivered.
pub fn run(meeting: &Meeting) -> Result<()> {
    let (_, rest) = REPORT
        .split_once("\r\nTo: ")
        .context("the report has no To")?;
    let message = format!("From: TLS reports <{FROM}>\r\nTo: {rest}");
    let to = format!("postmaster@{HOME}");
    let host = meeting.internet.host(Domain::Strict);
    host.send(FROM, &to, message.as_bytes())?;
    let home = meeting.native.home(&meeting.anna)?;
    let end = Instant::now() + LIMIT;
    loop {
        let said = meeting.journal().contains(SAYS);
        let stored = inbox(home)?.iter().any(|one| one.contains("tlsrpt+gzip"));
        if said && stored {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "a report: said {said}, in the mailbox {stored}:\n{}\n{}",
            host.log().unwrap_or_default(),
            meeting.journal()
        );
        std::thread::sleep(STEP);
    }
}

//! testssl.sh at a port, and what of its findings is a fault.

use super::probe::Place;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Stdio;

/// What testssl.sh has found (its documentation, "JSON output").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// Which test.
    pub id: String,
    /// `OK`, `INFO`, `LOW`, `MEDIUM`, `HIGH`, `CRITICAL`, `WARN`.
    pub severity: String,
    /// In words.
    pub finding: String,
}

/// What counts as a fault.
const FAULTS: [&str; 4] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];

/// Findings that are no fault of the box, each with its reason. The id is whole, or the
/// beginning of one with a number behind it.
const ALLOWED: [(&str, &str); 5] = [
    (
        "cert_chain_of_trust",
        "the certificate is the box's own: DANE proves port 25's (RFC 7672), and a mail program \
         asks its owner once",
    ),
    (
        "cert_revocation",
        "nobody else has signed the certificate, so nobody can revoke it",
    ),
    (
        "cert_validityPeriod",
        "dates count for nothing in a certificate that DANE names (RFC 7671 section 5.1), \
         and a box without a clock could not keep them",
    ),
    (
        "cipher_order",
        "every suite is a good one, so the other side may choose what its processor does best",
    ),
    (
        "DNS_CAArecord",
        "testssl.sh asks no name server here; the item caa does",
    ),
];

/// Runs it. The findings are those of `words`, the usual ones when there are none.
///
/// # Errors
/// When it does not come to its end, with what it said.
pub fn run(place: &Place, folder: &Path, words: &[&str]) -> Result<Vec<Finding>> {
    let file = folder.join(format!("testssl-{}-{}.json", place.address, place.port));
    let mut command = place.command("testssl");
    command.args([
        "--quiet",
        "--warnings",
        "off",
        "--color",
        "0",
        "--nodns",
        "none",
    ]);
    command.args(["--ip", &place.address, "--openssl-timeout", "20"]);
    command.arg("--jsonfile").arg(&file).args(words);
    if place.starttls {
        command.args(["--starttls", "smtp"]);
    }
    command.arg(format!("{}:{}", place.name, place.port));
    let output = command.stdin(Stdio::null()).current_dir(folder).output();
    let output = output.context("nsenter (package util-linux), testssl (package testssl.sh)")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{}; testssl.sh said:\n{said}", file.display()))?;
    let findings: Vec<Finding> = serde_json::from_str(&text)
        .with_context(|| format!("{}; testssl.sh said:\n{said}", file.display()))?;
    let time = findings.iter().any(|finding| finding.id == "scanTime");
    let broken = findings.iter().find(|finding| finding.severity == "FATAL");
    ensure!(
        time && broken.is_none(),
        "testssl.sh did not end: {broken:?}\n{said}"
    );
    Ok(findings)
}

/// Whether a finding fails, and the reason if it would but is allowed.
pub fn judge(finding: &Finding) -> (bool, Option<&'static str>) {
    if !FAULTS.contains(&finding.severity.as_str()) {
        return (false, None);
    }
    let id = finding.id.split(' ').next().unwrap_or_default();
    let allowed = ALLOWED.iter().find(|(known, _)| *known == id);
    (allowed.is_none(), allowed.map(|(_, why)| *why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_fails_unless_it_is_good_or_named_with_a_reason() {
        let finding = |id: &str, severity: &str| Finding {
            id: id.into(),
            severity: severity.into(),
            finding: String::new(),
        };
        assert_eq!(judge(&finding("SSLv3", "OK")), (false, None));
        assert_eq!(judge(&finding("TLS1_2", "INFO")), (false, None));
        assert_eq!(judge(&finding("TLS1", "LOW")), (true, None));
        assert!(judge(&finding("BEAST", "MEDIUM")).0);
        let (fails, why) = judge(&finding("cert_chain_of_trust <cert#1>", "CRITICAL"));
        assert!(!fails && why.is_some());
        assert!(judge(&finding("cert_chain_of_trustworthy", "LOW")).0);
    }
}

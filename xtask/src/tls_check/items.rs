//! The items of internet.nl's test of a mail domain (its repository,
//! `checks/categories.py`: the categories mail-dnssec, mail-auth and mail-tls), one
//! function each. What can't be judged without the world is in [`ELSEWHERE`].

use super::names::{Answer, look, text};
use super::probe::{Place, key_hash, x509};
use super::testssl::Finding;
use anyhow::Result;
use internet::Internet;

/// Items that need the world, and why.
pub const ELSEWHERE: [(&str, &str); 3] = [
    ("mail_ipv6 (all)", "the internet of the test has IPv4 only"),
    (
        "mail_rpki, ns_rpki (all)",
        "routes are announced by the owner's provider",
    ),
    ("ns_* (all)", "the name servers are the owner's provider's"),
];
/// Groups that count as too weak for the exchange of keys (NCSC's guidelines for TLS,
/// which internet.nl follows).
const WEAK_GROUPS: [&str; 4] = ["ffdhe2048", "secp224r1", "secp192r1", "sect283k1"];
/// Suites of TLS 1.2 that count as good; with any other, the item fails.
const GOOD: &str = "ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0";

/// What is judged.
pub struct Subject<'a> {
    /// The internet with its names.
    pub internet: &'a Internet,
    /// The mail domain.
    pub domain: String,
    /// Its mail server's name.
    pub mx: String,
    /// Where that is.
    pub place: Place,
    /// What testssl.sh found there; empty when it was not asked.
    pub findings: Vec<Finding>,
}

/// Whether an item passes, and what was seen.
pub type Verdict = (bool, String);
type Item = fn(&Subject<'_>) -> Result<Verdict>;

/// All items, in internet.nl's order and by its names.
pub const ALL: [(&str, Item); 28] = [
    ("mail_dnssec_exists", domain_signed),
    ("mail_dnssec_valid", domain_valid),
    ("mail_dnssec_mx_exists", mx_signed),
    ("mail_dnssec_mx_valid", mx_valid),
    ("dmarc", dmarc),
    ("dmarc_policy", dmarc_policy),
    ("dkim", dkim),
    ("spf", spf),
    ("spf_policy", spf_policy),
    ("starttls_exists", starttls),
    ("tls_version", version),
    ("tls_ciphers", ciphers),
    ("tls_cipher_order", order),
    ("fs_params", groups),
    ("kex_hash_func", hash),
    ("tls_compression", compression),
    ("renegotiation_secure", renegotiation),
    ("renegotiation_client", client_renegotiation),
    ("zero_rtt", zero_rtt),
    ("extended_master_secret", master_secret),
    ("caa", caa),
    ("cert_trust", trust),
    ("cert_pubkey", public_key),
    ("cert_signature", signature),
    ("cert_hostmatch", host_match),
    ("dane_exists", dane),
    ("dane_valid", dane_valid),
    ("dane_rollover", dane_rollover),
];

impl Subject<'_> {
    fn look(&self, name: &str, kind: &str) -> Result<Answer> {
        look(self.internet, name, kind)
    }

    fn texts(&self, name: &str, begin: &str) -> Result<Vec<String>> {
        let found = self.look(name, "TXT")?.records;
        let texts = found.iter().map(|record| text(record));
        Ok(texts.filter(|text| text.starts_with(begin)).collect())
    }

    fn tlsa(&self) -> Result<Answer> {
        self.look(&format!("_25._tcp.{}", self.mx), "TLSA")
    }

    /// What testssl.sh says of these; each must be there and `OK`.
    fn found(&self, ids: &[&str]) -> Verdict {
        let mut seen = Vec::new();
        let mut good = true;
        for id in ids {
            let finding = self.findings.iter().find(|finding| finding.id == *id);
            good &= finding.is_some_and(|finding| finding.severity == "OK");
            let words = finding.map_or("not judged", |finding| finding.finding.as_str());
            seen.push(format!("{id}: {words}"));
        }
        (good, seen.join("; "))
    }

    /// Passes when the server refuses a handshake with each of these words.
    fn refuses(&self, tries: &[&[&str]]) -> Result<Verdict> {
        let mut odd = Vec::new();
        for words in tries {
            let shaken = self.place.shake(words)?;
            if !shaken.refused {
                let what = if shaken.done { "taken" } else { "not tried" };
                odd.push(format!("{what}: {}", words.join(" ")));
            }
        }
        // A server that is not there takes nothing either.
        let alive = self.place.shake(&[])?.done;
        let words = match (alive, odd.is_empty()) {
            (false, _) => "no TLS at all".to_owned(),
            (true, true) => format!("{} refused", tries.len()),
            (true, false) => odd.join(", "),
        };
        Ok((alive && odd.is_empty(), words))
    }

    fn certificate(&self, words: &[&str]) -> Result<Option<String>> {
        let found = self.place.certificate()?;
        found
            .map(|certificate| x509(&certificate, words))
            .transpose()
    }
}

fn proved(answer: &Answer) -> Verdict {
    let good = answer.secure && answer.code == "NOERROR";
    (good, format!("{}, signed: {}", answer.code, answer.secure))
}

fn domain_signed(subject: &Subject<'_>) -> Result<Verdict> {
    let answer = subject.look(&subject.domain, "DS")?;
    Ok((
        !answer.records.is_empty(),
        format!("{} DS", answer.records.len()),
    ))
}

fn domain_valid(subject: &Subject<'_>) -> Result<Verdict> {
    Ok(proved(&subject.look(&subject.domain, "MX")?))
}

fn mx_signed(subject: &Subject<'_>) -> Result<Verdict> {
    let (_, zone) = subject.mx.split_once('.').unwrap_or_default();
    let answer = subject.look(zone, "DS")?;
    Ok((
        !answer.records.is_empty(),
        format!("{} DS of {zone}", answer.records.len()),
    ))
}

fn mx_valid(subject: &Subject<'_>) -> Result<Verdict> {
    Ok(proved(&subject.look(&subject.mx, "A")?))
}

fn dmarc(subject: &Subject<'_>) -> Result<Verdict> {
    let found = subject.texts(&format!("_dmarc.{}", subject.domain), "v=DMARC1")?;
    Ok((found.len() == 1, found.join(" / ")))
}

fn dmarc_policy(subject: &Subject<'_>) -> Result<Verdict> {
    let found = subject.texts(&format!("_dmarc.{}", subject.domain), "v=DMARC1")?;
    let record = found.first().cloned().unwrap_or_default();
    let tag = |wanted: &str| {
        let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
        let found = tags.find(|(name, _)| name.trim() == wanted);
        found.map(|(_, value)| value.trim().to_owned())
    };
    let strict = |value: &str| ["quarantine", "reject"].contains(&value);
    let own = tag("p").is_some_and(|value| strict(&value));
    let below = tag("sp").is_none_or(|value| strict(&value));
    Ok((own && below, format!("p={:?} sp={:?}", tag("p"), tag("sp"))))
}

fn dkim(subject: &Subject<'_>) -> Result<Verdict> {
    // A name with others below it exists (RFC 8020); internet.nl knows no selector.
    let answer = subject.look(&format!("_domainkey.{}", subject.domain), "TXT")?;
    Ok((answer.code == "NOERROR", answer.code))
}

fn spf(subject: &Subject<'_>) -> Result<Verdict> {
    let found = subject.texts(&subject.domain, "v=spf1")?;
    Ok((found.len() == 1, found.join(" / ")))
}

fn spf_policy(subject: &Subject<'_>) -> Result<Verdict> {
    let found = subject.texts(&subject.domain, "v=spf1")?;
    let last = found
        .first()
        .and_then(|record| record.split(' ').next_back());
    let last = last.unwrap_or("none");
    Ok((["-all", "~all"].contains(&last), last.to_owned()))
}

fn starttls(subject: &Subject<'_>) -> Result<Verdict> {
    let shaken = subject.place.shake(&[])?;
    let line = shaken.said.lines().find(|line| line.starts_with("New, "));
    Ok((shaken.done, line.unwrap_or("no TLS").to_owned()))
}

fn version(subject: &Subject<'_>) -> Result<Verdict> {
    let old = ["-cipher", "ALL:@SECLEVEL=0"];
    let tries: [&[&str]; 2] = [&["-tls1", old[0], old[1]], &["-tls1_1", old[0], old[1]]];
    let (own, words) = subject.refuses(&tries)?;
    // This openssl knows nothing older.
    let mut older = Vec::new();
    for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        let finding = subject.findings.iter().find(|finding| finding.id == id);
        if finding.is_none_or(|finding| !finding.finding.starts_with("not offered")) {
            older.push(id);
        }
    }
    let new = subject.place.shake(&["-tls1_3"])?.done;
    let seen =
        format!("{words}; for testssl.sh there are {older:?} of the old ones; TLS 1.3: {new}");
    Ok((own && older.is_empty() && new, seen))
}

fn ciphers(subject: &Subject<'_>) -> Result<Verdict> {
    subject.refuses(&[&["-tls1_2", "-cipher", GOOD]])
}

fn order(subject: &Subject<'_>) -> Result<Verdict> {
    // Where all are good, their order is nobody's concern.
    let (good, words) = ciphers(subject)?;
    Ok((good, format!("only good ones ({words})")))
}

fn groups(subject: &Subject<'_>) -> Result<Verdict> {
    let mut tries: Vec<Vec<&str>> = Vec::new();
    for group in WEAK_GROUPS {
        // openssl itself refuses some of them for TLS 1.3.
        tries.push(vec![
            "-tls1_2",
            "-cipher",
            "ALL:@SECLEVEL=0",
            "-groups",
            group,
        ]);
    }
    tries.push(vec!["-tls1_3", "-groups", "ffdhe2048"]);
    tries.push(vec!["-tls1_2", "-cipher", "DHE:@SECLEVEL=0"]);
    let tries: Vec<&[&str]> = tries.iter().map(Vec::as_slice).collect();
    let (good, words) = subject.refuses(&tries)?;
    let strong = subject.place.shake(&["-groups", "X25519"])?.done;
    Ok((good && strong, format!("{words}; X25519: {strong}")))
}

fn hash(subject: &Subject<'_>) -> Result<Verdict> {
    let weak = "ECDSA+SHA1:RSA+SHA1";
    let words = ["-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", weak];
    let (good, words) = subject.refuses(&[&words])?;
    let strong = subject.place.shake(&["-tls1_2"])?;
    let line = strong
        .said
        .lines()
        .find(|line| line.starts_with("Peer signing digest"));
    let sha2 = line.is_some_and(|line| line.contains("SHA256") || line.contains("SHA384"));
    Ok((
        good && sha2,
        format!("SHA-1 {words}; {}", line.unwrap_or("no digest")),
    ))
}

fn compression(subject: &Subject<'_>) -> Result<Verdict> {
    let said = subject.place.shake(&["-tls1_2"])?.said;
    let none = said.contains("Compression: NONE");
    let (good, words) = subject.found(&["CRIME_TLS"]);
    Ok((none && good, words))
}

fn renegotiation(subject: &Subject<'_>) -> Result<Verdict> {
    let said = subject.place.shake(&["-tls1_2"])?.said;
    let good = said.contains("Secure Renegotiation IS supported");
    Ok((good, format!("RFC 5746: {good}")))
}

fn client_renegotiation(subject: &Subject<'_>) -> Result<Verdict> {
    Ok(subject.found(&["secure_client_renego"]))
}

fn zero_rtt(subject: &Subject<'_>) -> Result<Verdict> {
    let shaken = subject.place.shake(&["-tls1_3"])?;
    let offers = shaken
        .said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Max Early Data: "));
    let offers: Vec<&str> = offers.collect();
    let good = shaken.done && offers.iter().all(|most| *most == "0");
    Ok((good, format!("tickets' early data: {offers:?}")))
}

fn master_secret(subject: &Subject<'_>) -> Result<Verdict> {
    let said = subject.place.shake(&["-tls1_2"])?.said;
    let good = said.contains("Extended master secret: yes");
    Ok((good, format!("RFC 7627: {good}")))
}

fn caa(subject: &Subject<'_>) -> Result<Verdict> {
    // Those of the name, or of the nearest above it that has any (RFC 8659 section 3).
    let mut name = subject.mx.as_str();
    loop {
        let found = subject.look(name, "CAA")?.records;
        if !found.is_empty() {
            let issue = found.iter().any(|record| record.contains(" issue "));
            return Ok((issue, format!("{name}: {}", found.join(" / "))));
        }
        match name.split_once('.') {
            Some((_, above)) => name = above,
            None => return Ok((false, "none".into())),
        }
    }
}

fn trust(subject: &Subject<'_>) -> Result<Verdict> {
    // Between mail servers a public authority proves nothing that DANE does not
    // (RFC 7672 section 1.3); internet.nl only tells of it.
    let (good, words) = dane_valid(subject)?;
    Ok((good, format!("by DANE: {words}")))
}

fn public_key(subject: &Subject<'_>) -> Result<Verdict> {
    let Some(said) = subject.certificate(&["-text"])? else {
        return Ok((false, "no certificate".into()));
    };
    let curve = ["prime256v1", "secp384r1"]
        .iter()
        .find(|curve| said.contains(**curve));
    let size = said
        .split("Public-Key: (")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let size: u32 = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    let rsa = said.contains("rsaEncryption") && size >= 2048;
    let words = format!("{} bit, {}", size, curve.unwrap_or(&"no known curve"));
    Ok((curve.is_some() || rsa, words))
}

fn signature(subject: &Subject<'_>) -> Result<Verdict> {
    let said = subject.certificate(&["-text"])?.unwrap_or_default();
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Signature Algorithm: "));
    let line = line.unwrap_or("none");
    let good = ["SHA256", "SHA384", "SHA512", "sha256", "sha384", "sha512"];
    Ok((good.iter().any(|hash| line.contains(hash)), line.to_owned()))
}

fn host_match(subject: &Subject<'_>) -> Result<Verdict> {
    let said = subject
        .certificate(&["-checkhost", &subject.mx])?
        .unwrap_or_default();
    Ok((
        said.contains("does match certificate"),
        said.trim().to_owned(),
    ))
}

fn dane(subject: &Subject<'_>) -> Result<Verdict> {
    let answer = subject.tlsa()?;
    let good = answer.secure && !answer.records.is_empty();
    Ok((
        good,
        format!("{} TLSA, signed: {}", answer.records.len(), answer.secure),
    ))
}

fn dane_valid(subject: &Subject<'_>) -> Result<Verdict> {
    let answer = subject.tlsa()?;
    let Some(certificate) = subject.place.certificate()? else {
        return Ok((false, "no certificate".into()));
    };
    let wanted = format!("3 1 1 {}", key_hash(&certificate)?);
    let fits = answer.records.iter().any(|record| plain(record) == wanted);
    Ok((
        answer.secure && fits,
        format!("the key fits: {fits}, signed: {}", answer.secure),
    ))
}

fn dane_rollover(subject: &Subject<'_>) -> Result<Verdict> {
    let mut records: Vec<String> = subject.tlsa()?.records.iter().map(|r| plain(r)).collect();
    records.sort();
    records.dedup();
    let usage = |wanted: &[&str]| {
        let own = records
            .iter()
            .filter(|r| wanted.iter().any(|begin| r.starts_with(begin)));
        own.count()
    };
    // The present key and the next one, or a key and who signs the next one.
    let good = usage(&["3 1 "]) >= 2 || (usage(&["3 "]) >= 1 && usage(&["2 "]) >= 1);
    Ok((good, format!("{} TLSA that differ", records.len())))
}

/// A TLSA record as we write it: kdig divides long data and writes it large.
fn plain(record: &str) -> String {
    let words: Vec<&str> = record.split(' ').collect();
    let (numbers, data) = words.split_at(words.len().min(3));
    format!(
        "{} {}",
        numbers.join(" "),
        data.concat().to_ascii_lowercase()
    )
}

//! What a foreign domain has received: the message as it came, byte for byte,
//! and what its server knew of the connection.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Where its servers deliver.
const INBOX: &str = "inbox/new";

/// A message that arrived at a foreign domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The envelope's sender; empty for a report.
    pub from: String,
    /// The envelope's recipient.
    pub to: String,
    /// How it came; `None` in the clear.
    pub tls: Option<Tls>,
    /// The `Received` field that the foreign server wrote, in one line.
    pub trace: String,
    /// The message as it came over the wire, lines ending with CR LF.
    pub message: Vec<u8>,
}

/// What the foreign server says of the TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// As OpenSSL calls it: `TLSv1.3`.
    pub protocol: String,
    /// As IANA or OpenSSL calls it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// How many messages a Maildir `inbox` below `mail` has.
pub(crate) fn count(mail: &Path) -> Result<usize> {
    match fs::read_dir(mail.join(INBOX)) {
        Ok(entries) => Ok(entries.count()),
        // Nothing has come yet.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| mail.display().to_string()),
    }
}

/// The messages of a Maildir `inbox` below `mail`, oldest first.
pub(crate) fn read(mail: &Path) -> Result<Vec<Received>> {
    let Ok(entries) = fs::read_dir(mail.join(INBOX)) else {
        // Nothing has come yet.
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    files
        .iter()
        .map(|(_, path)| parse(&fs::read(path)?).with_context(|| path.display().to_string()))
        .collect()
}

/// The servers put fields of their own before the message, the last of them
/// `Received`, and store each line with LF.
fn parse(stored: &[u8]) -> Result<Received> {
    let mut own = Vec::<String>::new();
    let mut rest = stored;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = rest.split_at(end.context("no header")? + 1);
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        let is_complete = own.last().is_some_and(|field| is(field, "Received"));
        if is_complete && !goes_on {
            break;
        }
        ensure!(line.len() > 1, "no field Received");
        let line = String::from_utf8_lossy(line);
        match own.last_mut().filter(|_| goes_on) {
            Some(field) => {
                field.push(' ');
                field.push_str(line.trim());
            }
            None => own.push(line.trim_end().to_owned()),
        }
        rest = after;
    }
    let value = |names: &[&str]| {
        let found = own
            .iter()
            .find(|field| names.iter().any(|name| is(field, name)));
        let (_, value) = found?.split_once(':')?;
        Some(value.trim().trim_matches(['<', '>']).to_owned())
    };
    let trace = value(&["Received"]).context("no field Received")?;
    Ok(Received {
        // OpenSMTPD writes none for a report.
        from: value(&["Return-Path"]).unwrap_or_default(),
        to: value(&["X-Original-To", "Envelope-To", "Delivered-To"]).context("no recipient")?,
        tls: tls(&trace),
        trace,
        message: with_crlf(rest),
    })
}

fn is(field: &str, name: &str) -> bool {
    let found = field.split_once(':').map(|(name, _)| name);
    found.is_some_and(|found| found.eq_ignore_ascii_case(name))
}

/// From the words of Postfix, `using TLSv1.3 with cipher X (256/256 bits)`; of
/// Exim, `(TLS1.3) tls X`; or of OpenSMTPD, `(TLSv1.3:X:256:NO)`.
fn tls(trace: &str) -> Option<Tls> {
    let words: Vec<&str> = trace
        .split([' ', '(', ')', ':'])
        .filter(|word| !word.is_empty())
        .collect();
    let at = words
        .iter()
        .position(|word| word.starts_with("TLS1") || word.starts_with("TLSv1"))?;
    let number = words[at]
        .trim_start_matches("TLSv")
        .trim_start_matches("TLS");
    let mut after = words[at + 1..].iter();
    let cipher = after.find(|word| !["with", "cipher", "tls"].contains(word))?;
    Some(Tls {
        protocol: format!("TLSv{number}"),
        cipher: (*cipher).to_owned(),
    })
}

fn with_crlf(lines: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(lines.len() + lines.len() / 32);
    for byte in lines {
        if *byte == b'\n' {
            whole.push(b'\r');
        }
        whole.push(*byte);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_server_stores_is_read_back_as_it_came() {
        let message = "Received: from an earlier server\n\tby another\nSubject: x\n\n.dot\n";
        let came = "Received: from an earlier server\r\n\tby another\r\nSubject: x\r\n\r\n.dot\r\n";
        let postfix = "Return-Path: <a@b.example>\nX-Original-To: ada@postfix.example\n\
            Delivered-To: ada@postfix.example\nReceived: from x (x [128.66.0.1])\n\
            \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\
            \t key-exchange X25519MLKEM768)\n\tby mx.postfix.example (Postfix) with ESMTPS id 1\n";
        let exim = "Return-path: <a@b.example>\nEnvelope-to: ada@exim.example\n\
            Delivery-date: Sun, 29 Nov 2026 16:00:00 +0000\n\
            Received: from [128.66.0.1] (helo=x)\n\tby mx.exim.example with esmtps  (TLS1.3) \
            tls TLS_AES_256_GCM_SHA384\n\t(Exim 4.98)\n";
        let opensmtpd = "Return-Path: <a@b.example>\nDelivered-To: ada@opensmtpd.example\n\
            Received: from x (x [128.66.0.1])\n\tby mx.opensmtpd.example (OpenSMTPD) with ESMTPS \
            id 1 (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO)\n";
        for (name, own) in [
            ("postfix", postfix),
            ("exim", exim),
            ("opensmtpd", opensmtpd),
        ] {
            let received = parse(format!("{own}{message}").as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&received.message), came);
            assert_eq!(received.from, "a@b.example");
            assert_eq!(received.to, format!("ada@{name}.example"));
            let tls = received.tls.unwrap();
            assert_eq!(tls.protocol, "TLSv1.3", "{name}");
            assert_eq!(tls.cipher, "TLS_AES_256_GCM_SHA384", "{name}");
        }
    }

    #[test]
    fn a_report_has_no_sender_and_what_came_in_the_clear_no_tls() {
        let stored = "Return-Path: <>\nDelivered-To: a@b\nReceived: from x\n\tby y with ESMTP id \
            1\n\nbody\n";
        let received = parse(stored.as_bytes()).unwrap();
        assert_eq!((received.from.as_str(), received.tls), ("", None));
        assert_eq!(received.message, b"\r\nbody\r\n");
        assert!(parse(b"Subject: x\n\nbody\n").is_err());
    }
}

//! One whole message: what it must look like, who sent it, whether it is junk,
//! and then to the gate.

use crate::authenticate::{self, Envelope};
use crate::content;
use crate::dns::Dns;
use crate::headers::{self, Received};
use crate::reply;
use crate::session::{Came, Identity, Mail, Session};
use channels::deliver::{self, Outcome};
use channels::spam_check;
use mail_parser::DateTime;
use std::os::unix::net::UnixStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who is asked about a message, each once.
pub(crate) struct Judges<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) dns: Dns,
    pub(crate) spam_check: UnixStream,
    pub(crate) deliver: UnixStream,
}

impl Judges<'_> {
    /// What the message comes to, a word for the log, and the reply.
    pub(crate) fn judge(
        mut self,
        session: &Session<'_>,
        mail: &Mail,
        message: Vec<u8>,
    ) -> (Came, &'static str, String) {
        if let Err(reply) = content::check(&message) {
            let how = match reply {
                reply::BARE => "refused: bare CR or LF",
                _ => "refused: malformed",
            };
            return (Came::Refused, how, reply.to_owned());
        }
        let Mail {
            sender, recipients, ..
        } = mail;
        let helo = session.helo.as_deref().unwrap_or("unknown");
        let envelope = Envelope {
            peer: session.peer,
            helo,
            sender,
        };
        let findings = authenticate::check(
            &mut self.dns,
            session.hostname,
            &envelope,
            &session.rules.trusted_sealers,
            &message,
        );
        if let Some(domain) = findings
            .as_ref()
            .and_then(|found| found.rejected_by.as_ref())
        {
            return (Came::Refused, "refused: DMARC", reply::dmarc(domain));
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let received = Received {
            helo,
            reverse_name: findings
                .as_ref()
                .and_then(|found| found.reverse_name.as_deref()),
            peer: session.peer,
            hostname: session.hostname,
            tls: session.tls.as_deref().unwrap_or("no TLS"),
            id: &format!("{:X}", since.as_nanos()),
            recipient: match recipients.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            date: &DateTime::from_timestamp(since.as_secs() as i64).to_rfc822(),
        };
        let results = findings.as_ref().map_or_else(
            || format!("Authentication-Results: {}; none\r\n", session.hostname),
            |found| found.header.clone(),
        );
        let mut whole = (results + &received.field()).into_bytes();
        whole.extend_from_slice(&headers::strip(&message, session.hostname));
        drop(message);
        let verdict = spam_check::ask(&mut self.spam_check, &whole).ok();
        let receipt = headers::Receipt {
            sandbox: &self.identity.sandbox,
            made: &self.identity.made,
            used: &self.identity.used,
        };
        let mut marked = receipt.field(verdict.as_ref()).into_bytes();
        if mail.require_tls {
            marked.extend_from_slice(headers::REQUIRE_TLS.as_bytes());
        }
        marked.extend(headers::spam(verdict.as_ref()).into_bytes());
        marked.append(&mut whole);
        let junk = verdict.as_ref().is_some_and(spam_check::Verdict::is_spam);
        let delivered = if junk { Came::Junk } else { Came::Delivered };
        match deliver::send(&mut self.deliver, sender, recipients, &marked) {
            Ok(Outcome::Delivered) => (delivered, "delivered", reply::DELIVERED.to_owned()),
            Ok(Outcome::Refused(words)) => {
                (Came::Refused, "refused by the gate", reply::gate(&words))
            }
            Ok(Outcome::Later(_)) => (Came::Later, "later", reply::LATER.to_owned()),
            Err(_) => (
                Came::Later,
                "no answer from the gate",
                reply::LATER.to_owned(),
            ),
        }
    }
}

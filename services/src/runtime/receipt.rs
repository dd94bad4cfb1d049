//! What is left of a connection: one line in the journal.
//!
//! It says which sandboxes there were, when, and how each ended. Of what came
//! over the connection it holds nothing but the front's exit code, in the
//! manifest's words: 8 bits, which carry no content.

use crate::clock::rfc3339;
use manifest::Service;
use sandbox::Exit;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How a sandbox ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or by a signal: a call that its policy lacks (31), say.
    Exit(Exit),
    /// By itself; how, only its zygote knows.
    Itself,
    /// It was killed because nobody needed it any more.
    Killed,
    /// It was killed because it took too long.
    TooLong,
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(Exit::Code(code)) => write!(out, "exit {code}"),
            Self::Exit(Exit::Signal(signal)) => write!(out, "signal {signal}"),
            Self::Itself => out.write_str("by itself"),
            Self::Killed => out.write_str("killed"),
            Self::TooLong => out.write_str("took too long"),
        }
    }
}

/// The receipt of one connection.
#[derive(Debug)]
pub(super) struct Receipt {
    /// When the first of its sandboxes was made.
    pub(super) created: SystemTime,
    /// When it was given the connection.
    pub(super) used: SystemTime,
    /// When the last of its sandboxes was gone.
    pub(super) destroyed: SystemTime,
    /// From use to destruction, by a clock that nobody sets.
    pub(super) served: Duration,
    /// The sandboxes, the front first.
    pub(super) ends: Vec<(String, End)>,
    /// The manifest's word for the front's exit code.
    pub(super) outcome: String,
}

/// The word of `front` for this end; `unknown` for what it does not declare.
pub(super) fn outcome(front: &Service, end: End) -> String {
    let code = match end {
        End::Exit(Exit::Code(code)) => u8::try_from(code).ok(),
        _ => None,
    };
    let word = code.and_then(|code| front.outcomes.get(&code));
    word.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

impl fmt::Display for Receipt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.served.as_secs(), self.served.subsec_millis());
        let ends: Vec<String> = (self.ends.iter())
            .map(|(name, end)| format!("{name} {end}"))
            .collect();
        write!(
            out,
            "receipt: created {}, used {}, destroyed {}, served {seconds}.{millis:03} s; {}; {}",
            rfc3339(self.created),
            rfc3339(self.used),
            rfc3339(self.destroyed),
            ends.join(", "),
            self.outcome
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_receipt_is_one_line_with_every_sandbox() {
        let at = |millis: u64| UNIX_EPOCH + Duration::from_millis(1_795_539_625_000 + millis);
        let receipt = Receipt {
            created: at(7),
            used: at(60_007),
            destroyed: at(61_241),
            served: Duration::from_micros(1_234_999),
            ends: vec![
                ("smtp-in-17".into(), End::Exit(Exit::Code(10))),
                ("gate-17".into(), End::Exit(Exit::Signal(31))),
                ("other-17".into(), End::TooLong),
                ("spamassassin-2-17".into(), End::Itself),
                ("tokens-17".into(), End::Killed),
            ],
            outcome: "delivered".into(),
        };
        assert_eq!(
            receipt.to_string(),
            "receipt: created 2026-11-24T17:00:25.007Z, used 2026-11-24T17:01:25.007Z, \
             destroyed 2026-11-24T17:01:26.241Z, served 1.234 s; smtp-in-17 exit 10, \
             gate-17 signal 31, other-17 took too long, spamassassin-2-17 by itself, \
             tokens-17 killed; delivered"
        );
    }

    #[test]
    fn only_a_declared_exit_code_has_a_word() {
        let text = "app: x\nservices:\n  front:\n    run: [/front]\n    lifetime: per-connection\n    listen: [{ port: 25, zone: public }]\n    outcomes: { 0: nothing, 10: delivered }\n    limits: { memory: 1M, tasks: 1, files: 8, file-size: 0, deadline: 1m }\n";
        let app = manifest::read("x", text).unwrap();
        let said = |end| outcome(app.service("front").unwrap(), end);
        assert_eq!(said(End::Exit(Exit::Code(10))), "delivered");
        assert_eq!(said(End::Exit(Exit::Code(0))), "nothing");
        for end in [
            End::Exit(Exit::Code(11)),
            End::Exit(Exit::Code(266)),
            End::Exit(Exit::Signal(10)),
            End::TooLong,
            End::Killed,
        ] {
            assert_eq!(said(end), "unknown", "{end}");
        }
    }
}

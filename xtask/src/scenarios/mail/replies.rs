//! What the box says to those who do it wrong, word for word, and that nothing
//! of theirs comes into a folder.

use super::dialogue::dialogue;
use super::internet::MAIL;
use super::readers::curl;
use super::world::World;
use super::{ANNA, InsideArguments};
use anyhow::{Result, ensure};

const STARTTLS_FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first";
/// More than the 36,700,160 bytes that EHLO names.
const OVERSIZE: &str = "fill 36800000";

/// What is wrong, what is said after EHLO, and the replies that count: the
/// last ones.
const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "no STARTTLS",
        &[
            "say MAIL FROM:<ada@sender.example>",
            "say RCPT TO:<anna@home.example>",
            "say DATA",
        ],
        &[STARTTLS_FIRST, STARTTLS_FIRST, STARTTLS_FIRST],
    ),
    (
        "plain text behind STARTTLS",
        &["send STARTTLS\\r\\nEHLO mail.sender.example\\r\\n", "reply"],
        &["554 5.5.1 Nothing may follow STARTTLS"],
    ),
    (
        "an unknown recipient",
        &[
            "starttls",
            "say EHLO mail.sender.example",
            "say MAIL FROM:<ada@sender.example>",
            "say RCPT TO:<nobody@home.example>",
            "say RCPT TO:<anna@elsewhere.example>",
            "say DATA",
        ],
        &[
            "250 2.1.0 OK",
            "550 5.1.1 No such mailbox here",
            "550 5.1.1 No such mailbox here",
            "554 5.5.1 No valid recipients",
        ],
    ),
    (
        "too big, and it says so",
        &[
            "starttls",
            "say EHLO mail.sender.example",
            "say MAIL FROM:<ada@sender.example> SIZE=36700161",
        ],
        &["552 5.3.4 Message too big"],
    ),
    (
        "too big, and it says it were not",
        &[
            "starttls",
            "say EHLO mail.sender.example",
            "say MAIL FROM:<ada@sender.example> SIZE=1000",
            "say RCPT TO:<anna@home.example>",
            "say DATA",
            "send Subject: x\\r\\n\\r\\n",
            OVERSIZE,
            "send .\\r\\n",
            "reply",
        ],
        &[
            "354 End the message with a dot on its own line",
            "552 5.3.4 Message too big",
        ],
    ),
    (
        "lines that end with LF alone",
        &[
            "starttls",
            "say EHLO mail.sender.example",
            "say MAIL FROM:<ada@sender.example>",
            "say RCPT TO:<anna@home.example>",
            "say DATA",
            "send Subject: x\\r\\n\\r\\none\\n.\\nMAIL FROM:<eve@sender.example>\\r\\n.\\r\\n",
            "reply",
        ],
        &["550 5.6.0 A line ends with CR LF, not with one of them"],
    ),
    (
        "malformed commands",
        &[
            "starttls",
            "say EHLO mail.sender.example",
            "say BOGUS",
            "say MAIL FROM:ada@sender.example>",
            "say MAIL FROM:<ada@sender.example> FUTURE=1",
            "say RCPT TO:<anna@home.example>",
            "say AUTH PLAIN AAAA",
            "send NOOP\\n",
            "send QUIT\\r\\n",
            "reply",
        ],
        &[
            "500 5.5.2 Command not known",
            "501 5.5.2 Syntax error",
            "555 5.5.4 A parameter is not offered",
            "503 5.5.1 MAIL first",
            "502 5.5.1 Command not offered",
            "500 5.5.2 A command ends with CR LF",
        ],
    ),
];

pub(super) fn run(arguments: &InsideArguments) -> Result<()> {
    let world = World::again(arguments)?;
    let _machine = world.go_on(arguments, None)?;
    for (wrong, steps, expected) in CASES {
        let steps = [&["say EHLO mail.sender.example"], *steps].concat();
        let replies = dialogue(&world.internet, &world.folder, MAIL, &steps)?;
        let last = &replies[replies.len().saturating_sub(expected.len())..];
        ensure!(last == *expected, "{wrong}: {replies:#?}");
    }
    let messages = curl(&world.internet, &world.folder, ANNA, "INBOX")?;
    ensure!(messages.is_empty(), "{} messages came in", messages.len());
    Ok(())
}

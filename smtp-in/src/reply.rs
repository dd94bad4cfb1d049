//! Every reply that this server gives, and where it comes from. The digits are
//! RFC 5321 section 4.2, the enhanced codes RFC 3463 and those that the IANA
//! registry added (RFC 5248).

use channels::deliver::MAX_RECIPIENTS;
use std::net::IpAddr;

/// The largest message that is taken, in octets: what SIZE names (RFC 1870
/// section 3).
pub const MAX_MESSAGE: usize = 35 << 20;

/// RFC 5321 section 4.2.4 and 4.3.2.
pub const OK: &str = "250 2.0.0 OK";
/// RFC 5321 section 4.1.1.5.
pub const RESET: &str = "250 2.0.0 Forgotten";
/// RFC 5321 section 4.1.1.2.
pub const SENDER: &str = "250 2.1.0 OK";
/// RFC 5321 section 4.1.1.3.
pub const RECIPIENT: &str = "250 2.1.5 OK";
/// RFC 5321 section 4.1.1.4: from here on the message is ours.
pub const DELIVERED: &str = "250 2.0.0 Delivered";
/// RFC 5321 section 4.1.1.8.
pub const HELP: &str = "214 2.0.0 RFC 5321";
/// RFC 3207 section 4.
pub const GO_AHEAD: &str = "220 2.0.0 Go ahead";
/// RFC 5321 section 3.5.3: nobody learns here who has mail.
pub const SEE: &str = "252 2.1.5 Send it and see";
/// RFC 5321 section 4.1.1.4.
pub const GO_ON: &str = "354 End the message with a dot on its own line";

/// RFC 5321 section 4.5.3.2.7.
pub const IDLE: &str = "421 4.4.2 Idle for too long";
/// RFC 9422 section 4.1 (MAILMAX): its client knew it beforehand.
pub const ONE_MESSAGE: &str = "421 4.7.0 One message a connection";
/// RFC 5321 section 3.8 allows to close on a client that does nothing useful.
pub const ERRORS: &str = "421 4.7.0 Too many errors";
/// As [`ERRORS`].
pub const COMMANDS: &str = "421 4.7.0 Too many commands";
/// RFC 5321 section 4.2.4.1 (4yz).
pub const LATER: &str = "451 4.3.0 Try again later";
/// RFC 5321 section 4.5.3.1.10, RFC 9422 section 4.2 (RCPTMAX).
pub const RECIPIENTS: &str = "452 4.5.3 Too many recipients";
/// RFC 3207 section 4.
pub const NO_TLS_NOW: &str = "454 4.7.0 TLS is not available now";

/// RFC 5321 section 4.2.4, 4.3.2.
pub const UNKNOWN: &str = "500 5.5.2 Command not known";
/// RFC 5321 section 4.1.2: commands are ASCII.
pub const NOT_ASCII: &str = "500 5.5.2 A command is printable ASCII and ends with CR LF";
/// RFC 5321 section 2.3.8: a line ends with CR LF, with nothing else.
pub const BARE_COMMAND: &str = "500 5.5.2 A command ends with CR LF";
/// RFC 5321 section 4.5.3.1.4, 4.5.3.1.10.
pub const LONG_COMMAND: &str = "500 5.5.6 Line too long";
/// RFC 5321 section 4.1.1.3, 4.1.2.
pub const NOT_FORWARD: &str = "501 5.1.3 Not a forward-path";
/// RFC 5321 section 4.1.1.2, 4.1.2.
pub const NOT_REVERSE: &str = "501 5.1.7 Not a reverse-path";
/// RFC 5321 section 4.2.2.
pub const SYNTAX: &str = "501 5.5.2 Syntax error";
/// RFC 3030 section 2: how long the chunk is can't be known, so the connection
/// is closed behind it.
pub const CHUNK_SYNTAX: &str = "501 5.5.4 BDAT has a size and perhaps LAST";
/// RFC 5321 section 4.1.1.1.
pub const NAME: &str = "501 5.5.4 The name must be a host name or an address literal";
/// RFC 5321 section 4.1.1.11.
pub const VALUE: &str = "501 5.5.4 A parameter has no such value";
/// RFC 5321 section 4.1.1.4 to 4.1.1.10, RFC 3207 section 4.
pub const NO_PARAMETERS: &str = "501 5.5.4 This command has no parameters";
/// RFC 5321 section 4.2.4.
pub const NOT_OFFERED: &str = "502 5.5.1 Command not offered";
/// RFC 5321 section 4.1.4.
pub const HELLO_FIRST: &str = "503 5.5.1 EHLO first";
/// RFC 5321 section 4.1.4.
pub const MAIL_FIRST: &str = "503 5.5.1 MAIL first";
/// RFC 5321 section 4.1.4.
pub const MAIL_TWICE: &str = "503 5.5.1 MAIL was sent already";
/// RFC 3030 section 2: BDAT has begun the message; section 3 says it of DATA.
pub const BEGUN: &str = "503 5.5.1 The message has begun with BDAT";
/// RFC 3207 section 4.2.
pub const TLS_TWICE: &str = "503 5.5.1 TLS is on already";
/// RFC 3207 section 4, in spite of what it says of public servers
/// (docs/threat-model.md).
pub const TLS_FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first";
/// RFC 5321 section 4.2.2, 3.3.
pub const NO_MAILBOX: &str = "550 5.1.1 No such mailbox here";
/// RFC 5321 section 2.3.8: every way to smuggle a second message begins with one.
pub const BARE: &str = "550 5.6.0 A line ends with CR LF, not with one of them";
/// RFC 2045 section 2.7 and 2.8: neither 7bit nor 8bit data has one.
pub const NUL: &str = "550 5.6.0 A message has no NUL";
/// RFC 5321 section 4.5.3.1.6 asks for 1000 octets; this is the 16-fold.
pub const LONG_LINE: &str = "550 5.6.0 A line of the message is longer than 16000 octets";
/// RFC 5322 section 2.1 and 3.6.
pub const FIELDS: &str = "550 5.6.0 More than 1000 header fields";
/// RFC 5322 section 3.6: exactly one. DMARC judges that one (RFC 9989).
pub const FROM: &str = "550 5.6.0 A message has one From field";
/// RFC 5321 section 6.3: a message that has gone round this often goes in circles.
pub const LOOP: &str = "554 5.4.6 More than 100 Received fields, a loop";
/// RFC 1870 section 6.
pub const TOO_BIG: &str = "552 5.3.4 Message too big";
/// RFC 5322 section 2.1 has no limit; SpamAssassin's time grows with it.
pub const BIG_HEADER: &str = "552 5.3.4 The header is larger than 262144 octets";
/// RFC 6531 section 3.5, RFC 5248 (X.6.7).
pub const ASCII_ADDRESS: &str = "553 5.6.7 An address is ASCII: SMTPUTF8 is not offered";
/// RFC 5321 section 4.3.1: the client waits for the greeting.
pub const EARLY: &str = "554 5.5.1 The greeting comes first";
/// RFC 3207 section 4, CVE-2011-0411: not a byte may be taken over from the
/// plain text.
pub const AFTER_STARTTLS: &str = "554 5.5.1 Nothing may follow STARTTLS";
/// RFC 2920 section 3.1: EHLO, HELO and DATA are the last command of a group.
pub const GROUP: &str = "554 5.5.1 Nothing may follow this command before its reply";
/// RFC 5321 section 3.3.
pub const NO_RECIPIENTS: &str = "554 5.5.1 No valid recipients";
/// RFC 5321 section 4.1.1.11.
pub const UNSUPPORTED: &str = "555 5.5.4 A parameter is not offered";
/// RFC 6531 section 3.4: a server that does not offer it says 555.
pub const NO_UTF8: &str = "555 5.6.7 SMTPUTF8 is not offered";

/// RFC 5321 section 4.3.1.
pub fn greeting(hostname: &str) -> String {
    format!("220 {hostname} ESMTP")
}

/// RFC 5321 section 4.1.1.10.
pub fn goodbye(hostname: &str) -> String {
    format!("221 2.0.0 {hostname} closes the connection")
}

/// RFC 3030 section 2.
pub fn chunk(octets: u64) -> String {
    format!("250 2.0.0 {octets} octets received")
}

/// RFC 9989: `domain`'s own wish (5.7.1, delivery not authorized).
pub fn dmarc(domain: &str) -> String {
    format!("550 5.7.1 Refused by the DMARC policy of {}", plain(domain))
}

/// RFC 5321 section 3.6.2 and 7.9: the owner has chosen the list. Who thinks that
/// it is wrong can write to the postmaster.
pub fn listed(peer: IpAddr, zone: &str) -> String {
    format!("554 5.7.1 {peer} is listed by {zone}; write to postmaster here if that is wrong")
}

/// The gate's words, which are Dovecot's, for the sender.
pub fn gate(words: &str) -> String {
    format!("550 5.2.0 {}", plain(words))
}

/// What EHLO names (RFC 5321 section 4.1.1.1): PIPELINING (RFC 2920), SIZE
/// (RFC 1870), 8BITMIME (RFC 6152), ENHANCEDSTATUSCODES (RFC 2034), CHUNKING
/// (RFC 3030), STARTTLS (RFC 3207) or, once that is done, REQUIRETLS (RFC 8689
/// section 2), and LIMITS (RFC 9422).
pub fn extensions(hostname: &str, tls: bool) -> String {
    let now = if tls { "REQUIRETLS" } else { "STARTTLS" };
    format!(
        "250-{hostname}\r\n250-PIPELINING\r\n250-SIZE {MAX_MESSAGE}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-{now}\r\n250 LIMITS MAILMAX=1 RCPTMAX={MAX_RECIPIENTS}"
    )
}

/// `text` as it may stand in a reply.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| (' '..='~').contains(letter))
        .take(200)
        .collect()
}

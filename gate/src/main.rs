//! `/gate HOSTNAME`: see the library. The supervisor passes `recipient-check`,
//! `deliver`, `tokens`, `report` and `lmtp`, and mounts what the filters have learnt and the
//! owner's rules for mail from outside.

use channels::{deliver, passed::Passed, recipient_check, report, tokens};
use gate::{Channels, Settings};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Where everybody's folder is in the gate's sandbox, read-only.
const LEARNED: &str = "/learned";
/// Where the owner's rules are, which the supervisor writes.
const RULES: &str = "/door/rules";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let hostname = match (arguments.next(), arguments.next()) {
        (Some(hostname), None) if is_hostname(&hostname) => hostname,
        _ => return Err("usage: gate HOSTNAME, the name of this box".into()),
    };
    let mut passed = Passed::take_all()?;
    let channels = Channels {
        check: passed.take(recipient_check::NAME)?.into(),
        deliver: passed.take(deliver::NAME)?.into(),
        tokens: passed.take(tokens::NAME)?.into(),
        report: passed.take(report::NAME)?.into(),
        dovecot: passed.take("lmtp")?.into(),
    };
    let settings = Settings {
        hostname: &hostname,
        learned: Path::new(LEARNED),
        rules: Path::new(RULES),
    };
    Ok(gate::serve(settings, channels)?)
}

/// What may stand in a command as it is.
fn is_hostname(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len()) && name.bytes().all(letter)
}

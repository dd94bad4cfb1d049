//! `learn spam|ham`: the message on standard input is what its owner takes it
//! for. Dovecot starts it as that person when a message was moved; it finds the
//! tokens in the message's header and counts them in `/learned/UID/table`.
//!
//! A message without tokens teaches nothing, which is no fault. What goes wrong
//! is said on standard error, without a word of the message.

use learn::{Kind, field, store};
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where Dovecot's sandbox has everybody's folder.
const LEARNED: &str = "/learned";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("learn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = match (arguments.next().as_deref(), arguments.next()) {
        (Some("spam"), None) => Kind::Spam,
        (Some("ham"), None) => Kind::Ham,
        _ => return Err("usage: learn spam|ham < MESSAGE".into()),
    };
    let mut head = Vec::new();
    let mut input = io::stdin().lock();
    input
        .by_ref()
        .take(field::HEAD as u64)
        .read_to_end(&mut head)?;
    // To its end, or Dovecot would take it for a failure.
    io::copy(&mut input, &mut io::sink())?;
    let Some(tokens) = field::find(&head) else {
        return Ok(());
    };
    let days = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
    let day = u16::try_from(days).unwrap_or(u16::MAX);
    let folder = Path::new(LEARNED).join(nix::unistd::getuid().to_string());
    Ok(store::update(&folder, |table| {
        table.learn(&tokens, kind, day)
    })?)
}

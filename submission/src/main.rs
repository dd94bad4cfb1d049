//! `submission HOSTNAME tls|starttls`, started by the supervisor for each connection of
//! a mail program; `submission HOSTNAME forward` for each of Dovecot's.

use channels::passed::{Passed, PassedError};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use submission::forward;
use submission::session::{self, Begin, Channels, Limits};

/// The volume `outbound`.
const SETTINGS: &str = "/outbound";
/// The channel of which Dovecot has the other end.
const FORWARD: &str = "forward";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = match words[..] {
        [hostname, "tls"] => {
            take().map(|channels| session::run(channels, hostname, Begin::Tls, Limits::default()))
        }
        [hostname, "starttls"] => take()
            .map(|channels| session::run(channels, hostname, Begin::StartTls, Limits::default())),
        [hostname, "forward"] => take_forward().map(|channels| forward::run(channels, hostname)),
        _ => {
            eprintln!("usage: submission HOSTNAME tls|starttls|forward");
            return ExitCode::FAILURE;
        }
    };
    match begun {
        Ok(line) => {
            eprintln!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("submission: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<Channels, PassedError> {
    let mut passed = Passed::take_all()?;
    Ok(Channels {
        connection: TcpStream::from(passed.take("connection")?),
        tls_sign: UnixStream::from(passed.take("private-tls-sign")?),
        sasl: TcpStream::from(passed.take("sasl")?),
        dkim_sign: UnixStream::from(passed.take(channels::dkim_sign::NAME)?),
        queue: TcpStream::from(passed.take("queue")?),
    })
}

fn take_forward() -> Result<forward::Channels, PassedError> {
    let mut passed = Passed::take_all()?;
    Ok(forward::Channels {
        connection: TcpStream::from(passed.take(FORWARD)?),
        dkim_sign: UnixStream::from(passed.take(channels::dkim_sign::NAME)?),
        queue: TcpStream::from(passed.take("queue")?),
        settings: SETTINGS.into(),
    })
}

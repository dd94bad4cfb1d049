//! `smtp-in HOSTNAME`, started by the supervisor for each connection.

use channels::passed::{Passed, PassedError};
use smtp_in::session::{self, Channels, Limits};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(hostname) = std::env::args().nth(1) else {
        eprintln!("usage: smtp-in HOSTNAME");
        return ExitCode::FAILURE;
    };
    match take() {
        Ok(channels) => {
            eprintln!("{}", session::run(channels, &hostname, Limits::default()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("smtp-in: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<Channels, PassedError> {
    let mut passed = Passed::take_all()?;
    Ok(Channels {
        connection: TcpStream::from(passed.take("connection")?),
        dns: TcpStream::from(passed.take("dns")?),
        tls_sign: UnixStream::from(passed.take(channels::tls_sign::NAME)?),
        recipient_check: UnixStream::from(passed.take(channels::recipient_check::NAME)?),
        spam_check: UnixStream::from(passed.take(channels::spam_check::NAME)?),
        deliver: UnixStream::from(passed.take(channels::deliver::NAME)?),
    })
}

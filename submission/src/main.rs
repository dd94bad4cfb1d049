//! `submission HOSTNAME tls|starttls`, started by the supervisor for each connection.

use channels::passed::{Passed, PassedError};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use submission::session::{self, Begin, Channels, Limits};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (hostname, begin) = match words[..] {
        [hostname, "tls"] => (hostname, Begin::Tls),
        [hostname, "starttls"] => (hostname, Begin::StartTls),
        _ => {
            eprintln!("usage: submission HOSTNAME tls|starttls");
            return ExitCode::FAILURE;
        }
    };
    match take() {
        Ok(channels) => {
            let line = session::run(channels, hostname, begin, Limits::default());
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

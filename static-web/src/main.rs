//! `static-web`, started by the supervisor for each connection.

use channels::passed::{Passed, PassedError};
use static_web::session::{self, Channels, Limits};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

/// The volume with the table.
const WEB: &str = "/web";

fn main() -> ExitCode {
    if std::env::args().len() != 1 {
        eprintln!("usage: static-web");
        return ExitCode::FAILURE;
    }
    match take() {
        Ok(channels) => {
            let line = session::run(channels, Path::new(WEB), Limits::default());
            eprintln!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("static-web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn take() -> Result<Channels, PassedError> {
    let mut passed = Passed::take_all()?;
    Ok(Channels {
        connection: TcpStream::from(passed.take("connection")?),
        tls_sign: UnixStream::from(passed.take("web-tls-sign")?),
    })
}

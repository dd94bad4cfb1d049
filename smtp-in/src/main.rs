//! `smtp-in HOSTNAME SANDBOX MADE`, started by the supervisor for each
//! connection: the box's name, the id of this sandbox and when it was made. Its
//! exit code says what the connection came to ([`Came`](session::Came)); 1 is a
//! fault of the program's surroundings.

use channels::passed::{Passed, PassedError};
use mail_parser::DateTime;
use smtp_in::session::{self, Channels, Identity, Limits};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let used = now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Ok([hostname, sandbox, made]) = <[String; 3]>::try_from(arguments) else {
        eprintln!("usage: smtp-in HOSTNAME SANDBOX MADE");
        return ExitCode::FAILURE;
    };
    let identity = Identity {
        sandbox,
        made,
        used,
    };
    match take() {
        Ok(channels) => {
            let (line, came) = session::run(channels, &hostname, &identity, Limits::default());
            eprintln!("{line}");
            ExitCode::from(came as u8)
        }
        Err(error) => {
            eprintln!("smtp-in: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The time in the form of MADE: RFC 3339 in UTC with milliseconds.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = DateTime::from_timestamp(since.as_secs() as i64).to_rfc3339();
    let seconds = seconds.trim_end_matches('Z');
    format!("{seconds}.{:03}Z", since.subsec_millis())
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

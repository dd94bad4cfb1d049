//! `records`: looks every six hours, and whenever something else is wanted, whether the
//! box's records are in the DNS.

use records::wanted::WantedError;
use records::{Found, State, Wanted, check};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tls_policy::dns::Dns;

/// The volumes.
const WANTED: &str = "/wanted";
const FOUND: &str = "/found";
/// How often is looked whether something else is wanted.
const STEP: Duration = Duration::from_secs(2);
/// The shortest time from one round to the next.
const REST: Duration = Duration::from_secs(4);
/// From one round to the next, when nothing changes.
const ROUND: Duration = Duration::from_secs(6 * 60 * 60);
/// The same when the DNS did not answer.
const RETRY: Duration = Duration::from_secs(2 * 60);

fn main() -> ExitCode {
    if std::env::args().len() != 1 {
        eprintln!("usage: records");
        return ExitCode::FAILURE;
    }
    // Unbound, by a channel.
    let dns = Dns::new((Ipv4Addr::LOCALHOST, 53).into());
    let kept = Found::read(Path::new(FOUND)).unwrap_or_else(|words| {
        eprintln!("{words}; it is written anew");
        None
    });
    let mut found = kept.unwrap_or_default();
    let mut last: Option<(Wanted, Instant)> = None;
    let mut said = String::new();
    loop {
        match Wanted::read(Path::new(WANTED)) {
            Ok(wanted) => {
                if is_due(last.as_ref(), &wanted, &found) {
                    let since = last.as_ref().map(|(_, then)| then.elapsed());
                    found = check::all(&dns, &wanted, now(), &found, since);
                    tell(&found);
                    if let Err(error) = found.keep(Path::new(FOUND)) {
                        eprintln!("{error}");
                    }
                    last = Some((wanted, Instant::now()));
                }
            }
            // The supervisor writes it when the app has started.
            Err(WantedError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let words = error.to_string();
                if words != said {
                    eprintln!("{words}");
                    said = words;
                }
            }
        }
        sleep(STEP);
    }
}

fn is_due(last: Option<&(Wanted, Instant)>, wanted: &Wanted, found: &Found) -> bool {
    let Some((before, then)) = last else {
        return true;
    };
    let passed = then.elapsed();
    let unknown = found.records.iter().any(|one| one.state == State::Unknown);
    let pause = match unknown {
        true => RETRY,
        false => ROUND,
    };
    passed >= pause || (before != wanted && passed >= REST)
}

/// How many were found how, without their names.
fn tell(found: &Found) {
    let count = |state| {
        let records = found.records.iter();
        records.filter(|one| one.state == state).count()
    };
    let all = found.records.len();
    let there = count(State::There) + count(State::Unsigned);
    let unknown = count(State::Unknown);
    eprintln!("of {all} records {there} are there, {unknown} could not be looked up");
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

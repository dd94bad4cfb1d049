//! `report HOSTNAME`: takes at most one message from the gate and says on its standard
//! error what it reports. The supervisor passes `report`.

use channels::passed::Passed;
use channels::report;
use std::error::Error;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(hostname), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: report HOSTNAME, the name of this box".into());
    };
    let mut gate = UnixStream::from(Passed::take_all()?.take(report::NAME)?);
    // None is the ordinary case.
    let Some(message) = report::take(&mut gate)? else {
        return Ok(());
    };
    if let Some(line) = reports::line(&message, &hostname) {
        // The supervisor takes what begins so (init/src/bin/supervisor/seen.rs).
        eprintln!("report: {line}");
    }
    Ok(())
}

//! `/relay`: see the library. The supervisor passes `control`.

use channels::{handed::Handed, passed::Passed};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let control = Passed::take_all()?.take(relay::CONTROL)?;
    Ok(relay::run(Handed::from_socket(control)?)?)
}

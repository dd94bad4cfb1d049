//! `projectx`: what root on the box can ask it.

use clap::{Parser, Subcommand};
use control::sandboxes::{SOCKET, SandboxReply, SandboxRequest};
use control::wire;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// Asks the box about itself.
#[derive(Debug, Parser)]
#[command(name = "projectx")]
struct Arguments {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, Subcommand)]
enum About {
    /// The sandboxes that its services run in
    #[command(subcommand)]
    Sandbox(Sandbox),
}

#[derive(Debug, Subcommand)]
enum Sandbox {
    /// All of them, each with a score from 0 (may do nothing) to 10
    List,
    /// In plain words, all that one may do, and what each costs
    Show {
        /// The service, `smtp-in` say
        service: String,
    },
}

fn main() -> ExitCode {
    let About::Sandbox(what) = Arguments::parse().about;
    let request = match what {
        Sandbox::List => SandboxRequest::List,
        Sandbox::Show { service } => SandboxRequest::Show { service },
    };
    match ask(&request) {
        Ok(SandboxReply::Told { text }) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(SandboxReply::Refused { words }) | Err(words) => {
            eprintln!("projectx: {words}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the supervisor, or says what to do.
fn ask(request: &SandboxRequest) -> Result<SandboxReply, String> {
    let mut stream = UnixStream::connect(SOCKET).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => "Only root may ask; call it as root.".to_owned(),
        _ => format!(
            "{SOCKET}: {error}. Is this the box, and has its supervisor started? Try again in a moment."
        ),
    })?;
    wire::write(&mut stream, request).map_err(|error| error.to_string())?;
    wire::read(&mut stream).map_err(|error| error.to_string())
}

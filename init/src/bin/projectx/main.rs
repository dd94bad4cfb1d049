//! `projectx`: what root on the box can ask it.

use clap::{Parser, Subcommand};
use control::sandboxes::{SOCKET, SandboxReply, SandboxRequest};
use control::wire;
use init::kept_log;
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
    /// The records that it needs in the DNS, as lines of a zone file, with what it has
    /// found of each
    Records {
        /// The domain, `example.org` say; all of them without one
        domain: Option<String>,
    },
    /// The key of port 25, by which other mail servers may know it
    #[command(subcommand)]
    MailKey(MailKey),
    /// What its supervisor has said: nothing of any message
    Log,
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

#[derive(Debug, Subcommand)]
enum MailKey {
    /// Uses the next key from now on, if others have been able to know it for two days
    Roll,
}

fn main() -> ExitCode {
    let told = match Arguments::parse().about {
        About::Sandbox(Sandbox::List) => ask(&SandboxRequest::List),
        About::Sandbox(Sandbox::Show { service }) => ask(&SandboxRequest::Show { service }),
        About::Records { domain } => ask(&SandboxRequest::Records { domain }),
        About::MailKey(MailKey::Roll) => ask(&SandboxRequest::RollMailKey),
        About::Log => log(),
    };
    match told {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("projectx: {words}");
            ExitCode::FAILURE
        }
    }
}

/// The log: what lies in the encrypted disk, if that is open, and what is in memory.
fn log() -> Result<String, String> {
    let (folder, in_memory) = (kept_log::FOLDER.as_ref(), kept_log::IN_MEMORY.as_ref());
    kept_log::read(folder, in_memory).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => "Only root may read the log; call it as root.".to_owned(),
        _ => error.to_string(),
    })
}

/// Asks the supervisor, or says what to do.
fn ask(request: &SandboxRequest) -> Result<String, String> {
    let mut stream = UnixStream::connect(SOCKET).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => "Only root may ask; call it as root.".to_owned(),
        _ => format!(
            "{SOCKET}: {error}. Is this the box, and has its supervisor started? Try again in a moment."
        ),
    })?;
    wire::write(&mut stream, request).map_err(|error| error.to_string())?;
    match wire::read(&mut stream).map_err(|error| error.to_string())? {
        SandboxReply::Told { text } => Ok(text),
        SandboxReply::Refused { words } => Err(words),
    }
}

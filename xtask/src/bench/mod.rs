//! `cargo xtask bench`: measures what the project promises, and prints it with
//! date, host and commit. Nothing here passes or fails by a time.

mod card;
mod image;
pub mod isolation;
pub mod mail;
mod sandbox;

use crate::tool::tool;
use anyhow::Result;
use serde_json::{Value, json};

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// Building the image: cold, warm, and with one overlay file changed
    Image {
        /// Print one JSON line
        #[arg(long)]
        json: bool,
    },
    /// What an owner waits for, on both boards: from the power to the page, from the
    /// passphrase to the open disk; and the ciphers that the disk could have
    Card(card::CardArguments),
    /// Taking mail: seconds to 250, messages a minute, memory; beside Debian's
    /// Postfix, spamd and Dovecot
    Mail(mail::MailArguments),
    /// The way of a message in fresh sandboxes beside the same way without any
    Isolation(isolation::IsolationArguments),
    /// A fresh sandbox, from the request to its program's first instruction, beside
    /// bubblewrap, crun and runc
    Sandbox(sandbox::SandboxArguments),
}

/// Measures, and prints what was measured.
pub fn run(which: &Bench) -> Result<()> {
    match which {
        Bench::Image { json } => image::run(*json),
        Bench::Card(arguments) => card::run(arguments),
        Bench::Mail(arguments) => mail::run(arguments),
        Bench::Isolation(arguments) => isolation::run(arguments),
        Bench::Sandbox(arguments) => sandbox::run(arguments),
    }
}

/// Adds to a result where it was measured: date, host, cores, commit.
pub fn with_place(mut result: Value) -> Value {
    result["date"] = json!(said_by("date", &["-u", "+%Y-%m-%dT%H:%MZ"]));
    result["host"] = json!(said_by("uname", &["-srm"]));
    result["cores"] = json!(std::thread::available_parallelism().map_or(0, usize::from));
    result["commit"] = json!(said_by("git", &["describe", "--always", "--dirty"]));
    result
}

/// What a small program prints, or nothing.
fn said_by(program: &str, arguments: &[&str]) -> String {
    let said = tool(program, "coreutils or git").args(arguments).output();
    String::from_utf8_lossy(&said.unwrap_or_default())
        .trim()
        .to_owned()
}

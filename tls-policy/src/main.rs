//! `tls-policy`: serves Postfix on the listener that the supervisor passes.

use channels::passed::Passed;
use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tls_policy::cache::Cache;
use tls_policy::decide::Decide;
use tls_policy::dns::Dns;
use tls_policy::fetch::Fetch;
use tls_policy::serve;

/// The descriptor: a socket in Postfix's network.
const NAME: &str = "tls-policy";
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tls-policy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::from(Passed::take_all()?.take(NAME)?);
    // Unbound, by a channel.
    let dns = Dns::new((Ipv4Addr::LOCALHOST, 53).into());
    let decide = Decide {
        dns,
        fetch: Fetch::new(dns, Path::new(ROOTS))?,
        cache: Cache::new(Path::new("/sts")),
        settings: "/outbound".into(),
    };
    serve::serve(&listener, &Arc::new(decide))?;
    Ok(())
}

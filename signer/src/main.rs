//! `signer serve NAME` and `signer self-signed NAME FOLDER`.

use channels::passed::Passed;
use signer::{keys, serve};
use std::error::Error;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Where the port-25 key is, in the volume that only this program has.
const KEYS: &str = "/keys";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", name] => run(name),
        ["self-signed", name, folder] => {
            keys::self_signed_pem(Path::new(folder), name).map_err(Into::into)
        }
        _ => Err("usage: signer serve NAME | signer self-signed NAME FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str) -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::from(Passed::take_all()?.take(channels::tls_sign::NAME)?);
    let signer = Arc::new(keys::Signer::open(Path::new(KEYS), name)?);
    serve::serve(&listener, &signer)?;
    Ok(())
}

//! `signer serve NAME`, `signer serve-web NAME`, `signer self-signed NAME FOLDER [COPY]`,
//! `signer serve-private NAME` and `signer dkim`.

use channels::passed::Passed;
use signer::rolling::Rolling;
use signer::{dkim, keys, serve};
use std::error::Error;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often is looked whether a domain came or its keys were changed.
const AGAIN: Duration = Duration::from_secs(15);
/// Where the key is, in the volume that only this program has.
const KEYS: &str = "/keys";
/// The channel of the private services' key, in the protocol of `tls-sign`.
const PRIVATE: &str = "private-tls-sign";
/// The same of the key that strangers see on port 443.
const WEB: &str = "web-tls-sign";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", name] => run_rolling(name),
        ["serve-web", name] => run(WEB, name),
        ["self-signed", name, folder] => {
            keys::self_signed_pem(Path::new(folder), name).map_err(Into::into)
        }
        ["self-signed", name, folder, copy] => {
            let folder = Path::new(folder);
            keys::self_signed_pem(folder, name)
                .and_then(|()| keys::copy_pem(folder, Path::new(copy)))
                .map_err(Into::into)
        }
        ["serve-private", _] => run_private(),
        ["dkim"] => run_dkim(),
        _ => Err("usage: signer serve NAME | signer serve-web NAME | signer self-signed NAME FOLDER [COPY] | signer serve-private NAME | signer dkim".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_rolling(name: &str) -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::from(Passed::take_all()?.take(channels::tls_sign::NAME)?);
    let keys = Arc::new(Rolling::open(Path::new(KEYS), name)?);
    serve::serve_rolling(&listener, &keys)?;
    Ok(())
}

fn run(channel: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::from(Passed::take_all()?.take(channel)?);
    let signer = Arc::new(keys::Signer::open(Path::new(KEYS), name)?);
    serve::serve(&listener, &signer)?;
    Ok(())
}

fn run_private() -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::from(Passed::take_all()?.take(PRIVATE)?);
    let signer = Arc::new(keys::Signer::open_pem(Path::new(KEYS))?);
    serve::serve(&listener, &signer)?;
    Ok(())
}

fn run_dkim() -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::from(Passed::take_all()?.take(channels::dkim_sign::NAME)?);
    let signer = dkim::Signer::new(Path::new("/dkim"), Path::new("/outbound"));
    let signer = Arc::new(signer);
    // Before the first message, whose sender would wait for it; and so that the records
    // of a new domain can be published.
    let ahead = Arc::clone(&signer);
    // Without a name, for which the policy would need a call.
    std::thread::Builder::new().spawn(move || {
        loop {
            ahead.prepare();
            std::thread::sleep(AGAIN);
        }
    })?;
    serve::serve_each(&listener, move |stream| dkim::connection(stream, &signer))?;
    Ok(())
}

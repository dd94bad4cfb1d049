//! The console process: descriptor 3 is the control stream, descriptor 4 the
//! HTTP listener. It reads `/nacl-fast.min.js` once and no other file, starts
//! no thread, and ends when the supervisor goes away.

mod sys;

use console::{Assets, serve};
use std::error::Error;
use std::process::ExitCode;
use tokio::net::{TcpListener, UnixStream};

const NACL: &str = "/nacl-fast.min.js";

fn main() -> ExitCode {
    let (control, listener) = sys::inherited();
    match run(control, listener) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    control: std::os::unix::net::UnixStream,
    listener: std::net::TcpListener,
) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let nacl = std::fs::read(NACL)
        .map_err(|e| format!("{NACL}: {e}; the image must hold it in the console's root"))?;
    control
        .set_nonblocking(true)
        .map_err(|e| format!("descriptor 3: {e}; the supervisor must pass the control stream"))?;
    listener
        .set_nonblocking(true)
        .map_err(|e| format!("descriptor 4: {e}; the supervisor must pass the listener"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let control = UnixStream::from_std(control)?;
        let listener = TcpListener::from_std(listener)?;
        Err(serve(control, listener, Assets { nacl: nacl.into() })
            .await
            .into())
    })
}

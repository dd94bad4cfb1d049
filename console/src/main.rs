//! The console process: descriptor 3 is the control stream, descriptors 4 and 5 are
//! the listeners for HTTP and TLS. It reads `/nacl-fast.min.js` once and no other file, starts
//! no thread, and ends when the supervisor goes away.

mod sys;

use console::{Assets, Listeners, serve};
use std::error::Error;
use std::process::ExitCode;
use tokio::net::{TcpListener, UnixStream};

const NACL: &str = "/nacl-fast.min.js";

fn main() -> ExitCode {
    let (control, page, tls) = sys::inherited();
    match run(control, page, tls) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    control: std::os::unix::net::UnixStream,
    page: std::net::TcpListener,
    tls: std::net::TcpListener,
) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let nacl = std::fs::read(NACL)
        .map_err(|e| format!("{NACL}: {e}; the image must hold it in the console's root"))?;
    control
        .set_nonblocking(true)
        .map_err(|e| format!("descriptor 3: {e}; the supervisor must pass the control stream"))?;
    for (number, listener) in [(4, &page), (5, &tls)] {
        listener.set_nonblocking(true).map_err(|e| {
            format!("descriptor {number}: {e}; the supervisor must pass the listener")
        })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let control = UnixStream::from_std(control)?;
        let listeners = Listeners {
            page: TcpListener::from_std(page)?,
            tls: TcpListener::from_std(tls)?,
        };
        let nacl = nacl.into();
        Err(serve(control, listeners, Assets { nacl }).await.into())
    })
}

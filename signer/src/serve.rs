//! Answers on a channel, each connection on its own thread, so that a stuck user
//! stops nobody else; and what is answered on `tls-sign`.

use crate::handshake::to_be_signed;
use crate::keys::Signer;
use crate::rolling::Rolling;
use channels::tls_sign::{Reply, Request, answer, read, to_hex};
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// More connections at once than the supervisor ever makes; a thread each.
const MOST: usize = 256;
/// smtp-in may idle before its STARTTLS, but not longer than a session.
pub(crate) const IDLE: Duration = Duration::from_secs(35 * 60);

/// Serves TLS handshakes for ever.
///
/// # Errors
/// When the listening socket broke.
pub fn serve(listener: &UnixListener, signer: &Arc<Signer>) -> io::Result<()> {
    let signer = Arc::clone(signer);
    serve_each(listener, move |stream| connection(stream, &signer))
}

/// The same with the key that is the present one when a connection first asks.
///
/// # Errors
/// When the listening socket broke.
pub fn serve_rolling(listener: &UnixListener, keys: &Arc<Rolling>) -> io::Result<()> {
    let keys = Arc::clone(keys);
    serve_each(listener, move |stream| talk(stream, || keys.present()))
}

/// Does `work` with each connection, for ever.
///
/// # Errors
/// When the listening socket broke.
pub fn serve_each(
    listener: &UnixListener,
    work: impl Fn(UnixStream) + Send + Sync + 'static,
) -> io::Result<()> {
    let work = Arc::new(work);
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if open.fetch_add(1, Ordering::SeqCst) >= MOST {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (work, counter) = (Arc::clone(&work), Arc::clone(&open));
        let spawned = std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || {
                work(stream);
                counter.fetch_sub(1, Ordering::SeqCst);
            });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Serves one service that a stranger is connected to until it ends, says something that is not in the protocol,
/// or idles too long.
pub fn connection(stream: UnixStream, signer: &Signer) {
    talk(stream, || signer);
}

fn talk<S: Deref<Target = Signer>>(mut stream: UnixStream, present: impl Fn() -> S) {
    let timeouts = stream
        .set_read_timeout(Some(IDLE))
        .and_then(|()| stream.set_write_timeout(Some(Duration::from_secs(30))));
    if timeouts.is_err() {
        return;
    }
    let mut signed = false;
    // Certificate and signature are of one key, whatever becomes of it meanwhile.
    let mut signer = None;
    while let Ok(Some(request)) = read(&mut stream) {
        let signer = signer.get_or_insert_with(&present);
        let reply = reply(signer, &request, &mut signed);
        if answer(&mut stream, &reply).is_err() {
            return;
        }
    }
}

/// The answer to `request`; `signed` says whether the connection's one signature
/// has been given.
fn reply(signer: &Signer, request: &Request, signed: &mut bool) -> Reply {
    if *request == Request::Certificate {
        let chain = signer.shown().iter().map(|der| to_hex(der)).collect();
        return Reply::Certificate { chain };
    }
    if *signed {
        return Reply::Refused;
    }
    match to_be_signed(request).and_then(|text| signer.sign(&text)) {
        Some(signature) => {
            *signed = true;
            let signature = to_hex(&signature);
            Reply::Signature { signature }
        }
        None => Reply::Refused,
    }
}

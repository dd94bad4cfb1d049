//! Connections and their limits: at most [`CONNECTIONS`] at a time on each of the
//! two ports, one request on each, 10 seconds for TLS's handshake and as many for
//! the head, 20 seconds for all of it. Only a
//! claim or an unlock that has passed every check may stay longer, and there
//! is one of those at a time.

use crate::page::Assets;
use crate::routes::{Console, router};
use crate::sealed::SessionKey;
use crate::supervisor::Supervisor;
use crate::tls::{Tls, TlsError, pairs};
use crate::tokens::Tokens;
use crate::way::Way;
use axum::{Extension, Router};
use control::wire::WireError;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How many connections of one port are served at a time; more wait in its backlog.
/// So whoever fills one port leaves the other to the owner.
pub const CONNECTIONS: usize = 32;
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// Argon2id takes half a minute on a Raspberry Pi 3, making the disk more.
const LONG_PATIENCE: Duration = Duration::from_secs(180);
const HEADERS: usize = 32;
const HEAD_BYTES: usize = 16 * 1024;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without the supervisor there is nothing to show; it starts us again.
    #[error("console: the supervisor is gone: {0}")]
    Control(WireError),
    /// Without TLS a browser without scripts could not be served.
    #[error("console: {0}")]
    Tls(TlsError),
}

/// Set by a request that may keep its connection longer than others.
#[derive(Default)]
pub struct LongRequest(AtomicBool);

impl LongRequest {
    /// From now on the long limit counts.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The sockets that the page is served on.
pub struct Listeners {
    /// Plain HTTP, port 80 on the box.
    pub page: TcpListener,
    /// TLS, port 443 on the box.
    pub tls: TcpListener,
}

/// Serves the page until the control stream breaks. Takes both over. Makes the
/// session key and the certificate, whose fingerprint it tells the supervisor. Needs
/// a current-thread tokio runtime with IO and time, and starts no thread.
pub async fn serve(control: UnixStream, listeners: Listeners, assets: Assets) -> ServeError {
    let supervisor = Supervisor::new(control);
    tokio::select! {
        why = supervisor.broken() => ServeError::Control(why),
        why = begin(&supervisor, listeners, assets) => why,
    }
}

async fn begin(supervisor: &Arc<Supervisor>, listeners: Listeners, assets: Assets) -> ServeError {
    // The name of the box is needed for the certificate, and before the first Host
    // header is judged. A broken stream ends the server by itself.
    let _ = supervisor.status().await;
    let tls = match Tls::generate(&supervisor.name()) {
        Ok(tls) => tls,
        Err(error) => return ServeError::Tls(error),
    };
    let _ = supervisor.tell_certificate(&tls.fingerprint).await;
    let routes = router(Arc::new(Console {
        supervisor: supervisor.clone(),
        key: SessionKey::generate(),
        tokens: Mutex::new(Tokens::default()),
        assets,
        fingerprint: pairs(&tls.fingerprint),
    }));
    tokio::select! {
        never = accept(listeners.page, routes.clone(), None) => match never {},
        never = accept(listeners.tls, routes, Some(tls.acceptor)) => match never {},
    }
}

async fn accept(
    listener: TcpListener,
    routes: Router,
    tls: Option<TlsAcceptor>,
) -> std::convert::Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (routes, tls) = (routes.clone(), tls.clone());
                tokio::spawn(async move {
                    arrived(stream, routes, tls).await;
                    drop(place);
                });
            }
            // Out of descriptors, or the peer gave up: neither lasts.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn arrived(stream: TcpStream, routes: Router, tls: Option<TlsAcceptor>) {
    let Some(tls) = tls else {
        return connection(stream, routes, Way::Clear).await;
    };
    if let Ok(Ok(stream)) = timeout(HEAD_PATIENCE, tls.accept(stream)).await {
        connection(stream, routes, Way::Tls).await;
    }
}

/// Serves one connection to its end. What goes wrong on it concerns nobody
/// else and is not reported.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, routes: Router, way: Way) {
    let long = Arc::new(LongRequest::default());
    let service =
        TowerToHyperService::new(routes.layer(Extension(long.clone())).layer(Extension(way)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let too_long = async {
        sleep(PATIENCE).await;
        if long.begun() {
            sleep(LONG_PATIENCE).await;
        }
    };
    tokio::select! {
        _ = served => {}
        () = too_long => {}
    }
}

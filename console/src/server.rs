//! Connections and their limits: at most [`CONNECTIONS`] at a time, one
//! request on each, 10 seconds for the head, 20 seconds for all of it. Only a
//! claim or an unlock that has passed every check may stay longer, and there
//! is one of those at a time.

use crate::page::Assets;
use crate::routes::{Console, router};
use crate::sealed::SessionKey;
use crate::supervisor::Supervisor;
use crate::tokens::Tokens;
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
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How many connections are served at a time; more wait in the backlog.
pub const CONNECTIONS: usize = 32;
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// Argon2id takes half a minute on a Raspberry Pi 3, making the disk more.
const LONG_PATIENCE: Duration = Duration::from_secs(180);
const HEADERS: usize = 32;
const HEAD_BYTES: usize = 16 * 1024;

/// Why the server ended. It ends for no other reason.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without the supervisor there is nothing to show; it starts us again.
    #[error("console: the supervisor is gone: {0}")]
    Control(WireError),
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

/// Serves the page on `listener` until the control stream breaks. Takes both
/// over. Makes the session key. Needs a current-thread tokio runtime with IO
/// and time, and starts no thread.
pub async fn serve(control: UnixStream, listener: TcpListener, assets: Assets) -> ServeError {
    let supervisor = Supervisor::new(control);
    let routes = router(Arc::new(Console {
        supervisor: supervisor.clone(),
        key: SessionKey::generate(),
        tokens: Mutex::new(Tokens::default()),
        assets,
    }));
    tokio::select! {
        why = supervisor.broken() => ServeError::Control(why),
        never = accept(&supervisor, listener, routes) => match never {},
    }
}

async fn accept(
    supervisor: &Arc<Supervisor>,
    listener: TcpListener,
    routes: Router,
) -> std::convert::Infallible {
    // The name of the box is needed before the first Host header is judged.
    // A broken stream ends the server by itself.
    let _ = supervisor.status().await;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    connection(stream, routes).await;
                    drop(place);
                });
            }
            // Out of descriptors, or the peer gave up: neither lasts.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Serves one connection to its end. What goes wrong on it concerns nobody
/// else and is not reported.
async fn connection(stream: TcpStream, routes: Router) {
    let long = Arc::new(LongRequest::default());
    let service = TowerToHyperService::new(routes.layer(Extension(long.clone())));
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

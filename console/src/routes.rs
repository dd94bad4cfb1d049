//! The requests that the server knows, and what it answers.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page for the state the box is in |
//! | `GET /people` `/people.js`, `POST /people/…` | `people.rs` |
//! | `GET /addresses` `/addresses.js`, `POST /addresses/…` | `addresses.rs` |
//! | `GET /inbound` `/reports` and their scripts, `POST /inbound/…` `/reports/…` | `inbound.rs` |
//! | `GET /outbound` `/outbound.js`, `POST /outbound/…` | `outbound.rs` |
//! | `GET /records` `/records.js`, `POST /records/…` | `records.rs` |
//! | `GET /keys` `/forgot`, `POST /keys/…` `/recover` `/factory-reset` | `keys.rs` |
//! | `GET /usb-key`, `POST /usb-key/…` | `usb_page.rs` |
//! | `GET /status` | [`crate::state::Shown`] as JSON |
//! | `GET /style.css` `/no-script.css` `/page.js` `/nacl-fast.min.js` | the page's parts |
//! | `POST /claim` `/unlock` | contents: `post.rs`; answer: `answer.rs` |
//! | `POST /restart` `/power` | the same without contents |

use crate::answer::{Problem, json};
use crate::guard::guard;
use crate::page::{self, Assets};
use crate::pages::{self, Place};
use crate::post::{Order, bare, form};
use crate::sealed::{Contents, SessionKey};
use crate::state::{Shown, State};
use crate::supervisor::Supervisor;
use crate::tokens::Tokens;
use crate::way::Visit;
use crate::{addresses, inbound, keys, outbound, people, records, usb_page};
use axum::{
    Router,
    body::Body,
    extract::State as Shared,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use control::Request;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// All that the requests share.
pub struct Console {
    pub supervisor: Arc<Supervisor>,
    pub key: SessionKey,
    pub tokens: Mutex<Tokens>,
    pub assets: Assets,
    /// Of the certificate, as `AB:CD:…`.
    pub fingerprint: String,
}

impl Console {
    /// A token for the next post.
    pub fn issue(&self) -> String {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.issue(Instant::now())
    }

    /// True for a token that is good; it is used up.
    pub fn take(&self, token: &str) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.take(token, Instant::now())
    }
}

/// The router with every check around it.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/status", get(status))
        .route("/style.css", get(style))
        .route("/no-script.css", get(no_script_style))
        .route("/page.js", get(script))
        .route("/nacl-fast.min.js", get(nacl))
        .route("/claim", form(claim))
        .route("/unlock", form(unlock))
        .route("/restart", bare(restart))
        .route("/power", bare(power))
        .merge(people::routes())
        .merge(addresses::routes())
        .merge(inbound::routes())
        .merge(outbound::routes())
        .merge(records::routes())
        .merge(keys::routes())
        .merge(usb_page::routes())
        .fallback(async || {
            plain(
                StatusCode::NOT_FOUND,
                "There is no such page on this box.\n",
            )
        })
        .layer(middleware::from_fn_with_state(console.clone(), guard))
        .with_state(console)
}

/// A short answer in plain text.
pub fn plain(status: StatusCode, words: &'static str) -> Response {
    typed(status, "text/plain; charset=utf-8", words)
}

/// An answer of this media type.
pub fn typed(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

async fn front(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Front).await
}

async fn status(Shared(console): Shared<Arc<Console>>) -> Response {
    match console.supervisor.status().await {
        Ok(status) => json(
            StatusCode::OK,
            &Shown {
                state: State::of(&status),
                retry_after: status.retry_after,
            },
        ),
        Err(no_answer) => Problem::from(no_answer).into_response(),
    }
}

async fn style() -> Response {
    typed(StatusCode::OK, "text/css; charset=utf-8", page::STYLE)
}

async fn no_script_style() -> Response {
    let kind = "text/css; charset=utf-8";
    typed(StatusCode::OK, kind, page::STYLE_WITHOUT_SCRIPT)
}

async fn script() -> Response {
    typed(
        StatusCode::OK,
        "text/javascript; charset=utf-8",
        page::SCRIPT,
    )
}

async fn nacl(Shared(console): Shared<Arc<Console>>) -> Response {
    let script = console.assets.nacl.clone();
    typed(StatusCode::OK, "text/javascript; charset=utf-8", script)
}

fn claim(contents: Contents) -> Result<Order, Problem> {
    Ok(Order {
        request: Request::Claim {
            passphrase: contents.passphrase,
            setup_code: contents.setup_code.filter(|code| !code.expose().is_empty()),
        },
        done: "Your passphrase is set and the disk is open.",
    })
}

fn unlock(contents: Contents) -> Result<Order, Problem> {
    Ok(Order {
        request: Request::Unlock {
            passphrase: contents.passphrase,
        },
        done: "The disk is open.",
    })
}

fn restart() -> Order {
    Order {
        request: Request::Restart,
        done: "The box is restarting. This page comes back in about a minute.",
    }
}

fn power() -> Order {
    Order {
        request: Request::PowerOff,
        done: "The box is switching off. Wait until its green light has been dark for \
               ten seconds, then pull the plug.",
    }
}

//! The requests that the server knows, and what it answers.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page for the state the box is in |
//! | `GET /people` `/people.js`, `POST /people/…` | `people.rs` |
//! | `GET /keys` `/forgot`, `POST /keys/…` `/recover` `/factory-reset` | `keys.rs` |
//! | `GET /status` | [`crate::state::Shown`] as JSON |
//! | `GET /style.css` `/page.js` `/nacl-fast.min.js` | the page's parts |
//! | `POST /claim` `/unlock` | [`Post`] with a box → [`Answer`] |
//! | `POST /restart` `/power` | [`Post`] without a box → [`Answer`] |

use crate::guard::guard;
use crate::keys::{self, Paper};
use crate::page::{self, Assets};
use crate::people;
use crate::sealed::{Bound, Contents, SealedAnswer, SealedBox, SessionKey};
use crate::server::LongRequest;
use crate::state::{Shown, State};
use crate::supervisor::{NoAnswer, Supervisor};
use crate::tokens::Tokens;
use axum::{
    Extension, Router,
    body::{self, Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use control::{Refusal, Reply, Request};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest body of a post, in bytes.
const BODY_LIMIT: usize = 8 * 1024;
/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// All that the requests share.
pub struct Console {
    pub supervisor: Arc<Supervisor>,
    pub key: SessionKey,
    pub tokens: Mutex<Tokens>,
    pub assets: Assets,
}

impl Console {
    /// A token for the next post.
    pub fn issue(&self) -> String {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.issue(Instant::now())
    }

    fn take(&self, token: &str) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.take(token, Instant::now())
    }
}

/// The body of a post. Unknown keys are refused, so that no field can carry
/// a passphrase in the clear.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// From `data-token`, or from the answer before.
    pub token: String,
    /// For a claim or an unlock.
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBox>,
}

/// The answer to a post.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done (or begun, for a restart).
    pub ok: bool,
    /// For a person.
    pub words: String,
    /// Seconds until a further passphrase is looked at.
    pub retry_after: u64,
    /// For the next try, so that nobody must reload after a typing mistake.
    pub token: Option<String>,
    /// A recovery key that was just made, as [`Paper`], for the asker only.
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedAnswer>,
}

/// The router with every check around it.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/status", get(status))
        .route("/style.css", get(style))
        .route("/page.js", get(script))
        .route("/nacl-fast.min.js", get(nacl))
        .route("/claim", post(claim))
        .route("/unlock", post(unlock))
        .route("/restart", post(restart))
        .route("/power", post(power))
        .merge(people::routes())
        .merge(keys::routes())
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

async fn front(Shared(console): Shared<Arc<Console>>) -> Response {
    match console.supervisor.status().await {
        Ok(status) => {
            let page = page::front(&status, &console.issue(), &console.key.public());
            typed(StatusCode::OK, "text/html; charset=utf-8", page)
        }
        Err(_) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "The box is starting this page again. Reload in a few seconds.\n",
        ),
    }
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

/// The connection's limits, for a request that may take long.
pub type Long = Extension<Arc<LongRequest>>;

async fn claim(
    Shared(console): Shared<Arc<Console>>,
    Extension(long): Long,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker): (Contents, _) = open_box(&console, &headers, body, "/claim").await?;
    long.begin();
    let request = Request::Claim {
        passphrase: contents.passphrase,
        setup_code: contents.setup_code.filter(|code| !code.expose().is_empty()),
    };
    let done = "Your passphrase is set and the disk is open.";
    answer(&console, request, done, Some(&asker)).await
}

async fn unlock(
    Shared(console): Shared<Arc<Console>>,
    Extension(long): Long,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, _): (Contents, _) = open_box(&console, &headers, body, "/unlock").await?;
    long.begin();
    let request = Request::Unlock {
        passphrase: contents.passphrase,
    };
    answer(&console, request, "The disk is open.", None).await
}

async fn restart(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_box(&console, &headers, body).await?;
    let done = "The box is restarting. This page comes back in about a minute.";
    answer(&console, Request::Restart, done, None).await
}

async fn power(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    without_box(&console, &headers, body).await?;
    let done = "The box is switching off. Wait until its green light has been dark for \
                ten seconds, then pull the plug.";
    answer(&console, Request::PowerOff, done, None).await
}

/// Reads a post that carries a box, uses its token up and opens the box. The
/// box is given back, for an answer to its sender.
pub async fn open_box<T: Bound + DeserializeOwned>(
    console: &Console,
    headers: &HeaderMap,
    body: Body,
    path: &str,
) -> Result<(T, SealedBox), Problem> {
    let post = read_post(console, headers, body).await?;
    let sealed = post.sealed.ok_or(MALFORMED)?;
    let contents = console
        .key
        .open(&sealed, path, &post.token)
        .map_err(|_| Problem {
            status: StatusCode::BAD_REQUEST,
            words: "This could not be opened with the key of the page. Please reload the \
                    page and try again.",
        })?;
    Ok((contents, sealed))
}

/// Reads a post without a box and uses its token up.
pub async fn without_box(
    console: &Console,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Problem> {
    match read_post(console, headers, body).await?.sealed {
        None => Ok(()),
        Some(_) => Err(MALFORMED),
    }
}

async fn read_post(console: &Console, headers: &HeaderMap, body: Body) -> Result<Post, Problem> {
    let body = read_body(headers, body).await?;
    let post: Post = serde_json::from_slice(&body).map_err(|_| MALFORMED)?;
    if !console.take(&post.token) {
        return Err(Problem {
            status: StatusCode::FORBIDDEN,
            words: "This page is too old or was used already. Please reload the page and \
                    try again.",
        });
    }
    Ok(post)
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    // A browser sends this type across sites only after asking first, and the
    // answer to that question is no.
    if headers.get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static("application/json")) {
        return Err(Problem {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            words: "Only the page itself can send this. Nothing was done.",
        });
    }
    match tokio::time::timeout(BODY_PATIENCE, body::to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            words: "That is too long. A passphrase may have up to 512 bytes.",
        }),
        Err(_) => Err(Problem {
            status: StatusCode::REQUEST_TIMEOUT,
            words: "The connection was too slow. Please try again.",
        }),
    }
}

/// Passes a request on and turns the reply into an answer. A recovery key in it
/// is sealed to `asker`.
pub async fn answer(
    console: &Console,
    request: Request,
    done: &str,
    asker: Option<&SealedBox>,
) -> Result<Response, Problem> {
    let mut sealed = None;
    let (status, ok, words, retry_after) = match console.supervisor.change(request).await? {
        Reply::Done => (StatusCode::OK, true, done.to_owned(), 0),
        Reply::RecoveryKey { words } => {
            let paper = Paper::of(words).ok_or(NoAnswer::Broken)?;
            let asker = asker.ok_or(NoAnswer::Broken)?;
            sealed = Some(console.key.answer(asker, &paper).map_err(|_| MALFORMED)?);
            (StatusCode::OK, true, done.to_owned(), 0)
        }
        Reply::Refused {
            refusal,
            words,
            retry_after,
        } => (status_of(refusal), false, words, retry_after),
        Reply::Status(_) | Reply::People { .. } => return Err(NoAnswer::Broken.into()),
    };
    let answer = Answer {
        ok,
        words,
        retry_after,
        token: Some(console.issue()),
        sealed,
    };
    Ok(with_retry(json(status, &answer), retry_after))
}

/// Adds `Retry-After` (RFC 9110 section 10.2.3), unless it is now.
pub fn with_retry(mut response: Response, seconds: u64) -> Response {
    if seconds > 0 {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The status for a refusal of the supervisor.
pub fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::WrongPassphrase | Refusal::NoSession => StatusCode::UNAUTHORIZED,
        Refusal::BadPassphrase
        | Refusal::BadRecoveryKey
        | Refusal::BadAddress
        | Refusal::BadPassword => StatusCode::BAD_REQUEST,
        Refusal::TooSoon => StatusCode::TOO_MANY_REQUESTS,
        Refusal::WrongSetupCode => StatusCode::FORBIDDEN,
        Refusal::TooLate | Refusal::WrongState => StatusCode::CONFLICT,
        Refusal::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A request that did not reach the supervisor, or got no reply.
pub struct Problem {
    status: StatusCode,
    words: &'static str,
}

/// For a post that lacks something or has too much.
pub const MALFORMED: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    words: "The box did not understand this. Nothing was done. Please reload the page and \
            try again.",
};

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Busy => Self {
                status: StatusCode::CONFLICT,
                words: "The box is busy with an earlier request. Please wait half a minute and \
                        reload the page.",
            },
            NoAnswer::Broken => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                words: "The box is starting this page again. Please reload it in a few seconds.",
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        json(
            self.status,
            &Answer {
                ok: false,
                words: self.words.into(),
                retry_after: 0,
                token: None,
                sealed: None,
            },
        )
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => typed(status, "application/json", text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

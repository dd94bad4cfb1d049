//! Posts: the one place that turns a body into what was asked for.
//!
//! | body | from | taken over |
//! | --- | --- | --- |
//! | JSON, [`Post`] with a sealed box | a page's script | HTTP and TLS |
//! | `application/x-www-form-urlencoded` | a form of HTML | TLS only |
//!
//! Both carry a one-time token. A request's module says by [`form`] or [`bare`] what
//! the contents ask the supervisor for; whether they came sealed or as a form, and how
//! the answer is told, is nothing that it has to know.

use crate::answer::{MALFORMED, Outcome, Problem, to_browser, to_script};
use crate::form::Form;
use crate::pages::Place;
use crate::routes::Console;
use crate::sealed::{Bound, SealedBox, SessionKey};
use crate::server::LongRequest;
use crate::way::{Visit, Way};
use axum::{
    Extension,
    body::{self, Body, Bytes},
    extract::{Request as Asked, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{Redirect, Response},
    routing::{MethodRouter, get},
};
use control::{Reply, Request, Secret};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::time::Duration;

/// The longest body of a post, in bytes.
const BODY_LIMIT: usize = 8 * 1024;
/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// A script's post. Unknown keys are refused, so that no field can carry a
/// passphrase in the clear.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// From `data-token`, or from the answer before.
    pub token: String,
    /// For all that has contents.
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBox>,
}

/// What the supervisor is asked for, and the words when it was done.
pub struct Order {
    pub request: Request,
    pub done: &'static str,
}

/// A post with contents of this type.
pub fn form<T>(order: fn(T) -> Result<Order, Problem>) -> MethodRouter<Arc<Console>>
where
    T: Bound + DeserializeOwned + 'static,
{
    route(T::PRIVATE, move |sent, key, path| {
        order(sent.contents(key, path)?)
    })
}

/// A post that is asked for by its path alone.
pub fn bare(order: fn() -> Order) -> MethodRouter<Arc<Console>> {
    route(false, move |sent, _, _| {
        sent.nothing()?;
        Ok(order())
    })
}

fn route<F>(private: bool, read: F) -> MethodRouter<Arc<Console>>
where
    F: Fn(Sent, &SessionKey, &str) -> Result<Order, Problem> + Copy + Send + Sync + 'static,
{
    // Who loads the address of an answer once more is led back to the form.
    get(async |request: Asked| Redirect::to(Place::of(request.uri().path()).path())).post(
        move |Shared(console): Shared<Arc<Console>>,
              Extension(long): Extension<Arc<LongRequest>>,
              visit: Visit,
              request: Asked| async move {
            let (head, body) = request.into_parts();
            let path = head.uri.path();
            let kind = match Kind::of(&head.headers, visit.way) {
                Ok(kind) => kind,
                Err(problem) => return to_script(&console, problem.into(), None, false),
            };
            let sent = match kind {
                Kind::InTheClear => Err(in_the_clear()),
                Kind::Script | Kind::Form => receive(&console, kind, body).await,
            };
            let asker = sent.as_ref().ok().map(Sent::asker).unwrap_or_default();
            let order = sent.and_then(|sent| read(sent, &console.key, path));
            let outcome = match order {
                Ok(order) => carry_out(&console, &long, order).await,
                Err(problem) => problem.into(),
            };
            answer(&console, &visit, path, (kind, asker, private), outcome).await
        },
    )
}

async fn answer(
    console: &Console,
    visit: &Visit,
    path: &str,
    (kind, asker, private): (Kind, Asker, bool),
    outcome: Outcome,
) -> Response {
    match kind {
        Kind::Script => to_script(console, outcome, asker.sealed.as_ref(), private),
        Kind::Form | Kind::InTheClear => {
            to_browser(console, visit, path, outcome, asker.session).await
        }
    }
}

async fn carry_out(console: &Console, long: &LongRequest, order: Order) -> Outcome {
    let quick = matches!(
        order.request,
        Request::People { .. }
            | Request::Addresses { .. }
            | Request::Inbound { .. }
            | Request::Outbound { .. }
            | Request::Records { .. }
            | Request::Restart
            | Request::PowerOff
    );
    if !quick {
        long.begin();
    }
    ask(console, order.request, order.done).await
}

/// What becomes of a request; `done` are the words when it was done.
pub async fn ask(console: &Console, request: Request, done: &str) -> Outcome {
    let reply = console.supervisor.change(request).await;
    reply
        .and_then(|reply: Reply| Outcome::of(reply, done))
        .unwrap_or_else(|no_answer| Problem::from(no_answer).into())
}

/// Who sent it, as its `Content-Type` says.
#[derive(Clone, Copy)]
enum Kind {
    Script,
    Form,
    /// A form over plain HTTP.
    InTheClear,
}

impl Kind {
    fn of(headers: &HeaderMap, way: Way) -> Result<Self, Problem> {
        let kind = headers.get(header::CONTENT_TYPE);
        match (kind.map(|kind| kind.as_bytes()), way) {
            // A browser sends this type across sites only after asking first, and
            // the answer to that question is no.
            (Some(b"application/json"), _) => Ok(Self::Script),
            (Some(b"application/x-www-form-urlencoded"), Way::Tls) => Ok(Self::Form),
            (Some(b"application/x-www-form-urlencoded"), Way::Clear) => Ok(Self::InTheClear),
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Only the page itself can send this. Nothing was done.",
            )),
        }
    }
}

fn in_the_clear() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "This came without protection, so the box did not read it and nothing was done. \
         Whoever listens in your home network may have read it: choose another passphrase.",
    )
}

/// A post whose token was good and is used up.
enum Sent {
    Script(Post),
    Form { fields: Form, token: Secret },
}

/// For the answer.
#[derive(Default)]
struct Asker {
    sealed: Option<SealedBox>,
    session: Option<Secret>,
}

async fn receive(console: &Console, kind: Kind, body: Body) -> Result<Sent, Problem> {
    let body = read_body(body).await?;
    let sent = match kind {
        Kind::Script => Sent::Script(serde_json::from_slice(&body).map_err(|_| MALFORMED)?),
        Kind::Form | Kind::InTheClear => {
            let mut fields = Form::parse(&body)?;
            let token = fields.take("token").ok_or(MALFORMED)?;
            Sent::Form { fields, token }
        }
    };
    let token = match &sent {
        Sent::Script(post) => &post.token,
        Sent::Form { token, .. } => token.expose(),
    };
    if console.take(token) {
        return Ok(sent);
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "This page is too old or was used already. Please reload the page and try again.",
    ))
}

async fn read_body(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_PATIENCE, body::to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "That is too long. A passphrase may have up to 512 bytes.",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "The connection was too slow. Please try again.",
        )),
    }
}

impl Sent {
    fn asker(&self) -> Asker {
        match self {
            Self::Script(post) => Asker {
                sealed: post.sealed.clone(),
                session: None,
            },
            Self::Form { fields, .. } => Asker {
                sealed: None,
                session: fields.get("session").cloned(),
            },
        }
    }

    /// Opens the box, or takes the fields as they are: both were sent for this path
    /// and this token.
    fn contents<T>(self, key: &SessionKey, path: &str) -> Result<T, Problem>
    where
        T: Bound + DeserializeOwned,
    {
        match self {
            Self::Script(post) => {
                let sealed = post.sealed.ok_or(MALFORMED)?;
                key.open(&sealed, path, &post.token).map_err(|_| {
                    Problem::new(
                        StatusCode::BAD_REQUEST,
                        "This could not be opened with the key of the page. Please reload \
                         the page and try again.",
                    )
                })
            }
            Self::Form { mut fields, token } => {
                fields.settle()?;
                fields.contents(path, token.expose())
            }
        }
    }

    /// Nothing but the token.
    fn nothing(self) -> Result<(), Problem> {
        let empty = match self {
            Self::Script(post) => post.sealed.is_none(),
            Self::Form { mut fields, .. } => {
                fields.settle()?;
                fields.is_empty()
            }
        };
        if empty { Ok(()) } else { Err(MALFORMED) }
    }
}

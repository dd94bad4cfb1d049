//! The requests about people.
//!
//! | request | box | answer |
//! | --- | --- | --- |
//! | `GET /people` | | the page; the front page while the disk is not open |
//! | `POST /people/prove` | session, passphrase | [`PeopleAnswer`] |
//! | `POST /people/list` | session | the same, with the addresses |
//! | `POST /people/add` `/people/password` | session, address, password | the same |
//! | `POST /people/remove` | session, address | the same |
//!
//! The browser makes the session's secret itself and sends it sealed, so it is
//! never in an answer, a cookie or an address. Answers are sealed as well:
//! whoever listens in the home network learns no addresses.

use crate::people_page;
use crate::routes::{Console, Long, MALFORMED, Problem};
use crate::routes::{json, open_box, status_of, typed, with_retry};
use crate::sealed::{PeopleContents, SealedAnswer, SealedBox};
use crate::state::State;
use crate::supervisor::NoAnswer;
use axum::{
    Extension, Router,
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use control::{PeopleRequest, Refusal, Reply, Request};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The answer to a post about people that reached the supervisor. One that did
/// not is answered by [`crate::routes::Answer`].
#[derive(Debug, Serialize, Deserialize)]
pub struct PeopleAnswer {
    /// Whether it was done.
    pub ok: bool,
    /// Seconds until the same may be tried again.
    pub retry_after: u64,
    /// For the next post.
    pub token: String,
    /// [`Told`], for the asker only.
    #[serde(rename = "box")]
    pub sealed: SealedAnswer,
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// For a person.
    pub words: String,
    /// Where the words belong, when something was wrong.
    pub about: Option<About>,
    /// Who has mail here now; `None` when it was not asked or not done.
    pub addresses: Option<Vec<String>>,
}

/// The part of the page that a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The field of the passphrase.
    Passphrase,
    /// The passphrase must be given again.
    Session,
    /// The field of the address.
    Address,
    /// The field of the person's password.
    Password,
    /// The mail service is starting; ask again by yourself.
    Starting,
    /// Nothing that was typed.
    Box,
}

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/people", get(page))
        .route("/people.js", get(script))
        .route("/people/prove", post(prove))
        .route("/people/list", post(list))
        .route("/people/add", post(add))
        .route("/people/password", post(password))
        .route("/people/remove", post(remove))
}

async fn page(Shared(console): Shared<Arc<Console>>) -> Response {
    match console.supervisor.status().await {
        Ok(status) if State::of(&status) == State::Open => {
            let page = people_page::people(&status.name, &console.issue(), &console.key.public());
            typed(StatusCode::OK, "text/html; charset=utf-8", page)
        }
        // What to do is on the front page.
        _ => Redirect::to("/").into_response(),
    }
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, people_page::SCRIPT)
}

async fn prove(
    Shared(console): Shared<Arc<Console>>,
    Extension(long): Long,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker) = open(&console, &headers, body, "/people/prove").await?;
    let PeopleContents {
        session: Some(session),
        passphrase: Some(passphrase),
        address: None,
        password: None,
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    long.begin();
    let request = Request::Prove {
        passphrase,
        session,
    };
    answer(&console, &asker, request, "").await
}

async fn list(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker) = open(&console, &headers, body, "/people/list").await?;
    let PeopleContents {
        session: Some(session),
        passphrase: None,
        address: None,
        password: None,
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    let what = PeopleRequest::List;
    answer(&console, &asker, Request::People { session, what }, "").await
}

async fn add(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker) = open(&console, &headers, body, "/people/add").await?;
    let PeopleContents {
        session: Some(session),
        passphrase: None,
        address: Some(address),
        password: Some(password),
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    let what = PeopleRequest::Add { address, password };
    let done = "The address was added and can have mail now.";
    answer(&console, &asker, Request::People { session, what }, done).await
}

async fn password(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker) = open(&console, &headers, body, "/people/password").await?;
    let PeopleContents {
        session: Some(session),
        passphrase: None,
        address: Some(address),
        password: Some(password),
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    let what = PeopleRequest::SetPassword { address, password };
    let done = "The password was changed. Change it in the mail program too.";
    answer(&console, &asker, Request::People { session, what }, done).await
}

async fn remove(
    Shared(console): Shared<Arc<Console>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (contents, asker) = open(&console, &headers, body, "/people/remove").await?;
    let PeopleContents {
        session: Some(session),
        passphrase: None,
        address: Some(address),
        password: None,
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    let what = PeopleRequest::Remove { address };
    let done = "The address was removed.";
    answer(&console, &asker, Request::People { session, what }, done).await
}

async fn open(
    console: &Console,
    headers: &HeaderMap,
    body: Body,
    path: &str,
) -> Result<(PeopleContents, SealedBox), Problem> {
    open_box(console, headers, body, path).await
}

/// Passes a request on and seals the reply to whoever asked.
async fn answer(
    console: &Console,
    asker: &SealedBox,
    request: Request,
    done: &str,
) -> Result<Response, Problem> {
    let done = |addresses| Told {
        words: done.into(),
        about: None,
        addresses,
    };
    let (status, retry_after, told) = match console.supervisor.change(request).await? {
        Reply::Done => (StatusCode::OK, 0, done(None)),
        Reply::People { addresses } => (StatusCode::OK, 0, done(Some(addresses))),
        Reply::Refused {
            refusal,
            words,
            retry_after,
        } => {
            let told = Told {
                words,
                about: Some(about(refusal)),
                addresses: None,
            };
            (status_of(refusal), retry_after, told)
        }
        Reply::Status(_) | Reply::RecoveryKey { .. } => return Err(NoAnswer::Broken.into()),
    };
    let answer = PeopleAnswer {
        ok: told.about.is_none(),
        retry_after,
        token: console.issue(),
        sealed: console.key.answer(asker, &told).map_err(|_| MALFORMED)?,
    };
    Ok(with_retry(json(status, &answer), retry_after))
}

fn about(refusal: Refusal) -> About {
    match refusal {
        Refusal::WrongPassphrase
        | Refusal::BadRecoveryKey
        | Refusal::BadPassphrase
        | Refusal::TooSoon => About::Passphrase,
        Refusal::NoSession => About::Session,
        Refusal::BadAddress => About::Address,
        Refusal::BadPassword => About::Password,
        Refusal::NotReady => About::Starting,
        Refusal::WrongSetupCode | Refusal::TooLate | Refusal::WrongState | Refusal::Failed => {
            About::Box
        }
    }
}

//! The requests about people.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /people` | | the page; the front page while the disk is not open |
//! | `POST /people/prove` | session, passphrase | [`PeopleAnswer`] |
//! | `POST /people/list` | session | the same, with the addresses |
//! | `POST /people/add` `/people/password` | session, address, password | the same |
//! | `POST /people/remove` | session, address | the same |
//!
//! The browser makes the session's secret itself and sends it sealed, so it is
//! never in an answer, a cookie or an address. Answers are sealed as well:
//! whoever listens in the home network learns no addresses. For a browser without
//! scripts the console makes the secret, in the forms of the page over TLS.

use crate::answer::{MALFORMED, Problem};
use crate::pages::{self, Place};
use crate::people_page;
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::sealed::{PeopleContents, SealedAnswer};
use crate::way::Visit;
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::{
    Inbound, OtherAddresses, Outbound, PeopleRequest, Records, Refusal, Reports, Request, Secret,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The answer to a post about people, or about mail on its way out, that reached the
/// supervisor. One that did not is answered by [`crate::routes::Answer`].
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
    /// How mail goes out now; `None` when it was not asked or not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,
    /// Which other addresses there are now; `None` when it was not asked or not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherAddresses>,
    /// How mail comes in now; `None` when it was not asked or not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Inbound>,
    /// What others report; `None` when it was not asked or not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<Reports>,
    /// The box's records in the DNS; `None` when it was not asked or not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
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
    /// The field of the addresses that mail is passed on to.
    To,
    /// The field of the domain of others.
    Domain,
    /// The fields of the hours.
    Hours,
    /// The field of the server.
    Host,
    /// The fields of login and password for it.
    Login,
    /// The field of the person's password.
    Password,
    /// The mail service is starting; ask again by yourself.
    Starting,
    /// Nothing that was typed.
    Box,
}

impl About {
    /// What this refusal is about.
    pub fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::WrongPassphrase
            | Refusal::BadRecoveryKey
            | Refusal::BadPassphrase
            | Refusal::TooSoon => Self::Passphrase,
            Refusal::NoSession => Self::Session,
            Refusal::BadAddress => Self::Address,
            Refusal::BadTarget => Self::To,
            Refusal::BadDomain => Self::Domain,
            Refusal::BadHours => Self::Hours,
            Refusal::BadHost => Self::Host,
            Refusal::BadLogin => Self::Login,
            Refusal::BadPassword => Self::Password,
            Refusal::NotReady => Self::Starting,
            Refusal::WrongSetupCode | Refusal::TooLate | Refusal::WrongState | Refusal::Failed => {
                Self::Box
            }
        }
    }
}

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/people", get(page))
        .route("/people.js", get(script))
        .route("/people/prove", form(prove))
        .route("/people/list", form(list))
        .route("/people/add", form(add))
        .route("/people/password", form(password))
        .route("/people/remove", form(remove))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::People).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, people_page::SCRIPT)
}

/// Begins a session, which counts for every page that asks for one.
pub fn prove(contents: PeopleContents) -> Result<Order, Problem> {
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
    let request = Request::Prove {
        passphrase,
        session,
    };
    Ok(Order { request, done: "" })
}

fn list(contents: PeopleContents) -> Result<Order, Problem> {
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
    let request = look(session);
    Ok(Order { request, done: "" })
}

fn add(contents: PeopleContents) -> Result<Order, Problem> {
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
    let request = Request::People { session, what };
    let done = "The address was added and can have mail now.";
    Ok(Order { request, done })
}

fn password(contents: PeopleContents) -> Result<Order, Problem> {
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
    let request = Request::People { session, what };
    let done = "The password was changed. Change it in the mail program too.";
    Ok(Order { request, done })
}

fn remove(contents: PeopleContents) -> Result<Order, Problem> {
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
    let request = Request::People { session, what };
    let done = "The address was removed.";
    Ok(Order { request, done })
}

/// Who has mail here.
pub fn look(session: Secret) -> Request {
    let what = PeopleRequest::List;
    Request::People { session, what }
}

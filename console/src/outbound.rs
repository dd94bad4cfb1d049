//! The requests about mail on its way out.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /outbound` | | the page; the front page while the disk is not open |
//! | `POST /outbound/prove` | session, passphrase | [`crate::people::PeopleAnswer`] |
//! | `POST /outbound/see` | session | the same, with what is set |
//! | `POST /outbound/except` | session, domain, allow | the same |
//! | `POST /outbound/demand` | session, domain | the same |
//! | `POST /outbound/hours` | session, give_up, warn | the same |
//! | `POST /outbound/smarthost` | session, host, port, login, password | the same |
//! | `POST /outbound/straight` | session | the same |
//!
//! A session is one of `people.rs`: the passphrase that was given there counts here.

use crate::answer::Problem;
use crate::outbound_page;
use crate::pages::{self, Place};
use crate::people;
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::sealed::bound;
use crate::way::Visit;
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::outbound::{Allow, SmarthostPort};
use control::{OutboundRequest, Request, Secret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is inside a box that only asks, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
}

/// What is inside a box about one domain, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub domain: String,
}

/// What is inside a box about an exception, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub domain: String,
    /// What is let pass.
    pub allow: Allow,
}

/// What is inside a box about the hours, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoursContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub give_up: String,
    /// As it was typed.
    pub warn: String,
}

/// What is inside a box about the smarthost, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmarthostContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub host: String,
    /// 465 or 587.
    pub port: SmarthostPort,
    /// As it was typed.
    pub login: String,
    /// In no answer and on no page.
    pub password: Secret,
}

bound!(
    private: true;
    SessionContents, DomainContents, ExceptionContents, HoursContents, SmarthostContents
);

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/outbound", get(page))
        .route("/outbound.js", get(script))
        .route("/outbound/prove", form(people::prove))
        .route("/outbound/see", form(see))
        .route("/outbound/except", form(except))
        .route("/outbound/demand", form(demand))
        .route("/outbound/hours", form(hours))
        .route("/outbound/smarthost", form(smarthost))
        .route("/outbound/straight", form(straight))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Outbound).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, outbound_page::SCRIPT)
}

fn see(contents: SessionContents) -> Result<Order, Problem> {
    let request = look(contents.session);
    Ok(Order { request, done: "" })
}

fn except(contents: ExceptionContents) -> Result<Order, Problem> {
    let ExceptionContents { domain, allow, .. } = contents;
    let what = OutboundRequest::Except { domain, allow };
    let done = "The exception counts from now on.";
    Ok(order(contents.session, what, done))
}

fn demand(contents: DomainContents) -> Result<Order, Problem> {
    let domain = contents.domain;
    let what = OutboundRequest::RemoveException { domain };
    let done = "The exception was removed. That domain must prove itself like any other.";
    Ok(order(contents.session, what, done))
}

fn hours(contents: HoursContents) -> Result<Order, Problem> {
    let HoursContents { give_up, warn, .. } = contents;
    let what = OutboundRequest::SetHours { give_up, warn };
    let done = "The hours are set. Mail that waits already waits so long too.";
    Ok(order(contents.session, what, done))
}

fn smarthost(contents: SmarthostContents) -> Result<Order, Problem> {
    let SmarthostContents {
        session,
        host,
        port,
        login,
        password,
        ..
    } = contents;
    let what = OutboundRequest::SetSmarthost {
        host,
        port,
        login,
        password,
    };
    let done = "All mail to others goes to this server from now on. Send a message to somebody \
                to see that it takes your login.";
    Ok(order(session, what, done))
}

fn straight(contents: SessionContents) -> Result<Order, Problem> {
    let what = OutboundRequest::RemoveSmarthost;
    let done = "Mail goes straight to the other mail servers again.";
    Ok(order(contents.session, what, done))
}

fn order(session: Secret, what: OutboundRequest, done: &'static str) -> Order {
    let request = Request::Outbound { session, what };
    Order { request, done }
}

/// What is set.
pub fn look(session: Secret) -> Request {
    let what = OutboundRequest::See;
    Request::Outbound { session, what }
}

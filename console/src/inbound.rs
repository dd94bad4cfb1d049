//! The requests about mail from others, and about what they report.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /inbound` `/reports` | | the pages; the front page while the disk is not open |
//! | `POST /inbound/prove` `/reports/prove` | session, passphrase | [`crate::people::PeopleAnswer`] |
//! | `POST /inbound/see` | session | the same, with what is set and who was refused |
//! | `POST /inbound/block` `/inbound/unblock` | session, domain | the same |
//! | `POST /inbound/trust` `/inbound/mistrust` | session, domain | the same |
//! | `POST /reports/see` | session | the same, with the reports |
//!
//! A session is one of `people.rs`: the passphrase that was given there counts here.

use crate::answer::Problem;
use crate::outbound::{DomainContents, SessionContents};
use crate::pages::{self, Place};
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::way::Visit;
use crate::{inbound_page, people, reports_page};
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::{InboundRequest, Request, Secret};
use std::sync::Arc;

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/inbound", get(page))
        .route("/inbound.js", get(script))
        .route("/inbound/prove", form(people::prove))
        .route("/inbound/see", form(see))
        .route("/inbound/block", form(block))
        .route("/inbound/unblock", form(unblock))
        .route("/inbound/trust", form(trust))
        .route("/inbound/mistrust", form(mistrust))
        .route("/reports", get(reports_page))
        .route("/reports.js", get(reports_script))
        .route("/reports/prove", form(people::prove))
        .route("/reports/see", form(see_reports))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Inbound).await
}

async fn reports_page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Reports).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, inbound_page::SCRIPT)
}

async fn reports_script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, reports_page::SCRIPT)
}

fn see(contents: SessionContents) -> Result<Order, Problem> {
    let request = look(contents.session);
    Ok(Order { request, done: "" })
}

fn see_reports(contents: SessionContents) -> Result<Order, Problem> {
    let request = look_at_reports(contents.session);
    Ok(Order { request, done: "" })
}

fn block(contents: DomainContents) -> Result<Order, Problem> {
    let zone = contents.domain;
    let what = InboundRequest::Block { zone };
    let done = "The list is asked about everybody who writes, from now on.";
    Ok(order(contents.session, what, done))
}

fn unblock(contents: DomainContents) -> Result<Order, Problem> {
    let zone = contents.domain;
    let what = InboundRequest::Unblock { zone };
    let done = "The list is asked no more.";
    Ok(order(contents.session, what, done))
}

fn trust(contents: DomainContents) -> Result<Order, Problem> {
    let domain = contents.domain;
    let what = InboundRequest::Trust { domain };
    let done = "What this forwarder says of a message is believed from now on.";
    Ok(order(contents.session, what, done))
}

fn mistrust(contents: DomainContents) -> Result<Order, Problem> {
    let domain = contents.domain;
    let what = InboundRequest::Mistrust { domain };
    let done = "This forwarder is believed no more.";
    Ok(order(contents.session, what, done))
}

fn order(session: Secret, what: InboundRequest, done: &'static str) -> Order {
    let request = Request::Inbound { session, what };
    Order { request, done }
}

/// What is set, and who was refused.
pub fn look(session: Secret) -> Request {
    let what = InboundRequest::See;
    Request::Inbound { session, what }
}

/// What others report.
pub fn look_at_reports(session: Secret) -> Request {
    let what = InboundRequest::Reports;
    Request::Inbound { session, what }
}

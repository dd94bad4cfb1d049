//! The requests about the box's records in the DNS.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /records` | | the page; the front page while the disk is not open |
//! | `POST /records/prove` | session, passphrase | [`crate::people::PeopleAnswer`] |
//! | `POST /records/see` `/records/again` | session | the same, with the records |
//! | `POST /records/domain` | session, domain | the same, with those of this domain |
//!
//! A session is one of `people.rs`: the passphrase that was given there counts here.

use crate::answer::Problem;
use crate::outbound::{DomainContents, SessionContents};
use crate::pages::{self, Place};
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::way::Visit;
use crate::{people, records_page};
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::{RecordsRequest, Request, Secret};
use std::sync::Arc;

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/records", get(page))
        .route("/records.js", get(script))
        .route("/records/prove", form(people::prove))
        .route("/records/see", form(see))
        .route("/records/again", form(again))
        .route("/records/domain", form(domain))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Records).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, records_page::SCRIPT)
}

fn see(contents: SessionContents) -> Result<Order, Problem> {
    let request = look(contents.session);
    Ok(Order { request, done: "" })
}

fn again(contents: SessionContents) -> Result<Order, Problem> {
    let (session, what) = (contents.session, RecordsRequest::LookAgain);
    let done = "The box looks again. Come back in a minute; a record that was not there a \
                moment ago may be remembered as missing for an hour.";
    let request = Request::Records { session, what };
    Ok(Order { request, done })
}

fn domain(contents: DomainContents) -> Result<Order, Problem> {
    let DomainContents {
        session, domain, ..
    } = contents;
    let what = RecordsRequest::Domain { domain };
    let request = Request::Records { session, what };
    Ok(Order { request, done: "" })
}

/// What is wanted, and what was found.
pub fn look(session: Secret) -> Request {
    let what = RecordsRequest::See;
    Request::Records { session, what }
}

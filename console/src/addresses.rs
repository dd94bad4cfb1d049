//! The requests about the other addresses.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /addresses` | | the page; the front page while the disk is not open |
//! | `POST /addresses/prove` | session, passphrase | [`crate::people::PeopleAnswer`] |
//! | `POST /addresses/see` | session | the same, with what there is |
//! | `POST /addresses/alias` | session, address, person | the same |
//! | `POST /addresses/outside` | session, address, person, to | the same |
//! | `POST /addresses/remove` | session, address | the same |
//! | `POST /addresses/catch-all` | session, domain, person | the same |
//! | `POST /addresses/no-catch-all` | session, domain | the same |
//!
//! A session is one of `people.rs`: the passphrase that was given there counts here.

use crate::addresses_page;
use crate::answer::Problem;
use crate::outbound::{DomainContents, SessionContents};
use crate::pages::{self, Place};
use crate::people;
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::sealed::bound;
use crate::way::Visit;
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::{AddressesRequest, Request, Secret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is inside a box about one address, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub address: String,
}

/// What is inside a box about a new alias, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub address: String,
    /// As it was typed.
    pub person: String,
}

/// What is inside a box about a new alias to outside, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub address: String,
    /// As it was typed.
    pub person: String,
    /// As they were typed.
    pub to: String,
}

/// What is inside a box about a catch-all, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchAllContents {
    /// The path that the box is meant for.
    #[serde(rename = "for")]
    pub purpose: String,
    /// The token that was sent beside the box.
    pub token: String,
    /// The browser's own secret.
    pub session: Secret,
    /// As it was typed.
    pub domain: String,
    /// As it was typed.
    pub person: String,
}

bound!(private: true; AddressContents, AliasContents, OutsideContents, CatchAllContents);

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/addresses", get(page))
        .route("/addresses.js", get(script))
        .route("/addresses/prove", form(people::prove))
        .route("/addresses/see", form(see))
        .route("/addresses/alias", form(alias))
        .route("/addresses/outside", form(outside))
        .route("/addresses/remove", form(remove))
        .route("/addresses/catch-all", form(catch_all))
        .route("/addresses/no-catch-all", form(no_catch_all))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Addresses).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, addresses_page::SCRIPT)
}

fn see(contents: SessionContents) -> Result<Order, Problem> {
    let request = look(contents.session);
    Ok(Order { request, done: "" })
}

fn alias(contents: AliasContents) -> Result<Order, Problem> {
    let AliasContents {
        session,
        address,
        person,
        ..
    } = contents;
    let what = AddressesRequest::AddAlias { address, person };
    let done = "The address was added and can have mail now.";
    Ok(order(session, what, done))
}

fn outside(contents: OutsideContents) -> Result<Order, Problem> {
    let OutsideContents {
        session,
        address,
        person,
        to,
        ..
    } = contents;
    let what = AddressesRequest::AddOutside {
        address,
        person,
        to,
    };
    let done = "The address was added. Its mail is passed on from now on.";
    Ok(order(session, what, done))
}

fn remove(contents: AddressContents) -> Result<Order, Problem> {
    let AddressContents {
        session, address, ..
    } = contents;
    let what = AddressesRequest::Remove { address };
    Ok(order(session, what, "The address was removed."))
}

fn catch_all(contents: CatchAllContents) -> Result<Order, Problem> {
    let CatchAllContents {
        session,
        domain,
        person,
        ..
    } = contents;
    let what = AddressesRequest::CatchAll { domain, person };
    let done = "Mail for every address of that domain that nobody has comes to this person now.";
    Ok(order(session, what, done))
}

fn no_catch_all(contents: DomainContents) -> Result<Order, Problem> {
    let domain = contents.domain;
    let what = AddressesRequest::NoCatchAll { domain };
    let done = "Mail for addresses of that domain that nobody has is refused again.";
    Ok(order(contents.session, what, done))
}

fn order(session: Secret, what: AddressesRequest, done: &'static str) -> Order {
    let request = Request::Addresses { session, what };
    Order { request, done }
}

/// Which there are.
pub fn look(session: Secret) -> Request {
    let what = AddressesRequest::See;
    Request::Addresses { session, what }
}

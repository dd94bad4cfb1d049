//! The places that people see, and which of them follows a form.

use crate::answer::Outcome;
use crate::parts::{Note, View};
use crate::post::ask;
use crate::routes::{Console, plain, typed};
use crate::state::State;
use crate::way::{Visit, Way};
use crate::{
    addresses, addresses_page, inbound, inbound_page, keys_page, outbound, outbound_page, page,
    paper_page, people, people_page, records, records_page, reports_page, tokens,
};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use control::{Request, Secret, Status};

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/`, in any state.
    Front,
    /// `/keys`, while the disk is open.
    Keys,
    /// `/forgot`, while the disk is locked.
    Forgot,
    /// `/people`, while the disk is open.
    People,
    /// `/addresses`, while the disk is open.
    Addresses,
    /// `/inbound`, while the disk is open.
    Inbound,
    /// `/reports`, while the disk is open.
    Reports,
    /// `/outbound`, while the disk is open.
    Outbound,
    /// `/records`, while the disk is open.
    Records,
}

impl Place {
    /// Where a post's form is, and what is seen after it.
    pub fn of(path: &str) -> Self {
        match path {
            "/recover" | "/factory-reset" => Self::Forgot,
            // The paper was shown instead of another page; nothing waits there.
            "/keys/confirm" => Self::Front,
            path if path.starts_with("/keys") || path.starts_with("/usb-key") => Self::Keys,
            path if path.starts_with("/people") => Self::People,
            path if path.starts_with("/addresses") => Self::Addresses,
            path if path.starts_with("/inbound") => Self::Inbound,
            path if path.starts_with("/reports") => Self::Reports,
            path if path.starts_with("/outbound") => Self::Outbound,
            path if path.starts_with("/records") => Self::Records,
            _ => Self::Front,
        }
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Front => "/",
            Self::Keys => "/keys",
            Self::Forgot => "/forgot",
            Self::People => "/people",
            Self::Addresses => "/addresses",
            Self::Inbound => "/inbound",
            Self::Reports => "/reports",
            Self::Outbound => "/outbound",
            Self::Records => "/records",
        }
    }

    /// What is asked for to show it, by a browser that has proved the passphrase.
    fn behind_proof(self) -> Option<fn(Secret) -> Request> {
        match self {
            Self::People => Some(people::look),
            Self::Addresses => Some(addresses::look),
            Self::Inbound => Some(inbound::look),
            Self::Reports => Some(inbound::look_at_reports),
            Self::Outbound => Some(outbound::look),
            Self::Records => Some(records::look),
            Self::Front | Self::Keys | Self::Forgot => None,
        }
    }

    fn is_there(self, state: State) -> bool {
        match self {
            Self::Front => true,
            Self::Keys
            | Self::People
            | Self::Addresses
            | Self::Inbound
            | Self::Reports
            | Self::Outbound
            | Self::Records => state == State::Open,
            Self::Forgot => matches!(state, State::Locked | State::Damaged),
        }
    }
}

/// The answer to a `GET`.
pub async fn get(console: &Console, visit: &Visit, place: Place) -> Response {
    match console.supervisor.status().await {
        Ok(status) if place.is_there(State::of(&status)) => {
            let page = draw(console, visit, &status, place, None);
            typed(StatusCode::OK, "text/html; charset=utf-8", page)
        }
        Err(_) if place == Place::Front => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "The box is starting this page again. Reload in a few seconds.\n",
        ),
        // What to do is on the front page.
        _ => Redirect::to("/").into_response(),
    }
}

/// What a browser without scripts sees after a form.
pub async fn after(
    console: &Console,
    visit: &Visit,
    path: &str,
    outcome: Outcome,
    session: Option<Secret>,
) -> String {
    let note = outcome.note();
    let status = console.supervisor.status().await.ok();
    if let Some(paper) = &outcome.paper {
        return with(console, visit, status.as_ref(), Some(&note), None, |view| {
            paper_page::paper(view, paper, tokens::two_of(paper_page::WORDS))
        });
    }
    let over = outcome.ok() && matches!(path, "/restart" | "/power" | "/factory-reset");
    let status = match status {
        Some(status) if !over && visit.way == Way::Tls => status,
        _ => return with(console, visit, None, Some(&note), None, page::told),
    };
    let place = Some(Place::of(path)).filter(|place| place.is_there(State::of(&status)));
    let place = place.unwrap_or(Place::Front);
    match (place.behind_proof(), session) {
        (Some(look), Some(session)) => {
            let outcome = looked(console, outcome, look, &session).await;
            proved(console, visit, &status, place, &outcome, &session)
        }
        _ => draw(console, visit, &status, place, Some(&note)),
    }
}

/// What became of the form, and what the page shows; or what keeps that back.
async fn looked(
    console: &Console,
    outcome: Outcome,
    look: fn(Secret) -> Request,
    session: &Secret,
) -> Outcome {
    if outcome.shows() || outcome.asks_for_passphrase() {
        return outcome;
    }
    let seen = ask(console, look(session.clone()), "").await;
    if !seen.ok() {
        return seen;
    }
    Outcome {
        status: outcome.status,
        reached: outcome.reached,
        refusal: outcome.refusal,
        words: outcome.words,
        retry_after: outcome.retry_after,
        ..seen
    }
}

fn proved(
    console: &Console,
    visit: &Visit,
    status: &Status,
    place: Place,
    outcome: &Outcome,
    session: &Secret,
) -> String {
    let note = outcome.note();
    if outcome.asks_for_passphrase() {
        return draw(console, visit, status, place, Some(&note));
    }
    let drawn = |view: &View| match place {
        Place::Addresses => addresses_page::set(view, outcome.other.as_ref()),
        Place::Inbound => inbound_page::set(view, outcome.inbound.as_ref()),
        Place::Reports => reports_page::shown(view, outcome.reports.as_ref()),
        Place::Records => records_page::shown(view, outcome.records.as_ref()),
        Place::Outbound => outbound_page::set(view, outcome.outbound.as_ref()),
        _ => people_page::listed(view, outcome.addresses.as_deref()),
    };
    let (status, note, session) = (Some(status), Some(&note), Some(session));
    with(console, visit, status, note, session, drawn)
}

fn draw(
    console: &Console,
    visit: &Visit,
    status: &Status,
    place: Place,
    note: Option<&Note>,
) -> String {
    // A browser without scripts keeps it in the page and sends it with the passphrase.
    let session = place.behind_proof().map(|_| tokens::session());
    with(
        console,
        visit,
        Some(status),
        note,
        session.as_ref(),
        |view| match place {
            Place::Front => page::front(status, view),
            Place::Keys => keys_page::keys(status, view),
            Place::Forgot => keys_page::forgot(status, view),
            Place::People => people_page::people(view),
            Place::Addresses => addresses_page::addresses(view),
            Place::Inbound => inbound_page::inbound(view),
            Place::Reports => reports_page::reports(view),
            Place::Outbound => outbound_page::outbound(view),
            Place::Records => records_page::records(view),
        },
    )
}

/// Draws a page with a token of its own.
pub fn with(
    console: &Console,
    visit: &Visit,
    status: Option<&Status>,
    note: Option<&Note>,
    session: Option<&Secret>,
    draw: impl FnOnce(&View) -> String,
) -> String {
    let name = status.map_or_else(|| console.supervisor.name(), |status| status.name.clone());
    draw(&View {
        way: visit.way,
        https: &visit.https(),
        fingerprint: &console.fingerprint,
        name: &name,
        token: &console.issue(),
        key: &console.key.public(),
        note,
        session: session.map(Secret::expose),
    })
}

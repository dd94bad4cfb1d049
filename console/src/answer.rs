//! What becomes of a post, and the one place that says it: to a page's script as
//! JSON, to a browser without scripts as a page.

use crate::keys::Paper;
use crate::pages;
use crate::parts::Note;
use crate::people::{About, PeopleAnswer, Told};
use crate::routes::{Console, typed};
use crate::sealed::{SealedAnswer, SealedBox};
use crate::supervisor::NoAnswer;
use crate::way::Visit;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use control::{Inbound, OtherAddresses, Outbound, Records, Refusal, Reply, Reports, Secret};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The answer to a page's script. One about people, or about mail on its way out, that
/// reached the supervisor is a [`PeopleAnswer`].
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

/// A request that did not reach the supervisor, or got no reply.
pub struct Problem {
    status: StatusCode,
    words: Cow<'static, str>,
    paper: Option<Paper>,
}

/// For a post that lacks something or has too much.
pub const MALFORMED: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    words: Cow::Borrowed(
        "The box did not understand this. Nothing was done. Please reload the page and \
         try again.",
    ),
    paper: None,
};

impl Problem {
    /// With words for a person.
    pub fn new(status: StatusCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            words: words.into(),
            paper: None,
        }
    }

    /// The recovery key stays on the page, for another try to confirm it.
    pub fn with_paper(self, paper: Option<Paper>) -> Self {
        Self { paper, ..self }
    }

    /// For a person.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// What stays on the page.
    pub fn paper(&self) -> Option<&Paper> {
        self.paper.as_ref()
    }
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Busy => Self::new(
                StatusCode::CONFLICT,
                "The box is busy with an earlier request. Please wait half a minute and \
                 reload the page.",
            ),
            NoAnswer::Broken => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The box is starting this page again. Please reload it in a few seconds.",
            ),
        }
    }
}

impl IntoResponse for Problem {
    /// For scripts.
    fn into_response(self) -> Response {
        let answer = Answer {
            ok: false,
            words: self.words.into(),
            retry_after: 0,
            token: None,
            sealed: None,
        };
        json(self.status, &answer)
    }
}

/// What became of a post.
pub struct Outcome {
    /// Of the answer.
    pub status: StatusCode,
    /// Whether the supervisor has looked at it.
    pub reached: bool,
    /// Why it was not done.
    pub refusal: Option<Refusal>,
    /// For a person.
    pub words: String,
    /// Seconds until a further passphrase is looked at.
    pub retry_after: u64,
    /// A recovery key to be shown.
    pub paper: Option<Paper>,
    /// Who has mail here now.
    pub addresses: Option<Vec<String>>,
    /// How mail goes out now.
    pub outbound: Option<Outbound>,
    /// Which other addresses there are now.
    pub other: Option<OtherAddresses>,
    /// How mail comes in now.
    pub inbound: Option<Inbound>,
    /// What others report.
    pub reports: Option<Reports>,
    /// The box's records in the DNS.
    pub records: Option<Records>,
}

impl Outcome {
    /// Of what the supervisor said; `done` are the words when it was done.
    pub fn of(reply: Reply, done: &str) -> Result<Self, NoAnswer> {
        let outcome = Self {
            status: StatusCode::OK,
            reached: true,
            refusal: None,
            words: done.to_owned(),
            retry_after: 0,
            paper: None,
            addresses: None,
            outbound: None,
            other: None,
            inbound: None,
            reports: None,
            records: None,
        };
        match reply {
            Reply::Done => Ok(outcome),
            Reply::RecoveryKey { words } => Ok(Self {
                paper: Some(Paper::of(words).ok_or(NoAnswer::Broken)?),
                ..outcome
            }),
            Reply::People { addresses } => Ok(Self {
                addresses: Some(addresses),
                ..outcome
            }),
            Reply::Outbound(outbound) => Ok(Self {
                outbound: Some(outbound),
                ..outcome
            }),
            Reply::Addresses(other) => Ok(Self {
                other: Some(other),
                ..outcome
            }),
            Reply::Inbound(inbound) => Ok(Self {
                inbound: Some(inbound),
                ..outcome
            }),
            Reply::Reports(reports) => Ok(Self {
                reports: Some(reports),
                ..outcome
            }),
            Reply::Records(records) => Ok(Self {
                records: Some(records),
                ..outcome
            }),
            Reply::Refused {
                refusal,
                words,
                retry_after,
            } => Ok(Self {
                status: status_of(refusal),
                refusal: Some(refusal),
                words,
                retry_after,
                ..outcome
            }),
            Reply::Status(_) | Reply::UsbKey { .. } => Err(NoAnswer::Broken),
        }
    }

    /// Whether it was done.
    pub fn ok(&self) -> bool {
        self.reached && self.refusal.is_none()
    }

    /// Whether it says what a page shows behind the passphrase.
    pub fn shows(&self) -> bool {
        self.addresses.is_some()
            || self.outbound.is_some()
            || self.other.is_some()
            || self.inbound.is_some()
            || self.reports.is_some()
            || self.records.is_some()
    }

    /// Whether the browser has not proved the passphrase.
    pub fn asks_for_passphrase(&self) -> bool {
        let about = self.refusal.map(About::of);
        matches!(about, Some(About::Passphrase | About::Session))
    }

    /// Above a page.
    pub fn note(&self) -> Note {
        Note {
            words: self.words.clone(),
            bad: !self.ok(),
            retry_after: self.retry_after,
        }
    }
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Self {
            status: problem.status,
            reached: false,
            refusal: None,
            words: problem.words.into(),
            retry_after: 0,
            paper: problem.paper,
            addresses: None,
            outbound: None,
            other: None,
            inbound: None,
            reports: None,
            records: None,
        }
    }
}

/// What belongs to the asker alone is sealed to whoever made the box `asker`.
/// `private` is for posts of whose answers a listener shall learn nothing.
pub fn to_script(
    console: &Console,
    outcome: Outcome,
    asker: Option<&SealedBox>,
    private: bool,
) -> Response {
    try_to_script(console, outcome, asker, private).unwrap_or_else(IntoResponse::into_response)
}

fn try_to_script(
    console: &Console,
    outcome: Outcome,
    asker: Option<&SealedBox>,
    private: bool,
) -> Result<Response, Problem> {
    let ok = outcome.ok();
    let (status, retry_after) = (outcome.status, outcome.retry_after);
    if let (Some(asker), true, true) = (asker, private, outcome.reached) {
        let told = Told {
            words: outcome.words,
            about: outcome.refusal.map(About::of),
            addresses: outcome.addresses,
            outbound: outcome.outbound,
            other: outcome.other,
            inbound: outcome.inbound,
            reports: outcome.reports,
            records: outcome.records,
        };
        let answer = PeopleAnswer {
            ok,
            retry_after,
            token: console.issue(),
            sealed: console.key.answer(asker, &told).map_err(|_| MALFORMED)?,
        };
        return Ok(with_retry(json(status, &answer), retry_after));
    }
    let sealed = match outcome.paper {
        None => None,
        Some(paper) => {
            let asker = asker.ok_or(NoAnswer::Broken)?;
            Some(console.key.answer(asker, &paper).map_err(|_| MALFORMED)?)
        }
    };
    let answer = Answer {
        ok,
        words: outcome.words,
        retry_after,
        token: outcome.reached.then(|| console.issue()),
        sealed,
    };
    Ok(with_retry(json(status, &answer), retry_after))
}

/// A page that says what became of it: the recovery key, or the page that the form
/// was on with the words above it. `session` is the browser's that the form carried.
pub async fn to_browser(
    console: &Console,
    visit: &Visit,
    path: &str,
    outcome: Outcome,
    session: Option<Secret>,
) -> Response {
    let (status, retry_after) = (outcome.status, outcome.retry_after);
    let page = pages::after(console, visit, path, outcome, session).await;
    with_retry(typed(status, "text/html; charset=utf-8", page), retry_after)
}

/// Adds `Retry-After` (RFC 9110 section 10.2.3), unless it is now.
fn with_retry(mut response: Response, seconds: u64) -> Response {
    if seconds > 0 {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The status for a refusal of the supervisor.
fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::WrongPassphrase | Refusal::NoSession => StatusCode::UNAUTHORIZED,
        Refusal::BadPassphrase
        | Refusal::BadRecoveryKey
        | Refusal::BadAddress
        | Refusal::BadTarget
        | Refusal::BadDomain
        | Refusal::BadHours
        | Refusal::BadHost
        | Refusal::BadLogin
        | Refusal::BadPassword => StatusCode::BAD_REQUEST,
        Refusal::TooSoon => StatusCode::TOO_MANY_REQUESTS,
        Refusal::WrongSetupCode => StatusCode::FORBIDDEN,
        Refusal::TooLate | Refusal::WrongState => StatusCode::CONFLICT,
        Refusal::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => typed(status, "application/json", text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

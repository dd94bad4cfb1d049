//! A client of the page for tests: does what `page.js` does, by `ureq`.
//!
//! `base_url` is `http://ADDRESS:PORT` without a slash at the end, with an
//! address or a name the box answers to.

use crate::answer::Answer;
use crate::keys::Paper;
use crate::outbound::SmarthostContents;
use crate::people::{PeopleAnswer, Told};
use crate::post::Post;
use crate::sealed::{AnswerKey, Contents, KeysContents, PeopleContents, SealedError, seal};
use crate::state::Shown;
use base64::{Engine, engine::general_purpose::STANDARD};
use control::Secret;
use control::outbound::SmarthostPort;
use crypto_box::aead::{OsRng, rand_core::RngCore};
use serde::Serialize;
use std::time::Duration;
use ureq::{Agent, http::StatusCode};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed or the body was not JSON.
    #[error("{url}: {error}")]
    Http {
        /// What was asked for.
        url: String,
        /// What `ureq` says.
        error: ureq::Error,
    },
    /// The page came with another status than 200.
    #[error("{url}: status {status} instead of the page")]
    NoPage {
        /// What was asked for.
        url: String,
        /// What came.
        status: u16,
    },
    /// The page has no such attribute.
    #[error("the page has no attribute {0}")]
    Attribute(&'static str),
    /// The page's key is not a key.
    #[error("{0}")]
    Sealed(#[from] SealedError),
    /// The answer is not what the console sends.
    #[error("{url}: not an answer of the console: {error}")]
    Json {
        /// What was asked for.
        url: String,
        /// What `serde_json` says.
        error: serde_json::Error,
    },
}

/// The answer to a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub http_status: u16,
    /// Whether it was done.
    pub ok: bool,
    /// What the person reads.
    pub words: String,
    /// Seconds until the next try is looked at.
    pub retry_after: u64,
    /// The words of a recovery key that was just made.
    pub recovery_key: Option<String>,
}

/// What a page carries for the posts made from it.
#[derive(Debug, Clone)]
pub struct Page {
    /// The whole text.
    pub html: String,
    /// `data-state`.
    pub state: String,
    /// `data-token`, good for one post.
    pub token: String,
    /// `data-key`, the public key of the session.
    pub key: String,
}

/// Loads the page.
pub fn page(base_url: &str) -> Result<Page, ClientError> {
    let url = format!("{base_url}/");
    let (status, html) = body(&url, agent().get(&url).call())?;
    if status != StatusCode::OK {
        let status = status.as_u16();
        return Err(ClientError::NoPage { url, status });
    }
    Ok(Page {
        state: attribute(&html, "data-state")?,
        token: attribute(&html, "data-token")?,
        key: attribute(&html, "data-key")?,
        html,
    })
}

/// The whole text of the page at `path`, `/forgot` say.
pub fn text_of(base_url: &str, path: &str) -> Result<String, ClientError> {
    let url = format!("{base_url}{path}");
    Ok(body(&url, agent().get(&url).call())?.1)
}

/// `GET /status`.
pub fn status(base_url: &str) -> Result<Shown, ClientError> {
    let url = format!("{base_url}/status");
    let (_, text) = body(&url, agent().get(&url).call())?;
    serde_json::from_str(&text).map_err(|error| ClientError::Json { url, error })
}

/// Sets the first passphrase; waits until the disk is made.
pub fn claim(
    base_url: &str,
    passphrase: &str,
    setup_code: Option<&str>,
) -> Result<Answered, ClientError> {
    send_sealed(base_url, "/claim", passphrase, setup_code)
}

/// Gives the passphrase; waits until the disk is open.
pub fn unlock(base_url: &str, passphrase: &str) -> Result<Answered, ClientError> {
    send_sealed(base_url, "/unlock", passphrase, None)
}

/// Says that the owner has the recovery key.
pub fn confirm_recovery_key(base_url: &str, words: &str) -> Result<Answered, ClientError> {
    let page = page(base_url)?;
    let contents = KeysContents {
        purpose: "/keys/confirm".into(),
        token: page.token.clone(),
        recovery_key: Some(Secret::new(words.into())),
        ..KeysContents::default()
    };
    let (sealed, opens) = seal(&page.key, &contents)?;
    let (token, sealed) = (page.token, Some(sealed));
    let sent = Post { token, sealed };
    post(base_url, "/keys/confirm", &sent, Some(&opens))
}

/// Opens a locked box by its recovery key and sets another passphrase.
pub fn recover(base_url: &str, words: &str, new: &str) -> Result<Answered, ClientError> {
    let page = page(base_url)?;
    let contents = KeysContents {
        purpose: "/recover".into(),
        token: page.token.clone(),
        recovery_key: Some(Secret::new(words.into())),
        new: Some(Secret::new(new.into())),
        ..KeysContents::default()
    };
    let (sealed, opens) = seal(&page.key, &contents)?;
    let (token, sealed) = (page.token, Some(sealed));
    post(base_url, "/recover", &Post { token, sealed }, Some(&opens))
}

/// Turns the USB stick's key `on` or `off`.
pub fn usb_key(base_url: &str, what: &str, passphrase: &str) -> Result<Answered, ClientError> {
    let path = if what == "on" {
        "/usb-key/on"
    } else {
        "/usb-key/off"
    };
    let page = page(base_url)?;
    let contents = KeysContents {
        purpose: path.into(),
        token: page.token.clone(),
        old: Some(Secret::new(passphrase.into())),
        ..KeysContents::default()
    };
    let (sealed, opens) = seal(&page.key, &contents)?;
    let (token, sealed) = (page.token, Some(sealed));
    post(base_url, path, &Post { token, sealed }, Some(&opens))
}

/// `restart`, or `off` to switch the power off.
pub fn power(base_url: &str, what: &str) -> Result<Answered, ClientError> {
    let path = if what == "restart" {
        "/restart"
    } else {
        "/power"
    };
    let token = page(base_url)?.token;
    post(
        base_url,
        path,
        &Post {
            token,
            sealed: None,
        },
        None,
    )
}

/// A browser that looks after the people, and after the mail that they send.
pub struct People {
    base_url: String,
    session: Secret,
}

/// The answer to a post about people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleAnswered {
    /// The HTTP status.
    pub http_status: u16,
    /// Whether it was done.
    pub ok: bool,
    /// Seconds until the same may be tried again.
    pub retry_after: u64,
    /// What was sealed to this browser.
    pub told: Told,
}

impl People {
    /// A browser that has proved nothing yet, with a session of its own.
    pub fn new(base_url: &str) -> Self {
        let mut session = [0; 32];
        OsRng.fill_bytes(&mut session);
        Self {
            base_url: base_url.into(),
            session: Secret::new(STANDARD.encode(session)),
        }
    }

    /// Gives the passphrase, which begins the session; takes as long as unlocking.
    pub fn prove(&self, passphrase: &str) -> Result<PeopleAnswered, ClientError> {
        let passphrase = Some(Secret::new(passphrase.into()));
        self.send(
            "/people/prove",
            PeopleContents {
                passphrase,
                ..PeopleContents::default()
            },
        )
    }

    /// Who has mail; the addresses are in what was told.
    pub fn list(&self) -> Result<PeopleAnswered, ClientError> {
        self.send("/people/list", PeopleContents::default())
    }

    /// Adds somebody.
    pub fn add(&self, address: &str, password: &str) -> Result<PeopleAnswered, ClientError> {
        self.send("/people/add", about(address, Some(password)))
    }

    /// Gives somebody another password.
    pub fn set_password(
        &self,
        address: &str,
        password: &str,
    ) -> Result<PeopleAnswered, ClientError> {
        self.send("/people/password", about(address, Some(password)))
    }

    /// Takes an address away.
    pub fn remove(&self, address: &str) -> Result<PeopleAnswered, ClientError> {
        self.send("/people/remove", about(address, None))
    }

    /// Has all mail to others go by this server, with this login.
    pub fn use_smarthost(
        &self,
        host: &str,
        port: SmarthostPort,
        (login, password): (&str, &str),
    ) -> Result<PeopleAnswered, ClientError> {
        let path = "/outbound/smarthost";
        self.seal_and_send(path, |token| SmarthostContents {
            purpose: path.into(),
            token,
            session: self.session.clone(),
            host: host.into(),
            port,
            login: login.into(),
            password: Secret::new(password.into()),
        })
    }

    fn send(&self, path: &str, contents: PeopleContents) -> Result<PeopleAnswered, ClientError> {
        self.seal_and_send(path, |token| PeopleContents {
            purpose: path.into(),
            token,
            session: Some(self.session.clone()),
            ..contents
        })
    }

    /// Sends what is to be sent with a page's token.
    fn seal_and_send<C: Serialize>(
        &self,
        path: &str,
        contents: impl FnOnce(String) -> C,
    ) -> Result<PeopleAnswered, ClientError> {
        let page = page(&self.base_url)?;
        let contents = contents(page.token.clone());
        let (sealed, opens) = seal(&page.key, &contents)?;
        let post = Post {
            token: page.token,
            sealed: Some(sealed),
        };
        let (url, status, text) = post_text(&self.base_url, path, &post)?;
        let answer: PeopleAnswer =
            serde_json::from_str(&text).map_err(|error| ClientError::Json { url, error })?;
        Ok(PeopleAnswered {
            http_status: status.as_u16(),
            ok: answer.ok,
            retry_after: answer.retry_after,
            told: opens.open(&answer.sealed)?,
        })
    }
}

fn about(address: &str, password: Option<&str>) -> PeopleContents {
    PeopleContents {
        address: Some(address.into()),
        password: password.map(|text| Secret::new(text.into())),
        ..PeopleContents::default()
    }
}

fn send_sealed(
    base_url: &str,
    path: &str,
    passphrase: &str,
    setup_code: Option<&str>,
) -> Result<Answered, ClientError> {
    let page = page(base_url)?;
    let contents = Contents {
        purpose: path.into(),
        token: page.token.clone(),
        passphrase: Secret::new(passphrase.into()),
        setup_code: setup_code.map(|code| Secret::new(code.into())),
    };
    let (sealed, opens) = seal(&page.key, &contents)?;
    let (token, sealed) = (page.token, Some(sealed));
    post(base_url, path, &Post { token, sealed }, Some(&opens))
}

fn post(
    base_url: &str,
    path: &str,
    post: &Post,
    opens: Option<&AnswerKey>,
) -> Result<Answered, ClientError> {
    let (url, status, text) = post_text(base_url, path, post)?;
    let answer: Answer =
        serde_json::from_str(&text).map_err(|error| ClientError::Json { url, error })?;
    let paper = match (&answer.sealed, opens) {
        (Some(sealed), Some(opens)) => Some(opens.open::<Paper>(sealed)?),
        _ => None,
    };
    Ok(Answered {
        recovery_key: paper.map(|paper| paper.words.expose().to_owned()),
        http_status: status.as_u16(),
        ok: answer.ok,
        words: answer.words,
        retry_after: answer.retry_after,
    })
}

/// The URL, the status and the answer's text.
fn post_text(
    base_url: &str,
    path: &str,
    post: &Post,
) -> Result<(String, StatusCode, String), ClientError> {
    let url = format!("{base_url}{path}");
    let text = serde_json::to_string(post).map_err(|error| ClientError::Json {
        url: url.clone(),
        error,
    })?;
    let sent = agent()
        .post(&url)
        .header("content-type", "application/json")
        .send(&text);
    let (status, text) = body(&url, sent)?;
    Ok((url, status, text))
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(240)))
        .build()
        .into()
}

fn body(
    url: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(StatusCode, String), ClientError> {
    response
        .and_then(|mut response| Ok((response.status(), response.body_mut().read_to_string()?)))
        .map_err(|error| ClientError::Http {
            url: url.into(),
            error,
        })
}

fn attribute(html: &str, name: &'static str) -> Result<String, ClientError> {
    html.split_once(&format!(" {name}=\""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(value, _)| value.to_owned())
        .ok_or(ClientError::Attribute(name))
}

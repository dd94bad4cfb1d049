//! The requests about the keys of the disk.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /keys` | | the page; the front page while the disk is not open |
//! | `GET /forgot` | | the page; the front page while the disk is neither locked nor damaged |
//! | `GET /keys.js` | | the script of both |
//! | `POST /keys/passphrase` | old, new | [`crate::answer::Answer`] |
//! | `POST /keys/recovery` | old | the same, with a sealed [`Paper`] |
//! | `POST /keys/confirm` | recovery key | the same |
//! | `POST /recover` | recovery key, new | the same |
//! | `POST /factory-reset` | | the same |
//!
//! A recovery key leaves the box once, sealed to the browser that asked for it.
//! When it does not arrive, or nobody confirms it, the page goes on asking for
//! another to be made: nothing is kept here that could be shown again.

use crate::answer::{MALFORMED, Problem};
use crate::keys_page;
use crate::pages::{self, Place};
use crate::post::{Order, bare, form};
use crate::routes::{Console, typed};
use crate::sealed::KeysContents;
use crate::way::Visit;
use axum::{Router, extract::State as Shared, http::StatusCode, response::Response, routing::get};
use control::{Request, Secret};
use qrcodegen::{QrCode, QrCodeEcc};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;

/// What the owner puts on paper.
#[derive(Debug, Serialize, Deserialize)]
pub struct Paper {
    /// The twelve words with a blank between two.
    pub words: Secret,
    /// Modules of the QR code on each side, without the quiet zone.
    pub size: i32,
    /// The dark modules of the QR code, which says the words, as the path of an
    /// SVG whose unit is a module.
    pub path: Secret,
}

impl Paper {
    /// `None` when the words fit no QR code.
    pub fn of(words: Secret) -> Option<Self> {
        let code = QrCode::encode_text(words.expose(), QrCodeEcc::Medium).ok()?;
        let size = code.size();
        // Room at once, as for every secret: 14 letters a module at most.
        let mut path = String::with_capacity(usize::try_from(size * size).ok()? * 14);
        for y in 0..size {
            for x in (0..size).filter(|x| code.get_module(*x, y)) {
                write!(path, "M{x} {y}h1v1h-1z").ok()?;
            }
        }
        let path = Secret::new(path);
        Some(Self { words, size, path })
    }
}

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/keys", get(page))
        .route("/forgot", get(forgot))
        .route("/keys.js", get(script))
        .route("/keys/passphrase", form(passphrase))
        .route("/keys/recovery", form(recovery))
        .route("/keys/confirm", form(confirm))
        .route("/recover", form(recover))
        .route("/factory-reset", bare(factory_reset))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Keys).await
}

async fn forgot(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    pages::get(&console, &visit, Place::Forgot).await
}

async fn script() -> Response {
    let kind = "text/javascript; charset=utf-8";
    typed(StatusCode::OK, kind, keys_page::SCRIPT)
}

fn passphrase(contents: KeysContents) -> Result<Order, Problem> {
    let KeysContents {
        old: Some(old),
        new: Some(new),
        recovery_key: None,
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    Ok(Order {
        request: Request::ChangePassphrase { old, new },
        done: "The passphrase was changed. The old one opens nothing any more.",
    })
}

fn recovery(contents: KeysContents) -> Result<Order, Problem> {
    let KeysContents {
        old: Some(passphrase),
        new: None,
        recovery_key: None,
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    let request = Request::NewRecoveryKey { passphrase };
    Ok(Order { request, done: "" })
}

fn confirm(contents: KeysContents) -> Result<Order, Problem> {
    let KeysContents {
        old: None,
        new: None,
        recovery_key: Some(recovery_key),
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    Ok(Order {
        request: Request::ConfirmRecoveryKey { recovery_key },
        done: "Good. Keep the paper in a safe place, not beside the box.",
    })
}

fn recover(contents: KeysContents) -> Result<Order, Problem> {
    let KeysContents {
        old: None,
        new: Some(passphrase),
        recovery_key: Some(recovery_key),
        ..
    } = contents
    else {
        return Err(MALFORMED);
    };
    Ok(Order {
        request: Request::Recover {
            recovery_key,
            passphrase,
        },
        done: "The disk is open, and the new passphrase is set.",
    })
}

fn factory_reset() -> Order {
    Order {
        request: Request::FactoryReset,
        done: "Everything on the box is gone. Switch it off and on again: then it is like new.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_recovery_key_has_a_code_of_whole_modules() {
        let words = Secret::new(["abstract"; 12].join(" "));
        let paper = Paper::of(words).unwrap();
        assert!((21..=61).contains(&paper.size), "{}", paper.size);
        // The finder in the upper left corner (ISO/IEC 18004, 6.3.3).
        let path = paper.path.expose();
        for (module, dark) in [("M0 0h", true), ("M6 6h", true), ("M1 1h", false)] {
            assert_eq!(path.contains(module), dark, "{module}");
        }
        // It fits an answer that the console may send, and a line.
        assert!(path.len() < control::wire::MAX_LINE, "{}", path.len());
    }
}

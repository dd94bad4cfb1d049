//! The key on a USB stick: what it gives up, and the switch.
//!
//! | request | contents | answer |
//! | --- | --- | --- |
//! | `GET /usb-key` | | the page; the front page while the disk is not open |
//! | `POST /usb-key/on` `/usb-key/off` | old | [`crate::answer::Answer`] |

use crate::answer::{MALFORMED, Problem};
use crate::pages;
use crate::parts::{View, show};
use crate::post::{Order, form};
use crate::routes::{Console, typed};
use crate::sealed::KeysContents;
use crate::state::State;
use crate::way::Visit;
use axum::{
    Router,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use control::{Reply, Request, Secret, Status};
use maud::{Markup, html};
use std::sync::Arc;

/// Its part of the router.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/usb-key", get(page))
        .route("/usb-key/on", form(turn_on))
        .route("/usb-key/off", form(turn_off))
}

async fn page(Shared(console): Shared<Arc<Console>>, visit: Visit) -> Response {
    let status = match console.supervisor.status().await {
        Ok(status) if State::of(&status) == State::Open => status,
        _ => return Redirect::to("/").into_response(),
    };
    match console.supervisor.change(Request::UsbKey).await {
        Ok(Reply::UsbKey { on }) => {
            let drawn = |view: &View| shown(&status, on, view);
            let page = pages::with(&console, &visit, Some(&status), None, None, drawn);
            typed(StatusCode::OK, "text/html; charset=utf-8", page)
        }
        _ => Redirect::to("/").into_response(),
    }
}

fn turn_on(contents: KeysContents) -> Result<Order, Problem> {
    let passphrase = passphrase(contents)?;
    Ok(Order {
        request: Request::TurnUsbKeyOn { passphrase },
        done: "The stick opens the box from now on. Keep it away from the box, or anybody who \
               takes both can read everything.",
    })
}

fn turn_off(contents: KeysContents) -> Result<Order, Problem> {
    let passphrase = passphrase(contents)?;
    Ok(Order {
        request: Request::TurnUsbKeyOff { passphrase },
        done: "No USB stick opens the box any more.",
    })
}

fn passphrase(contents: KeysContents) -> Result<Secret, Problem> {
    match contents {
        KeysContents {
            old: Some(passphrase),
            new: None,
            recovery_key: None,
            ..
        } => Ok(passphrase),
        _ => Err(MALFORMED),
    }
}

fn shown(status: &Status, on: bool, view: &View) -> String {
    let content = html! {
        main data-state="usb-key" data-token=(view.token) data-key=(view.key)
            data-retry=(status.retry_after) {
            h1 { "USB stick instead of the passphrase" }
            (view.without_script())
            (view.answer())
            div #forms {
                @if on { (turned_on(view)) } @else { (turned_off(view)) }
            }
        }
        p.back { a href="/keys" { "Back to the keys" } }
    };
    view.frame("USB stick", "/keys.js", false, &content)
}

fn turned_off(view: &View) -> Markup {
    html! {
        p { "This is off, as on every new box: after a power cut the box waits for your \
             passphrase, and mail waits at its senders." }
        p { "If you turn it on, the box writes a key into a file on your USB stick. With the \
             stick in it, it opens its disk by itself." }
        p.note.bad { strong { "What you give up: " } "whoever takes the box together with the \
             stick can read everything on it, without any passphrase. Anybody at home who \
             restarts the box gets it open again, not locked. A stick that stays in the box \
             protects nothing but an old card that you throw away." }
        p { "So pull the stick out when the box is open, and keep it where a thief of the box \
             does not find it. A copy of the file is as good as the stick." }
        p { "The stick needs the format FAT32. Nothing that is on it is deleted. Plug it into the \
             box now, and no other." }
        (switch("/usb-key/on", "Turn it on", view))
    }
}

fn turned_on(view: &View) -> Markup {
    html! {
        p.note.bad { strong { "It is on. " } "Whoever has the box and the USB stick, or a copy of \
             its file, can read everything." }
        p { "Is the stick lost, or do you want to type your passphrase again? Turn it off: then \
             its key opens nothing any more, wherever the stick is. If the stick is in the box, \
             the file on it is deleted." }
        (switch("/usb-key/off", "Turn it off", view))
        h2 { "Another stick" }
        p { "Plug the new stick into the box, and no other. The old one opens nothing then." }
        (switch("/usb-key/on", "Use this stick instead", view))
    }
}

/// One button, and the passphrase that it takes.
fn switch(path: &str, words: &str, view: &View) -> Markup {
    html! {
        form data-post=(path) method=[view.method()] action=[view.action(path)]
            autocomplete="off" novalidate {
            (view.hidden())
            label {
                "Passphrase"
                input type="password" data-field="old" name=[view.named("old")]
                    autocomplete="current-password" autocapitalize="none" autocorrect="off"
                    spellcheck="false";
            }
            (show())
            button type="submit" { (words) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;
    use control::Disk;

    fn drawn(on: bool, view: &View) -> String {
        let status = Status {
            disk: Disk::Open,
            setup_code_needed: false,
            claimable: false,
            retry_after: 0,
            recovery_key: true,
            reset_code: None,
            reset_asked: false,
            name: "attic".into(),
            damage: Vec::new(),
        };
        shown(&status, on, view)
    }

    #[test]
    fn what_it_gives_up_is_said_before_it_is_turned_on() {
        let page = drawn(false, &view(Way::Clear));
        let warning = page.find("without any passphrase").unwrap();
        assert!(warning < page.find("data-post=\"/usb-key/on\"").unwrap());
        assert!(!page.contains("/usb-key/off"), "{page}");
    }

    #[test]
    fn one_that_is_on_can_be_turned_off() {
        let page = drawn(true, &view(Way::Clear));
        assert!(page.contains("data-post=\"/usb-key/off\""), "{page}");
        assert!(page.contains("It is on"), "{page}");
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        for on in [true, false] {
            check_forms(|view| drawn(on, view));
            check_sources(|view| drawn(on, view));
        }
    }
}

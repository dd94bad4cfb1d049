//! Parts of the pages that ask for the passphrase before they show anything: the people,
//! and how mail goes out. `proof.js` reads `data-post`, `data-field` and `data-error`, which
//! names the field that an error belongs to.

use crate::parts::{View, show};
use maud::{Markup, html};

/// The form that asks for it, sent to `path`.
pub fn prove(view: &View, path: &str) -> Markup {
    html! {
        form #prove data-post=(path) method=[view.method()]
            action=[view.action(path)] autocomplete="off" novalidate {
            (view.hidden())
            label {
                "Passphrase of the box"
                input type="password" data-field="passphrase" name=[view.named("passphrase")]
                    autocomplete="current-password" autocapitalize="none" autocorrect="off"
                    spellcheck="false";
            }
            (error("passphrase"))
            (show())
            p.small { "It shows that the box is yours, and counts for 15 minutes. Checking it \
                       takes up to a minute." }
            button type="submit" { "Continue" }
        }
    }
}

/// Asks once more, by `path`, what could not be shown yet.
pub fn again(view: &View, path: &str) -> Markup {
    html! {
        form method=[view.method()] action=[view.action(path)] {
            (view.hidden())
            button type="submit" { "Look again" }
        }
    }
}

/// The field of a password that is typed for the first time.
pub fn password(label: &str, view: &View) -> Markup {
    html! {
        label {
            (label)
            input type="password" data-field="password" name=[view.named("password")]
                autocomplete="new-password" autocapitalize="none" autocorrect="off"
                spellcheck="false";
        }
        (error("password"))
        (show())
    }
}

/// Where a script writes what is wrong with a field.
pub fn error(field: &str) -> Markup {
    html! {
        p.note.bad data-error=(field) role="alert" hidden {}
    }
}

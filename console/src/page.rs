//! What people see. Plain words, one thing to do, nothing from elsewhere.
//!
//! The forms have no action and their fields no names: without the script,
//! which seals the passphrase, nothing can be sent. `page.js` and clients read
//! these attributes of `<main>`: `data-state`, `data-token`, `data-key`,
//! `data-retry`.

use crate::keys_page;
use crate::state::State;
use axum::body::Bytes;
use control::Status;
use maud::{DOCTYPE, Markup, html};

/// The files that are not built in.
pub struct Assets {
    /// tweetnacl's `nacl-fast.min.js`, served under that name.
    pub nacl: Bytes,
}

/// `/style.css`.
pub const STYLE: &str = include_str!("../assets/style.css");
/// `/page.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/recovery.js"),
    include_str!("../assets/page.js")
);

/// The page at `/`.
pub fn front(status: &Status, token: &str, key: &str) -> String {
    let state = State::of(status);
    let main = html! {
        main data-state=(state.word()) data-token=(token) data-key=(key)
            data-retry=(status.retry_after) {
            h1 { (title(state)) }
            (needs_script())
            (body(state, status))
            p #answer .note role="status" hidden {}
            @if state == State::Unclaimed { (keys_page::paper(&status.name)) }
        }
        (power())
    };
    frame(title(state), &status.name, "/page.js", &main)
}

/// A whole page around its content; `script` comes after `nacl`.
pub fn frame(title: &str, name: &str, script: &str, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – " (name) }
                link rel="stylesheet" href="/style.css";
                script src="/nacl-fast.min.js" defer {}
                script src=(script) defer {}
            }
            body {
                header { (name) }
                (content)
            }
        }
    }
    .into_string()
}

/// For a browser without JavaScript.
pub fn needs_script() -> Markup {
    html! {
        noscript {
            p.note.bad {
                "This page needs JavaScript: it locks your passphrase up before \
                 it leaves this device, because your home network could be \
                 overheard. Please switch JavaScript on, or use another browser."
            }
        }
    }
}

fn title(state: State) -> &'static str {
    match state {
        State::Unclaimed => "Welcome! Choose a passphrase",
        State::TooLate => "Please plug the box in again",
        State::Locked => "Your box is locked",
        State::Working => "One moment …",
        State::Open => "Your box is open",
        State::Missing => "The card needs help",
    }
}

fn body(state: State, status: &Status) -> Markup {
    match state {
        State::Unclaimed => unclaimed(status.setup_code_needed),
        State::TooLate => html! {
            p {
                "Nobody has set a passphrase yet, and for your safety that is possible only \
                 in the first 15 minutes after the box gets power."
            }
            p { "Pull the plug, put it back in, wait two minutes and reload this page." }
        },
        State::Locked => locked(),
        State::Working => html! {
            p { "The box is busy with your disk. This takes up to a minute." }
            progress aria-label="Working" {}
            p.small { "This page changes by itself when it is done." }
        },
        State::Open => html! {
            p { "The disk is unlocked. You may close this page." }
            @if !status.recovery_key {
                p.note.bad { strong { "You have no recovery key yet." } " If you forget the \
                     passphrase now, nobody can open the box again, not even we." }
                a.button href="/keys#new" { "Make the recovery key" }
            }
            h2 { "People" }
            p { "Who has mail on this box: their addresses and passwords." }
            a.button href="/people" { "Open people" }
            h2 { "Passphrase and recovery key" }
            p { "Choose another passphrase, or make another recovery key." }
            a.button href="/keys" { "Open keys" }
            h2 { "After a power cut" }
            p { "After a power cut, or a restart, the box waits for your passphrase. Come \
                 back to this page then. Its address is " strong { (status.name) ".local" } "." }
        },
        State::Missing => html! {
            p { "The box cannot find or read the part of the card that holds your data." }
            p { "Switch it off below, pull the plug and take the card out and put it back \
                 in firmly. If this page comes back, the card is worn out or was not written \
                 completely: write a new one." }
        },
    }
}

fn unclaimed(setup_code_needed: bool) -> Markup {
    html! {
        p { "The passphrase protects everything on this box. You need it again after each \
             power cut." }
        form data-post="/claim" autocomplete="off" {
            @if setup_code_needed {
                label for="code" { "Setup code" }
                p.small #code-help { "It is in the file wifi.txt on the card." }
                input #code type="text" required autocomplete="off" autocapitalize="none"
                    autocorrect="off" spellcheck="false" aria-describedby="code-help";
            }
            label for="first" { "New passphrase" }
            p.small #first-help {
                "At least 8 characters; longer is better. Four or five words that have \
                 nothing to do with each other are easy to keep in mind and hard to guess."
            }
            input #first type="password" required autocomplete="new-password"
                autocapitalize="none" autocorrect="off" spellcheck="false"
                aria-describedby="first-help";
            label for="second" { "The same again" }
            input #second type="password" required autocomplete="new-password"
                autocapitalize="none" autocorrect="off" spellcheck="false";
            (show())
            p #advice .note role="status" hidden {}
            p.note { "Next the box shows a " strong { "recovery key" } ", once. Have a pen and \
                 paper ready. Without the passphrase and without that key nobody can open the \
                 box, not even we." }
            button type="submit" { "Set the passphrase" }
        }
    }
}

fn locked() -> Markup {
    html! {
        p { "It has been without power. Give your passphrase to start it." }
        form data-post="/unlock" autocomplete="off" {
            label for="first" { "Passphrase" }
            input #first type="password" required autocomplete="current-password"
                autocapitalize="none" autocorrect="off" spellcheck="false";
            (show())
            button type="submit" { "Unlock" }
        }
        p.back { a href="/forgot" { "I have forgotten the passphrase" } }
    }
}

fn show() -> Markup {
    html! {
        label.check { input #show type="checkbox"; " Show what I type" }
    }
}

fn power() -> Markup {
    html! {
        footer {
            details {
                summary { "Restart" }
                p { "The box stops for about a minute, then asks for the passphrase again." }
                button type="button" data-post="/restart" { "Yes, restart now" }
            }
            details {
                summary { "Power off" }
                p { "The box stays off until you pull the plug and put it back in." }
                button type="button" .danger data-post="/power" { "Yes, switch off now" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Disk;

    fn page(disk: Disk, claimable: bool, setup_code_needed: bool) -> String {
        let status = Status {
            disk,
            setup_code_needed,
            claimable,
            retry_after: 7,
            recovery_key: true,
            reset_code: None,
            reset_asked: false,
            name: "projectx".into(),
        };
        front(&status, "TOKEN", "KEY")
    }

    #[test]
    fn the_page_asks_for_what_the_state_needs() {
        for (disk, claimable, there, absent) in [
            (
                Disk::Unclaimed,
                true,
                "data-post=\"/claim\"",
                "data-post=\"/unlock\"",
            ),
            (Disk::Unclaimed, false, "first 15 minutes", "<form"),
            (
                Disk::Locked,
                false,
                "data-post=\"/unlock\"",
                "data-post=\"/claim\"",
            ),
            (Disk::Working, true, "<progress", "<form"),
            (Disk::Open, false, "is unlocked", "<form"),
            (Disk::Open, false, "href=\"/people\"", "<form"),
            (Disk::Locked, false, "data-post=\"/unlock\"", "/people"),
            (Disk::Missing, false, "write a new one", "<form"),
        ] {
            let page = page(disk, claimable, false);
            assert!(page.contains(there), "{disk:?}: {page}");
            assert!(!page.contains(absent), "{disk:?}: {page}");
            for always in [
                "data-post=\"/restart\"",
                "data-post=\"/power\"",
                "<noscript>",
            ] {
                assert!(page.contains(always), "{disk:?}: {always}");
            }
            assert!(page.contains("data-token=\"TOKEN\" data-key=\"KEY\" data-retry=\"7\""));
        }
    }

    #[test]
    fn the_setup_code_is_asked_for_only_when_it_is_needed() {
        assert!(page(Disk::Unclaimed, true, true).contains("id=\"code\""));
        assert!(!page(Disk::Unclaimed, true, false).contains("id=\"code\""));
    }

    #[test]
    fn without_the_script_the_forms_can_send_nothing() {
        for page in [
            page(Disk::Unclaimed, true, true),
            page(Disk::Locked, false, false),
        ] {
            for tag in page
                .split('<')
                .filter(|tag| tag.starts_with("form") || tag.starts_with("input"))
            {
                assert!(!tag.contains("name=") && !tag.contains("action="), "{tag}");
            }
        }
    }

    #[test]
    fn the_page_takes_nothing_from_elsewhere_and_has_nothing_inline() {
        let page = page(Disk::Unclaimed, true, true);
        for bad in [
            "http:", "https:", "//", "style=", "<style", "onclick", "onsubmit",
        ] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}

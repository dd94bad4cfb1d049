//! What people see at `/`. Plain words, one thing to do, nothing from elsewhere.
//!
//! `page.js` and clients read these attributes of `<main>`: `data-state`,
//! `data-token`, `data-key`, `data-retry`. How a form differs between plain HTTP and
//! TLS is in `parts.rs`.

use crate::damage;
use crate::keys_page;
use crate::parts::{View, show};
use crate::state::State;
use axum::body::Bytes;
use control::Status;
use maud::{Markup, html};

/// The files that are not built in.
pub struct Assets {
    /// tweetnacl's `nacl-fast.min.js`, served under that name.
    pub nacl: Bytes,
}

/// `/style.css`.
pub const STYLE: &str = include_str!("../assets/style.css");
/// `/no-script.css`.
pub const STYLE_WITHOUT_SCRIPT: &str = include_str!("../assets/no-script.css");
/// `/page.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/recovery.js"),
    include_str!("../assets/page.js")
);

/// The page at `/`.
pub fn front(status: &Status, view: &View) -> String {
    let state = State::of(status);
    let main = html! {
        main data-state=(state.word()) data-token=(view.token) data-key=(view.key)
            data-retry=(status.retry_after) {
            h1 { (title(state)) }
            (damage::notice(&status.damage))
            (view.without_script())
            @if view.note.is_some() { (view.answer()) }
            (body(state, status, view))
            @if view.note.is_none() { (view.answer()) }
            @if state == State::Unclaimed { (keys_page::paper(view)) }
        }
        (power(view))
    };
    view.frame(title(state), "/page.js", state == State::Working, &main)
}

/// Words alone: nothing more can be done here.
pub fn told(view: &View) -> String {
    let content = html! {
        main {
            h1 { (view.name) }
            (view.answer())
            @if view.sends() {
                p.small { "After a restart your browser warns once more: the box makes a new \
                           certificate each time it starts." }
            } @else {
                (view.protected())
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(view.name, "/page.js", false, &content)
}

fn title(state: State) -> &'static str {
    match state {
        State::Unclaimed => "Welcome! Choose a passphrase",
        State::TooLate => "Please plug the box in again",
        State::Locked => "Your box is locked",
        State::Working => "One moment …",
        State::Open => "Your box is open",
        State::Damaged => "The box needs your recovery key",
        State::Missing => "The card needs help",
    }
}

fn body(state: State, status: &Status, view: &View) -> Markup {
    match state {
        State::Unclaimed => unclaimed(status.setup_code_needed, view),
        State::TooLate => html! {
            p {
                "Nobody has set a passphrase yet, and for your safety that is possible only \
                 in the first 15 minutes after the box gets power."
            }
            p { "Pull the plug, put it back in, wait two minutes and reload this page." }
        },
        State::Locked => locked(view),
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
            h2 { "Other addresses" }
            p { "More addresses for the same people, and addresses whose mail is passed on." }
            a.button href="/addresses" { "Open other addresses" }
            h2 { "Mail from others" }
            p { "Who was refused, block lists, and what other mail servers report." }
            a.button href="/inbound" { "Open mail from others" }
            h2 { "Mail to others" }
            p { "What other mail servers must prove before your mail goes to them, and how long it \
                 waits for them." }
            a.button href="/outbound" { "Open mail to others" }
            h2 { "DNS records" }
            p { "What other mail servers want to find in the DNS before they trust your mail, and \
                 whether it is there." }
            a.button href="/records" { "Open DNS records" }
            h2 { "Passphrase and recovery key" }
            p { "Choose another passphrase, or make another recovery key." }
            a.button href="/keys" { "Open keys" }
            h2 { "After a power cut" }
            p { "After a power cut, or a restart, the box waits for your passphrase. Come \
                 back to this page then. Its address is " strong { (status.name) ".local" } "." }
        },
        State::Damaged => html! {
            p { "The part of the card that says which keys open your disk is damaged. What is on \
                 the disk is very likely whole, but no passphrase can open it now." }
            p { strong { "Do not write a new card." } " The card holds a backup of that part, \
                 which only your recovery key opens: the twelve words on your paper." }
            a.button href="/forgot" { "Open with the recovery key" }
        },
        State::Missing => html! {
            p { "The box cannot find or read the part of the card that holds your data." }
            p { "Switch it off below, pull the plug and take the card out and put it back \
                 in firmly. If this page comes back, the card is worn out or was not written \
                 completely: write a new one." }
        },
    }
}

fn unclaimed(setup_code_needed: bool, view: &View) -> Markup {
    html! {
        p { "The passphrase protects everything on this box. You need it again after each \
             power cut." }
        form data-post="/claim" method=[view.method()] action=[view.action("/claim")]
            autocomplete="off" {
            (view.hidden())
            @if setup_code_needed {
                label for="code" { "Setup code" }
                p.small #code-help { "It is in the file wifi.txt on the card." }
                input #code name=[view.named("setup_code")] type="text" required autocomplete="off" autocapitalize="none"
                    autocorrect="off" spellcheck="false" aria-describedby="code-help";
            }
            label for="first" { "New passphrase" }
            p.small #first-help {
                "At least 8 characters; longer is better. Four or five words that have \
                 nothing to do with each other are easy to keep in mind and hard to guess."
            }
            input #first name=[view.named("passphrase")] type="password" required
                autocomplete="new-password"
                autocapitalize="none" autocorrect="off" spellcheck="false"
                aria-describedby="first-help";
            label for="second" { "The same again" }
            input #second name=[view.named("again")] type="password" required
                autocomplete="new-password"
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

fn locked(view: &View) -> Markup {
    html! {
        p { "It has been without power. Give your passphrase to start it." }
        form data-post="/unlock" method=[view.method()] action=[view.action("/unlock")]
            autocomplete="off" {
            (view.hidden())
            label for="first" { "Passphrase" }
            input #first name=[view.named("passphrase")] type="password" required
                autocomplete="current-password"
                autocapitalize="none" autocorrect="off" spellcheck="false";
            (show())
            button type="submit" { "Unlock" }
        }
        p.back { a href="/forgot" { "I have forgotten the passphrase" } }
    }
}

fn power(view: &View) -> Markup {
    // Over plain HTTP a script sends it; such a button shall not send by itself.
    let kind = if view.sends() { "submit" } else { "button" };
    let form = |path: &'static str, button: Markup| {
        html! {
            form method=[view.method()] action=[view.action(path)] {
                (view.hidden())
                (button)
            }
        }
    };
    html! {
        footer {
            details {
                summary { "Restart" }
                p { "The box stops for about a minute, then asks for the passphrase again." }
                (form("/restart", html! {
                    button type=(kind) data-post="/restart" { "Yes, restart now" }
                }))
            }
            details {
                summary { "Power off" }
                p { "The box stays off until you pull the plug and put it back in." }
                (form("/power", html! {
                    button type=(kind) .danger data-post="/power" { "Yes, switch off now" }
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;
    use control::{Damage, DamageKind, Disk};

    fn status(disk: Disk, claimable: bool, setup_code_needed: bool) -> Status {
        Status {
            disk,
            setup_code_needed,
            claimable,
            retry_after: 7,
            recovery_key: true,
            reset_code: None,
            reset_asked: false,
            name: "projectx".into(),
            damage: Vec::new(),
        }
    }

    fn page(disk: Disk, claimable: bool, setup_code_needed: bool, view: &View) -> String {
        let status = status(disk, claimable, setup_code_needed);
        front(&status, view)
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
            (
                Disk::Unclaimed,
                false,
                "first 15 minutes",
                "<form data-post",
            ),
            (
                Disk::Locked,
                false,
                "data-post=\"/unlock\"",
                "data-post=\"/claim\"",
            ),
            (Disk::Working, true, "<progress", "<form data-post"),
            (Disk::Open, false, "is unlocked", "<form data-post"),
            (Disk::Open, false, "href=\"/people\"", "<form data-post"),
            (Disk::Locked, false, "data-post=\"/unlock\"", "/people"),
            (Disk::Damaged, false, "href=\"/forgot\"", "<form data-post"),
            (Disk::Missing, false, "write a new one", "<form data-post"),
        ] {
            let page = page(disk, claimable, false, &view(Way::Clear));
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
    fn damage_is_shown_in_every_state_and_a_healthy_card_shows_none() {
        for disk in [Disk::Unclaimed, Disk::Locked, Disk::Open, Disk::Missing] {
            let mut status = status(disk, true, false);
            let view = view(Way::Clear);
            assert!(!front(&status, &view).contains("damage"));
            status.damage.push(Damage {
                kind: DamageKind::Reading,
                count: 2,
                last: "2026-11-25".into(),
            });
            let page = front(&status, &view);
            assert!(page.contains("could not be read in a place"), "{page}");
        }
    }

    #[test]
    fn the_setup_code_is_asked_for_only_when_it_is_needed() {
        let view = view(Way::Clear);
        assert!(page(Disk::Unclaimed, true, true, &view).contains("id=\"code\""));
        assert!(!page(Disk::Unclaimed, true, false, &view).contains("id=\"code\""));
    }

    #[test]
    fn without_scripts_the_page_changes_by_itself_while_the_box_works() {
        let refresh = "http-equiv=\"refresh\" content=\"5; url=/\"";
        for (disk, there) in [(Disk::Working, true), (Disk::Locked, false)] {
            let page = page(disk, true, true, &view(Way::Tls));
            assert_eq!(page.contains(refresh), there, "{disk:?}");
        }
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only() {
        for disk in [Disk::Unclaimed, Disk::Locked, Disk::Open] {
            check_forms(|view| page(disk, true, true, view));
        }
    }

    #[test]
    fn the_page_takes_nothing_from_elsewhere_and_has_nothing_inline() {
        check_sources(|view| page(Disk::Unclaimed, true, true, view));
    }
}

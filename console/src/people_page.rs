//! What people see at `/people`: who has mail here, and forms to change it.
//!
//! The page itself holds no address. `people.js` asks for the list when the
//! passphrase was given, and copies `#person` for each. `data-error` names the
//! field that an error belongs to (`about` in the answer).

use crate::page::{frame, needs_script};
use maud::{Markup, html};

/// `/people.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/people.js")
);

/// The page for the box of this name.
pub fn people(name: &str, token: &str, key: &str) -> String {
    let content = html! {
        main data-state="people" data-token=(token) data-key=(key) {
            h1 { "People" }
            (needs_script())
            p { "Everybody who has mail on this box has an address and a password for the mail \
                 program." }
            p #answer .note role="status" hidden {}
            (prove())
            div #people hidden {
                ul #list {}
                p #nobody { "Nobody has an address yet." }
                (add())
                (mail_program(name))
            }
        }
        (person())
        p.back { a href="/" { "Back to the box" } }
    };
    frame("People", name, "/people.js", &content)
}

fn prove() -> Markup {
    html! {
        form #prove data-post="/people/prove" autocomplete="off" novalidate {
            label {
                "Passphrase of the box"
                input type="password" data-field="passphrase" autocomplete="current-password"
                    autocapitalize="none" autocorrect="off" spellcheck="false";
            }
            (error("passphrase"))
            (show())
            p.small { "It shows that the box is yours, and counts for 15 minutes. Checking it \
                       takes up to a minute." }
            button type="submit" { "Continue" }
        }
    }
}

fn add() -> Markup {
    html! {
        h2 { "Add somebody" }
        form #add data-post="/people/add" autocomplete="off" novalidate {
            label {
                "Mail address"
                input type="email" data-field="address" placeholder="anna@example.org"
                    autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck="false";
            }
            (error("address"))
            (password("Password"))
            p.small { "At least 10 characters. The mail program needs it only once, so let it \
                       be a long one." }
            button type="submit" { "Add" }
        }
    }
}

/// One of the list; the script fills the address in.
fn person() -> Markup {
    html! {
        template #person {
            li {
                strong.address {}
                p.note.bad data-error="address" role="alert" hidden {}
                details {
                    summary { "Change the password" }
                    form data-post="/people/password" autocomplete="off" novalidate {
                        (password("New password"))
                        button type="submit" { "Change it" }
                    }
                }
                details {
                    summary { "Remove" }
                    form data-post="/people/remove" novalidate {
                        p { "New mail to this address is refused, and nobody can log in with it \
                             any more. The mail that is there stays on the box's disk, but no \
                             mail program shows it: the same address, added again, begins \
                             empty." }
                        button type="submit" .danger { "Yes, remove " span.address {} }
                    }
                }
            }
        }
    }
}

fn mail_program(name: &str) -> Markup {
    html! {
        h2 { "In the mail program" }
        dl {
            dt { "Kind" } dd { "IMAP" }
            dt { "Server" } dd { (name) ".local" }
            dt { "Port" } dd { "993, with SSL/TLS" }
            dt { "User name" } dd { "the whole mail address" }
            dt { "Password" } dd { "the one given here" }
        }
        p.small { "The mail program asks once whether it may trust the box: the certificate is \
                   the box's own." }
    }
}

fn password(label: &str) -> Markup {
    html! {
        label {
            (label)
            input type="password" data-field="password" autocomplete="new-password"
                autocapitalize="none" autocorrect="off" spellcheck="false";
        }
        (error("password"))
        (show())
    }
}

fn error(field: &str) -> Markup {
    html! {
        p.note.bad data-error=(field) role="alert" hidden {}
    }
}

fn show() -> Markup {
    html! {
        label.check { input type="checkbox" data-show; " Show what I type" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        people("attic", "TOKEN", "KEY")
    }

    #[test]
    fn each_thing_that_can_be_done_has_its_form_and_its_errors() {
        let page = page();
        for path in ["prove", "add", "password", "remove"] {
            let form = format!("data-post=\"/people/{path}\"");
            assert_eq!(page.matches(&form).count(), 1, "{path}");
        }
        for (field, count) in [("passphrase", 1), ("address", 2), ("password", 2)] {
            let error = format!("data-error=\"{field}\"");
            assert_eq!(page.matches(&error).count(), count, "{field}");
        }
        assert!(page.contains("data-token=\"TOKEN\" data-key=\"KEY\""));
        assert!(page.contains("attic.local"));
        assert!(page.contains("stays on the box's disk"));
    }

    #[test]
    fn nothing_of_the_people_shows_before_the_passphrase() {
        let page = page();
        assert!(page.contains("<div id=\"people\" hidden>"), "{page}");
        assert!(page.contains("<ul id=\"list\"></ul>"), "{page}");
    }

    #[test]
    fn without_the_script_the_forms_can_send_nothing() {
        let page = page();
        assert!(page.contains("<noscript>"));
        for tag in page
            .split('<')
            .filter(|tag| tag.starts_with("form") || tag.starts_with("input"))
        {
            assert!(!tag.contains(" name=") && !tag.contains("action="), "{tag}");
        }
    }

    #[test]
    fn the_page_takes_nothing_from_elsewhere_and_has_nothing_inline() {
        let page = page();
        for bad in [
            "http:", "https:", "//", "style=", "<style", "onclick", "onsubmit",
        ] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}

//! What people see at `/people`: who has mail here, and forms to change it.
//!
//! The page itself holds no address. `people.js` asks for the list when the
//! passphrase was given, and copies `#person` for each. `data-error` names the
//! field that an error belongs to (`about` in the answer). A browser without scripts
//! gets the list in the answer to a form ([`listed`]).

use crate::parts::View;
use crate::proof::{again, error, password, prove};
use maud::{Markup, html};

/// `/people.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/people.js")
);

/// The page that asks for the passphrase.
pub fn people(view: &View) -> String {
    let content = html! {
        main data-state="people" data-token=(view.token) data-key=(view.key) {
            h1 { "People" }
            (view.without_script())
            p { "Everybody who has mail on this box has an address and a password for the mail \
                 program." }
            (view.answer())
            (prove(view, "/people/prove"))
            div #people hidden {
                ul #list {}
                p #nobody { "Nobody has an address yet." }
                (add(view))
                (mail_program(view.name))
            }
        }
        template #person { (person(view, None)) }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame("People", "/people.js", false, &content)
}

/// The page after a form; without the addresses when the mail service is not ready.
pub fn listed(view: &View, addresses: Option<&[String]>) -> String {
    let content = html! {
        main data-state="people" {
            h1 { "People" }
            (view.answer())
            @match addresses {
                Some(addresses) => {
                    ul #list { @for address in addresses { (person(view, Some(address))) } }
                    @if addresses.is_empty() { p { "Nobody has an address yet." } }
                    (add(view))
                    (mail_program(view.name))
                }
                None => (again(view, "/people/list")),
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame("People", "/people.js", false, &content)
}

fn add(view: &View) -> Markup {
    html! {
        h2 { "Add somebody" }
        form #add data-post="/people/add" method=[view.method()]
            action=[view.action("/people/add")] autocomplete="off" novalidate {
            (view.hidden())
            label {
                "Mail address"
                input type="email" data-field="address" name=[view.named("address")]
                    placeholder="anna@example.org" autocomplete="off" autocapitalize="none"
                    autocorrect="off" spellcheck="false";
            }
            (error("address"))
            (password("Password", view))
            p.small { "At least 10 characters. The mail program needs it only once, so let it \
                       be a long one." }
            button type="submit" { "Add" }
        }
    }
}

/// One of the list. Without an address it is for the script, which fills it in.
fn person(view: &View, address: Option<&str>) -> Markup {
    let shown = html! { (address.unwrap_or_default()) };
    html! {
        li {
            strong.address { (shown) }
            p.note.bad data-error="address" role="alert" hidden {}
            details {
                summary { "Change the password" }
                form data-post="/people/password" method=[view.method()]
                    action=[view.action("/people/password")] autocomplete="off" novalidate {
                    (view.hidden())
                    (of(view, address))
                    (password("New password", view))
                    button type="submit" { "Change it" }
                }
            }
            details {
                summary { "Remove" }
                form data-post="/people/remove" method=[view.method()]
                    action=[view.action("/people/remove")] novalidate {
                    (view.hidden())
                    (of(view, address))
                    p { "New mail to this address is refused, and nobody can log in with it \
                         any more. The mail that is there stays on the box's disk, but no \
                         mail program shows it: the same address, added again, begins \
                         empty." }
                    button type="submit" .danger { "Yes, remove " span.address { (shown) } }
                }
            }
        }
    }
}

/// Whom a form is about.
fn of(view: &View, address: Option<&str>) -> Markup {
    html! {
        @if let Some(address) = address {
            input type="hidden" name=[view.named("address")] value=(address);
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
        p { "To send, the same server, user name and password:" }
        dl {
            dt { "Kind" } dd { "SMTP" }
            dt { "Port" } dd { "465, with SSL/TLS" }
        }
        p { "Rules that sort mail, pass it on or answer while somebody is away (Sieve) are set on \
             the same server, with the same user name and password:" }
        dl {
            dt { "Kind" } dd { "ManageSieve" }
            dt { "Port" } dd { "4190, with STARTTLS" }
        }
        p.small { "The mail program asks once whether it may trust the box: the certificate is \
                   the box's own." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn page() -> String {
        people(&view(Way::Clear))
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
    fn the_list_has_a_form_for_each_person() {
        let addresses = ["anna@example.org".into(), "<b>@example.org".into()];
        let view = View {
            session: Some("SESSION"),
            ..view(Way::Tls)
        };
        let page = listed(&view, Some(&addresses));
        for (there, count) in [
            ("name=\"address\" value=\"anna@example.org\"", 2),
            ("name=\"address\" value=\"&lt;b&gt;@example.org\"", 2),
            ("name=\"session\" value=\"SESSION\"", 5),
            ("action=\"/people/remove\"", 2),
            ("action=\"/people/add\"", 1),
        ] {
            assert_eq!(page.matches(there).count(), count, "{there}: {page}");
        }
        assert!(listed(&view, Some(&[])).contains("Nobody has an address yet"));
        assert!(listed(&view, None).contains("action=\"/people/list\""));
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only() {
        check_forms(people);
    }

    #[test]
    fn the_page_takes_nothing_from_elsewhere_and_has_nothing_inline() {
        check_sources(people);
    }
}

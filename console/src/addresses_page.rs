//! What people see at `/addresses`: the other addresses of the people, catch-alls, and
//! addresses whose mail is passed on, with forms to change them.
//!
//! The page itself holds no address. `addresses.js` asks for them when the passphrase was
//! given, and copies `#alias`, `#passed-on` or `#caught` for each. A browser without
//! scripts gets them in the answer to a form ([`set`]).

use crate::parts::View;
use crate::proof::{again, error, prove};
use control::OtherAddresses;
use control::addresses::{Alias, CatchAll, Outside};
use maud::{Markup, html};

/// `/addresses.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/addresses.js")
);

const TITLE: &str = "Other addresses";

/// The page that asks for the passphrase.
pub fn addresses(view: &View) -> String {
    let content = html! {
        main data-state="addresses" data-token=(view.token) data-key=(view.key) {
            h1 { (TITLE) }
            (view.without_script())
            (rule())
            (view.answer())
            (prove(view, "/addresses/prove"))
            div #addresses hidden { (everything(view, &OtherAddresses::default())) }
        }
        template #alias { (alias(view, None)) }
        template #passed-on { (passed_on(view, None)) }
        template #caught { (caught(view, None)) }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/addresses.js", false, &content)
}

/// The page after a form; without the addresses when the mail service is not ready.
pub fn set(view: &View, other: Option<&OtherAddresses>) -> String {
    let content = html! {
        main data-state="addresses" {
            h1 { (TITLE) }
            (view.answer())
            @match other {
                Some(other) => { (rule()) (everything(view, other)) }
                None => (again(view, "/addresses/see")),
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/addresses.js", false, &content)
}

fn rule() -> Markup {
    html! {
        p { "Mail can come to somebody by more addresses than the one under “People”. Nobody \
             logs in with these. What is behind a plus needs nothing here: mail for \
             anna+shop@example.org comes to anna@example.org." }
    }
}

fn everything(view: &View, other: &OtherAddresses) -> Markup {
    html! {
        p #left-out .note hidden[other.left_out == 0] {
            "There are " span #how-many { (other.left_out) } " older ones, which have no room \
             on this page. Remove some to see them."
        }
        h2 { "For the same people" }
        ul #aliases { @for one in &other.aliases { (alias(view, Some(one))) } }
        (add_alias(view))
        h2 { "Passed on to others" }
        ul #outside { @for one in &other.outside { (passed_on(view, Some(one))) } }
        (add_outside(view))
        h2 { "Everything else at a domain" }
        ul #catch-alls { @for one in &other.catch_alls { (caught(view, Some(one))) } }
        (add_catch_all(view))
    }
}

/// The field of an address.
fn field(view: &View, words: &str, name: &str, example: &str) -> Markup {
    html! {
        label {
            (words)
            input type="text" inputmode="email" data-field=(name) name=[view.named(name)]
                placeholder=(example) autocomplete="off" autocapitalize="none"
                autocorrect="off" spellcheck="false";
        }
    }
}

fn add_alias(view: &View) -> Markup {
    html! {
        form #add-alias data-post="/addresses/alias" method=[view.method()]
            action=[view.action("/addresses/alias")] autocomplete="off" novalidate {
            (view.hidden())
            (field(view, "New address", "address", "sales@example.org"))
            (field(view, "Whose mail it is", "person", "anna@example.org"))
            (error("address"))
            p.small { "Somebody from “People”." }
            button type="submit" { "Add the address" }
        }
    }
}

fn add_outside(view: &View) -> Markup {
    html! {
        p { "An address here whose mail goes on to somebody with mail elsewhere." }
        p.note.bad { strong { "What you give up: " } "mail that is passed on leaves the box. \
                      The provider of each of those addresses can read it and keep it." }
        form #add-outside data-post="/addresses/outside" method=[view.method()]
            action=[view.action("/addresses/outside")] autocomplete="off" novalidate {
            (view.hidden())
            (field(view, "New address", "address", "club@example.org"))
            (field(view, "Whose it is", "person", "anna@example.org"))
            (error("address"))
            p.small { "Somebody from “People”, who gets what can’t be passed on, what comes \
                       back, and the junk." }
            (field(view, "Passed on to", "to", "bob@example.net"))
            (error("to"))
            p.small { "One to four addresses, with a comma or a space between them." }
            button type="submit" { "Add the address" }
        }
    }
}

fn add_catch_all(view: &View) -> Markup {
    html! {
        p { "Mail for an address that nobody has is refused. If you want, somebody gets all of \
             it for one domain: much of it is junk." }
        form #add-catch-all data-post="/addresses/catch-all" method=[view.method()]
            action=[view.action("/addresses/catch-all")] autocomplete="off" novalidate {
            (view.hidden())
            (field(view, "Domain", "domain", "example.org"))
            (error("domain"))
            (field(view, "Who gets it", "person", "anna@example.org"))
            (error("address"))
            button type="submit" { "Set it" }
        }
    }
}

/// The form that takes an entry away.
fn remove(view: &View, path: &'static str, name: &'static str, entry: Option<&str>) -> Markup {
    html! {
        form data-post=(path) method=[view.method()] action=[view.action(path)] novalidate {
            (view.hidden())
            @if let Some(entry) = entry {
                input type="hidden" name=[view.named(name)] value=(entry);
            }
            (error(name))
            button type="submit" .plain { "Remove " span class=(name) {
                (entry.unwrap_or_default())
            } }
        }
    }
}

/// One of a list. Without an entry it is for the script, which fills it in.
fn alias(view: &View, one: Option<&Alias>) -> Markup {
    let address = one.map(|one| one.address.as_str());
    html! {
        li {
            strong.address { (address.unwrap_or_default()) }
            p { "Comes to " span.person { (one.map_or("", |one| &one.person)) } "." }
            (remove(view, "/addresses/remove", "address", address))
        }
    }
}

fn passed_on(view: &View, one: Option<&Outside>) -> Markup {
    let address = one.map(|one| one.address.as_str());
    html! {
        li {
            strong.address { (address.unwrap_or_default()) }
            p { "Leaves the box: passed on to " span.to {
                (one.map(|one| one.to.join(", ")).unwrap_or_default())
            } ". What comes back comes to " span.person {
                (one.map_or("", |one| &one.person))
            } "." }
            (remove(view, "/addresses/remove", "address", address))
        }
    }
}

fn caught(view: &View, one: Option<&CatchAll>) -> Markup {
    let domain = one.map(|one| one.domain.as_str());
    html! {
        li {
            strong.domain { (domain.unwrap_or_default()) }
            p { "What is for nobody comes to " span.person {
                (one.map_or("", |one| &one.person))
            } "." }
            (remove(view, "/addresses/no-catch-all", "domain", domain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn all() -> OtherAddresses {
        OtherAddresses {
            aliases: vec![Alias {
                address: "<b>@example.org".into(),
                person: "anna@example.org".into(),
            }],
            outside: vec![Outside {
                address: "club@example.org".into(),
                person: "ben@example.org".into(),
                to: vec!["bob@far.example".into(), "eve@far.example".into()],
            }],
            catch_alls: vec![CatchAll {
                domain: "example.org".into(),
                person: "anna@example.org".into(),
            }],
            left_out: 0,
        }
    }

    #[test]
    fn no_address_shows_before_the_passphrase() {
        let page = addresses(&view(Way::Clear));
        assert!(page.contains("<div id=\"addresses\" hidden>"), "{page}");
        for list in ["aliases", "outside", "catch-alls"] {
            assert!(page.contains(&format!("<ul id=\"{list}\"></ul>")), "{page}");
        }
        assert!(page.contains("data-token=\"TOKEN\" data-key=\"KEY\""));
        assert!(page.contains("data-post=\"/addresses/prove\""), "{page}");
    }

    #[test]
    fn each_entry_says_where_its_mail_goes_and_can_be_removed() {
        let view = View {
            session: Some("SESSION"),
            ..view(Way::Tls)
        };
        let page = set(&view, Some(&all()));
        for (there, count) in [
            ("name=\"address\" value=\"&lt;b&gt;@example.org\"", 1),
            ("name=\"address\" value=\"club@example.org\"", 1),
            ("name=\"domain\" value=\"example.org\"", 1),
            ("bob@far.example, eve@far.example", 1),
            ("name=\"session\" value=\"SESSION\"", 6),
            ("action=\"/addresses/remove\"", 2),
            ("action=\"/addresses/no-catch-all\"", 1),
            ("action=\"/addresses/alias\"", 1),
            ("action=\"/addresses/outside\"", 1),
            ("action=\"/addresses/catch-all\"", 1),
            ("class=\"note\" id=\"left-out\" hidden", 1),
        ] {
            assert_eq!(page.matches(there).count(), count, "{there}: {page}");
        }
        let many = OtherAddresses {
            left_out: 7,
            ..all()
        };
        let page = set(&view, Some(&many));
        assert!(
            page.contains("<span id=\"how-many\">7</span> older"),
            "{page}"
        );
        assert!(set(&view, None).contains("action=\"/addresses/see\""));
    }

    #[test]
    fn that_others_read_what_is_passed_on_is_said_before_its_form() {
        let page = set(&view(Way::Tls), Some(&OtherAddresses::default()));
        let warning = page.find("can read it").unwrap();
        assert!(warning < page.find("action=\"/addresses/outside\"").unwrap());
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        check_forms(addresses);
        check_sources(addresses);
        check_sources(|view| set(view, Some(&all())));
    }
}

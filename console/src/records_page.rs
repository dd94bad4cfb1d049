//! What people see at `/records`: the records that others must find in the DNS before they
//! trust the box's mail, each as a provider's form takes it, and what is there.
//!
//! The page itself holds none. `records.js` asks for them when the passphrase was given,
//! and copies `#record` for each. A browser without scripts gets them in the answer to a
//! form ([`shown`]).

use crate::parts::View;
use crate::proof::{again, prove};
use control::Records;
use control::records::Record;
use maud::{Markup, html};

/// `/records.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/records.js")
);

const TITLE: &str = "DNS records";
const NOT_YET: &str = "Not yet.";

/// The page that asks for the passphrase.
pub fn records(view: &View) -> String {
    let content = html! {
        main data-state="records" data-token=(view.token) data-key=(view.key) {
            h1 { (TITLE) }
            (view.without_script())
            (rule())
            (view.answer())
            (prove(view, "/records/prove"))
            div #records hidden { (all(view, &Records::default())) }
        }
        template #record { (row(None)) }
        template #other { (other(view, None)) }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/records.js", false, &content)
}

/// The page after a form; without the records when the mail service is not ready.
pub fn shown(view: &View, records: Option<&Records>) -> String {
    let content = html! {
        main data-state="records" {
            h1 { (TITLE) }
            (view.answer())
            @match records {
                Some(records) => { (rule()) (all(view, records)) }
                None => (again(view, "/records/see")),
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/records.js", false, &content)
}

fn rule() -> Markup {
    html! {
        p { "Other mail servers look in the DNS, the phone book of the internet, whether your mail \
             is yours. Enter these records where you have rented your domain. The box looks every \
             six hours whether they are there; it can’t enter them itself yet." }
    }
}

/// Without any it is for the script, which fills it in.
fn all(view: &View, all: &Records) -> Markup {
    html! {
        p #no-name .note.bad hidden[all.hostname.is_some()] {
            strong { "No name is chosen for this box yet. " } "Until it has one that the whole world \
             knows, only the keys below can be said. Enter no MX, SPF or DMARC record for the box \
             before: others would turn your mail away." }
        p #no-domain hidden[all.domain.is_some()] {
            "Nobody has mail here yet. The first address under “People” brings a domain." }
        p { "Looked at last: " strong #looked { (all.looked.as_deref().unwrap_or(NOT_YET)) } }
        form data-post="/records/again" method=[view.method()]
            action=[view.action("/records/again")] novalidate {
            (view.hidden())
            button type="submit" .plain { "Look again now" }
        }
        h2 #domain { (all.domain.as_deref().unwrap_or_default()) }
        ul #list { @for one in &all.records { (row(Some(one))) } }
        ul #others {
            @for domain in all.domains.iter().filter(|one| Some(*one) != all.domain.as_ref()) {
                (other(view, Some(domain)))
            }
        }
        p.small { "As lines of a zone file, and for any number of domains: " code { "projectx records" }
                  ", as root on the box." }
    }
}

/// One record. Without one it is for the script, which fills it in.
fn row(one: Option<&Record>) -> Markup {
    let text = |part: fn(&Record) -> &String| one.map_or("", |one| part(one));
    html! {
        li {
            p.sentence { (text(|one| &one.sentence)) }
            p { "Name: " code.name { (text(|one| &one.name)) } }
            p { "Type: " code.kind { (text(|one| &one.kind)) } }
            p { "Value: " code.value { (text(|one| &one.value)) } }
            p { "Found: " strong.state { (text(|one| &one.state)) } " "
                code.found { (text(|one| &one.found)) } }
        }
    }
}

/// Another domain, to be shown. Without one it is for the script, which fills it in.
fn other(view: &View, domain: Option<&str>) -> Markup {
    html! {
        li {
            form data-post="/records/domain" method=[view.method()]
                action=[view.action("/records/domain")] novalidate {
                (view.hidden())
                @if let Some(domain) = domain {
                    input type="hidden" name=[view.named("domain")] value=(domain);
                }
                button type="submit" .plain { "Show those of "
                                              span.domain { (domain.unwrap_or_default()) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn some() -> Records {
        Records {
            hostname: Some("box.example.org".into()),
            domains: vec!["a.example".into(), "b.example".into()],
            domain: Some("a.example".into()),
            looked: Some("2026-11-25 17:00 UTC".into()),
            records: vec![Record {
                sentence: "Says who sends.".into(),
                name: "a.example".into(),
                kind: "TXT".into(),
                value: "v=spf1 mx -all".into(),
                state: "something else is there".into(),
                found: "<script>v=spf1".into(),
            }],
        }
    }

    #[test]
    fn nothing_shows_before_the_passphrase() {
        let page = records(&view(Way::Clear));
        assert!(page.contains("<div id=\"records\" hidden>"), "{page}");
        assert!(page.contains("<ul id=\"list\"></ul>"), "{page}");
        assert!(page.contains("data-post=\"/records/prove\""), "{page}");
    }

    #[test]
    fn each_record_can_be_copied_and_what_is_there_is_only_text() {
        let page = shown(&view(Way::Tls), Some(&some()));
        for there in [
            "<code class=\"name\">a.example</code>",
            "<code class=\"value\">v=spf1 mx -all</code>",
            "<strong class=\"state\">something else is there</strong>",
            "&lt;script&gt;v=spf1",
            "<p class=\"note bad\" id=\"no-name\" hidden>",
            "2026-11-25 17:00 UTC",
            "name=\"domain\" value=\"b.example\"",
        ] {
            assert!(page.contains(there), "{there}: {page}");
        }
        assert!(!page.contains("value=\"a.example\""), "{page}");
        assert!(shown(&view(Way::Tls), None).contains("action=\"/records/see\""));
    }

    #[test]
    fn a_box_without_a_name_or_people_says_so() {
        let page = shown(&view(Way::Tls), Some(&Records::default()));
        assert!(
            page.contains("<p class=\"note bad\" id=\"no-name\">"),
            "{page}"
        );
        assert!(page.contains("<p id=\"no-domain\">"), "{page}");
        assert!(page.contains(NOT_YET), "{page}");
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        check_forms(records);
        check_forms_after();
        check_sources(records);
        check_sources(|view| shown(view, Some(&some())));
    }

    fn check_forms_after() {
        let page = shown(&view(Way::Tls), Some(&some()));
        assert_eq!(page.matches("name=\"token\" value=\"TOKEN\"").count(), 2);
    }
}

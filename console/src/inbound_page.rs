//! What people see at `/inbound`: who was refused, which block lists are asked, and which
//! forwarders are believed, with forms to change the two latter.
//!
//! The page itself holds nothing of that. `inbound.js` asks for it when the passphrase was
//! given, and copies `#peer`, `#zone` or `#sealer` for each. A browser without scripts
//! gets it in the answer to a form ([`set`]).

use crate::parts::View;
use crate::proof::{again, error, prove};
use control::Inbound;
use control::inbound::RefusedPeer;
use maud::{Markup, html};

/// `/inbound.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/inbound.js")
);

const TITLE: &str = "Mail from others";

/// The page that asks for the passphrase.
pub fn inbound(view: &View) -> String {
    let content = html! {
        main data-state="inbound" data-token=(view.token) data-key=(view.key) {
            h1 { (TITLE) }
            (view.without_script())
            (rule())
            (view.answer())
            (prove(view, "/inbound/prove"))
            div #inbound hidden { (everything(view, &Inbound::default())) }
        }
        template #peer { (peer(None)) }
        template #zone { (entry(view, "/inbound/unblock", None)) }
        template #sealer { (entry(view, "/inbound/mistrust", None)) }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/inbound.js", false, &content)
}

/// The page after a form; without what is set when the mail service is not ready.
pub fn set(view: &View, inbound: Option<&Inbound>) -> String {
    let content = html! {
        main data-state="inbound" {
            h1 { (TITLE) }
            (view.answer())
            @match inbound {
                Some(inbound) => { (rule()) (everything(view, inbound)) }
                None => (again(view, "/inbound/see")),
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame(TITLE, "/inbound.js", false, &content)
}

fn rule() -> Markup {
    html! {
        p { "Other mail servers bring mail over a connection that nobody on the way can read \
             (TLS). Who will not do that is refused, and is told why." }
        a.button href="/reports" { "What others report" }
    }
}

fn everything(view: &View, inbound: &Inbound) -> Markup {
    html! {
        h2 { "Refused because they use no TLS" }
        ul #refused { @for one in &inbound.refused { (peer(Some(one))) } }
        p #nobody hidden[!inbound.refused.is_empty()] { "Nobody so far." }
        p.small { "By the address that they came from, the latest first. Most are programs that \
                   look for weak mail servers. If somebody says that mail to you comes back: \
                   the mail server of theirs has to learn STARTTLS." }
        h2 { "Block lists" }
        ul #zones {
            @for zone in &inbound.block_lists { (entry(view, "/inbound/unblock", Some(zone))) }
        }
        p #no-list hidden[!inbound.block_lists.is_empty()] { "No list is asked." }
        (add_list(view))
        h2 { "Forwarders that you trust" }
        ul #sealers {
            @for domain in &inbound.trusted { (entry(view, "/inbound/mistrust", Some(domain))) }
        }
        p #no-sealer hidden[!inbound.trusted.is_empty()] { "None." }
        (add_sealer(view))
    }
}

fn domain(view: &View, words: &str, example: &str) -> Markup {
    html! {
        label {
            (words)
            input type="text" inputmode="url" data-field="domain" name=[view.named("domain")]
                placeholder=(example) autocomplete="off" autocapitalize="none"
                autocorrect="off" spellcheck="false";
        }
        (error("domain"))
    }
}

fn add_list(view: &View) -> Markup {
    html! {
        p { "A block list is kept by somebody else: addresses of computers that have sent junk. \
             The box can ask it about everybody who brings mail, and refuses those who are in \
             it. Mail to “postmaster” is taken all the same, so that somebody who is there by \
             mistake can write to you." }
        p.note.bad { strong { "What you give up: " } "the keeper of the list learns who brings \
                      mail to you, and when, and decides with you who may. Many lists ask money \
                      of some, or answer everything with yes when they end: read their rules \
                      first." }
        form #block data-post="/inbound/block" method=[view.method()]
            action=[view.action("/inbound/block")] autocomplete="off" novalidate {
            (view.hidden())
            (domain(view, "The list’s zone in DNS, from its own pages", "bl.example.org"))
            p.small { "Eight at the most: each one is asked for every message." }
            button type="submit" { "Ask this list" }
        }
    }
}

fn add_sealer(view: &View) -> Markup {
    html! {
        p { "A mailing list changes what it passes on, so a sender’s seal breaks there, and the \
             box may refuse the message or take it for junk. Some forwarders write down what \
             they saw before, and seal that themselves (ARC)." }
        p.note.bad { strong { "What you give up: " } "whom you trust here can pass forged mail \
                      on to you as genuine. Name only those whose lists you are on." }
        form #trust data-post="/inbound/trust" method=[view.method()]
            action=[view.action("/inbound/trust")] autocomplete="off" novalidate {
            (view.hidden())
            (domain(view, "The forwarder’s domain", "lists.example.org"))
            p.small { "Eight at the most." }
            button type="submit" { "Trust this forwarder" }
        }
    }
}

/// One of a list. Without a domain it is for the script, which fills it in.
fn entry(view: &View, path: &'static str, domain: Option<&str>) -> Markup {
    let shown = html! { (domain.unwrap_or_default()) };
    html! {
        li {
            strong.domain { (shown) }
            form data-post=(path) method=[view.method()] action=[view.action(path)] novalidate {
                (view.hidden())
                @if let Some(domain) = domain {
                    input type="hidden" name=[view.named("domain")] value=(domain);
                }
                (error("domain"))
                button type="submit" .plain { "Remove " span.domain { (shown) } }
            }
        }
    }
}

/// One who was refused. Without one it is for the script, which fills it in.
fn peer(one: Option<&RefusedPeer>) -> Markup {
    let times = one.map(|one| one.times.to_string()).unwrap_or_default();
    html! {
        li {
            strong.from { (one.map_or("", |one| &one.from)) }
            p { "Times: " span.times { (times) } ". Last: " span.last {
                (one.map_or("", |one| &one.last))
            } " UTC." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn all() -> Inbound {
        Inbound {
            block_lists: vec!["bl.example".into(), "<b>.example".into()],
            trusted: vec!["lists.example".into()],
            refused: vec![RefusedPeer {
                from: "192.0.2.1".into(),
                times: 3,
                last: "2026-11-25 17:00".into(),
            }],
        }
    }

    #[test]
    fn nothing_shows_before_the_passphrase() {
        let page = inbound(&view(Way::Clear));
        assert!(page.contains("<div id=\"inbound\" hidden>"), "{page}");
        for list in ["refused", "zones", "sealers"] {
            assert!(page.contains(&format!("<ul id=\"{list}\"></ul>")), "{page}");
        }
        assert!(page.contains("data-token=\"TOKEN\" data-key=\"KEY\""));
        assert!(page.contains("data-post=\"/inbound/prove\""), "{page}");
    }

    #[test]
    fn who_was_refused_is_named_and_each_choice_can_be_taken_back() {
        let view = View {
            session: Some("SESSION"),
            ..view(Way::Tls)
        };
        let page = set(&view, Some(&all()));
        for (there, count) in [
            ("<strong class=\"from\">192.0.2.1</strong>", 1),
            ("<span class=\"times\">3</span>", 1),
            ("2026-11-25 17:00", 1),
            ("name=\"domain\" value=\"bl.example\"", 1),
            ("name=\"domain\" value=\"&lt;b&gt;.example\"", 1),
            ("name=\"domain\" value=\"lists.example\"", 1),
            ("name=\"session\" value=\"SESSION\"", 5),
            ("action=\"/inbound/unblock\"", 2),
            ("action=\"/inbound/mistrust\"", 1),
            ("action=\"/inbound/block\"", 1),
            ("action=\"/inbound/trust\"", 1),
            ("<p id=\"nobody\" hidden>", 1),
        ] {
            assert_eq!(page.matches(there).count(), count, "{there}: {page}");
        }
        let none = set(&view, Some(&Inbound::default()));
        assert!(none.contains("<p id=\"nobody\">Nobody so far"), "{none}");
        assert!(set(&view, None).contains("action=\"/inbound/see\""));
    }

    #[test]
    fn what_is_given_up_is_said_before_each_form() {
        let page = set(&view(Way::Tls), Some(&Inbound::default()));
        for (words, path) in [
            ("learns who brings mail to you", "/inbound/block"),
            ("can pass forged mail on", "/inbound/trust"),
        ] {
            let form = page.find(&format!("action=\"{path}\"")).unwrap();
            assert!(page.find(words).unwrap() < form, "{path}");
        }
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        check_forms(inbound);
        check_sources(inbound);
        check_sources(|view| set(view, Some(&all())));
    }
}

//! What people see at `/outbound`: how mail goes to others, and forms to change it.
//!
//! The page itself holds nothing that is set. `outbound.js` asks for it when the
//! passphrase was given, and copies `#any-certificate` or `#plaintext` for each exception.
//! A browser without scripts gets it in the answer to a form ([`set`]).

use crate::parts::View;
use crate::proof::{again, error, password, prove};
use control::Outbound;
use control::outbound::{Allow, Exception, Smarthost};
use maud::{Markup, html};

/// `/outbound.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/outbound.js")
);

/// The page that asks for the passphrase.
pub fn outbound(view: &View) -> String {
    let content = html! {
        main data-state="outbound" data-token=(view.token) data-key=(view.key) {
            h1 { "Mail to others" }
            (view.without_script())
            (rule())
            (view.answer())
            (prove(view, "/outbound/prove"))
            div #outbound hidden {
                (exceptions(view, &[]))
                (hours(view, None))
                div #through-now {}
                (smarthost(view))
            }
        }
        @for allow in [Allow::AnyCertificate, Allow::Plaintext] {
            template id=(word(allow)) { (exception(view, allow, None)) }
        }
        template #smarthost { (in_use(view, None)) }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame("Mail to others", "/outbound.js", false, &content)
}

/// The page after a form; without what is set when the mail service is not ready.
pub fn set(view: &View, outbound: Option<&Outbound>) -> String {
    let content = html! {
        main data-state="outbound" {
            h1 { "Mail to others" }
            (view.answer())
            @match outbound {
                Some(outbound) => {
                    (rule())
                    (exceptions(view, &outbound.exceptions))
                    (hours(view, Some(outbound)))
                    @if let Some(one) = &outbound.smarthost { (in_use(view, Some(one))) }
                    (smarthost(view))
                }
                None => (again(view, "/outbound/see")),
            }
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame("Mail to others", "/outbound.js", false, &content)
}

fn rule() -> Markup {
    html! {
        p { "Your mail goes to another mail server only when that server proves who it is, \
             and nobody on the way can read it. Otherwise the message waits, and comes back \
             to its sender in the end." }
    }
}

fn exceptions(view: &View, all: &[Exception]) -> Markup {
    html! {
        h2 { "Exceptions" }
        ul #list {
            @for one in all { (exception(view, one.allow, Some(&one.domain))) }
        }
        p #none hidden[!all.is_empty()] { "There is no exception: every mail server must prove \
                                           who it is." }
        (add(view))
    }
}

fn add(view: &View) -> Markup {
    html! {
        h2 { "Add an exception" }
        p.note.bad { "It gives up what protects the mail to that domain. Ask its owner first \
                      whether the mail server can be mended." }
        form #except data-post="/outbound/except" method=[view.method()]
            action=[view.action("/outbound/except")] autocomplete="off" novalidate {
            (view.hidden())
            label {
                "Domain, as in the mail address behind the @"
                input type="text" inputmode="url" data-field="domain" name=[view.named("domain")]
                    placeholder="old.example.org" autocomplete="off" autocapitalize="none"
                    autocorrect="off" spellcheck="false";
            }
            (error("domain"))
            p.small { "For this domain alone, and none below it." }
            label {
                "Let pass"
                select data-field="allow" name=[view.named("allow")] {
                    option value=(word(Allow::AnyCertificate)) { "Any certificate" }
                    option value=(word(Allow::Plaintext)) { "No encryption at all" }
                }
            }
            p.small { strong { "Any certificate: " } (gives_up(Allow::AnyCertificate))
                      "mail to that domain. Who only listens can’t." }
            p.small { strong { "No encryption at all: " } (gives_up(Allow::Plaintext))
                      "mail to that domain, if its server offers no encryption or somebody \
                       keeps it from doing so. Like a postcard." }
            button type="submit" { "Add the exception" }
        }
    }
}

/// One of the list. Without a domain it is for the script, which fills it in.
fn exception(view: &View, allow: Allow, domain: Option<&str>) -> Markup {
    let shown = html! { (domain.unwrap_or_default()) };
    html! {
        li {
            strong.domain { (shown) }
            p { (gives_up(allow)) "mail to " span.domain { (shown) } "." }
            form data-post="/outbound/demand" method=[view.method()]
                action=[view.action("/outbound/demand")] novalidate {
                (view.hidden())
                @if let Some(domain) = domain {
                    input type="hidden" name=[view.named("domain")] value=(domain);
                }
                (error("domain"))
                button type="submit" .plain { "Remove the exception for "
                                              span.domain { (shown) } }
            }
        }
    }
}

/// How long mail waits. Without what is set it is for the script, which fills it in.
fn hours(view: &View, set: Option<&Outbound>) -> Markup {
    let field = |words: &str, name: &str, hours: Option<u32>| {
        html! {
            label {
                (words)
                input type="text" inputmode="numeric" data-field=(name) name=[view.named(name)]
                    value=[hours] autocomplete="off";
            }
        }
    };
    let warn = set.map(|set| set.warn_after_hours);
    let give_up = set.map(|set| set.give_up_after_hours);
    html! {
        h2 { "Mail that can’t be sent" }
        p { "The box tries again and again, and tells the sender twice: that the message still \
             waits, and at the end that it was not sent." }
        form #hours data-post="/outbound/hours" method=[view.method()]
            action=[view.action("/outbound/hours")] autocomplete="off" novalidate {
            (view.hidden())
            (field("Say that it waits after so many hours", "warn", warn))
            (field("Give up after so many hours", "give_up", give_up))
            (error("hours"))
            p.small { "From 1 to 720, which is 30 days." }
            button type="submit" { "Set the hours" }
        }
    }
}

/// The smarthost that takes all mail. Without one it is for the script, which fills it in.
fn in_use(view: &View, smarthost: Option<&Smarthost>) -> Markup {
    let host = smarthost.map_or("", |one| &one.host);
    let login = smarthost.map_or("", |one| &one.login);
    html! {
        div #in-use {
            h2 { "All mail goes through your provider" }
            p.note.bad { strong.host { (host) } " takes all mail to others, and can read it. The \
                          login there is " strong.login { (login) } "." }
            form data-post="/outbound/straight" method=[view.method()]
                action=[view.action("/outbound/straight")] novalidate {
                (view.hidden())
                button type="submit" .plain { "Send straight to the other mail servers again" }
            }
        }
    }
}

fn smarthost(view: &View) -> Markup {
    let text = |words: &str, name: &str, example: &str| {
        html! {
            label {
                (words)
                input type="text" data-field=(name) name=[view.named(name)]
                    placeholder=(example) autocomplete="off" autocapitalize="none"
                    autocorrect="off" spellcheck="false";
            }
            (error(name))
        }
    };
    html! {
        h2 { "Send through your provider" }
        p { "Some internet providers let no mail out, and some mail servers take none from a \
             home. Then another provider’s server can send it for you, a “smarthost”. You need \
             an account there." }
        p.note.bad { strong { "What you give up: " } "that provider can read all mail that you \
                      send to others, and sees to whom, unless the mail itself is end-to-end \
                      encrypted. How the mail goes on from there is the provider’s choice, and \
                      your exceptions count no more." }
        form #through data-post="/outbound/smarthost" method=[view.method()]
            action=[view.action("/outbound/smarthost")] autocomplete="off" novalidate {
            (view.hidden())
            (text("Server", "host", "smtp.example.org"))
            label {
                "Port"
                select data-field="port" name=[view.named("port")] {
                    option value="465" { "465, with TLS" }
                    option value="587" { "587, with STARTTLS" }
                }
            }
            (text("Login", "login", "anna@example.org"))
            (password("Password", view))
            p.small { "The box keeps it on its encrypted disk and never shows it again." }
            button type="submit" { "Send through this server" }
        }
    }
}

/// What an exception gives up; the mail that it is about comes behind it.
fn gives_up(allow: Allow) -> &'static str {
    match allow {
        Allow::AnyCertificate => {
            "Somebody on the way who shows any certificate can read and change "
        }
        Allow::Plaintext => "Anybody on the way can read and change ",
    }
}

/// As in `control`, in the forms and in the answers.
fn word(allow: Allow) -> &'static str {
    match allow {
        Allow::AnyCertificate => "any-certificate",
        Allow::Plaintext => "plaintext",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;
    use control::outbound::SmarthostPort;

    fn all() -> Outbound {
        let exception = |domain: &str, allow| Exception {
            domain: domain.into(),
            allow,
        };
        Outbound {
            exceptions: vec![
                exception("old.example", Allow::Plaintext),
                exception("<b>.example", Allow::AnyCertificate),
            ],
            give_up_after_hours: 72,
            warn_after_hours: 6,
            smarthost: Some(Smarthost {
                host: "smtp.example.org".into(),
                port: SmarthostPort::StartTls,
                login: "anna".into(),
            }),
        }
    }

    #[test]
    fn nothing_that_is_set_shows_before_the_passphrase() {
        let page = outbound(&view(Way::Clear));
        assert!(page.contains("<div id=\"outbound\" hidden>"), "{page}");
        assert!(page.contains("<ul id=\"list\"></ul>"), "{page}");
        assert!(page.contains("data-token=\"TOKEN\" data-key=\"KEY\""));
        assert!(page.contains("data-post=\"/outbound/prove\""), "{page}");
    }

    #[test]
    fn each_exception_says_what_it_gives_up_and_can_be_removed() {
        let view = View {
            session: Some("SESSION"),
            ..view(Way::Tls)
        };
        let page = set(&view, Some(&all()));
        for (there, count) in [
            ("name=\"domain\" value=\"old.example\"", 1),
            ("name=\"domain\" value=\"&lt;b&gt;.example\"", 1),
            ("name=\"session\" value=\"SESSION\"", 6),
            ("<strong class=\"host\">smtp.example.org</strong>", 1),
            ("action=\"/outbound/straight\"", 1),
            ("name=\"warn\" value=\"6\"", 1),
            ("name=\"give_up\" value=\"72\"", 1),
            ("action=\"/outbound/demand\"", 2),
            ("action=\"/outbound/except\"", 1),
        ] {
            assert_eq!(page.matches(there).count(), count, "{there}: {page}");
        }
        let text = page.replace("<span class=\"domain\">", "");
        let text = text.replace("</span>", "");
        for words in [
            "Anybody on the way can read and change mail to old.example.",
            "who shows any certificate can read and change mail to &lt;b&gt;.example.",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let none = Outbound {
            exceptions: Vec::new(),
            ..all()
        };
        assert!(set(&view, Some(&none)).contains("<p id=\"none\">"));
        assert!(set(&view, None).contains("action=\"/outbound/see\""));
    }

    #[test]
    fn that_a_smarthost_reads_all_mail_is_said_before_its_form() {
        let without = Outbound {
            smarthost: None,
            ..all()
        };
        let page = set(&view(Way::Tls), Some(&without));
        let warning = page.find("can read all mail").unwrap();
        assert!(warning < page.find("action=\"/outbound/smarthost\"").unwrap());
        assert!(!page.contains("/outbound/straight"), "{page}");
    }

    #[test]
    fn the_words_of_the_form_are_those_of_the_protocol() {
        for allow in [Allow::AnyCertificate, Allow::Plaintext] {
            let sent = serde_json::to_value(allow).unwrap();
            assert_eq!(sent, word(allow));
        }
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        let after = |view: &View| set(view, Some(&all()));
        let clear = after(&view(Way::Clear));
        assert!(clear.contains("<select data-field=\"allow\">"), "{clear}");
        check_forms(outbound);
        check_sources(outbound);
        check_sources(after);
    }
}

//! What people see at `/reports`: what other mail servers say of the mail of the box's
//! domains, a line each.
//!
//! The page itself holds no line. `reports.js` asks for them when the passphrase was
//! given, and copies `#report` for each. A browser without scripts gets them in the
//! answer to a form ([`shown`]).

use crate::parts::View;
use crate::proof::{again, prove};
use control::Reports;
use control::inbound::ReportLine;
use maud::{Markup, html};

/// `/reports.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/proof.js"),
    include_str!("../assets/reports.js")
);

const TITLE: &str = "What others report";

/// The page that asks for the passphrase.
pub fn reports(view: &View) -> String {
    let content = html! {
        main data-state="reports" data-token=(view.token) data-key=(view.key) {
            h1 { (TITLE) }
            (view.without_script())
            (rule())
            (view.answer())
            (prove(view, "/reports/prove"))
            div #reports hidden { (list(&[])) }
        }
        template #report { (line(None)) }
        p.back { a href="/inbound" { "Back to mail from others" } }
    };
    view.frame(TITLE, "/reports.js", false, &content)
}

/// The page after a form; without the lines when the mail service is not ready.
pub fn shown(view: &View, reports: Option<&Reports>) -> String {
    let content = html! {
        main data-state="reports" {
            h1 { (TITLE) }
            (view.answer())
            @match reports {
                Some(reports) => { (rule()) (list(&reports.lines)) }
                None => (again(view, "/reports/see")),
            }
        }
        p.back { a href="/inbound" { "Back to mail from others" } }
    };
    view.frame(TITLE, "/reports.js", false, &content)
}

fn rule() -> Markup {
    html! {
        p { "Large mail providers write to “postmaster” once a day how mail went: " strong { "TLS" }
            ", how often their connections to the box were sealed, and " strong { "DMARC" } ", how \
             much mail came to them that says it is from you, and whether it was. The box reads \
             such a message and shows what it says in one line; the message itself is in the \
             mailbox." }
        p.small { "Anybody can send such a message. Who is “proved” has sealed it (DMARC); of \
                   others the line is only what somebody claims." }
    }
}

fn list(lines: &[ReportLine]) -> Markup {
    html! {
        ul #list { @for one in lines { (line(Some(one))) } }
        p #nobody hidden[!lines.is_empty()] { "No report has come yet." }
    }
}

/// One report. Without one it is for the script, which fills it in.
fn line(one: Option<&ReportLine>) -> Markup {
    html! {
        li {
            strong.came { (one.map_or("", |one| &one.came)) }
            p.words { (one.map_or("", |one| &one.words)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn all() -> Reports {
        let line = |words: &str| ReportLine {
            came: "2026-11-25".into(),
            words: words.into(),
        };
        Reports {
            lines: vec![line("TLS, one"), line("<script>two")],
        }
    }

    #[test]
    fn each_report_is_a_line_and_none_of_them_is_more_than_text() {
        let page = reports(&view(Way::Clear));
        assert!(page.contains("<ul id=\"list\"></ul>"), "{page}");
        assert!(page.contains("data-post=\"/reports/prove\""), "{page}");
        let page = shown(&view(Way::Tls), Some(&all()));
        assert!(page.contains("<p class=\"words\">TLS, one</p>"), "{page}");
        assert!(page.contains("&lt;script&gt;two"), "{page}");
        assert!(page.contains("<p id=\"nobody\" hidden>"), "{page}");
        let none = shown(&view(Way::Tls), Some(&Reports::default()));
        assert!(none.contains("<p id=\"nobody\">No report"), "{none}");
        assert!(shown(&view(Way::Tls), None).contains("action=\"/reports/see\""));
    }

    #[test]
    fn the_form_can_be_sent_over_tls_only_and_nothing_is_inline() {
        check_forms(reports);
        check_sources(reports);
        check_sources(|view| shown(view, Some(&all())));
    }
}

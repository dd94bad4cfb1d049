//! Parts that the pages share: what goes around a page, its forms, its notes.
//!
//! Over plain HTTP a form has no action and its fields have no names: without the
//! script, which seals, nothing can be sent. Over TLS the same form can be sent by
//! the browser itself.

use crate::way::Way;
use maud::{DOCTYPE, Markup, html};

/// What a page is made with.
pub struct View<'a> {
    /// How it travels.
    pub way: Way,
    /// The same box over TLS.
    pub https: &'a str,
    /// The certificate's fingerprint, `AB:CD:…`.
    pub fingerprint: &'a str,
    /// What the box calls itself.
    pub name: &'a str,
    /// For one post.
    pub token: &'a str,
    /// The public key that the script seals to.
    pub key: &'a str,
    /// What became of the form that was sent. Such a page has no script.
    pub note: Option<&'a Note>,
    /// The browser's secret, which the forms about people carry.
    pub session: Option<&'a str>,
}

/// What became of a form.
pub struct Note {
    /// For a person.
    pub words: String,
    /// Whether it was not done.
    pub bad: bool,
    /// Seconds until a further passphrase is looked at.
    pub retry_after: u64,
}

impl View<'_> {
    /// Whether the browser may send forms by itself.
    pub fn sends(&self) -> bool {
        self.way == Way::Tls
    }

    /// The name of a field.
    pub fn named<'a>(&self, name: &'a str) -> Option<&'a str> {
        self.sends().then_some(name)
    }

    /// Where a form is sent to.
    pub fn action<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.sends().then_some(path)
    }

    /// How.
    pub fn method(&self) -> Option<&'static str> {
        self.sends().then_some("post")
    }

    /// The token of a form, and the session if it is about people.
    pub fn hidden(&self) -> Markup {
        html! {
            @if self.sends() {
                input type="hidden" name="token" value=(self.token);
                @if let Some(session) = self.session {
                    input type="hidden" name="session" value=(session);
                }
            }
        }
    }

    /// What became of the form; the scripts write into the same place.
    pub fn answer(&self) -> Markup {
        match self.note.filter(|note| !note.words.is_empty()) {
            None => html! { p #answer .note role="status" hidden {} },
            Some(note) => html! {
                p #answer .note .bad[note.bad] role="status" {
                    (note.words)
                    @if note.retry_after > 0 {
                        " Please wait " (note.retry_after) " s before you try again."
                    }
                }
            },
        }
    }

    /// For a browser without JavaScript.
    pub fn without_script(&self) -> Markup {
        if self.sends() {
            return html! {};
        }
        html! {
            noscript {
                p.note.bad {
                    "This page needs JavaScript: it locks your passphrase up before it leaves \
                     this device, because your home network could be overheard. Without \
                     JavaScript, use the protected page:"
                }
                (self.protected())
            }
        }
    }

    /// The way to the page over TLS.
    pub fn protected(&self) -> Markup {
        html! {
            p { a.button href={ (self.https) "/" } { "Open the protected page" } }
            p { "Your browser will warn you that it does not know the certificate. That has to \
                 be so: the box made it itself when it was switched on, and nobody outside your \
                 home knows your box. Choose “Advanced” or “Details” in the warning, and then to \
                 go on." }
            p { "To be sure that it is your box, look at the certificate in the warning. Its \
                 SHA-256 fingerprint must be the one on the box's own screen, below the words \
                 “page certificate”. At this moment it is:" }
            p.fingerprint { (self.fingerprint) }
            p.small { "Trust the screen more than this page: whoever is in your home network \
                       could change what you read here." }
        }
    }

    /// A whole page around its content. `script` comes after `nacl`. `again` is for a
    /// page that changes by itself.
    pub fn frame(&self, title: &str, script: &str, again: bool, content: &Markup) -> String {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " – " (self.name) }
                    link rel="stylesheet" href="/style.css";
                    @if self.note.is_none() {
                        script src="/nacl-fast.min.js" defer {}
                        script src=(script) defer {}
                        noscript { (without_scripts(again)) }
                    } @else {
                        (without_scripts(again))
                    }
                }
                body {
                    header { (self.name) }
                    (content)
                }
            }
        }
        .into_string()
    }
}

fn without_scripts(again: bool) -> Markup {
    html! {
        link rel="stylesheet" href="/no-script.css";
        @if again { meta http-equiv="refresh" content="5; url=/"; }
    }
}

/// A checkbox that a script looks at.
pub fn show() -> Markup {
    html! {
        label.check { input type="checkbox" data-show; " Show what I type" }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A page that a browser asked for.
    pub fn view(way: Way) -> View<'static> {
        View {
            way,
            https: "https://attic.local",
            fingerprint: "AB:CD",
            name: "attic",
            token: "TOKEN",
            key: "KEY",
            note: None,
            session: None,
        }
    }

    /// Over plain HTTP nothing can be sent; over TLS every form can, with its token.
    pub fn check_forms(draw: impl Fn(&View) -> String) {
        let is = |tag: &&str, kinds: &[&str]| kinds.iter().any(|kind| tag.starts_with(kind));
        let page = draw(&view(Way::Clear));
        assert!(page.contains("<noscript>") && page.contains("https://attic.local/"));
        assert!(page.contains("AB:CD"));
        for tag in page
            .split('<')
            .filter(|tag| is(tag, &["form", "input", "textarea", "button"]))
        {
            let sends = [" name=", " action=", " formaction="];
            assert!(!sends.iter().any(|way| tag.contains(way)), "{tag}");
        }
        let page = draw(&view(Way::Tls));
        assert!(!page.contains("needs JavaScript") && !page.contains("https:"));
        for form in page.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains(" method=\"post\" action=\"/"), "{form}");
            let token = "<input type=\"hidden\" name=\"token\" value=\"TOKEN\">";
            assert!(form.contains(token), "{form}");
            // All that is typed is sent, but for what a script alone looks at.
            for tag in form
                .split('<')
                .filter(|tag| is(tag, &["input", "textarea"]))
            {
                let scripts = tag.contains("type=\"checkbox\"") || tag.contains("data-word=");
                assert!(scripts || tag.contains(" name=\""), "{tag}");
            }
        }
    }

    /// Nothing from elsewhere but the link to the box itself, and nothing inline.
    pub fn check_sources(draw: impl Fn(&View) -> String) {
        for way in [Way::Clear, Way::Tls] {
            let page = draw(&view(way)).replace("href=\"https://attic.local/\"", "");
            for bad in [
                "http:", "https:", "//", "style=", "<style", "onclick", "onsubmit",
            ] {
                assert!(!page.contains(bad), "{way:?}: {bad}");
            }
        }
    }

    #[test]
    fn an_answer_has_its_words_and_no_script() {
        let note = Note {
            words: "<No>".into(),
            bad: true,
            retry_after: 4,
        };
        let view = View {
            note: Some(&note),
            ..view(Way::Tls)
        };
        let page = view.frame("T", "/page.js", false, &view.answer());
        assert!(page.contains("&lt;No&gt; Please wait 4 s before"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("no-script.css"), "{page}");
    }
}

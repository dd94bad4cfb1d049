//! The recovery key for a browser without scripts: shown once, in the answer to the
//! form that asked for it. With scripts, `recovery.js` shows the same.

use crate::keys::Paper;
use crate::parts::View;
use maud::html;

/// How many words a recovery key has.
pub const WORDS: u8 = 12;
/// The quiet zone of a QR code in modules (ISO/IEC 18004, 6.3.8).
const QUIET: i32 = 4;

/// The page; the owner confirms with the two words at the places `asked`, from 1.
pub fn paper(view: &View, paper: &Paper, asked: [u8; 2]) -> String {
    let side = paper.size + 2 * QUIET;
    let around = format!("-{QUIET} -{QUIET} {side} {side}");
    let [first, second] = asked;
    let content = html! {
        main data-state="paper" {
            h1 { "One thing more" }
            (view.answer())
            section #recovery {
                h2 { "Your recovery key" }
                p { "It opens the box " strong { (view.name) } " when the passphrase is \
                     forgotten. It is shown only now. Write it down, or print this page with \
                     your browser, and keep the paper where you keep your passport." }
                ol #words {
                    @for word in paper.words.expose().split(' ') { li { (word) } }
                }
                div #qr {
                    svg viewBox=(around) role="img" aria-label="QR code of the recovery key" {
                        rect x={ "-" (QUIET) } y={ "-" (QUIET) } width=(side) height=(side)
                            fill="#fff" {}
                        path d=(paper.path.expose()) fill="#000" {}
                    }
                }
                p.small { "The code holds the same words, for a phone's camera. Whoever has this \
                           paper and the box, or its card, can read everything on it." }
                form #confirm method=[view.method()] action=[view.action("/keys/confirm")]
                    autocomplete="off" {
                    (view.hidden())
                    input type="hidden" name=[view.named("recovery_key")]
                        value=(paper.words.expose());
                    input type="hidden" name=[view.named("places")]
                        value={ (first) " " (second) };
                    p { "So that you do not lose it: type two of the words from your paper." }
                    @for (place, name) in [(first, "one"), (second, "two")] {
                        label {
                            "Word " (place)
                            input type="text" name=[view.named(name)] autocomplete="off"
                                autocapitalize="none" autocorrect="off" spellcheck="false";
                        }
                    }
                    button type="submit" { "I have it on paper" }
                }
            }
        }
    };
    view.frame("Recovery key", "/page.js", false, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::{Note, tests::view};
    use crate::way::Way;
    use control::Secret;

    #[test]
    fn the_key_is_shown_with_its_code_and_two_words_are_asked_for() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let note = Note {
            words: String::new(),
            bad: false,
            retry_after: 0,
        };
        let view = View {
            note: Some(&note),
            ..view(Way::Tls)
        };
        let key = Paper::of(Secret::new(words.into())).unwrap();
        let page = paper(&view, &key, [3, 12]);
        assert_eq!(page.matches("<li>").count(), usize::from(WORDS));
        for there in [
            "<li>sausage</li>",
            "<path d=\"M0 0h1v1h-1z",
            "Word 3",
            "Word 12",
            "name=\"places\" value=\"3 12\"",
            "name=\"token\" value=\"TOKEN\"",
        ] {
            assert!(page.contains(there), "{there}: {page}");
        }
        assert!(!page.contains("<script"), "{page}");
    }
}

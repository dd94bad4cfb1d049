//! What people see at `/keys` (another passphrase, another recovery key) and at
//! `/forgot` (the recovery key instead of the passphrase, the factory reset).
//!
//! `data-field` names what a field is sent as; `keys.js` sends no other. `name` is
//! the same, for a browser without scripts.

use crate::form::SURE;
use crate::parts::{View, show};
use control::{Disk, Status};
use maud::{Markup, html};

/// `/keys.js`.
pub const SCRIPT: &str = concat!(
    include_str!("../assets/seal.js"),
    include_str!("../assets/hold.js"),
    include_str!("../assets/recovery.js"),
    include_str!("../assets/keys.js")
);

/// The page of an open box.
pub fn keys(status: &Status, view: &View) -> String {
    let content = html! {
        main data-state="keys" data-token=(view.token) data-key=(view.key)
            data-retry=(status.retry_after) {
            h1 { "Passphrase and recovery key" }
            (view.without_script())
            (view.answer())
            div #forms {
                (new_key(status.recovery_key, view))
                @if status.recovery_key { (backup()) }
                h2 { "Change the passphrase" }
                form data-post="/keys/passphrase" method=[view.method()]
                    action=[view.action("/keys/passphrase")] autocomplete="off" novalidate {
                    (view.hidden())
                    (old(view))
                    (new(view))
                    (show())
                    button type="submit" { "Change it" }
                }
                h2 { "USB stick instead of the passphrase" }
                p { "After a power cut the box can open its disk by itself, with a USB stick of \
                     yours in it. That is off unless you turn it on." }
                a.button href="/usb-key" { "USB stick" }
            }
            (paper(view))
        }
        p.back { a href="/" { "Back to the box" } }
    };
    view.frame("Keys", "/keys.js", false, &content)
}

fn new_key(has_one: bool, view: &View) -> Markup {
    html! {
        h2 #new { "Recovery key" }
        @if has_one {
            p { "You have one on paper. If the paper is lost, or somebody else may have seen it, \
                 make another: the old one opens nothing any more, once you have the new one." }
        } @else {
            p.note.bad { "You have no recovery key yet. One that you wrote down and did not \
                          confirm here is replaced." }
        }
        form data-post="/keys/recovery" method=[view.method()]
            action=[view.action("/keys/recovery")] autocomplete="off" novalidate {
            (view.hidden())
            (old(view))
            (show())
            button type="submit" {
                @if has_one { "Make another recovery key" } @else { "Make the recovery key" }
            }
        }
    }
}

fn backup() -> Markup {
    html! {
        p.small { "On the card is a file header-backup.img: with it and your recovery key the box \
                   opens its disk even when the card is damaged where the keys are. You may copy \
                   the file to a computer: switch the box off first, then put the card into the \
                   computer. Without the twelve words it is of no use to anybody. Copy it again \
                   when you make another recovery key, and delete the old copy." }
    }
}

/// The page of a locked box, or of one whose header is damaged.
pub fn forgot(status: &Status, view: &View) -> String {
    let damaged = status.disk == Disk::Damaged;
    let content = html! {
        main data-state="forgot" data-token=(view.token) data-key=(view.key)
            data-retry=(status.retry_after) {
            h1 {
                @if damaged { "Open with the recovery key" } @else { "Forgotten the passphrase?" }
            }
            (view.without_script())
            (view.answer())
            div #forms {
                p {
                    "With the recovery key, the twelve words on your paper, you can open the box \
                     and choose another passphrase. "
                    @if damaged {
                        "The old one is no longer good. The box takes the damaged part from its \
                         backup, the file header-backup.img on the card."
                    } @else {
                        "Nothing is lost."
                    }
                }
                form data-post="/recover" method=[view.method()]
                    action=[view.action("/recover")] autocomplete="off" novalidate {
                    (view.hidden())
                    label {
                        "Recovery key"
                        textarea data-field="recovery_key" name=[view.named("recovery_key")] rows="4" autocomplete="off"
                            autocapitalize="none" autocorrect="off" spellcheck="false" {}
                    }
                    (new(view))
                    (show())
                    button type="submit" { "Open and set the new passphrase" }
                }
                @if damaged { (no_key_for_damaged()) } @else { (reset(status, view)) }
            }
        }
        p.back { a href="/" { "Back" } }
    };
    view.frame("Forgotten", "/keys.js", false, &content)
}

fn no_key_for_damaged() -> Markup {
    html! {
        h2 { "No recovery key?" }
        p { "Then nobody can open the box, not even we. You can only begin anew: format the card \
             and write it again. " strong { "All mail and everything else on the box is lost for \
             ever" } " then." }
    }
}

fn reset(status: &Status, view: &View) -> Markup {
    html! {
        h2 { "No recovery key either?" }
        p { "Then nobody can open the box, not even we. You can only begin anew: the factory \
             reset destroys the keys, and " strong { "all mail and everything else on the box is \
             lost for ever" } "." }
        @if status.reset_asked {
            p.note { "The file factory-reset.txt on the card asks for it." }
            form data-post="/factory-reset" data-sure=(SURE) method=[view.method()]
                action=[view.action("/factory-reset")] autocomplete="off" novalidate {
                (view.hidden())
                label {
                    "Type erase, if you want that"
                    input #sure name=[view.named("sure")] type="text" autocomplete="off" autocapitalize="none"
                        autocorrect="off" spellcheck="false";
                }
                button type="submit" .danger { "Erase everything" }
            }
        } @else if let Some(line) = &status.reset_code {
            p { "Switch the box off and put its card into a computer. On the card make a text \
                 file with the name " strong { "factory-reset.txt" } " and this line in it:" }
            p.note { strong { (line) } }
            p { "Put the card back, switch the box on and come back to this page." }
        } @else {
            p { "The keys of this card are damaged. Write a new card." }
        }
    }
}

/// Where the script shows a recovery key; empty before. It is what is printed.
pub fn paper(view: &View) -> Markup {
    html! {
        section #recovery hidden {
            h2 { "Your recovery key" }
            p { "It opens the box " strong { (view.name) } " when the passphrase is forgotten. It is \
                 shown only now. Write it down or print it, and keep the paper where you keep \
                 your passport." }
            ol #words {}
            div #qr {}
            p.small { "The code holds the same words, for a phone's camera. Whoever has this \
                       paper and the box, or its card, can read everything on it." }
            button #print type="button" .plain { "Print" }
            form #confirm data-post="/keys/confirm" method=[view.method()]
                action=[view.action("/keys/confirm")] autocomplete="off" novalidate {
                (view.hidden())
                p { "So that you do not lose it: type two of the words from your paper." }
                @for place in ["one", "two"] {
                    label {
                        span data-label=(place) {}
                        input type="text" data-word=(place) autocomplete="off"
                            autocapitalize="none" autocorrect="off" spellcheck="false";
                    }
                }
                p.note.bad #mistake role="alert" hidden {}
                button type="submit" { "I have it on paper" }
            }
        }
    }
}

fn old(view: &View) -> Markup {
    html! {
        label {
            "Passphrase until now"
            input type="password" data-field="old" name=[view.named("old")]
                autocomplete="current-password" autocapitalize="none" autocorrect="off" spellcheck="false";
        }
        p.small { "If you have forgotten it: the twelve words of the recovery key." }
    }
}

fn new(view: &View) -> Markup {
    html! {
        label {
            "New passphrase"
            input type="password" data-field="new" name=[view.named("new")]
                autocomplete="new-password" autocapitalize="none" autocorrect="off" spellcheck="false";
        }
        p.small { "At least 8 characters; longer is better. Four or five words that have nothing \
                   to do with each other are easy to keep in mind and hard to guess." }
        p.note data-advice role="status" hidden {}
        label {
            "The same again"
            input type="password" data-again name=[view.named("again")]
                autocomplete="new-password" autocapitalize="none" autocorrect="off" spellcheck="false";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::tests::{check_forms, check_sources, view};
    use crate::way::Way;

    fn status(recovery_key: bool, reset_asked: bool) -> Status {
        Status {
            disk: Disk::Open,
            setup_code_needed: false,
            claimable: false,
            retry_after: 3,
            recovery_key,
            reset_code: Some("erase 3F2A-91C4".into()),
            reset_asked,
            name: "attic".into(),
            damage: Vec::new(),
        }
    }

    #[test]
    fn an_owner_without_a_recovery_key_is_told_so() {
        let words = "You have no recovery key yet";
        assert!(keys(&status(false, false), &view(Way::Clear)).contains(words));
        assert!(!keys(&status(true, false), &view(Way::Clear)).contains(words));
    }

    #[test]
    fn a_damaged_disk_asks_for_the_recovery_key_and_offers_no_reset() {
        let damaged = Status {
            disk: Disk::Damaged,
            ..status(true, true)
        };
        let page = forgot(&damaged, &view(Way::Clear));
        assert!(page.contains("data-post=\"/recover\""), "{page}");
        assert!(page.contains("header-backup.img"), "{page}");
        assert!(!page.contains("/factory-reset"), "{page}");
    }

    #[test]
    fn the_reset_has_its_form_only_when_the_card_asks_for_it() {
        let page = forgot(&status(true, false), &view(Way::Clear));
        assert!(page.contains("erase 3F2A-91C4"), "{page}");
        assert!(!page.contains("data-post=\"/factory-reset\""), "{page}");
        let page = forgot(&status(true, true), &view(Way::Clear));
        assert!(page.contains("data-post=\"/factory-reset\""), "{page}");
        assert!(page.contains("lost for ever"), "{page}");
    }

    #[test]
    fn the_forms_can_be_sent_over_tls_only_and_nothing_is_inline() {
        check_forms(|view| keys(&status(true, false), view));
        check_forms(|view| forgot(&status(true, true), view));
        check_sources(|view| keys(&status(true, false), view));
        check_sources(|view| forgot(&status(true, true), view));
    }
}

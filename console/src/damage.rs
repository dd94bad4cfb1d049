//! The notice on the front page when the card is damaged: what happened, what it
//! means, what to do.

use control::{Damage, DamageKind};
use maud::{Markup, html};

/// The notice; nothing for a healthy card.
pub fn notice(damage: &[Damage]) -> Markup {
    html! {
        @if !damage.is_empty() {
            section #damage .note.bad role="alert" {
                h2 { "The card is failing" }
                ul {
                    @for one in damage {
                        li data-damage=(one.kind.word()) {
                            (happened(one.kind)) " " span.small { "(" (times(one)) ")" }
                        }
                    }
                }
                p { "Memory cards wear out, and this gets worse. " strong { "Copy your mail, then \
                     replace the card:" } }
                ol {
                    li { "Unlock the box if it is locked. Copy your mail to a computer now, with \
                         your mail program." }
                    li { "Switch the box off below, write a new card as you did on the first day, \
                         and start the box with it." }
                    li { "Keep the old card until your mail is on the new one." }
                }
            }
        }
    }
}

fn happened(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::ReadOnly => {
            "The part of the card that holds your mail takes no changes any more. No mail comes \
             in: it waits at its senders, for some days."
        }
        DamageKind::Writing => "The card did not store something that the box wrote.",
        DamageKind::Reading => {
            "The card could not be read in a place. What was there may be lost, a message say."
        }
        DamageKind::FileSystem => {
            "The box's list of your files contradicted itself, and was mended as far as possible. \
             Something may be lost."
        }
        DamageKind::System => {
            "A part of the box's own system has changed on the card. The box uses no changed part, \
             so something may stop working."
        }
        DamageKind::App => {
            "A part of the mail programs has changed on the card. The box uses no changed part, so \
             mail may stop coming in. It waits at its senders then, for some days."
        }
    }
}

fn times(one: &Damage) -> String {
    match one.count {
        0 | 1 => format!("noticed on {}", one.last),
        count => format!("noticed {count} times, the last time on {}", one.last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DamageKind, count: u64) -> Damage {
        let last = "2026-11-25".into();
        Damage { kind, count, last }
    }

    #[test]
    fn a_healthy_card_has_no_notice() {
        assert_eq!(notice(&[]).into_string(), "");
    }

    #[test]
    fn each_kind_says_what_happened_when_and_what_to_do() {
        for kind in DamageKind::ALL {
            let text = notice(&[of(kind, 3)]).into_string();
            for words in [
                kind.word(),
                happened(kind),
                "noticed 3 times, the last time on 2026-11-25",
                "Copy your mail, then replace the card",
            ] {
                assert!(text.contains(words), "{kind:?}: {words}: {text}");
            }
        }
        let once = notice(&[of(DamageKind::App, 1)]).into_string();
        assert!(once.contains("(noticed on 2026-11-25)"), "{once}");
    }

    #[test]
    fn all_kinds_share_one_notice_and_one_advice() {
        let text = notice(&DamageKind::ALL.map(|kind| of(kind, 1))).into_string();
        assert_eq!(
            text.matches("<li data-damage").count(),
            DamageKind::ALL.len()
        );
        assert_eq!(text.matches("replace the card").count(), 1);
    }
}

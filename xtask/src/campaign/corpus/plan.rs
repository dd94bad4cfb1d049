//! What is sent when: by the messages' places in the corpus alone, so that a
//! campaign that goes on does what it would have.

use super::package::Kind;
use serde::Serialize;
use std::cmp::Reverse;
use std::ops::Range;

/// Messages of one batch; the state is saved after each.
const BATCH: usize = 100;

/// Half of the messages of a kind: every second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// From which the filter learns.
    Taught,
    /// By which it is tried.
    Tried,
}

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Sent to somebody who has moved nothing yet.
    Before,
    /// Moved by its owner to where it belongs.
    Teach,
    /// Sent again to the same person.
    After,
}

/// Some messages of one kind and half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What is done with them.
    pub step: Step,
    /// What they are.
    pub kind: Kind,
    /// Which half they are of.
    pub half: Half,
    /// Their places in the list of messages.
    pub messages: Vec<usize>,
}

/// An even sample of `count` of `all`: which ones.
pub fn sample(count: usize, all: usize) -> impl Iterator<Item = usize> {
    let count = count.min(all);
    (0..count).map(move |number| number * all / count)
}

/// Every batch, in order, for messages of these kinds.
pub fn plan(kinds: &[Kind]) -> Vec<Batch> {
    use {Half::*, Kind::*, Step::*};
    [
        (Before, Taught, Ham),
        (Before, Taught, Spam),
        (Before, Tried, Ham),
        (Before, Tried, Spam),
        (Teach, Taught, Ham),
        (Teach, Taught, Spam),
        (After, Tried, Ham),
        (After, Tried, Spam),
    ]
    .into_iter()
    .flat_map(|(step, half, kind)| {
        let messages = half_of(kinds, kind, half);
        let batches: Vec<Batch> = parts(messages.len())
            .map(|part| Batch {
                step,
                kind,
                half,
                messages: messages[part].to_vec(),
            })
            .collect();
        batches
    })
    .collect()
}

/// The same for a mailbox from which what was taught can't be put aside in between: what
/// is tried comes first, and then is thrown away.
pub fn plan_in_place(kinds: &[Kind]) -> Vec<Batch> {
    let mut batches = plan(kinds);
    batches.sort_by_key(|batch| (batch.step, Reverse(batch.half), batch.kind));
    batches
}

fn half_of(kinds: &[Kind], wanted: Kind, half: Half) -> Vec<usize> {
    let such = (0..kinds.len()).filter(|place| kinds[*place] == wanted);
    such.skip(usize::from(half == Half::Tried))
        .step_by(2)
        .collect()
}

fn parts(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(BATCH)
        .map(move |begin| begin..count.min(begin + BATCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// 260 wanted ones, then 5 others.
    fn kinds() -> Vec<Kind> {
        [vec![Kind::Ham; 260], vec![Kind::Spam; 5]].concat()
    }

    fn places(step: Step, kind: Kind, half: Half) -> Vec<usize> {
        let batches = plan(&kinds()).into_iter();
        let such = batches.filter(|one| (one.step, one.kind, one.half) == (step, kind, half));
        such.flat_map(|one| one.messages).collect()
    }

    #[test]
    fn a_sample_is_even_and_never_more_than_there_is() {
        assert_eq!(sample(4, 10).collect::<Vec<_>>(), [0, 2, 5, 7]);
        assert_eq!(sample(99, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(sample(0, 3).count(), 0);
    }

    #[test]
    fn the_halves_of_each_kind_have_every_second_message_and_together_all() {
        assert_eq!(
            places(Step::Before, Kind::Spam, Half::Taught),
            [260, 262, 264]
        );
        assert_eq!(places(Step::Before, Kind::Spam, Half::Tried), [261, 263]);
        let taught = places(Step::Before, Kind::Ham, Half::Taught);
        let tried = places(Step::Before, Kind::Ham, Half::Tried);
        assert_eq!((taught.len(), tried.len()), (130, 130));
        let all: BTreeSet<usize> = taught.into_iter().chain(tried).collect();
        assert_eq!(all, (0..260).collect());
    }

    #[test]
    fn in_place_what_is_taught_comes_last_before_it_is_taught() {
        let batches = plan_in_place(&kinds());
        let order: Vec<_> = batches.iter().map(|one| (one.step, one.half)).collect();
        let mut once = order.clone();
        once.dedup();
        assert_eq!(
            once,
            [
                (Step::Before, Half::Tried),
                (Step::Before, Half::Taught),
                (Step::Teach, Half::Taught),
                (Step::After, Half::Tried),
            ]
        );
        assert_eq!(batches.len(), plan(&kinds()).len());
        let taught = |step| {
            let such = batches.iter().filter(move |one| one.step == step);
            such.filter(|one| one.half == Half::Taught)
                .flat_map(|one| one.messages.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(taught(Step::Before), taught(Step::Teach));
    }

    #[test]
    fn what_is_tried_after_teaching_was_never_taught() {
        for kind in [Kind::Ham, Kind::Spam] {
            let tried = places(Step::After, kind, Half::Tried);
            assert_eq!(tried, places(Step::Before, kind, Half::Tried));
            let taught = places(Step::Teach, kind, Half::Taught);
            assert!(!tried.iter().any(|place| taught.contains(place)));
            assert!(places(Step::After, kind, Half::Taught).is_empty());
        }
        assert!(
            plan(&kinds())
                .iter()
                .all(|batch| batch.messages.len() <= BATCH)
        );
    }
}

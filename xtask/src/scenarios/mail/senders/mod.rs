//! The programs that send to the box: Debian's own, as other people run them.

mod exim;
mod postfix;
mod swaks;

pub(super) use exim::Exim;
pub(super) use postfix::Postfix;
pub(super) use swaks::{swaks, swaks_until_taken};

use super::internet::{BOX, Host};
use std::fmt;

/// What became of everything that a mail server had in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueRun {
    /// Recipients that the box took a message for.
    pub(super) delivered: usize,
    /// Tries that are to be repeated later.
    pub(super) deferred: usize,
    /// Messages that were given up.
    pub(super) failed: usize,
    /// Messages that are still there.
    pub(super) waiting: usize,
}

impl fmt::Display for QueueRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            delivered,
            deferred,
            failed,
            waiting,
        } = self;
        write!(
            f,
            "{delivered} delivered, {deferred} deferred, {failed} failed, {waiting} waiting"
        )
    }
}

//! The messages of a run, for any number of readers: each says what it has, and gets what came since.

use std::collections::VecDeque;

use super::{
    bytes::ByteWriter,
    message::message,
    picture::{Change, Picture},
};
use crate::observatory::Snapshot;

/// How many messages are kept for a reader that was away: 20 seconds. One that was away longer is told everything anew.
const KEPT: usize = 200;

/// The messages of a run.
#[derive(Debug, Default)]
pub(super) struct Feed {
    picture: Picture,
    kept: VecDeque<Vec<u8>>,
    /// The number of the message that comes next.
    next: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What to ask for next time.
    pub(super) next: u64,
    /// The reader is to forget what it has.
    pub(super) anew: bool,
    /// Messages with their lengths in front.
    pub(super) body: Vec<u8>,
}

impl Feed {
    /// Takes in a snapshot. Returns what is new; `None` if nothing is.
    pub(super) fn push(&mut self, snapshot: &Snapshot, exact: bool) -> Option<Change> {
        let change = self.picture.advance(snapshot, exact);
        if change.is_empty() {
            return None;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(framed(&change));
        self.next += 1;
        Some(change)
    }

    /// The messages from number `from` on; everything, as one message, for a reader that has nothing (`None`) or not enough.
    pub(super) fn since(&self, from: Option<u64>) -> Answer {
        let missing =
            from.and_then(|from| self.next.checked_sub(from)).and_then(|missing| usize::try_from(missing).ok());
        let body = match missing.filter(|missing| *missing <= self.kept.len()) {
            Some(missing) => self.kept.range(self.kept.len() - missing..).flatten().copied().collect(),
            None => self.picture.whole().map(|change| framed(&change)).unwrap_or_default(),
        };
        let anew = missing.is_none_or(|missing| missing > self.kept.len());
        Answer { next: self.next, anew, body }
    }
}

/// The message with its length in front.
pub(super) fn framed(change: &Change) -> Vec<u8> {
    let mut framed = ByteWriter::default();
    framed.part(&message(change));
    framed.0
}

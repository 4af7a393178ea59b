//! Long work on behalf of a task ends when the task is killed.

use crate::machine::PoolMachine;

/// The task that is worked for ends as soon as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Killed;

/// Iterators over slots, pages or objects that a task wants something done with.
pub(crate) trait HeedKill: Iterator + Sized {
    /// The same items, until the task that runs this is killed.
    fn heed_kill<M: PoolMachine>(self) -> impl Iterator<Item = Result<Self::Item, Killed>> {
        self.map(|item| if M::is_killed() { Err(Killed) } else { Ok(item) })
    }
}

impl<I: Iterator> HeedKill for I {}

//! An entry that is taken to be written back.

use alloc::sync::Arc;

use quire_swap::{Area, Entry, Locked};

use super::location::Location;
use crate::machine::PoolMachine;

/// A cold entry that is this task's: its folio is in the cache, locked and not up to date.
pub(super) struct Cold<M: PoolMachine> {
    pub(super) area: Arc<Area<M>>,
    pub(super) entry: Entry,
    pub(super) folio: Locked<M::Folio>,
    /// What eviction left in the slot.
    pub(super) shadow: u64,
}

impl<M: PoolMachine> Cold<M> {
    /// Where the page is: it stays there, while the folio is locked.
    pub(super) fn location(&self) -> Location {
        Location::from_metadata(self.area.metadata(self.entry.slot()))
    }

    /// The folio goes, and the slot is as it was before.
    pub(super) fn withdraw(self) {
        self.area.withdraw_leaving(self.entry, &self.folio, self.shadow);
    }
}

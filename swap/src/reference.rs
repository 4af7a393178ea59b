//! A count of a slot as a value.

use core::mem;

use crate::entry::Entry;
use crate::machine::Machine;
use crate::swap::Swap;

/// One of a slot's counts: what a PTE owns that holds the slot's entry. Dropping it lowers the count,
/// and frees the slot with the last one.
pub struct SlotReference<'a, M: Machine> {
    swap: &'a Swap<M>,
    entry: Entry,
}

impl<'a, M: Machine> SlotReference<'a, M> {
    pub(crate) fn new(swap: &'a Swap<M>, entry: Entry) -> Self {
        Self { swap, entry }
    }

    /// The slot.
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Moves the count into a PTE.
    pub fn into_pte(self) -> u64 {
        let pte = self.entry.to_pte();
        mem::forget(self);
        pte
    }

    /// Takes the count out of a PTE that [`SlotReference::into_pte`] made and that the caller has just
    /// replaced by another; `None` for any other PTE.
    pub fn from_pte(swap: &'a Swap<M>, pte: u64) -> Option<Self> {
        Entry::from_pte(pte).map(|entry| Self { swap, entry })
    }
}

impl<M: Machine> Drop for SlotReference<'_, M> {
    fn drop(&mut self) {
        self.swap.put(self.entry);
    }
}

impl<M: Machine> Swap<M> {
    /// Drops the counts that these PTEs owned, whose slots' clusters are locked once for as many as follow one another in them.
    /// PTEs that hold no entry are passed over.
    pub fn put_each(&self, ptes: impl Iterator<Item = u64>) {
        let mut entries = ptes.filter_map(Entry::from_pte).peekable();
        while let Some(first) = entries.next() {
            // As in `put`.
            self.with_area(first.area(), |area| area.put_run(first, &mut entries));
        }
    }

    fn put(&self, entry: Entry) {
        // The count itself keeps the area enabled, and only its owner drops it.
        self.with_area(entry.area(), |area| area.put(entry));
    }
}
